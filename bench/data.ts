/** Where the data of benchmarks are: the folder that was named, or the one beside the project. */
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';

/** A file of the data folder, at its top or under `text/`. @throws InkstoneError `data_missing` */
export async function dataFile(folder: string | undefined, name: string): Promise<string> {
  const base = folder ?? path.join(host.packageFolder, '..', 'shared', 'data');
  for (const place of [path.join(base, name), path.join(base, 'text', name)])
    if (await host.exists(place)) return place;
  throw new InkstoneError('data_missing', `${base} has no ${name}`, {
    kind: 'missing',
    hint: 'name the folder that holds it with --data',
  });
}

/** The text of a `.gz` file. */
export async function readZipped(file: string): Promise<string> {
  return gunzipSync(await host.readBytes(file)).toString('utf8');
}

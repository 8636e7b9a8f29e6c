/**
 * Trainings of long benchmarks, kept while the benchmark is not finished: one that was killed goes on with its runs and
 * does not judge again what is judged. Settings, data and seed name a run; others begin anew.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import * as host from '../src/base/host.ts';

const digest = (settings: unknown): string =>
  createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16);

/** The name of a part that depends on more than the benchmark's settings: the same only while those are. */
export const partOf = (name: string, settings: unknown): string => `${name}-${digest(settings)}`;

export class KeptWork {
  readonly folder: string;

  /** @param settings everything that a result depends on */
  constructor(bench: string, settings: unknown) {
    this.folder = path.join(host.homeFolder(), 'bench', bench, digest(settings));
  }

  run(name: string): string {
    return path.join(this.folder, name);
  }

  /** What a part gave, made once. */
  async result<T>(name: string, make: () => Promise<T>): Promise<T> {
    const file = path.join(this.folder, `${name}.json`);
    if (await host.exists(file)) return JSON.parse(await host.readText(file)) as T;
    const made = await make();
    await host.makeFolder(this.folder);
    await host.writeAtomically(file, (write) => write(Buffer.from(JSON.stringify(made))));
    return made;
  }

  /** The next call of the benchmark measures anew. */
  finish(): Promise<void> {
    return host.removeFile(this.folder);
  }
}

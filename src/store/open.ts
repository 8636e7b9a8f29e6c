/**
 * The store of an installation: where its rows and objects are is said by the environment, else by `place.json` in its
 * folder (left there by `inkstone store move`), else they are files in that folder.
 */
import path from 'node:path';
import type { Objects, Rows, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import {
  createFile,
  environment,
  exists,
  isAlive,
  listFiles,
  makeFolder,
  processId,
  readText,
  removeFile,
  writeFile,
} from '../base/host.ts';
import { keepPrivate } from '../base/host-disk.ts';
import { openFileRows } from './file-store.ts';
import { openFolderObjects } from './objects/folder.ts';

export interface Place {
  /** `folder`, `pglite`, or `postgres://…`. */
  database: string;
  /** `folder`, or `s3://BUCKET/PREFIX`. */
  objects: string;
}

const HERE: Place = { database: 'folder', objects: 'folder' };

/** What the environment says; what it does not say is left out. */
function fromEnvironment(): Partial<Place> {
  const database = environment('INKSTONE_DATABASE') ?? environment('DATABASE_URL');
  const objects = environment('INKSTONE_OBJECTS');
  return { ...(database === undefined ? {} : { database }), ...(objects === undefined ? {} : { objects }) };
}

/** @param home folder of all state @throws InkstoneError `place_corrupt` */
export async function placeOf(home: string): Promise<Place> {
  return { ...HERE, ...(await kept(home)), ...fromEnvironment() };
}

const placeFile = (home: string): string => path.join(home, 'store', 'place.json');

async function kept(home: string): Promise<Partial<Place>> {
  const file = placeFile(home);
  if (!(await exists(file))) return {};
  try {
    const { database, objects } = JSON.parse(await readText(file)) as Place;
    if (typeof database === 'string' && typeof objects === 'string') return { database, objects };
  } catch {
    // Told below.
  }
  throw new InkstoneError('place_corrupt', `${file} cannot be read`, {
    kind: 'data',
    hint: 'it says where rows and objects are: {"database": "postgres://…", "objects": "s3://…"}',
  });
}

/** Passwords stay out of the file: PGPASSWORD or the environment's address has them. */
export async function keepPlace(home: string, { database, objects }: Place): Promise<void> {
  const file = placeFile(home);
  await writeFile(file, `${JSON.stringify({ database: withoutPassword(database), objects }, null, 2)}\n`);
  keepPrivate(file);
}

export function withoutPassword(address: string): string {
  if (!/^postgres(ql)?:/.test(address)) return address;
  const url = new URL(address);
  url.password = '';
  return url.href;
}

export async function openRows(
  home: string,
  database: string,
): Promise<{ rows: Rows; kind: Store['kind']['rows']; close(): Promise<void> }> {
  if (database === 'folder')
    return {
      rows: await openFileRows(path.join(home, 'store', 'rows')),
      kind: 'folder',
      close: async () => {},
    };
  const sql = await openDatabase(home, database);
  // Loaded only where there is a database: it takes its time.
  const [{ migrate }, { SqlRows }] = await Promise.all([
    import('./sql/migrations.ts'),
    import('./sql/sql-rows.ts'),
  ]);
  try {
    await migrate(sql);
  } catch (thrown) {
    await sql.close();
    throw thrown;
  }
  return { rows: new SqlRows(sql), kind: sql.kind, close: () => sql.close() };
}

/** Id of the process of the embedded database of an installation, while it runs. */
export async function databaseProcess(home: string): Promise<number | undefined> {
  const holder = Number(await readText(path.join(databaseOf(home), 'lock')).catch(() => ''));
  return holder > 0 && isAlive(holder) ? holder : undefined;
}

const databaseOf = (home: string): string => path.join(home, 'store', 'database');

/** @throws InkstoneError `database_unknown`, and what opening it throws */
export async function openDatabase(home: string, database: string): Promise<import('./sql/contract.ts').Sql> {
  if (database === 'pglite') return (await import('./sql/pglite.ts')).openPglite(databaseOf(home));
  if (/^postgres(ql)?:\/\//.test(database)) return (await import('./sql/postgres.ts')).openPostgres(database);
  throw new InkstoneError('database_unknown', 'the database is none that Inkstone knows', {
    kind: 'usage',
    hint: 'folder, pglite, or postgres://USER@HOST:PORT/NAME',
  });
}

/** @throws InkstoneError `objects_unknown`, and what opening them throws */
export async function openObjects(home: string, objects: string): Promise<Objects> {
  if (objects === 'folder') return openFolderObjects(path.join(home, 'store', 'objects'));
  if (objects.startsWith('s3://')) return (await import('./objects/s3.ts')).openS3Objects(objects);
  throw new InkstoneError('objects_unknown', 'the object store is none that Inkstone knows', {
    kind: 'usage',
    hint: 'folder, or s3://BUCKET/PREFIX',
  });
}

/** The store of an installation, where it is now. */
export async function openStore(home: string): Promise<Store> {
  await makeFolder(path.join(home, 'store'));
  const leave = await enter(home);
  try {
    return await openAt(home, await placeOf(home), leave);
  } catch (thrown) {
    await leave();
    throw thrown;
  }
}

/** The store at a place, without a note that it is used. */
export async function openAt(
  home: string,
  place: Place,
  closed: () => Promise<void> = async () => {},
): Promise<Store> {
  const { rows, kind, close } = await openRows(home, place.database);
  try {
    const objects = await openObjects(home, place.objects);
    return {
      kind: { rows: kind, objects: place.objects === 'folder' ? 'folder' : 's3' },
      rows,
      objects,
      async close() {
        await close();
        await closed();
      },
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

const usersOf = (home: string): string => path.join(home, 'store', 'users');

let entered = 0;

/** Leaves a note that this process uses the store. */
async function enter(home: string): Promise<() => Promise<void>> {
  await makeFolder(usersOf(home));
  const file = path.join(usersOf(home), `${processId()}.${++entered}`);
  await createFile(file, '');
  return () => removeFile(file);
}

/** Ids of other living processes that use the store of this installation; notes of dead ones are taken away. */
export async function otherUsers(home: string): Promise<number[]> {
  if (!(await exists(usersOf(home)))) return [];
  const others = new Set<number>();
  for (const name of await listFiles(usersOf(home))) {
    const id = Number(name.split('.')[0]);
    if (id === processId()) continue;
    if (isAlive(id)) others.add(id);
    else await removeFile(path.join(usersOf(home), name));
  }
  return [...others];
}

/**
 * PGlite made durable. As it ships its fsync does nothing and is switched off besides: a power cut loses everything. Here
 * every fsync reaches the disk, folders too, and the start fails where none was seen, because this leans on an internal
 * of the package (its version is pinned).
 */
import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';
import { InkstoneError } from '../../base/errors.ts';
import { exists, makeFolder, writeFile } from '../../base/host.ts';
import { keepPrivate, syncDescriptor, syncPath, syncTree } from '../../base/host-disk.ts';

interface Stream {
  nfd?: number;
  node: unknown;
}

/** What of Emscripten's file system is touched. */
interface NodeBacked {
  stream_ops: { fsync?: (stream: Stream) => number };
  realPath(node: unknown): string;
}

/** Errors of Emscripten's file system: EIO. */
const FAILED = 29;

class DurableFiles extends NodeFS {
  syncs = 0;

  override async init(
    pg: Parameters<NodeFS['init']>[0],
    options: Parameters<NodeFS['init']>[1],
  ): ReturnType<NodeFS['init']> {
    const made = await super.init(pg, options);
    const { emscriptenOpts: settings } = made;
    const before = [settings.preRun ?? []].flat();
    const make = (module: { FS: { filesystems: unknown } }): void => {
      const backed = (module.FS.filesystems as { NODEFS: NodeBacked }).NODEFS;
      backed.stream_ops.fsync = (stream) => {
        try {
          if (stream.nfd === undefined) syncPath(backed.realPath(stream.node));
          else syncDescriptor(stream.nfd);
        } catch {
          return FAILED;
        }
        this.syncs++;
        return 0;
      };
    };
    settings.preRun = [...before, make as (typeof before)[number]];
    return made;
  }
}

export interface DurableDatabase {
  database: PGlite;
  /** Syncs so far. */
  syncs(): number;
}

/** @throws InkstoneError `database_not_durable`, `database_failed` */
export async function openDurable(folder: string): Promise<DurableDatabase> {
  await makeFolder(folder);
  keepPrivate(folder);
  const complete = `${folder}/complete`;
  const files = new DurableFiles(`${folder}/data`);
  const startParams = PGlite.defaultStartParams.filter((word) => word !== '-F');
  const set = (name: string, value: string): void => void startParams.push('-c', `${name}=${value}`);
  set('fsync', 'on');
  set('wal_sync_method', 'fsync');
  // A laptop's share: the default takes 128 MB at once.
  set('shared_buffers', '32MB');
  const database = new PGlite({ fs: files, startParams });
  try {
    await database.waitReady;
    await database.exec('checkpoint');
  } catch (cause) {
    throw new InkstoneError('database_failed', `the database in ${folder} does not start`, {
      hint: 'restore the folder from a copy, or move it away to begin anew',
      cause,
    });
  }
  const before = files.syncs;
  await database.exec('create temporary table probe (a int); select pg_switch_wal(); checkpoint');
  const { rows } = await database.query<{ fsync: string }>("select current_setting('fsync') as fsync");
  if (files.syncs === before || rows[0]?.fsync !== 'on')
    throw new InkstoneError('database_not_durable', 'the embedded database does not reach the disk', {
      hint: 'use the version of @electric-sql/pglite that Inkstone asks for',
    });
  if (!(await exists(complete))) {
    syncTree(folder);
    await writeFile(complete, '1');
  }
  return { database, syncs: () => files.syncs };
}

/** `inkstone store`: where rows and objects are, whether they are whole, and how they move to a cluster. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { homeFolder, timestamp } from '../../base/host.ts';
import {
  backUp,
  check,
  collect,
  GRACE,
  KEPT,
  lastBackup,
  migrate,
  moveStore,
  openDatabase,
  openStore,
  placeOf,
  restoreStore,
  withoutPassword,
} from '../../store/index.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z
    .enum(['status', 'check', 'collect', 'backup', 'restore', 'move', 'migrate'])
    .default('status')
    .describe(
      'status: where it is and what is in it; check: reads everything; collect: takes away objects that no row names; backup: a verified copy, also while the server runs; restore: from one; move: to another place; migrate: the tables, forward or back',
    ),
  database: z
    .string()
    .optional()
    .describe('move: where rows go: folder, pglite or postgres://USER@HOST:PORT/NAME'),
  objects: z.string().optional().describe('move: where objects go: folder or s3://BUCKET/PREFIX'),
  graceHours: z
    .number()
    .min(0)
    .default(GRACE / 3_600_000)
    .describe('collect: hours after which an object that no row names is taken away'),
  to: z
    .string()
    .optional()
    .describe('backup: the folder that holds backups; migrate: the step to go to (default: the newest)'),
  from: z.string().optional().describe('restore: the folder that holds backups'),
  at: z.string().optional().describe('restore: which of them, as 20261126T181530Z (default: the newest)'),
  keep: z.int().min(1).default(KEPT).describe('backup: how many the folder keeps'),
  force: z
    .boolean()
    .default(false)
    .describe(
      'move, restore: although other processes use the store; restore: in the place of what is there',
    ),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});

const missing = (what: string, hint: string): InkstoneError =>
  new InkstoneError('argument_missing', what, { kind: 'usage', hint });

/** @throws InkstoneError `setting_invalid` */
function step(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new InkstoneError('setting_invalid', `--to ${text} is no step`, {
    kind: 'usage',
    hint: 'write a number',
  });
}

export default command({
  name: 'store',
  summary: 'Where everything is kept: look, check, collect, back up, move to a cluster',
  description:
    'Rows are in files, in an embedded database (PGlite) or in PostgreSQL; objects in a folder or in an S3 bucket. INKSTONE_DATABASE (or DATABASE_URL) and INKSTONE_OBJECTS say where; without them it is where `store move` brought it, else the home folder.',
  schema,
  positionals: ['action'],
  examples: [
    'store',
    'store check',
    'store collect --grace-hours 24',
    'store backup --to /backups/inkstone',
    'store restore --from /backups/inkstone --home restored',
    'store move --database postgres://inkstone@db/inkstone --objects s3://models/inkstone',
    'store migrate --to 1',
  ],
  async run({ action, home: given, database, objects, graceHours, to, from, at, keep, force }, context) {
    const home = given ?? homeFolder();
    const place = await placeOf(home);
    const shown = { database: withoutPassword(place.database), objects: place.objects };
    if (action === 'move') {
      if (database === undefined && objects === undefined)
        throw missing('where to?', 'inkstone store move --database postgres://… --objects s3://…');
      const target = { database: database ?? place.database, objects: objects ?? place.objects };
      const moved = await moveStore(home, { to: target, force });
      return {
        ...moved,
        from: shown,
        to: { ...moved.to, database: withoutPassword(moved.to.database) },
        state: 'moved',
      };
    }
    if (action === 'migrate') {
      if (place.database === 'folder')
        throw new InkstoneError('no_database', 'the rows are files: there are no tables', { kind: 'usage' });
      const sql = await openDatabase(home, place.database);
      try {
        return await migrate(sql, to === undefined ? undefined : step(to));
      } finally {
        await sql.close();
      }
    }
    if (action === 'restore') {
      if (from === undefined) throw missing('from where?', 'inkstone store restore --from FOLDER');
      return { ...(await restoreStore(home, { from, at, force })), into: shown, state: 'restored' };
    }
    if (action === 'backup' && to === undefined)
      throw missing('where to?', 'inkstone store backup --to FOLDER');
    const store = await openStore(home);
    try {
      if (action === 'backup' && to !== undefined) {
        const progress = (done: number): void => context.progress.show(`${done} objects`);
        return { ...(await backUp(store, { to, keep, progress })), state: 'verified' };
      }
      if (action === 'collect') return { ...shown, ...(await collect(store, graceHours * 3_600_000)) };
      if (action === 'check') {
        const checked = await check(store);
        if (checked.problems.length > 0)
          throw new InkstoneError('store_damaged', `${checked.problems.length} things are damaged`, {
            kind: 'data',
            hint: 'restore them from a copy; objects can be put again from their source',
            details: { ...shown, ...checked },
          });
        return { ...shown, ...checked };
      }
      const collections: Record<string, number> = {};
      for (const name of await store.rows.collections()) collections[name] = await store.rows.count(name);
      const backup = await lastBackup(store);
      return { ...shown, collections, backup: backup === undefined ? null : timestamp(1000 * backup) };
    } finally {
      await store.close();
    }
  },
});

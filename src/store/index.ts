/** Rows and objects behind one interface: in a folder, an embedded database, a cluster. */
export { type BackedUp, backUp, KEPT, lastBackup } from './backup.ts';
export { backupsIn } from './backup-file.ts';
export * from './collect.ts';
export * from './conformance.ts';
export { openFileStore } from './file-store.ts';
export * from './move.ts';
export * from './open.ts';
export { restoreStore } from './restore.ts';
export { migrate } from './sql/migrations.ts';

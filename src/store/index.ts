/** Rows and objects behind one interface. */
export { openFileStore } from './file-store.ts';

/** Rows and objects behind one interface. */
export * from './conformance.ts';
export { openFileStore } from './file-store.ts';

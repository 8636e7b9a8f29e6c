/**
 * The part of the host that brings things onto the disk at once, for code that cannot wait (a database's file system
 * inside WebAssembly), and that tells processes with one id apart. Knows no database.
 */
import fs from 'node:fs';
import path from 'node:path';

/** An open descriptor's bytes are on the disk when this returns. @throws the system's error */
export function syncDescriptor(descriptor: number): void {
  fs.fsyncSync(descriptor);
}

/** `syncDescriptor` for a file or a folder by its path; systems that refuse to sync a folder are passed over. */
export function syncPath(file: string): void {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch {
    return;
  }
  try {
    fs.fsyncSync(descriptor);
  } catch (thrown) {
    if (!fs.fstatSync(descriptor).isDirectory()) throw thrown;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** A folder with everything in it. */
export function syncTree(folder: string): void {
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile() || entry.isDirectory()) syncPath(path.join(entry.parentPath, entry.name));
  syncPath(folder);
  syncPath(path.dirname(folder));
}

/** Only this user may read and write it. */
export function keepPrivate(file: string): void {
  try {
    fs.chmodSync(file, fs.statSync(file).isDirectory() ? 0o700 : 0o600);
  } catch {
    // Windows keeps access elsewhere.
  }
}

/**
 * Loaded before a process (node --import): writes down every change of files below RECORD_ROOT, and every sync, in
 * order, so that a power cut can be played back later. Knows nothing of what the files are.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

const root = process.env.RECORD_ROOT;
if (root !== undefined) {
  const raw = { ...fs };
  const promises = { ...fs.promises };
  const journal = raw.openSync(`${process.env.RECORD_JOURNAL}.${process.pid}`, 'a');
  const below = (file) => {
    const full = path.resolve(String(file));
    return full === root ? '' : full.startsWith(root + path.sep) ? full.slice(root.length + 1) : undefined;
  };
  const log = (entry) => raw.writeSync(journal, `${JSON.stringify(entry)}\n`);
  /** File identities by path, and open descriptors. */
  const ids = new Map();
  const open = new Map();
  let last = 0;
  const idOf = (name) => {
    if (!ids.has(name)) {
      ids.set(name, ++last);
      log({ op: 'known', id: last, path: name });
    }
    return ids.get(name);
  };
  const created = (name) => {
    ids.set(name, ++last);
    log({ op: 'create', id: last, path: name });
    return last;
  };
  const opened = (name, there, flags, descriptor) => {
    const writes = typeof flags === 'string' ? /[wa+]/.test(flags) : (flags & 3) !== 0;
    const empties = typeof flags === 'string' ? flags.startsWith('w') : (flags & fs.constants.O_TRUNC) !== 0;
    const id = there ? idOf(name) : created(name);
    if (there && empties && writes) log({ op: 'truncate', id, size: 0 });
    const appends = typeof flags === 'string' && flags.startsWith('a');
    open.set(descriptor, { id, name, at: 0, appends });
  };
  const wrote = (descriptor, bytes, position) => {
    const file = open.get(descriptor);
    if (file === undefined || bytes.length === 0) return;
    const at = typeof position === 'number' ? position : file.appends ? -1 : file.at;
    if (typeof position !== 'number') file.at += bytes.length;
    log({ op: 'write', id: file.id, at, data: Buffer.from(bytes).toString('base64') });
  };
  const renamed = (from, to) => {
    log({ op: 'rename', from, to });
    for (const [name, id] of [...ids])
      if (name === from || name.startsWith(`${from}/`)) {
        ids.delete(name);
        ids.set(to + name.slice(from.length), id);
      }
  };
  const removed = (name) => {
    log({ op: 'remove', path: name });
    for (const one of [...ids.keys()]) if (one === name || one.startsWith(`${name}/`)) ids.delete(one);
  };
  const synced = (descriptor) => {
    const file = open.get(descriptor);
    if (file !== undefined) log({ op: 'sync', id: file.id });
  };

  // What waits.
  fs.openSync = (file, flags = 'r', mode) => {
    const name = below(file);
    const there = name === undefined || raw.existsSync(file);
    const descriptor = raw.openSync(file, flags, mode);
    if (name !== undefined) opened(name, there, flags, descriptor);
    return descriptor;
  };
  fs.closeSync = (descriptor) => {
    open.delete(descriptor);
    return raw.closeSync(descriptor);
  };
  fs.writeSync = (descriptor, buffer, offset, length, position) => {
    const count = raw.writeSync(descriptor, buffer, offset, length, position);
    if (open.has(descriptor)) {
      const bytes = typeof buffer === 'string' ? Buffer.from(buffer) : buffer;
      const start = offset ?? 0;
      wrote(descriptor, new Uint8Array(bytes.buffer, bytes.byteOffset + start, count), position);
    }
    return count;
  };
  fs.ftruncateSync = (descriptor, size = 0) => {
    raw.ftruncateSync(descriptor, size);
    const file = open.get(descriptor);
    if (file !== undefined) log({ op: 'truncate', id: file.id, size });
  };
  fs.fsyncSync = (descriptor) => {
    raw.fsyncSync(descriptor);
    synced(descriptor);
  };
  fs.fdatasyncSync = fs.fsyncSync;
  const truncate = (file, size) => {
    const name = below(file);
    if (name !== undefined) log({ op: 'truncate', id: idOf(name), size });
  };
  fs.truncateSync = (file, size = 0) => {
    raw.truncateSync(file, size);
    truncate(file, size);
  };
  fs.writeFileSync = (file, data, options) => {
    const name = typeof file === 'number' ? undefined : below(file);
    if (name === undefined) return raw.writeFileSync(file, data, options);
    const there = raw.existsSync(file);
    raw.writeFileSync(file, data, options);
    whole(name, there, data);
  };
  const whole = (name, there, data, appends = false) => {
    const id = there ? idOf(name) : created(name);
    if (there && !appends) log({ op: 'truncate', id, size: 0 });
    const bytes = Buffer.from(data);
    if (bytes.length > 0) log({ op: 'write', id, at: appends ? -1 : 0, data: bytes.toString('base64') });
  };
  const moving = (from, to) => {
    const [a, b] = [below(from), below(to)];
    if (a !== undefined && b !== undefined) renamed(a, b);
  };
  const leaving = (file) => {
    const name = below(file);
    if (name !== undefined) removed(name);
  };
  const making = (file) => {
    const name = below(file);
    if (name !== undefined) log({ op: 'mkdir', path: name });
  };
  fs.renameSync = (from, to) => {
    raw.renameSync(from, to);
    moving(from, to);
  };
  for (const name of ['unlinkSync', 'rmdirSync', 'rmSync'])
    fs[name] = (file, options) => {
      raw[name](file, options);
      leaving(file);
    };
  fs.mkdirSync = (file, options) => {
    const made = raw.mkdirSync(file, options);
    making(file);
    return made;
  };

  // What does not wait.
  fs.promises.open = async (file, flags = 'r', mode) => {
    const name = below(file);
    const there = name === undefined || raw.existsSync(file);
    const handle = await promises.open(file, flags, mode);
    if (name === undefined) return handle;
    opened(name, there, flags, handle.fd);
    const { fd } = handle;
    return new Proxy(handle, {
      get(target, key) {
        const value = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return async (...given) => {
          const result = await value.apply(target, given);
          if (key === 'write') {
            const [bytes, offset = 0, , position] = given;
            wrote(fd, bytes.subarray(offset, offset + result.bytesWritten), position);
          } else if (key === 'sync' || key === 'datasync') synced(fd);
          else if (key === 'close') open.delete(fd);
          return result;
        };
      },
    });
  };
  fs.promises.writeFile = async (file, data, options) => {
    const name = below(file);
    const there = name === undefined || raw.existsSync(file);
    await promises.writeFile(file, data, options);
    if (name !== undefined) whole(name, there, data);
  };
  fs.promises.appendFile = async (file, data, options) => {
    const name = below(file);
    const there = name === undefined || raw.existsSync(file);
    await promises.appendFile(file, data, options);
    if (name !== undefined) whole(name, there, data, true);
  };
  fs.promises.truncate = async (file, size = 0) => {
    await promises.truncate(file, size);
    truncate(file, size);
  };
  fs.promises.rename = async (from, to) => {
    await promises.rename(from, to);
    moving(from, to);
  };
  for (const name of ['unlink', 'rmdir', 'rm'])
    fs.promises[name] = async (file, options) => {
      await promises[name](file, options);
      leaving(file);
    };
  fs.promises.mkdir = async (file, options) => {
    const made = await promises.mkdir(file, options);
    making(file);
    return made;
  };
  syncBuiltinESMExports();
}

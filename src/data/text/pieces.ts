/**
 * Text data as a stream of pieces, whatever it is kept in: a text file, a folder, JSON lines, gzip, tar. No
 * file is ever held whole. Knows formats and encodings; knows no tokens.
 */

import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { TextPiece } from '../../base/contracts/dataset.ts';
import { InkstoneError } from '../../base/errors.ts';
import { fileError } from '../../base/file-error.ts';
import { facts, listTree, readStream } from '../../base/host.ts';
import { readTar } from '../../formats/tar.ts';
import { readJsonLines } from './json-lines.ts';

export type { TextPiece };

export interface ReadOptions {
  /** JSON lines: the field with the text; default `text`, else `paragraphs` joined by newlines. */
  field?: string;
}

const TEXT = /\.(txt|text|md|markdown|rst|csv|tsv|html?|xml|srt|tex|org|log|ts|js|py|json)$/i;
const LINES = /\.(jsonl|ndjson)$/i;

/** In a fixed order: sorted paths, archives and lines as they stand. @throws InkstoneError `data_missing`, `data_binary`, `data_corrupt`, `json_line_invalid` */
export async function* readPieces(path: string, options: ReadOptions = {}): AsyncGenerator<TextPiece> {
  const about = await facts(path);
  if (about === undefined) {
    throw new InkstoneError('data_missing', `there is nothing at ${path}`, {
      kind: 'missing',
      hint: 'check the path given to --data',
    });
  }
  const name =
    path
      .split(/[\\/]/)
      .filter((part) => part !== '')
      .at(-1) ?? path;
  if (about.kind !== 'folder') {
    yield* readFile(name, () => fileBytes(path), options);
    return;
  }
  const files = (await listTree(path)).filter(
    (file) => !file.split('/').some((part) => part.startsWith('.')) && isReadable(file),
  );
  if (files.length === 0) {
    throw new InkstoneError('data_missing', `the folder ${path} has no text files`, {
      kind: 'missing',
      hint: 'text, .jsonl, .gz and .tar.gz files are read',
    });
  }
  for (const file of files) yield* readFile(`${name}/${file}`, () => fileBytes(`${path}/${file}`), options);
}

async function* fileBytes(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of readStream(path)) yield chunk as Uint8Array;
  } catch (thrown) {
    throw fileError(thrown, path);
  }
}

function isReadable(file: string): boolean {
  const inner = file.replace(/\.gz$/i, '');
  return TEXT.test(inner) || LINES.test(inner) || /\.(tar|tgz)$/i.test(inner);
}

async function* readFile(
  name: string,
  open: () => AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<TextPiece> {
  const zipped = /\.(gz|tgz)$/i.test(name);
  const inner = name.replace(/\.gz$/i, '').replace(/\.tgz$/i, '.tar');
  const bytes = zipped ? gunzip(name, open()) : open();
  if (/\.tar$/i.test(inner)) yield* readArchive(name, bytes, options);
  else yield* readOne(name, inner, bytes, options);
}

/** Text is packed to a fifth, a table to a fiftieth; what is packed tighter than that, and large, is a bomb. */
const BOMB_RATIO = 200;
const BOMB_SIZE = 64 * 2 ** 20;

async function* gunzip(name: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip();
  let packed = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      packed += chunk.length;
      yield chunk;
    }
  };
  // Errors of either side surface where the unzipped bytes are read.
  pipeline(counted, unzip, () => {});
  let size = 0;
  try {
    for await (const chunk of unzip) {
      size += (chunk as Uint8Array).length;
      if (size > BOMB_SIZE && size > packed * BOMB_RATIO)
        throw new InkstoneError('data_bomb', `${name} grows without end when it is unpacked`, {
          kind: 'data',
          hint: 'no text is packed so tightly; look at what it holds',
        });
      yield chunk as Uint8Array;
    }
  } catch (cause) {
    throw InkstoneError.is(cause)
      ? cause
      : new InkstoneError('data_corrupt', `${name} is damaged: ${(cause as Error).message}`, {
          kind: 'data',
          hint: 'fetch or pack it again',
          cause,
        });
  }
}

async function* readArchive(
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<TextPiece> {
  const files = readTar(bytes);
  try {
    let at = await files.next();
    while (at.done !== true) {
      const file = at.value.name;
      let ended = false;
      const own = async function* (): AsyncGenerator<Uint8Array> {
        while (!ended && at.done !== true) {
          const { bytes: part, last } = at.value;
          ended = last;
          at = await files.next();
          yield part;
        }
      };
      const hidden = file.split('/').some((part) => part.startsWith('.') && part !== '.');
      if (!hidden && isReadable(file)) yield* readFile(`${name}/${file.replace(/^\.\//, '')}`, own, options);
      // What is passed over, and what an archive within this one leaves behind its end.
      for await (const _ of own()) void _;
    }
  } finally {
    await files.return(undefined);
  }
}

/** Bytes to text; UTF-8 may be cut anywhere. A byte order mark at the start is dropped. */
async function* decode(name: string, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const check = (text: string): string => {
    if (text.includes('\0')) throw binary(name);
    return text;
  };
  try {
    for await (const chunk of bytes) yield check(decoder.decode(chunk, { stream: true }));
    yield check(decoder.decode());
  } catch (cause) {
    throw cause instanceof TypeError ? binary(name, cause) : cause;
  }
}

function binary(name: string, cause?: unknown): InkstoneError {
  return new InkstoneError('data_binary', `${name} is not text`, {
    kind: 'data',
    hint: 'give UTF-8 text; convert other encodings first',
    cause,
  });
}

async function* readOne(
  name: string,
  inner: string,
  bytes: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<TextPiece> {
  if (LINES.test(inner)) {
    for await (const { line, text } of readJsonLines(name, decode(name, bytes), options.field))
      yield { source: `${name}:${line}`, text: `${text}\n`, first: true, last: true };
    return;
  }
  let held: string | undefined;
  let first = true;
  for await (const chunk of whole(decode(name, bytes))) {
    if (held !== undefined) {
      yield { source: name, text: held, first, last: false };
      first = false;
    }
    held = chunk;
  }
  if (held !== undefined) yield { source: name, text: held, first, last: true };
}

/** Chunks that end before white space that follows a word: tokenizers cut there anyway, so pieces tokenise like the whole. */
async function* whole(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  // What has no place to cut is put by: to look through it again with each chunk would take the square of its length.
  let before: string[] = [];
  let rest = '';
  let size = 0;
  for await (const chunk of chunks) {
    rest += chunk;
    size += chunk.length;
    if (size < 1 << 16) continue;
    const cut = lastWordEnd(rest) || (size > LONGEST ? lastCharacter(rest) : 0);
    if (cut > 0) {
      yield before.join('') + rest.slice(0, cut);
      before = [];
      rest = rest.slice(cut);
      size = rest.length;
    } else {
      // A word that ended with the chunk is seen only with what comes behind it.
      before.push(rest.slice(0, -2));
      rest = rest.slice(-2);
    }
  }
  if (size > 0) yield before.join('') + rest;
}

const SPACE = /\p{White_Space}/u;
/** A run of text without any white space is cut after this much, whatever stands there. */
const LONGEST = 1 << 22;

/** The last place where a non-space is followed by white space and then by more; 0 for none. */
function lastWordEnd(text: string): number {
  for (let i = text.length - 2; i > 0; i--) {
    if (SPACE.test(text[i] as string) && !SPACE.test(text[i - 1] as string)) return i;
  }
  return 0;
}

/** Before the last character: both halves of an astral one stay together. */
function lastCharacter(text: string): number {
  const end = text.length - 1;
  return (text.charCodeAt(end) & 0xfc00) === 0xdc00 ? end - 1 : end;
}

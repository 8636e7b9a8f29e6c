/**
 * Text to tokens on disk: one file of ids, training part first, validation part after it. Works in pieces,
 * so a corpus may be larger than memory; made once and used again while data and tokenizer stay the same.
 */
import { createHash } from 'node:crypto';
import type { CorpusInfo } from '../../base/contracts/dataset.ts';
import { InkstoneError } from '../../base/errors.ts';
import {
  exists,
  facts,
  makeFolder,
  readText,
  removeFile,
  writeAtomically,
  writeFile,
} from '../../base/host.ts';
import { trainBpe, WordCounter } from '../tokenizer/bpe-train.ts';
import { CharacterTokenizer } from '../tokenizer/characters.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { WordsCounter, WordsTokenizer } from '../tokenizer/words.ts';
import { type ReadOptions, readPieces, type TextPiece } from './pieces.ts';
import { TokenFile, tokenWidth } from './token-file.ts';

export type { CorpusInfo };

export type TokenizerChoice =
  | { name: 'characters' }
  | { name: 'words'; vocabulary: number }
  | { name: 'bpe'; vocabulary: number }
  | { name: 'given'; tokenizer: Tokenizer };

export interface PrepareOptions extends ReadOptions {
  /** Where the token file goes. */
  folder: string;
  tokenizer: TokenizerChoice;
  /** The last part of the characters, as a fraction; default 0.1. */
  validation?: number;
  /** Called now and then with what is being done and how far it is (0 to 1, where known). */
  progress?: (phase: 'reading' | 'tokenizer' | 'encoding', part: number) => void;
}

export interface PreparedText {
  info: CorpusInfo;
  tokenizer: Tokenizer;
  tokens: TokenFile;
  /** Ids before this belong to training. */
  trainTokens: number;
  validationTokens: number;
  trainCharacters: number;
  validationCharacters: number;
}

const meta = (folder: string): string => `${folder}/tokens.json`;
const ids = (folder: string): string => `${folder}/tokens.bin`;

/** @throws InkstoneError `data_empty` and what reading throws */
export async function prepareText(path: string, options: PrepareOptions): Promise<PreparedText> {
  await makeFolder(options.folder);
  const validation = options.validation ?? 0.1;
  options.progress?.('reading', 0);
  const { info, tokenizer, layout } = await survey(path, options);
  if (info.characters === 0)
    throw new InkstoneError('data_empty', `${path} has no text in it`, {
      kind: 'data',
      hint: 'give a file with text',
    });
  const trainCharacters = Math.floor(info.characters * (1 - validation) + 1e-9);
  const key = {
    fingerprint: info.fingerprint,
    layout,
    tokenizer: hash(tokenizer.toJson()),
    trainCharacters,
  };
  const counts =
    (await reuse(options.folder, key, tokenizer.vocabularySize)) ??
    (await encode(path, options, tokenizer, info, key));
  return {
    info,
    tokenizer,
    tokens: await TokenFile.open(ids(options.folder), tokenizer.vocabularySize),
    trainTokens: counts.trainTokens,
    validationTokens: counts.validationTokens,
    trainCharacters,
    validationCharacters: info.characters - trainCharacters,
  };
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

async function survey(
  path: string,
  options: PrepareOptions,
): Promise<{ info: CorpusInfo; tokenizer: Tokenizer; layout: string }> {
  const digest = createHash('sha256');
  // Where documents end: the same text cut into other documents has other ids.
  const ends = createHash('sha256');
  const seen = new Set<string>();
  const words = new WordCounter();
  const dictionary = new WordsCounter();
  let characters = 0;
  let documents = 0;
  for await (const piece of readPieces(path, options)) {
    options.progress?.('reading', 0);
    digest.update(piece.text);
    if (piece.first) documents++;
    characters += countCharacters(piece.text);
    if (piece.last) ends.update(`${characters} `);
    if (options.tokenizer.name === 'characters') for (const character of piece.text) seen.add(character);
    else if (options.tokenizer.name === 'bpe') words.add(piece.text);
    else if (options.tokenizer.name === 'words') dictionary.add(piece.text);
  }
  const info = { fingerprint: digest.digest('hex'), documents, characters };
  const layout = ends.digest('hex');
  if (options.tokenizer.name === 'given') return { info, tokenizer: options.tokenizer.tokenizer, layout };
  options.progress?.('tokenizer', 0);
  const tokenizer =
    options.tokenizer.name === 'characters'
      ? CharacterTokenizer.fromCharacters(seen)
      : options.tokenizer.name === 'words'
        ? WordsTokenizer.train(dictionary, options.tokenizer.vocabulary)
        : trainBpe(words.counts, options.tokenizer.vocabulary);
  return { info, tokenizer, layout };
}

/** Code points, not UTF-16 units. */
export function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00) count--;
  }
  return count;
}

interface Counts {
  trainTokens: number;
  validationTokens: number;
}
type Key = { fingerprint: string; layout: string; tokenizer: string; trainCharacters: number };

async function reuse(folder: string, key: Key, vocabulary: number): Promise<Counts | undefined> {
  const file = await facts(ids(folder));
  if (file === undefined || !(await exists(meta(folder)))) return undefined;
  let before: Key & Counts;
  try {
    before = JSON.parse(await readText(meta(folder))) as Key & Counts;
  } catch {
    return undefined;
  }
  const same =
    before.fingerprint === key.fingerprint &&
    before.layout === key.layout &&
    before.tokenizer === key.tokenizer &&
    before.trainCharacters === key.trainCharacters &&
    file.size === (before.trainTokens + before.validationTokens) * tokenWidth(vocabulary);
  return same ? before : undefined;
}

async function encode(
  path: string,
  options: PrepareOptions,
  tokenizer: Tokenizer,
  info: CorpusInfo,
  key: Key,
): Promise<Counts> {
  const wide = tokenWidth(tokenizer.vocabularySize) === 4;
  // Until the new ids are whole, nothing says what the old ones are.
  await removeFile(meta(options.folder));
  const counts = { trainTokens: 0, validationTokens: 0 };
  let characters = 0;
  await writeAtomically(ids(options.folder), async (write) => {
    const put = async (text: string, part: keyof Counts): Promise<void> => {
      await writeIds(tokenizer.encode(text), part);
    };
    const writeIds = async (list: readonly number[], part: keyof Counts): Promise<void> => {
      counts[part] += list.length;
      const data = wide ? Uint32Array.from(list) : Uint16Array.from(list);
      await write(new Uint8Array(data.buffer));
    };
    for await (const piece of readPieces(path, options)) {
      const size = countCharacters(piece.text);
      const left = key.trainCharacters - characters;
      if (left >= size) await put(piece.text, 'trainTokens');
      else if (left <= 0) await put(piece.text, 'validationTokens');
      else {
        const cut = unitOf(piece.text, left);
        await put(piece.text.slice(0, cut), 'trainTokens');
        await put(piece.text.slice(cut), 'validationTokens');
      }
      characters += size;
      await endDocument(piece, tokenizer, characters, info, key, writeIds);
      options.progress?.('encoding', characters / info.characters);
    }
    if (characters !== info.characters)
      throw new InkstoneError('data_changed', `${path} changed while it was read`, {
        kind: 'conflict',
        hint: 'begin again when nothing writes to it any more',
      });
  });
  await writeFile(meta(options.folder), JSON.stringify({ ...key, ...counts }));
  return counts;
}

/** Between documents stands the end-of-text token, where the vocabulary has one. */
async function endDocument(
  piece: TextPiece,
  tokenizer: Tokenizer,
  characters: number,
  info: CorpusInfo,
  key: Key,
  write: (ids: readonly number[], part: keyof Counts) => Promise<void>,
): Promise<void> {
  if (!piece.last || tokenizer.endOfText === undefined || info.documents === 1) return;
  await write([tokenizer.endOfText], characters <= key.trainCharacters ? 'trainTokens' : 'validationTokens');
}

/** The UTF-16 place of the n-th code point. */
function unitOf(text: string, n: number): number {
  let unit = 0;
  for (let i = 0; i < n; i++) unit += (text.codePointAt(unit) as number) > 0xffff ? 2 : 1;
  return unit;
}

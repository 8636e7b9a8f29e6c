/**
 * `inkstone bench tokenizer`: learning byte-level BPE and encoding with it, English novels and Chinese poems, in
 * megabytes a second of one core, beside Hugging Face's tokenizers on one core. Sides that give other ids fail.
 */
import path from 'node:path';
import { InkstoneError } from '../src/base/errors.ts';
import * as host from '../src/base/host.ts';
import { readPieces } from '../src/data/text/pieces.ts';
import { trainBpe, WordCounter } from '../src/data/tokenizer/bpe-train.ts';
import { dataFile } from './data.ts';
import { openPeers, startNode } from './peers.ts';
import type { Work } from './protocol.ts';
import { type BenchCase, type BenchResult, commit, round } from './report.ts';
import { speedCases } from './speed.ts';
import type { BenchOptions } from './train-text.ts';

const VOCABULARY = 8192;
const CORPORA = [
  { name: 'novels', file: 'novels.tar.gz', characters: 6_000_000 },
  // Lines of Chinese are single words to GPT-2's pattern: every one is new.
  { name: 'Tang poems', file: 'tang-poems.jsonl.gz', characters: 1_000_000 },
] as const;
/** Characters of each text at most where little effort is asked for. */
const LITTLE = 200_000;

async function documents(file: string, most: number): Promise<string[]> {
  const texts: string[] = [];
  let left = most;
  let open = '';
  for await (const { text, last } of readPieces(file)) {
    open += text;
    left -= text.length;
    if (!last && left > 0) continue;
    texts.push(open);
    open = '';
    if (left <= 0) break;
  }
  return texts;
}

/** @throws InkstoneError `tokens_differ`, `data_missing`, `peer_failed` (ours) */
export async function benchTokenizer(options: BenchOptions): Promise<BenchResult> {
  const started = host.monotonic();
  const small = options.effort < 1;
  const folder = await host.makeTemporaryFolder('inkstone-bench');
  const ours = startNode('ours', host.entry('bench/ours-entry'), options);
  const { open, absent } = await openPeers(
    options.peers.filter((id) => id === 'tokenizers'),
    options,
  );
  const cases: BenchCase[] = [];
  try {
    const { version: runtime } = await ours.describe();
    for (const corpus of CORPORA) {
      options.show(`reading ${corpus.name}`);
      const texts = await documents(
        await dataFile(options.data, corpus.file),
        small ? LITTLE : corpus.characters,
      );
      const megabytes = texts.reduce((total, text) => total + Buffer.byteLength(text), 0) / 1e6;
      const file = path.join(folder, `${corpus.name}.json`);
      await host.writeFile(file, JSON.stringify(texts));
      const words = new WordCounter();
      for (const text of texts) words.add(text);
      const tokenizer = path.join(folder, `${corpus.name}-tokenizer.json`);
      const vocabulary = small ? 500 : VOCABULARY;
      await host.writeFile(tokenizer, trainBpe(words.counts, vocabulary).toJson());
      for (const task of ['train', 'encode'] as const) {
        const name = `${corpus.name}, ${task === 'train' ? `learning ${vocabulary} tokens` : 'encoding'}`;
        const work: Work = { work: 'tokenizer', task, file, tokenizer, vocabulary };
        const found = await speedCases({
          ...{ name, unit: 'MB/s', speed: (seconds) => megabytes / seconds, ours, open, absent, work },
          plan: { rounds: small ? 1 : 3, runs: 1, budget: 12, warmup: 1 },
          // Learning may break ties in another order; encoding with the same file may not differ in one id.
          check: (peer, own, theirs) => {
            if (task !== 'encode' || own.tokens?.join() === theirs.tokens?.join()) return;
            throw new InkstoneError('tokens_differ', `${name}: other ids than ${peer}`, {
              details: { ours: own.tokens, peer: theirs.tokens },
            });
          },
          beside: () => ({ threads: { ours: 1, peer: 1 } }),
          ...{ show: options.show, note: options.note },
        });
        cases.push(...found);
      }
    }
    return {
      bench: 'tokenizer',
      commit: await commit(),
      machine: { ...host.machine(), threads: 1, runtime },
      seconds: round((host.monotonic() - started) / 1000),
      cases,
    };
  } finally {
    await Promise.all([ours, ...open.map(({ peer }) => peer)].map((peer) => peer.end()));
    await host.removeFile(folder);
  }
}

/** Looking inside over a real socket, with model hosts in their own processes: the starter, and a tiny BERT. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exists, packageFolder } from '../base/host.ts';
import { WORDPIECE_SPECIAL, WordPieceTokenizer } from '../data/tokenizer/wordpiece.ts';
import { type RunningServer, startServer } from './index.ts';

const golden = fileURLToPath(new URL('../models/text/golden/bert-masked', import.meta.url));
const starter = await exists(path.join(packageFolder, 'models', 'starter', 'model.safetensors'));

interface Answer {
  kind: string;
  tokens: {
    token: string;
    text: string;
    bytes: number[];
    surprise: number | null;
    rank: number | null;
    top_logprobs: { token: string; logprob: number }[];
  }[];
  nats: number;
  predictions: number;
  perplexity: number;
  bits_per_byte: number;
  attention: {
    format: string;
    layers: { layer: number; heads: number; weights: number[][][] | string }[];
  } | null;
  error: { code: string; param: string | null; message: string };
}

let home: string;
let server: RunningServer;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-inspect-'));
  const folder = path.join(home, 'runs', 'reader');
  await mkdir(folder, { recursive: true });
  for (const name of ['config.json', 'model.safetensors'])
    await copyFile(path.join(golden, name), path.join(folder, name));
  const words = ['the', 'ink', 'is', 'dry', 'and', 'old', '##er', 'night', '.'];
  await writeFile(
    path.join(folder, 'tokenizer.json'),
    new WordPieceTokenizer([...WORDPIECE_SPECIAL, ...words]).toJson(),
  );
  server = await startServer({ port: 0, home, model: 'reader', loadWait: 60 });
}, 60_000);
afterAll(async () => {
  await server?.close();
  await rm(home, { recursive: true, force: true });
});

async function ask(body: object): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`${server.address}/api/inspect`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

describe('a BERT', () => {
  it('guesses each token from all others, and shows where it looks', async () => {
    const { status, body } = await ask({
      model: 'reader',
      text: 'The ink is older.',
      attention: true,
      top: 3,
    });
    expect(status).toBe(200);
    expect(body.kind).toBe('masked');
    expect(body.tokens.map(({ token }) => token)).toEqual([
      ...['[CLS]', ' the', ' ink', ' is', ' old', 'er', ' .', '[SEP]'],
    ]);
    expect(body.tokens.map(({ surprise }) => surprise === null)).toEqual([
      ...[true, false, false, false, false, false, false, true],
    ]);
    expect(body.predictions).toBe(6);
    expect(body.attention?.layers.map(({ layer, heads }) => [layer, heads])).toEqual([
      [0, 4],
      [1, 4],
    ]);
    for (const { weights } of body.attention?.layers ?? []) {
      for (const row of (weights as number[][][]).flat()) {
        expect(row).toHaveLength(8);
        expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
      }
    }
    // It reads both ways: the first token looks at later ones.
    const maps = (body.attention?.layers[0]?.weights ?? []) as number[][][];
    expect(maps[0]?.[0]?.slice(1).some((value) => value > 0.01)).toBe(true);
  });

  it('writes nothing, and says so before it begins', async () => {
    const response = await fetch(`${server.address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'reader', prompt: 'the', stream: true }),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'model_writes_nothing', param: 'model' } });
  });

  it.each([
    [{ text: '' }, 'text_empty', 'text'],
    [{ text: 'the '.repeat(40) }, 'text_too_long', 'text'],
    [{ text: 'the', attention: [2] }, 'layer_invalid', 'layers'],
    [{ text: 'the', top: 99 }, 'parameter_invalid', 'top'],
    [{ text: 'the', format: 'picture' }, 'parameter_invalid', 'format'],
    [{}, 'parameter_invalid', 'text'],
  ])('refuses %j', async (body, code, param) => {
    const answer = await ask({ model: 'reader', ...body });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ code, param });
  });

  it('names a model that is not there', async () => {
    const { status, body } = await ask({ model: 'nobody', text: 'the' });
    expect([status, body.error.code]).toEqual([404, 'model_not_found']);
  });
});

describe.skipIf(!starter)('the starter (needs models/starter)', () => {
  const text = 'It was a dark and stormy night — “ink”, he said, 墨.';

  it('gives the same numbers as lists and as base64, of the layers that were asked for', async () => {
    const [lists, packed] = await Promise.all([
      ask({ model: 'starter', text, attention: [1, 4] }),
      ask({ model: 'starter', text, attention: [1, 4], format: 'base64' }),
    ]);
    expect(lists.body.attention?.layers.map(({ layer }) => layer)).toEqual([1, 4]);
    lists.body.attention?.layers.forEach(({ weights }, at) => {
      const bytes = Buffer.from(packed.body.attention?.layers[at]?.weights as string, 'base64');
      const flat = (weights as number[][][]).flat(2);
      expect(bytes.length).toBe(4 * flat.length);
      flat.forEach((value, i) => {
        expect(Math.abs(bytes.readFloatLE(4 * i) - value)).toBeLessThan(1e-5);
      });
      (weights as number[][][]).forEach((head) => {
        head.forEach((row, query) => {
          row.forEach((value, key) => {
            if (key > query) expect(value).toBe(0);
          });
        });
      });
    });
  });

  it('tells text, surprises and alternatives that agree with each other', async () => {
    const { body } = await ask({ model: 'starter', text, top: 10 });
    expect(body.attention).toBeNull();
    expect(body.tokens.map((token) => token.text).join('')).toBe(text);
    expect(Buffer.from(body.tokens.flatMap(({ bytes }) => bytes)).toString()).toBe(text);
    expect(body.tokens[0]?.surprise).toBeNull();
    const rest = body.tokens.slice(1);
    expect(body.predictions).toBe(rest.length);
    expect(body.nats).toBeCloseTo(
      rest.reduce((total, { surprise }) => total + (surprise as number), 0),
      3,
    );
    expect(body.perplexity).toBeCloseTo(Math.exp(body.nats / rest.length), 4);
    for (const { token, surprise, rank, top_logprobs: top } of rest) {
      expect(top).toHaveLength(10);
      if ((rank as number) > 10) continue;
      const own = top[(rank as number) - 1];
      expect(own?.token).toBe(token);
      expect(own?.logprob).toBeCloseTo(-(surprise as number), 4);
    }
  });

  it('judges a text that is longer than its context, each token once', async () => {
    const long = 'The rain fell upon the road, and nobody came. '.repeat(60);
    const { status, body } = await ask({ model: 'starter', text: long });
    expect(status).toBe(200);
    expect(body.tokens.length).toBeGreaterThan(600);
    expect(body.tokens.slice(1).every(({ surprise }) => surprise !== null)).toBe(true);
    // What it has read sixty times surprises less.
    const mean = (from: number, to: number) =>
      body.tokens.slice(from, to).reduce((all, { surprise }) => all + (surprise as number), 0) / (to - from);
    expect(mean(100, 600)).toBeLessThan(mean(1, 12));
    expect((await ask({ model: 'starter', text: long, attention: true })).body.error).toMatchObject({
      code: 'text_too_long',
      param: 'text',
    });
  });
});

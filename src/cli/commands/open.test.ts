/** Open checkpoints from the command line: written, read back, run by other engines, refused where they cannot be. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { trainBpe, WordCounter } from '../../data/tokenizer/bpe-train.ts';
import { trainWordPiece } from '../../data/tokenizer/wordpiece.ts';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.ts';
import { anyTextConfig, anyTextParameters } from '../../models/text/any.ts';
import { initialise } from '../../nn/parameters.ts';
import { missingEngine } from '../../operate/packages/testing.ts';
import { ReplicaPool } from '../../operate/pool.ts';
import { ModelRegistry } from '../../operate/registry.ts';
import { runMain } from '../testing.ts';

const [noLlama, noOnnx] = [await missingEngine('llama'), await missingEngine('transformers')];

const counter = new WordCounter();
counter.add('the words of the world are worn and the world is wide, says the bird '.repeat(5));
const bpe = trainBpe(counter.counts, 290);
const pieces = trainWordPiece(counter.counts, 90);

const configs: Record<string, Record<string, unknown>> = {
  gpt2: { layers: 2, heads: 2, width: 32, context: 64, bias: true },
  llama: {
    ...{ architecture: 'llama', layers: 2, heads: 4, keyHeads: 2, headWidth: 8, width: 32, hidden: 48 },
    context: 64,
  },
  bert: {
    ...{ architecture: 'bert', layers: 2, heads: 2, width: 32, hidden: 48, context: 32 },
    ...{ segments: 2, masked: true, next: true, pooler: true },
  },
};

let home: string;
const at = (...names: string[]): string => path.join(home, ...names);
const run = (...words: string[]) => runMain([...words, '--json']);

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'inkstone-open-'));
  for (const [name, given] of Object.entries(configs)) {
    const tokenizer = name === 'bert' ? pieces : bpe;
    const config = anyTextConfig.parse({ ...given, vocabulary: tokenizer.vocabularySize });
    const weights = initialise(anyTextParameters(config), 4);
    for (const [key, { data }] of Object.entries(weights))
      if (/wte|embed_tokens|lm_head/.test(key))
        for (let i = 0; i < data.length; i++) (data as Float32Array)[i] = 14 * Number(data[i]);
    const { architecture = 'gpt2', ...model } = config;
    await mkdir(at(name));
    await writeFile(at(name, 'config.json'), JSON.stringify({ family: 'text', architecture, model }));
    await writeFile(at(name, 'tokenizer.json'), tokenizer.toJson());
    await writeFile(at(name, 'model.safetensors'), writeSafetensors(weights));
  }
});
afterAll(() => rm(home, { recursive: true, force: true }));

async function text(model: string, prompt: string, ...more: string[]): Promise<unknown> {
  const said = await run(
    'generate',
    model,
    '--prompt',
    prompt,
    '--tokens',
    '16',
    '--temperature',
    '0',
    ...more,
  );
  expect(said.error).toMatchObject({ code: '' });
  return said.json.text;
}

async function logits(model: string): Promise<number[]> {
  const said = await run('logits', model, '--ids', '3,1,4,1,5');
  expect(said.status).toBe(0);
  return said.json.logits as number[];
}

describe('export', () => {
  test.each(['gpt2', 'llama', 'bert'])(
    'writes a Hugging Face folder that reads back the same: %s',
    async (name) => {
      const out = at(`${name}-hf`);
      const said = await run('export', at(name), '--format', 'huggingface', '--out', out);
      expect(said.json.files).toEqual(
        expect.arrayContaining(['model.safetensors', 'config.json', 'tokenizer.json']),
      );
      const [before, after] = [await logits(at(name)), await logits(out)];
      before.forEach((value, i) => {
        expect(after[i]).toBeCloseTo(value, 5);
      });
    },
  );

  test('has no GGUF for a BERT, and says what there is', async () => {
    const said = await run('export', at('bert'), '--format', 'gguf', '--out', at('bert.gguf'));
    expect(said).toMatchObject({ status: 9, error: { code: 'format_unsupported' } });
    expect(await readdir(home)).not.toContain('bert.gguf');
  });

  test.each(['gpt2', 'llama'])('%s as GGUF keeps its words in each precision', async (name) => {
    if (noLlama !== undefined) return;
    const own = await text(at(name), 'the world');
    const sizes: number[] = [];
    for (const precision of ['f32', 'q8_0', 'q4_0']) {
      const file = at(`${name}-${precision}.gguf`);
      const said = await run('export', at(name), '--format', 'gguf', '--precision', precision, '--out', file);
      sizes.push(said.json.bytes as number);
      const theirs = await text(file, 'the world');
      if (precision === 'f32') expect(theirs).toBe(own);
      expect(String(theirs).length).toBeGreaterThan(0);
    }
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  });
});

describe.skipIf(noOnnx !== undefined)(`ONNX folders (${noOnnx ?? 'transformers.js'})`, () => {
  test.each(['gpt2', 'llama'])('write the same greedy text as our own engine: %s', async (name) => {
    const out = at(`${name}-onnx`);
    const said = await run('export', at(name), '--format', 'onnx', '--out', out);
    expect(said.json.files).toContain('onnx/model.onnx');
    for (const prompt of ['the world', 'wide', 'a'])
      expect(await text(out, prompt)).toBe(await text(at(name), prompt));
    const drawn = (model: string) =>
      run(
        'generate',
        model,
        '--prompt',
        'the',
        '--tokens',
        '12',
        '--seed',
        '3',
        '--count',
        '3',
        '--stop',
        ' wide',
      );
    const [ours, theirs] = [await drawn(at(name)), await drawn(out)];
    // The arithmetic is ONNX Runtime's on both sides, and sampling is ours.
    expect((theirs.json.samples as { text: string }[]).map((one) => one.text)).toEqual(
      (ours.json.samples as { text: string }[]).map((one) => one.text),
    );
  });

  test('are registered, listed and served; a BERT gives the vectors of our own', async () => {
    await run('export', at('bert'), '--format', 'onnx', '--out', at('bert-onnx'));
    await run('export', at('bert'), '--format', 'huggingface', '--out', at('bert-again'));
    for (const [name, folder] of [
      ['reader', 'bert-onnx'],
      ['own', 'bert-again'],
      ['writer', 'llama-onnx'],
    ] as const)
      expect((await run('models', 'add', name, at(folder), '--home', home)).status).toBe(0);
    const listed = (await run('models', '--home', home)).json.models as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining(['reader', 'writer']));
    const shown = await run('models', 'show', 'reader', '--home', home);
    expect(shown.json).toMatchObject({ engine: 'transformers.js', architecture: 'bert', context: 32 });
    const pool = new ReplicaPool({ registry: await ModelRegistry.open(home), limit: 3, slots: 2 });
    try {
      const vectors = async (id: string): Promise<Float32Array[]> => {
        const replica = await pool.get(id);
        await replica.ready();
        expect(replica.model.produces).toContain('embedding');
        const request = { id: 'e', texts: ['the world is wide', 'the bird', 'the world is wide'] };
        const made = await replica.embed?.(request, new AbortController().signal);
        return (made ?? []).map(({ vector }) => vector);
      };
      const [theirs, ours] = [await vectors('reader'), await vectors('own')];
      theirs.forEach((vector, i) => {
        expect(vector).toHaveLength(32);
        vector.forEach((value, j) => {
          expect(value).toBeCloseTo(ours[i]?.[j] as number, 4);
        });
      });
      const writer = await pool.get('writer');
      await writer.ready();
      const events = [];
      const sampling = { maxTokens: 60, temperature: 0, topK: 0, topP: 1, seed: 0, stop: [] };
      const constraint = { type: 'json_schema', schema: { enum: ['a', 'b'] } } as const;
      const request = { id: 'g', prompt: 'the', sampling: { ...sampling, constraint } };
      for await (const event of writer.generate(request, new AbortController().signal)) events.push(event);
      const written = events.flatMap((event) => (event.type === 'delta' ? [event.text] : [])).join('');
      expect(['a', 'b']).toContain(JSON.parse(written));
    } finally {
      await pool.stop();
    }
  });

  test('that are damaged or lack their tokenizer say so', async () => {
    await cp(at('gpt2-onnx'), at('cut-onnx'), { recursive: true });
    await truncate(at('cut-onnx', 'onnx/model.onnx'), 5000);
    expect(await run('generate', at('cut-onnx'), '--prompt', 'a')).toMatchObject({
      status: 3,
      error: { code: 'model_invalid' },
    });
    await rm(at('cut-onnx', 'tokenizer.json'));
    expect(await run('generate', at('cut-onnx'), '--prompt', 'a')).toMatchObject({
      status: 4,
      error: { code: 'model_invalid', message: expect.stringContaining('tokenizer.json') },
    });
    expect(await run('generate', at('bert-onnx'), '--prompt', 'a')).toMatchObject({
      error: { code: 'model_writes_nothing' },
    });
  });
});

describe('what other engines cannot do', () => {
  test('is refused by name', async () => {
    await run('export', at('gpt2'), '--format', 'gguf', '--out', at('own.gguf'));
    const gguf = at('own.gguf');
    const refused = async (code: string, ...words: string[]): Promise<void> => {
      expect((await run(...words)).error).toMatchObject({ code, hint: expect.any(String) });
    };
    await refused('engine_unsupported', 'logits', gguf, '--ids', '1,2');
    await refused('engine_unsupported', 'export', gguf, '--format', 'onnx', '--out', at('x.onnx'));
    await refused('setting_unsupported', 'generate', gguf, '--weights', 'int8');
    await refused('setting_unsupported', 'generate', gguf, '--device', 'webgpu');
    await writeFile(at('data.txt'), 'the world is wide '.repeat(200));
    await refused(
      'engine_unsupported',
      'train',
      'text',
      '--from',
      gguf,
      '--data',
      at('data.txt'),
      '--out',
      at('r'),
    );
  });

  test.each(['bin', 'pt', 'pth', 'ckpt'])(
    'a .%s file is refused with the way to convert it',
    async (ending) => {
      const file = at(`model.${ending}`);
      await writeFile(file, 'pickle');
      for (const words of [
        ['generate', file],
        ['logits', file, '--ids', '1'],
        ['export', file, '--format', 'gguf', '--out', at('y.gguf')],
        ['models', 'add', 'x', file, '--home', home],
        ['pull', file, '--home', home],
        ['train', 'text', '--from', file, '--data', at('data.txt'), '--out', at('r')],
      ])
        expect((await run(...words)).error).toMatchObject({
          code: 'model_pickled',
          hint: expect.stringContaining('save_pretrained'),
        });
    },
  );
});

describe('a checkpoint that is not what it says', () => {
  const broken = async (name: string): Promise<string> => {
    await cp(at('llama-hf'), at(name), { recursive: true });
    return at(name, 'model.safetensors');
  };

  test('names the first tensor whose name or shape differs', async () => {
    const file = await broken('renamed');
    const { tensors } = readSafetensors(await readFile(file));
    const key = 'model.layers.1.mlp.up_proj.weight';
    const { [key]: moved, ...others } = tensors;
    await writeFile(
      file,
      writeSafetensors({ ...others, 'model.layers.1.mlp.upwards.weight': moved as never }),
    );
    expect((await run('logits', at('renamed'), '--ids', '1')).error).toMatchObject({
      code: 'parameters_differ',
      message: expect.stringContaining(key),
    });
    const flat = { ...(moved as { dtype: 'f32'; data: Float32Array }), shape: [32, 48] };
    await writeFile(file, writeSafetensors({ ...others, [key]: flat }));
    const said = await run('logits', at('renamed'), '--ids', '1');
    expect(said).toMatchObject({ status: 3, error: { code: 'parameters_differ' } });
    expect(said.error.message).toContain(key);
    expect(said.error.message).toContain('[32,48]');
    expect(said.error.message).toContain('[48,32]');
  });

  test('is cut, or lies about the length of its head', async () => {
    const file = await broken('cut');
    const whole = await readFile(file);
    const refused = async (bytes: Buffer): Promise<void> => {
      await writeFile(file, bytes);
      expect(await run('logits', at('cut'), '--ids', '1')).toMatchObject({
        status: 3,
        error: { code: 'safetensors_corrupt', message: expect.stringContaining('model.safetensors') },
      });
    };
    await refused(whole.subarray(0, whole.length - 100));
    await refused(whole.subarray(0, 5));
    for (const length of [0n, 7n, BigInt(whole.length), 2n ** 40n, 2n ** 64n - 1n]) {
      const lie = Buffer.from(whole);
      lie.writeBigUInt64LE(length);
      await refused(lie);
    }
  });
});

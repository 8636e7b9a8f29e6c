import { createHash } from 'node:crypto';
import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tensor } from '../../base/tensor.ts';
import { readSafetensors } from '../../formats/safetensors.ts';
import { textLogits } from '../../models/text/architectures.ts';
import { loadTextModel } from '../../models/text/load.ts';
import { createBackend } from '../../runtime/index.ts';
import { folderSource } from '../find.ts';
import { execute } from '../main.ts';

let folder: string;
let data: string;
let model: string;
let trained: Record<string, unknown>;

async function inkstone(
  ...words: string[]
): Promise<{ status: number; out: string; error: string; json: Record<string, unknown> }> {
  let out = '';
  let error = '';
  const status = await execute(words, {
    source: folderSource(),
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    variable: () => undefined,
    signal: new AbortController().signal,
    stoppedBy: () => undefined,
  });
  const last = out.trimEnd().split('\n').at(-1) ?? '';
  return { status, out, error, json: last.startsWith('{') ? JSON.parse(last) : {} };
}

const text = Array.from(
  { length: 400 },
  (_, i) => `The ${['cat', 'dog', 'bird'][i % 3]} number ${i} sat.\n`,
).join('');

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-commands-'));
  data = path.join(folder, 'data.txt');
  model = path.join(folder, 'run');
  await fs.writeFile(data, text);
  const result = await inkstone(
    'train',
    'text',
    '--preset',
    'tiny',
    '--data',
    data,
    '--out',
    model,
    '--steps',
    '40',
    '--json',
  );
  expect(result.error).not.toContain('error');
  expect(result.status).toBe(0);
  trained = result.json;
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('train text', () => {
  test('reports the whole result and leaves a complete run folder', async () => {
    expect(trained).toMatchObject({
      unit: 'nats per character',
      best_step: 40,
      steps: 40,
      state: 'succeeded',
      out: model,
      preset: 'tiny',
      seed: 1,
    });
    for (const key of [
      'val_loss',
      'best_val_loss',
      'parameters',
      'tokens_per_second',
      'seconds',
      'peak_memory',
    ])
      expect(trained[key]).toBeGreaterThan(0);
    const card = await fs.readFile(path.join(model, 'card.md'), 'utf8');
    expect(card).toContain('Validation loss');
    expect(card).toContain('## Sample');
    const config = JSON.parse(await fs.readFile(path.join(model, 'config.json'), 'utf8'));
    expect(config.provenance.data).toBe(data);
    expect(await fs.readdir(model)).not.toContain('lock');
  });

  test('goes on from another model with its vocabulary and sizes', async () => {
    const out = path.join(folder, 'from');
    const { status, json } = await inkstone(
      'train',
      'text',
      '--preset',
      'tiny',
      '--data',
      data,
      '--out',
      out,
      '--steps',
      '10',
      '--from',
      model,
      '--json',
    );
    expect(status).toBe(0);
    expect(json.val_loss).toBeLessThan(Number(trained.val_loss));
    const [before, after] = await Promise.all(
      [model, out].map((run) => fs.readFile(path.join(run, 'tokenizer.json'), 'utf8')),
    );
    expect(after).toBe(before);
  });

  const bad = async (status: number, code: string, hint: RegExp, ...words: string[]): Promise<void> => {
    const result = await inkstone('train', 'text', ...words, '--json');
    expect(result.json.error).toMatchObject({ code });
    expect((result.json.error as { hint?: string }).hint ?? '').toMatch(hint);
    expect(result.status).toBe(status);
  };
  const file = async (name: string, content: string | Uint8Array): Promise<string> => {
    await fs.writeFile(path.join(folder, name), content);
    return path.join(folder, name);
  };
  const fresh = (): string => path.join(folder, 'refused');

  test('refuses bad input before the first step, says what to do, and leaves nothing behind', async () => {
    const out = ['--out', fresh()];
    await bad(2, 'preset_unknown', /did you mean tiny/, '--preset', 'tinyy', '--data', data, ...out);
    await bad(
      2,
      'preset_unknown',
      /the presets are nanogpt-cpu/,
      '--preset',
      'zzzzzz',
      '--data',
      data,
      ...out,
    );
    await bad(2, 'invalid_input', /name a text file/, '--preset', 'tiny', ...out);
    await bad(4, 'data_missing', /--data/, '--data', path.join(folder, 'nope.txt'), ...out);
    await bad(3, 'data_empty', /text/, '--data', await file('empty.txt', ''), ...out);
    await bad(
      3,
      'data_binary',
      /UTF-8/,
      '--data',
      await file('binary.txt', new Uint8Array([0, 1, 2, 255])),
      ...out,
    );
    await bad(
      3,
      'context_too_long',
      /--context/,
      '--preset',
      'tiny',
      '--data',
      await file('short.txt', 'short text'),
      ...out,
    );
    await bad(
      3,
      'json_line_invalid',
      /--field/,
      '--data',
      await file('no-text.jsonl', '{"words":"x"}\n'),
      ...out,
    );
    await bad(2, 'invalid_input', /^$/, '--preset', 'tiny', '--data', data, '--width', '33', ...out);
    await bad(2, 'invalid_input', /^$/, '--preset', 'tiny', '--data', data, '--steps', '0', ...out);
    await bad(4, 'run_missing', /--out/, '--resume', ...out);
    await bad(2, 'out_missing', /run folder/, '--resume');
    await bad(2, 'flags_conflict', /replace/, '--resume', '--force', ...out);
    await bad(4, 'model_not_found', /./, '--from', path.join(folder, 'no-model'), '--data', data, ...out);
    await bad(
      5,
      'vocabulary_differs',
      /--from/,
      '--from',
      model,
      '--preset',
      'tiny',
      '--data',
      await file('other.txt', 'Ωμέγα '.repeat(100)),
      ...out,
    );
    await expect(fs.access(fresh())).rejects.toThrow();
  });

  test('an existing run is neither overwritten nor resumed with other settings or data', async () => {
    const out = ['--out', model];
    await bad(5, 'run_exists', /--resume.*--force/, '--preset', 'tiny', '--data', data, ...out);
    await bad(5, 'config_differs', /started with/, '--resume', '--steps', '50', ...out);
    const differs = await inkstone(
      'train',
      'text',
      '--resume',
      '--layers',
      '3',
      '--clip',
      '2',
      ...out,
      '--json',
    );
    expect(differs.json.error).toMatchObject({
      code: 'config_differs',
      message: expect.stringContaining('(layers, clip)'),
    });
    // Another split would put validation characters into training.
    await bad(5, 'config_differs', /started with/, '--resume', '--validation', '0.3', ...out);
    await bad(
      5,
      'data_differs',
      /same data/,
      '--resume',
      '--data',
      await file('unknown.txt', `${text}Ω`),
      ...out,
    );
    await bad(
      5,
      'data_differs',
      /same data/,
      '--resume',
      '--data',
      await file('changed.txt', `${text}more`),
      ...out,
    );
    await bad(4, 'data_missing', /--data/, '--resume', '--data', path.join(folder, 'gone.txt'), ...out);
    const again = await inkstone('train', 'text', '--resume', ...out, '--json');
    expect(again.status).toBe(0);
    expect(again.json.val_loss).toBe(trained.val_loss);
    expect(again.json.tokens_per_second).toBe(trained.tokens_per_second);
  });

  test('a run that diverges ends with status 8 and keeps its last good checkpoint', async () => {
    const out = path.join(folder, 'diverged');
    const words = ['--preset', 'tiny', '--data', data, '--out', out, '--checkpoint-every', '1'];
    await bad(8, 'loss_not_finite', /--learning-rate/, ...words, '--learning-rate', '1e30', '--clip', '0');
    const { tensors } = readSafetensors(await fs.readFile(path.join(out, 'checkpoints/last.safetensors')));
    const values = Object.values(tensors).flatMap(({ data }) => [...(data as Float32Array)]);
    expect(values.every(Number.isFinite)).toBe(true);
    const lines = (await fs.readFile(path.join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1) as string)).toMatchObject({ type: 'state', state: 'failed' });
  });

  test('a free folder is chosen, and --help names every flag', async () => {
    const { out, status } = await inkstone('train', 'text', '--help');
    expect(status).toBe(0);
    for (const flag of ['--preset', '--data', '--out', '--resume', '--from', '--patience', '--learning-rate'])
      expect(out).toContain(flag);
  });
});

describe('generate', () => {
  test('the same seed gives the same text, another seed another', async () => {
    const words = ['generate', model, '--prompt', 'The ', '--tokens', '40', '--json'];
    const [one, two, other] = [
      await inkstone(...words, '--seed', '7'),
      await inkstone(...words, '--seed', '7'),
      await inkstone(...words, '--seed', '8'),
    ];
    expect(one.json).toMatchObject({
      tokens: 40,
      prompt_tokens: 4,
      seed: 7,
      finish_reason: 'length',
      model: 'run',
    });
    expect(two.json.text).toBe(one.json.text);
    expect(other.json.text).not.toBe(one.json.text);
    const many = await inkstone(...words, '--seed', '7', '--count', '2');
    expect((many.json.samples as { text: string }[]).map((sample) => sample.text)).toEqual([
      one.json.text,
      other.json.text,
    ]);
  });

  test('streams the prompt and the text to people and stops before a stop string', async () => {
    const { json } = await inkstone(
      'generate',
      model,
      '--prompt',
      'The ',
      '--tokens',
      '40',
      '--seed',
      '7',
      '--json',
    );
    const whole = String(json.text);
    const { out } = await inkstone('generate', model, '--prompt', 'The ', '--tokens', '40', '--seed', '7');
    expect(out).toBe(`The ${whole}\n`);
    const stop = whole.slice(10, 12);
    const stopped = await inkstone(
      'generate',
      model,
      '--prompt',
      'The ',
      '--tokens',
      '40',
      '--seed',
      '7',
      '--stop',
      stop,
      '--json',
    );
    expect(stopped.json).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), finish_reason: 'stop' });
  });

  test('bad input', async () => {
    const fails = async (status: number, code: string, ...words: string[]): Promise<void> => {
      const result = await inkstone('generate', ...words, '--json');
      expect(result.json.error).toMatchObject({ code });
      expect(result.status).toBe(status);
    };
    await fails(2, 'character_unknown', model, '--prompt', 'Ω');
    await fails(4, 'model_not_found', path.join(folder, 'nothing'));
    await fails(2, 'invalid_input', model, '--temperature', '-1');
    await fails(2, 'invalid_input', model, '--top-p', '0');
    await fails(2, 'invalid_input', model, '--tokens', '0');
    await fails(2, 'invalid_input');
  });
});

describe('evaluate', () => {
  test('gives the training’s own validation loss', async () => {
    const out = path.join(folder, 'evaluated');
    const { json, status } = await inkstone('evaluate', model, '--data', data, '--out', out, '--json');
    expect(status).toBe(0);
    expect(json.nats_per_character).toBeCloseTo(Number(trained.val_loss), 5);
    expect(json.bits_per_character).toBeCloseTo(Number(trained.val_loss) / Math.LN2, 5);
    expect(json.perplexity_per_token).toBeCloseTo(Math.exp(Number(trained.val_loss)), 3);
    expect(json.characters).toBe(text.length - Math.floor(0.9 * text.length));
    expect(json.predictions).toBe(Number(json.characters) - 1);
    expect(json.bits_per_byte).toBeCloseTo(
      (Number(json.bits_per_character) * Number(json.predictions)) / Number(json.bytes),
      6,
    );
    const [lower, upper] = json.interval as [number, number];
    expect(lower).toBeLessThan(Number(json.nats_per_character));
    expect(upper).toBeGreaterThan(Number(json.nats_per_character));
    // The card says all of that, and from what.
    const card = JSON.parse(await fs.readFile(String(json.card_json), 'utf8'));
    expect(card).toMatchObject({ data: { path: data, fingerprint: json.data_fingerprint, documents: 1 } });
    expect(card.data.fingerprint).toBe(createHash('sha256').update(text).digest('hex'));
    expect(card.results[0]).toMatchObject({ value: json.nats_per_character, lower, upper });
    expect(card.model.weights).toMatch(/^[0-9a-f]{64}$/);
    expect(card.command).toMatch(/^inkstone/);
    expect(String(card.commit)).toMatch(/^([0-9a-f]{40}|null)$/);
    const markdown = await fs.readFile(path.join(out, 'card.md'), 'utf8');
    for (const said of ['# run, evaluated', card.data.fingerprint, 'do not overlap', '## Limits'])
      expect(markdown).toContain(said);
  });

  test('overlapping windows see other things before a token', async () => {
    const at = async (...words: string[]): Promise<Record<string, unknown>> =>
      (await inkstone('evaluate', model, '--data', data, '--out', path.join(folder, 'o'), '--json', ...words))
        .json;
    const [apart, near] = [await at(), await at('--stride', '4')];
    expect(near).toMatchObject({ stride: 4, predictions: apart.predictions });
    expect(near.nats_per_character).not.toBe(apart.nats_per_character);
    expect(near.nats_per_character).toBeCloseTo(Number(apart.nats_per_character), 1);
    expect((await at('--stride', '33')).error).toMatchObject({ code: 'stride_invalid' });
  });

  test('all of a text; text in other characters is refused', async () => {
    const all = await inkstone(
      ...['evaluate', model, '--data', data, '--split', 'all', '--out', path.join(folder, 'all'), '--json'],
    );
    expect(all.json).toMatchObject({ characters: text.length, predictions: text.length - 1, split: 'all' });
    const other = path.join(folder, 'greek.txt');
    await fs.writeFile(other, 'Ωμέγα '.repeat(20));
    const refused = await inkstone('evaluate', model, '--data', other, '--json');
    expect(refused.json.error).toMatchObject({ code: 'vocabulary_differs' });
    expect(refused.status).toBe(5);
    expect((await inkstone('evaluate', model, '--data', path.join(folder, 'none'), '--json')).status).toBe(4);
  });
});

describe('export', () => {
  test('ONNX: plain ONNX Runtime gives the model’s logits', async () => {
    const out = path.join(folder, 'exports', 'model.onnx');
    const { status } = await inkstone('export', model, '--format', 'onnx', '--out', out, '--json');
    expect(status).toBe(0);
    const ids = Int32Array.from({ length: 2 * 7 }, (_, i) => (i * 5) % 20);
    const session = await ort.InferenceSession.create(out, { logSeverityLevel: 4 });
    expect(session.inputNames).toEqual(['tokens']);
    const { logits } = await session.run({ tokens: new ort.Tensor('int32', ids, [2, 7]) });
    const { config, weights } = await loadTextModel(model);
    const reference = await createBackend('reference');
    const program = await reference.compile(textLogits(config));
    const expected = await program.run({ inputs: { ...weights, tokens: tensor('i32', [2, 7], ids) } });
    expect(logits?.dims).toEqual(expected.logits?.shape);
    const [a, b] = [logits?.data as Float32Array, expected.logits?.data as Float32Array];
    expect(Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))))).toBeLessThan(1e-4);
    await reference.close();
    await session.release();
  });

  test('safetensors: one file, or a folder that is a model again', async () => {
    const single = path.join(folder, 'exports', 'model.safetensors');
    expect(
      (await inkstone('export', model, '--format', 'safetensors', '--out', single, '--json')).status,
    ).toBe(0);
    const { tensors, metadata } = readSafetensors(await fs.readFile(single));
    expect(metadata.format).toBe('pt');
    expect(tensors['transformer.h.0.attn.c_attn.bias']?.shape).toEqual([96]);
    const hub = path.join(folder, 'exports', 'hub');
    const result = await inkstone('export', model, '--format', 'safetensors', '--out', hub, '--json');
    expect(result.json.files).toEqual(
      expect.arrayContaining([
        'config.json',
        'model.safetensors',
        'tokenizer.json',
        'generation_config.json',
      ]),
    );
    const same = (folderOf: string): Promise<{ json: Record<string, unknown> }> =>
      inkstone('generate', folderOf, '--prompt', 'The ', '--seed', '3', '--tokens', '20', '--json');
    expect((await same(hub)).json.text).toBe((await same(model)).json.text);
    const again = await inkstone('export', model, '--format', 'safetensors', '--out', hub, '--json');
    expect(again.json.error).toMatchObject({ code: 'out_exists' });
    expect(again.status).toBe(5);
    expect(
      (await inkstone('export', model, '--format', 'safetensors', '--out', hub, '--force', '--json')).status,
    ).toBe(0);
    expect((await inkstone('export', model, '--format', 'onnx', '--out', hub, '--json')).status).toBe(5);
    expect((await inkstone('export', model, '--format', 'pickle', '--out', 'x', '--json')).status).toBe(2);
  });
});

describe('inspect', () => {
  test('counts what evaluate counts, window by window', async () => {
    const file = path.join(folder, 'passage.txt');
    await fs.writeFile(file, text.slice(0, 900));
    const score = await inkstone('evaluate', model, '--data', file, '--split', 'all', '--json');
    const config = JSON.parse(await fs.readFile(path.join(model, 'config.json'), 'utf8'));
    const stride = String(config.model.context);
    const found = await inkstone(
      'inspect',
      model,
      '--text',
      text.slice(0, 900),
      '--stride',
      stride,
      '--json',
    );
    expect(found.status).toBe(0);
    expect(score.json.predictions).toBe(found.json.predictions);
    expect(found.json.perplexity as number).toBeCloseTo(score.json.perplexity_per_token as number, 4);
    // Windows that overlap see more.
    const overlapping = await inkstone('inspect', model, '--text', text.slice(0, 900), '--json');
    expect(overlapping.json.nats).not.toBe(found.json.nats);
  });

  test('shows every token to people, and maps to machines', async () => {
    const shown = await inkstone('inspect', model, '--text', 'The cat sat.');
    expect(shown.out).toMatch(/surprise \(nats\)/);
    expect(shown.out.trim().split('\n').at(-1)).toMatch(/^mean \d\.\d+ nats, perplexity .* bits per byte$/);
    const { json } = await inkstone('inspect', model, '--text', 'The cat sat.', '--layer', '0', '--json');
    const [{ heads }] = json.attention as [{ heads: number[][][] }];
    const time = (json.tokens as unknown[]).length;
    for (const row of heads.flat()) {
      expect(row).toHaveLength(time);
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
    }
  });

  test('says what is wrong with a text', async () => {
    const empty = await inkstone('inspect', model, '--text', '', '--json');
    expect([empty.status, (empty.json.error as { code: string }).code]).toEqual([2, 'text_empty']);
    const layer = await inkstone('inspect', model, '--text', 'The', '--layer', '99', '--json');
    expect([layer.status, (layer.json.error as { code: string }).code]).toEqual([2, 'layer_invalid']);
  });
});

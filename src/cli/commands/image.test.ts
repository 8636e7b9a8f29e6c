import { promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { unzipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../base/rng.ts';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.ts';
import { imageConfig, imageParameters } from '../../models/image/any.ts';
import { initialise } from '../../nn/parameters.ts';
import { runMain } from '../testing.ts';

let folder: string;
let data: string;
let model: string;

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-pictures-'));
  data = path.join(folder, 'data');
  model = path.join(folder, 'run');
  for (const [name, left] of [
    ['left', 1],
    ['right', 9],
  ] as const) {
    await fs.mkdir(path.join(data, name), { recursive: true });
    for (let i = 0; i < 30; i++) {
      const pixels = Buffer.alloc(256);
      for (let y = 2; y < 6 + (i % 8); y++)
        for (let x = left; x < left + 5; x++) pixels[y * 16 + x] = 150 + 3 * i;
      const raw = { width: 16, height: 16, channels: 1 as const };
      await sharp(pixels, { raw })
        .png()
        .toFile(path.join(data, name, `${i}.png`));
    }
  }
  for (const name of ['left', 'right']) await fs.writeFile(path.join(data, name, 'broken.png'), 'no picture');
  const result = await train(model, '--steps', '24');
  expect(result.status, result.error.message).toBe(0);
  expect(result.error.message).toMatch(
    /2 files were passed over, first left\/broken\.png \(.*unsupported.*\); all are listed in .*images\.json/,
  );
  expect(result.json).toMatchObject({ state: 'succeeded', steps: 24, samples: 50, features: 'pixels' });
  expect(result.json.fid_pixels).toBeGreaterThan(0);
  expect(result.json.class_accuracy).toBeGreaterThanOrEqual(0);
  // Sixty pictures are few: samples are shown beside what they were learned from.
  expect(result.json.neighbours).toBe(path.join(model, 'samples', 'neighbours.png'));
  expect(result.json.nearest_pixels).toMatchObject({ made: expect.any(Number), real: expect.any(Number) });
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const train = (out: string, ...more: string[]) => {
  const usual = {
    ...{ '--preset': 'tiny-gan', '--data': data, '--samples': '50' },
    ...{ '--evaluate-every': '12', '--checkpoint-every': '6', '--sample-every': '12' },
  };
  const given = Object.entries(usual).filter(([flag]) => !more.includes(flag));
  return runMain(['train', 'image', '--out', out, '--json', ...given.flat(), ...more]);
};

const bytes = (file: string): Promise<Buffer> => fs.readFile(file);

describe('train image', () => {
  test('leaves a whole run folder: settings, curve, sheets, checkpoints', async () => {
    const config = JSON.parse((await bytes(path.join(model, 'config.json'))).toString());
    expect(config).toMatchObject({
      family: 'image',
      data: { count: 60, classes: ['left', 'right'], skipped: 2 },
    });
    const lines = (await bytes(path.join(model, 'metrics.jsonl'))).toString().trim().split('\n');
    const metrics = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(metrics.filter(({ type }) => type === 'evaluate').map(({ step }) => step)).toEqual([12, 24]);
    const sheet = await sharp(path.join(model, 'samples', 'step-0000024.png')).metadata();
    expect([sheet.width, sheet.height]).toEqual([2 * (8 * 17 + 1), 2 * (8 * 17 + 1)]);
  });

  test('shows samples beside their nearest training pictures, and names them', async () => {
    const sheet = await sharp(path.join(model, 'samples', 'neighbours.png')).metadata();
    expect([sheet.width, sheet.height]).toEqual([2 * (9 * 17 + 1), 2 * (16 * 17 + 1)]);
    const about = JSON.parse((await bytes(path.join(model, 'samples', 'neighbours.json'))).toString());
    expect(about).toMatchObject({ network: 'pixels', pictures: 256 });
    expect(about.rows).toHaveLength(16);
    expect(about.rows[3].pixels.map(({ name }: { name: string }) => path.extname(name))).toEqual([
      ...['.png', '.png', '.png'],
    ]);
    expect(about.rows[3]).toMatchObject({ seed: 1003, label: 1 });
  });

  test('starts from another run, with layers that do not learn', async () => {
    const tuned = path.join(folder, 'tuned');
    const { json, status } = await train(
      tuned,
      '--steps',
      '3',
      '--from',
      model,
      '--freeze',
      'critic.picture',
    );
    expect(status).toBe(0);
    expect(json.steps).toBe(3);
    const tensors = async (run: string) =>
      readSafetensors(await bytes(path.join(run, 'checkpoints/last.safetensors'))).tensors;
    const before = await tensors(model);
    const after = await tensors(tuned);
    expect(after['critic/critic.picture.weight']).toEqual(before['critic/critic.picture.weight']);
    expect(after['critic/critic.last.weight']).not.toEqual(before['critic/critic.last.weight']);
  });

  test('goes on from a model in its own shape with a few pictures of one’s own, and may be resumed', async () => {
    const few = path.join(folder, 'few');
    await fs.mkdir(few, { recursive: true });
    // Two dozen without classes: of those the model knows nothing is asked any more.
    for (let i = 0; i < 12; i++)
      for (const side of ['left', 'right'])
        await fs.copyFile(path.join(data, side, `${i}.png`), path.join(few, `${side}-${i}.png`));
    const own = path.join(folder, 'own');
    const tune = (...words: string[]) =>
      runMain([
        'train',
        'image',
        '--from',
        model,
        '--data',
        few,
        '--out',
        own,
        '--samples',
        '50',
        '--json',
        ...words,
      ]);
    const words = ['--steps', '6', '--checkpoint-every', '3', '--learning-rate', '0.004'];
    const { json, error } = await tune(...words, '--freeze', 'critic.picture', '--augment', 'none');
    expect([json.steps, json.preset], error?.message).toEqual([6, 'tiny-gan']);
    const config = JSON.parse((await bytes(path.join(own, 'config.json'))).toString());
    expect(config.model).toMatchObject({ architecture: 'gan', classes: 0, size: 16 });
    expect(json.seed).toBe(config.training.seed);
    expect(config.training).toMatchObject({
      ...{ batch: 8, generatorRate: 0.004, criticRate: 0.004, augment: { name: 'none' } },
      frozen: ['critic.picture'],
    });
    // Killed before there was a checkpoint: it begins with the model again, which its folder names.
    const last = path.join(own, 'checkpoints', 'last.safetensors');
    const kept = await bytes(last);
    await fs.rm(last);
    const again = await runMain(['train', 'image', '--resume', '--out', own, '--samples', '50', '--json']);
    expect([again.json.steps, again.json.state], again.error?.message).toEqual([6, 'succeeded']);
    expect(await bytes(last)).toEqual(kept);
    const refused = [...words, '--force'];
    expect((await tune(...refused, '--batch', '25')).error.code).toBe('data_too_little');
    expect((await tune(...refused, '--freeze', 'generator')).error.code).toBe('nothing_learns');
  });

  test('learns from pictures of one’s own in colour, and goes on at another size', async () => {
    const flowers = path.join(folder, 'flowers');
    for (const [name, colour] of [
      ['red', [220, 30, 40]],
      ['blue', [20, 60, 230]],
    ] as const) {
      await fs.mkdir(path.join(flowers, name), { recursive: true });
      for (let i = 0; i < 12; i++) {
        const background = { r: colour[0], g: colour[1], b: colour[2] + i };
        await sharp({ create: { width: 32, height: 32, channels: 3, background } })
          .png()
          .toFile(path.join(flowers, name, `${i}.png`));
      }
    }
    const run = path.join(folder, 'coloured');
    const given = [
      '--data',
      flowers,
      '--steps',
      '3',
      '--size',
      '32',
      '--colour',
      '--loss',
      'hinge',
      '--flip',
    ];
    const own = ['--conditioning', 'concatenation', '--set', 'training.r1.weight=3'];
    const { status, error } = await train(run, ...given, ...own);
    expect(status, error.message).toBe(0);
    const config = JSON.parse((await bytes(path.join(run, 'config.json'))).toString());
    expect(config.model).toMatchObject({ size: 32, channels: 3, classes: 2, conditioning: 'concatenation' });
    expect(config.training).toMatchObject({ loss: 'hinge', flip: true, r1: { weight: 3, every: 8 } });
    const file = path.join(folder, 'coloured.png');
    await runMain(['generate', run, '--seed', '1', '--label', 'red', '--out', file, '--json']);
    const { data: pixels, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([32, 32, 3]);
    expect(pixels.some((value, i) => i % 3 === 0 && value !== pixels[i + 1])).toBe(true);
    // From grey pictures of 16 pixels to these: with what fits of the other model.
    const larger = path.join(folder, 'larger');
    const gone = await train(larger, '--from', model, ...given);
    expect(gone.said).toMatch(
      /begins anew: generator\.size32, critic\.size16; taken in part: .*generator\.picture/,
    );
    expect(gone.json).toMatchObject({ state: 'succeeded', steps: 3 });
  });

  test('refuses bad input and leaves nothing behind', async () => {
    await fs.mkdir(path.join(folder, 'none'));
    await fs.copyFile(path.join(data, 'left', '1.png'), path.join(folder, 'none', '1.png'));
    const refused = path.join(folder, 'refused');
    const cases: [string[], string][] = [
      [['--data', path.join(folder, 'nothing')], 'data_missing'],
      [['--preset', 'nothing'], 'preset_unknown'],
      [['--batch', '100'], 'data_too_little'],
      [['--data', path.join(data, 'left', '0.png')], 'data_unknown'],
      [['--features', path.join(folder, 'nowhere.safetensors')], 'file_missing'],
      [['--features', path.join(data, 'left', '0.png')], 'safetensors_corrupt'],
      [['--features', path.join(folder, 'nowhere.onnx')], 'file_missing'],
      [['--from', path.join(folder, 'nowhere')], 'model_not_found'],
      [['--freeze', 'nothing.of.this'], 'layer_unknown'],
      [['--samples', '49'], 'invalid_input'],
      [['--steps', '0'], 'invalid_input'],
      [['--seed', '-1'], 'invalid_input'],
      [['--batch', '1'], 'invalid_input'],
      [['--device', 'abacus'], 'invalid_input'],
      [['--sample-every', '-1'], 'invalid_input'],
      [['--evaluate-every', '0'], 'invalid_input'],
      [['--checkpoint-every', '0'], 'invalid_input'],
      [['--threads', '0'], 'invalid_input'],
      [['--neighbours', '65'], 'invalid_input'],
      [['--neighbours', 'some'], 'invalid_input'],
      [['--freeze', 'critic.nothing'], 'layer_unknown'],
      [['--preset', 'mnist-vae', '--freeze', 'critic'], 'layer_unknown'],
      [['--preset', 'mnist-vae', '--freeze', 'encoder', '--freeze', 'decoder'], 'nothing_learns'],
      [['--freeze', 'critic'], 'nothing_learns'],
      [['--augment', 'blur'], 'invalid_input'],
      [['--learning-rate', '0'], 'invalid_input'],
      [['--preset', 'mnist-vae', '--augment', 'ada'], 'unsupported_setting'],
      [['--size', '15'], 'invalid_input'],
      [['--size', '129'], 'invalid_input'],
      [['--size', '18'], 'image_size'],
      [['--loss', 'none'], 'invalid_input'],
      [['--preset', 'mnist-ddpm', '--loss', 'hinge'], 'unsupported_setting'],
      [['--preset', 'mnist-vae', '--labels'], 'unsupported_setting'],
      [['--no-labels', '--conditioning', 'projection'], 'unsupported_setting'],
      [['--preset', 'mnist-stylegan2', '--conditioning', 'projection'], 'unsupported_setting'],
      [['--conditioning', 'both'], 'invalid_input'],
      [['--labels', '--data', path.join(folder, 'none')], 'labels_missing'],
      [['--set', 'training.nothing=1'], 'setting_unknown'],
      [['--set', 'training.r1.weight=-1'], 'invalid_input'],
    ];
    for (const [words, code] of cases) {
      const { error, status } = await train(refused, ...words);
      expect([error.code, status > 0]).toEqual([code, true]);
    }
    expect((await train(model)).error.code).toBe('run_exists');
    expect((await train(model, '--resume', '--steps', '5')).error.code).toBe('settings_differ');
  });
});

describe('generate', () => {
  test('pictures by seed as files that say what made them', async () => {
    const out = path.join(folder, 'made');
    const words = ['generate', model, '--count', '3', '--seed', '5', '--label', 'right', '--json'];
    const first = await runMain([...words, '--out', out]);
    expect(first.json.files).toHaveLength(3);
    const files = first.json.files as string[];
    const about = await sharp(files[1]).metadata();
    expect([about.width, about.height, about.format]).toEqual([16, 16, 'png']);
    expect(about.xmp?.toString()).toContain('&quot;seed&quot;:6');
    // The same picture alone, larger, in another format.
    const one = path.join(folder, 'one.webp');
    await runMain([...['generate', model, '--seed', '6', '--label', '1', '--pixels', '64'], '--out', one]);
    const large = await sharp(one).metadata();
    expect([large.width, large.format]).toEqual([64, 'webp']);
    const again = await runMain([...words, '--out', path.join(folder, 'again')]);
    expect(await bytes((again.json.files as string[])[2] as string)).toEqual(await bytes(files[2] as string));
  });

  test('from a model that ships, by its name', async () => {
    const out = path.join(folder, 'starter');
    const { json } = await runMain([
      ...[
        'generate',
        'starter-digits',
        '--count',
        '2',
        '--label',
        '7',
        '--seed',
        '1',
        '--out',
        out,
        '--json',
      ],
    ]);
    expect(json).toMatchObject({ model: 'starter-digits', count: 2 });
    const about = await sharp((json.files as string[])[0]).metadata();
    expect([about.width, about.xmp?.toString().includes('&quot;class&quot;:&quot;7&quot;')]).toEqual([
      28,
      true,
    ]);
  });

  test('as an array, and as a way from one to the next', async () => {
    const npz = path.join(folder, 'samples.npz');
    await runMain(['generate', model, '--count', '300', '--seed', '1', '--out', npz, '--json']);
    const arrays = unzipSync(await bytes(npz));
    const images = arrays['images.npy'] as Uint8Array;
    expect(Buffer.from(images).toString('latin1')).toContain("'descr': '|u1'");
    expect(Buffer.from(images).toString('latin1')).toContain("'shape': (300, 16, 16)");
    expect(images.length % 64).toBe((300 * 256) % 64);
    expect(arrays['labels.npy']).toBeDefined();
    const film = path.join(folder, 'film.webp');
    const { json } = await runMain([
      ...['generate', model, '--count', '2', '--between', '4', '--seed', '1', '--out', film, '--json'],
    ]);
    expect(json.count).toBe(8);
    expect((await sharp(film, { animated: true }).metadata()).pages).toBe(8);
  });

  test.each([
    [['--label', 'above'], 'label_unknown'],
    [['--mix', '3'], 'styles_missing'],
    [['--guidance', '2'], 'unsupported_setting'],
    [['--count', '2', '--out', 'one.png'], 'out_single'],
    [['--label', '2'], 'label_unknown'],
    [['--label', '-1'], 'label_unknown'],
    [['--truncation', '2.1'], 'invalid_input'],
    [['--truncation', 'little'], 'invalid_input'],
    [['--format', 'bmp'], 'invalid_input'],
    [['--pixels', '7'], 'invalid_input'],
    [['--pixels', '4097'], 'invalid_input'],
    [['--mix', '-1'], 'invalid_input'],
    [['--mix-from', '17'], 'invalid_input'],
    [['--between', '1'], 'invalid_input'],
    [['--between', '501'], 'invalid_input'],
    [['--guidance', '21'], 'invalid_input'],
    [['--denoise', '0'], 'invalid_input'],
    [['--denoise', '5'], 'unsupported_setting'],
    [['--strength', '0'], 'invalid_input'],
    [['--from', 'data/left/0.png'], 'unsupported_setting'],
    [['--from', 'nowhere.png'], 'file_missing'],
    [['--mask', 'nowhere.png'], 'file_missing'],
    [['--count', '0'], 'invalid_input'],
  ])('refuses %j', async (words, code) => {
    const own = words.map((word) => (/^(data|nowhere)/.test(word) ? path.join(folder, word) : word));
    const { error, status } = await runMain(['generate', model, '--seed', '1', '--json', ...own]);
    expect([error.code, status > 0]).toEqual([code, true]);
  });
});

describe('a diffusion model', () => {
  let denoiser: string;
  beforeAll(async () => {
    denoiser = path.join(folder, 'denoiser');
    const config = imageConfig.parse({
      ...{ architecture: 'ddpm', size: 16, channels: 1, width: 4, widest: 8, steps: 20 },
    });
    await fs.mkdir(denoiser, { recursive: true });
    const about = { family: 'image', model: config, created: 5, data: { classes: [] } };
    await fs.writeFile(path.join(denoiser, 'config.json'), JSON.stringify(about));
    const weights = writeSafetensors(initialise(imageParameters(config), 3));
    await fs.writeFile(path.join(denoiser, 'model.safetensors'), weights);
  });
  const generate = (...words: string[]) =>
    runMain([
      ...['generate', denoiser, '--seed', '1', '--json', '--out', path.join(folder, 'denoised')],
      ...words.map((word) => (/^data/.test(word) ? path.join(folder, word) : word)),
    ]);

  test('changes a picture', async () => {
    const words = ['--from', 'data/left/0.png', '--denoise', '5', '--strength', '0.5', '--count', '1'];
    const { json, status } = await generate(...words);
    expect([status, (json.files as string[]).length]).toEqual([0, 1]);
  });

  test('is evaluated with fewer steps, and the card says so', async () => {
    const evaluated = async (name: string, ...words: string[]) => {
      const out = path.join(folder, name);
      const { json } = await runMain([
        ...['evaluate', denoiser, '--data', data, '--samples', '50', '--out', out, '--json', ...words],
      ]);
      return { fid: json.fid_pixels, card: await fs.readFile(path.join(out, 'card.md'), 'utf8') };
    };
    const one = await evaluated('denoised-1', '--denoise', '1');
    const two = await evaluated('denoised-2', '--denoise', '2', '--guidance', '1');
    expect(one.fid).not.toBe(two.fid);
    expect(one.card).toContain('A denoiser made them in 1 step.');
    expect(two.card).toContain('A denoiser made them in 2 steps with guidance 1.');
  });

  test.each([
    [['--mask', 'data/left/0.png'], 'setting_missing'],
    [['--from', 'data/left/broken.png'], 'picture_invalid'],
    [['--from', 'data/left/0.png', '--mask', 'data/left/broken.png'], 'picture_invalid'],
    [['--denoise', '21'], 'steps_invalid'],
    [['--between', '4'], 'unsupported_setting'],
    [['--truncation', '0.7'], 'unsupported_setting'],
    [['--mix', '3'], 'unsupported_setting'],
    [['--label', '1'], 'label_unknown'],
  ])('refuses %j', async (words, code) => {
    expect((await generate(...words)).error.code).toBe(code);
  });
});

test.each([
  [['--data', 'nowhere'], 'data_missing'],
  [['--samples', '10'], 'invalid_input'],
  [['--neighbours', '-1'], 'invalid_input'],
  [['--features', 'nowhere'], 'file_missing'],
  [['--denoise', '5'], 'unsupported_setting'],
  [['--guidance', '1'], 'unsupported_setting'],
])('evaluate refuses %j', async (words, code) => {
  const own = words.map((word) => (word === 'nowhere' ? path.join(folder, word) : word));
  const given = words.includes('--data') ? [] : ['--data', data];
  const { error, status } = await runMain(['evaluate', model, ...given, '--json', ...own]);
  expect([error.code, status > 0]).toEqual([code, true]);
});

test('evaluate says how many test pictures are training pictures too, and compares with the test pictures', async () => {
  const digits = path.join(folder, 'digits');
  await fs.mkdir(digits);
  const random = new Random(8, 'digits');
  const pictures = Array.from({ length: 36 }, () =>
    Buffer.from(Array.from({ length: 256 }, () => random.integer(256))),
  );
  const write = async (part: string, chosen: readonly Buffer[]): Promise<void> => {
    const count = chosen.length;
    const head = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 16, 0, 0, 0, 16];
    await fs.writeFile(
      path.join(digits, `${part}-images-idx3-ubyte`),
      Buffer.concat([Buffer.from(head), ...chosen]),
    );
    const labels = [0, 0, 8, 1, 0, 0, 0, count, ...chosen.map((_, i) => i % 2)];
    await fs.writeFile(path.join(digits, `${part}-labels-idx1-ubyte`), Buffer.from(labels));
  };
  // The last training picture is the third again; two test pictures were trained on.
  await write('train', [...pictures.slice(0, 23), pictures[2] as Buffer]);
  await write('t10k', [...pictures.slice(23), pictures[7] as Buffer, pictures[2] as Buffer]);
  const out = path.join(folder, 'card-digits');
  const { json, error } = await runMain([
    ...['evaluate', model, '--data', digits, '--samples', '50', '--out', out, '--neighbours', '0', '--json'],
  ]);
  expect(json.near_duplicates).toEqual({ count: 1, at_least: false, first: ['2', '23'] });
  expect(json.test_near_duplicates).toEqual({ count: 2, at_least: false, first: ['7', '13'] });
  expect(error.message).toContain(
    '2 test pictures look like a training picture, first number 13 like training picture 7',
  );
  expect(json).toMatchObject({
    floor: expect.stringContaining('against the test pictures'),
    floor_samples: 24,
  });
  const card = await fs.readFile(path.join(out, 'card.md'), 'utf8');
  expect(card).toContain('2 test pictures look like a training picture');
  expect(card).toContain('1 picture looks like an earlier one, first 23 like 2.');
});

test('evaluate gives the scores of the training again, and a card', async () => {
  const result = JSON.parse((await bytes(path.join(model, 'result.json'))).toString());
  const out = path.join(folder, 'card');
  const { json } = await runMain([
    ...['evaluate', model, '--data', data, '--samples', '50', '--out', out, '--neighbours', '2', '--json'],
  ]);
  const sheet = await sharp(path.join(out, 'neighbours.png')).metadata();
  expect(sheet.height).toBe(2 * (2 * 17 + 1));
  expect(json.nearest_features).toEqual(result.nearest_features);
  expect(json.fid_pixels).toBeCloseTo(result.fid_pixels, 4);
  // Without a test part the floor is what half of the pictures get against the other half.
  const floors = ['fid', 'kid', 'precision', 'recall'].map((score) => json[`${score}_floor_pixels`]);
  for (const floor of floors) expect(floor).toEqual(expect.any(Number));
  expect(json).toMatchObject({ floor: expect.stringContaining('one half'), floor_samples: 30 });
  expect(result.fid_floor_pixels).toBeCloseTo(json.fid_floor_pixels as number, 4);
  const card = await fs.readFile(path.join(out, 'card.md'), 'utf8');
  expect(card).toContain(
    'Floors: one half of the real pictures against the other half, 30 in place of the samples.',
  );
  expect(card).toMatch(/\| fid_floor_pixels \| [\d.]+ \|.* 30 /);
  expect(card).toMatch(/\| fid_pixels \| [\d.]+ \|/);
  expect(card).toMatch(/60 pictures, 2 classes; compared with all of them/);
  const facts = JSON.parse(await fs.readFile(path.join(out, 'card.json'), 'utf8'));
  const named = Object.fromEntries(
    (facts.results as { name: string; value: number }[]).map(({ name, value }) => [name, value]),
  );
  expect(named).toMatchObject({ fid_pixels: json.fid_pixels, class_accuracy: json.class_accuracy });
  expect(named['nearer by pixels than 95 % of them']).toBe(
    (json.nearest_pixels as unknown as { copies: number }).copies,
  );
  expect(facts.model).toMatchObject({
    architecture: 'gan',
    weights: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  expect(facts.command).toMatch(/^inkstone/);
  // What the model learned from is no held-out judge.
  expect(facts.limits[1]).toContain('may have learned from');
});

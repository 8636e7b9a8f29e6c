/** The model that ships: small enough to ship, and with a card that says what it is made of and how to make it again. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageFolder } from '../src/base/host.ts';
import { describeTextModel } from '../src/models/text/load.ts';

const folder = path.join(packageFolder, 'models', 'starter');
const there = fs.existsSync(path.join(folder, 'model.safetensors'));

describe.skipIf(!there)('the starter (needs models/starter)', () => {
  const read = (name: string): string => fs.readFileSync(path.join(folder, name), 'utf8');

  test('takes 12 MB at most', () => {
    const sizes = fs.readdirSync(folder).map((name) => fs.statSync(path.join(folder, name)).size);
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(12_000_000);
  });

  test('has a card with its data, licence, hashes, command, code, steps, scores and a sample', async () => {
    const card = read('card.md');
    const field = (name: string): string =>
      new RegExp(`^\\| ${name} \\| (.+) \\|$`, 'm').exec(card)?.[1] ?? '';
    expect(field('Data')).toMatch(/novels.*[\d,]{6,} characters/);
    expect(field('Licence of the data')).toBe('public domain');
    for (const of of ['archive', 'corpus']) expect(field(`SHA-256 of the ${of}`)).toMatch(/^`[0-9a-f]{64}`$/);
    const script = /^`node tools\/run\.mjs (\S+)`$/.exec(field('Command'))?.[1] as string;
    expect(fs.existsSync(path.join(packageFolder, script))).toBe(true);
    expect(field('Code')).toMatch(/^[0-9a-f]{7,40}$/);
    const { training, model } = JSON.parse(read('config.json'));
    expect(field('Training')).toContain(
      `${training.steps} steps of ${training.batch} × ${training.context} tokens`,
    );
    expect(field('Training')).toContain(`seed ${training.seed}`);
    expect(field('Tokenizer')).toContain(`${model.vocabulary} tokens`);
    const { parameters } = await describeTextModel(folder);
    expect(field('Parameters')).toContain(parameters.toLocaleString('en-US'));
    // Validation and test loss, better than the 5-gram's beside them.
    const scores = (name: string): number[] =>
      field(name)
        .split('|')
        .map((text) => Number(text.replaceAll('*', '')));
    const [own, theirs] = [scores('This model'), scores('Witten–Bell 5-gram, same training text')];
    expect(own).toHaveLength(2);
    own.forEach((loss, i) => expect(loss).toBeLessThan(theirs[i] as number));
    const sample = /## Sample \(seed \d+[^)]*\)\n\n((?:> .*\n?)+)/.exec(card)?.[1] ?? '';
    expect(sample.length).toBeGreaterThan(200);
  });
});

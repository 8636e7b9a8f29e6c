/** `inkstone generate`: settings of decoding from flags, with a tiny model of random weights. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeByteModel } from '../../operate/testing.ts';
import { type CommandRun, runMain } from '../testing.ts';

let folder: string;
let model: string;
let schema: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'inkstone-decoding-'));
  model = path.join(folder, 'model');
  await writeByteModel(model, 128);
  schema = path.join(folder, 'schema.json');
  await writeFile(
    schema,
    JSON.stringify({ type: 'object', properties: { name: { enum: ['Li', 'Du'] } }, required: ['name'] }),
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const generate = (...words: string[]): Promise<CommandRun> =>
  runMain(['generate', model, '--threads', '1', '--tokens', '20', '--seed', '3', '--json', ...words]);

describe('generate', () => {
  it('keeps a text to a schema and to a pattern', async () => {
    const document = await generate('--json-schema', schema);
    expect(['Li', 'Du']).toContain((JSON.parse(document.json.text as string) as { name: string }).name);
    expect(document.json.finish_reason).toBe('stop');
    expect((await generate('--regex', '[a-c]{3}\\d')).json.text).toMatch(/^[a-c]{3}\d$/);
  });

  it('takes bias and penalties', async () => {
    const bias = ['--temperature', '0', '--logit-bias', '97=90', '--logit-bias', '98=85'];
    expect((await generate(...bias)).json.text).toBe('a'.repeat(20));
    expect((await generate(...bias, '--frequency-penalty', '2')).json.text).toMatch(/^aaab/);
    expect((await generate(...bias, '--presence-penalty', '20')).json.text).toMatch(/^ab/);
    expect((await generate(...bias, '--repetition-penalty', '2')).json.text).toMatch(/^ab/);
    const drawn = ['--logit-bias', '97=9', '--temperature', '9'];
    expect((await generate(...drawn, '--min-p', '1')).json.text).toBe('a'.repeat(20));
  });

  it('gives the best texts of beams, best first', async () => {
    const { json } = await generate('--beams', '4', '--n', '3', '--length-penalty', '0');
    const samples = json.samples as { text: string; score: number }[];
    expect(samples).toHaveLength(3);
    expect(samples[0]).toMatchObject({ text: json.text, score: json.score });
    const scores = samples.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(new Set(samples.map(({ text }) => text)).size).toBe(3);
  });

  it('writes --n texts like --count', async () => {
    const [n, count] = [await generate('--n', '2'), await generate('--count', '2')];
    const texts = ({ json }: CommandRun) => (json.samples as { text: string }[]).map(({ text }) => text);
    expect(texts(n)).toEqual(texts(count));
    expect(texts(n)).toHaveLength(2);
  });

  it.each([
    ['both a schema and a pattern', ['--json-schema', 'SCHEMA', '--regex', 'a'], 'flags_conflict'],
    ['a file that is not there', ['--json-schema', 'nowhere.json'], 'file_missing'],
    ['a file that is no JSON', ['--json-schema', 'MODEL/model.safetensors'], 'schema_invalid'],
    ['a pattern that looks ahead', ['--regex', '(?=a)a'], 'schema_unsupported'],
    ['a pattern that nothing matches', ['--regex', '[^\\s\\S]'], 'schema_unsatisfiable'],
    ['a bias without a number', ['--logit-bias', '97'], 'invalid_input'],
    ['a bias for no token', ['--logit-bias', '999=1'], 'token_invalid'],
    ['more texts than beams', ['--beams', '2', '--n', '3'], 'beams_invalid'],
    ['drawn texts of beams', ['--beams', '2', '--count', '3'], 'flags_conflict'],
  ])('refuses %s', async (_, words, code) => {
    const { status, error } = await generate(
      ...words.map((word) => word.replace('SCHEMA', schema).replace('MODEL', model)),
    );
    expect(status).not.toBe(0);
    expect(error).toMatchObject({ code });
  });
});

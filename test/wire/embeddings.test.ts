/** `/v1/embeddings` with both SDKs and models that run: a tiny BERT in Hugging Face's layout, our own, and a writer. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { embed, embedMany } from 'ai';
import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { WORDPIECE_SPECIAL, WordPieceTokenizer } from '../../src/data/tokenizer/wordpiece.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { bertConfig, bertParameters } from '../../src/models/text/bert.ts';
import { bertHuggingFace } from '../../src/models/text/bert-hugging-face.ts';
import { initialise } from '../../src/nn/parameters.ts';
import { LetterReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome(['letters']);
const words = ['ink', 'stone', 'brush', 'paper', 'the', 'on', 'is', 'dry', 'wet', '##s'];
const options = { loadWait: 60 };

beforeAll(async () => {
  const tokenizer = new WordPieceTokenizer([...WORDPIECE_SPECIAL, ...words]);
  const model = bertConfig.parse({
    ...{ architecture: 'bert', layers: 2, heads: 2, width: 8, hidden: 16, context: 16, vocabulary: 15 },
    ...{ masked: false, next: false },
  });
  const weights = initialise(bertParameters(model), 5);
  const write = async (name: string, config: object, tensors: typeof weights): Promise<string> => {
    const folder = path.join(home.folder, 'runs', name);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
    await writeFile(path.join(folder, 'tokenizer.json'), tokenizer.toJson());
    await writeFile(path.join(folder, 'model.safetensors'), writeSafetensors(tensors));
    return folder;
  };
  const folder = await write(
    'theirs',
    bertHuggingFace.writeConfig(model, undefined),
    bertHuggingFace.writeTensors(weights, model),
  );
  await mkdir(path.join(folder, '1_Pooling'));
  await writeFile(
    path.join(folder, '1_Pooling', 'config.json'),
    JSON.stringify({ word_embedding_dimension: 8, pooling_mode_cls_token: true }),
  );
  await write('ours', { family: 'text', architecture: 'bert', model, created: 5 }, weights);
});

const lengthOf = (vector: readonly number[]): number => Math.hypot(...vector);

describe('the openai package', () => {
  it('gets numbers, whatever it silently asks for', async () => {
    const { client, post } = await home.shared({ ...options, model: 'ours' });
    const input = ['the ink is dry', 'paper', 'wet inks on the brush'];
    const answer = await client.embeddings.create({ model: 'ours', input });
    expect(answer.data.map(({ index }) => index)).toEqual([0, 1, 2]);
    // [CLS] and [SEP] are read, too.
    expect(answer.usage).toEqual({ prompt_tokens: 6 + 3 + 8, total_tokens: 17 });
    for (const { embedding, object } of answer.data) {
      expect(object).toBe('embedding');
      expect(embedding).toHaveLength(8);
      expect(lengthOf(embedding)).toBeCloseTo(1, 5);
    }
    const plain = await client.embeddings.create({ model: 'ours', input, encoding_format: 'float' });
    expect(plain.data).toEqual(answer.data);
    const asked = (await post('/v1/embeddings', { model: 'ours', input, encoding_format: 'base64' }))
      .body as { data: { embedding: string }[] };
    const bytes = Buffer.from(asked.data[1]?.embedding ?? '', 'base64');
    expect(bytes).toHaveLength(32);
    expect(bytes.readFloatLE(4)).toBe(answer.data[1]?.embedding[1]);
    const one = await client.embeddings.create({ model: 'ours', input: 'paper' });
    for (const [i, x] of (one.data[0]?.embedding ?? []).entries())
      expect(x).toBeCloseTo(answer.data[1]?.embedding[i] as number, 5);
  });

  it('may ask for shorter vectors, of length 1 again, and not for longer ones', async () => {
    const { client } = await home.shared({ ...options, model: 'ours' });
    const ask = (dimensions?: number) =>
      client.embeddings.create({
        ...{ model: 'ours', input: 'dry ink' },
        ...(dimensions === undefined ? {} : { dimensions }),
      });
    const whole = (await ask()).data[0]?.embedding as number[];
    const short = (await ask(3)).data[0]?.embedding as number[];
    const scale = lengthOf(whole.slice(0, 3));
    expect(short).toHaveLength(3);
    for (const [i, x] of short.entries()) expect(x).toBeCloseTo((whole[i] as number) / scale, 5);
    await expect(ask(9)).rejects.toMatchObject({ status: 400, param: 'dimensions' });
    await expect(ask(0)).rejects.toMatchObject({ status: 400, param: 'dimensions' });
  });

  it('pools as the folder says', async () => {
    const { client } = await home.shared({ ...options, model: 'ours' });
    const of = async (model: string) =>
      (await client.embeddings.create({ model, input: 'wet paper' })).data[0]?.embedding as number[];
    const [ours, theirs] = [await of('ours'), await of('theirs')];
    expect(lengthOf(theirs)).toBeCloseTo(1, 5);
    expect(lengthOf(ours.map((x, i) => x - (theirs[i] as number)))).toBeGreaterThan(0.01);
  });

  it('takes 2,048 texts at once and not one more', async () => {
    const { client } = await home.shared({ ...options, model: 'ours' });
    const input = Array.from({ length: 2048 }, (_, i) =>
      Array(1 + (i % 7))
        .fill(words[i % 9])
        .join(' '),
    );
    const { data } = await client.embeddings.create({ model: 'ours', input });
    expect(data).toHaveLength(2048);
    const again = await client.embeddings.create({ model: 'ours', input: input[2000] as string });
    for (const [i, x] of (again.data[0]?.embedding ?? []).entries())
      expect(x).toBeCloseTo(data[2000]?.embedding[i] as number, 5);
    const more = client.embeddings.create({ model: 'ours', input: [...input, 'ink'] });
    await expect(more).rejects.toMatchObject({ status: 400, param: 'input' });
  });

  it('gets vectors from a model that writes, too', async () => {
    const { client } = await home.shared({ ...options, model: 'starter' });
    const ask = (input: string[]) => client.embeddings.create({ model: 'starter', input });
    const { data, usage } = await ask(['To be, or not to be', 'Speak, I charge thee']);
    expect(lengthOf(data[0]?.embedding as number[])).toBeCloseTo(1, 4);
    expect(usage.prompt_tokens).toBeGreaterThan(4);
    const text = await client.completions.create({ model: 'starter', prompt: 'To be', max_tokens: 3 });
    expect(text.usage?.completion_tokens).toBe(3);
  });
});

describe('the ai package', () => {
  it('embeds one and many', async () => {
    const { ai, compatible } = await home.shared({ ...options, model: 'ours' });
    const { embedding, usage } = await embed({ model: ai.embedding('ours'), value: 'the stone' });
    expect(embedding).toHaveLength(8);
    expect(usage.tokens).toBe(4);
    const values = Array.from({ length: 30 }, (_, i) => words[i % 9] as string);
    const many = await embedMany({ model: compatible.embeddingModel('ours'), values });
    expect(many.embeddings).toHaveLength(30);
    expect(many.usage.tokens).toBe(90);
  });
});

describe('refused', () => {
  it.each([
    ['nothing', undefined, 'input'],
    ['an empty text', '', 'input'],
    ['an empty list', [], 'input'],
    ['an empty text among others', ['ink', ''], 'input.1'],
    ['token ids', [1, 2, 3], 'input'],
    ['lists of token ids', [[1, 2]], 'input'],
    ['a text over the context', ['ink', 'ink '.repeat(40)], 'input'],
  ])('is %s', async (_, input, param) => {
    const { post } = await home.shared({ ...options, model: 'ours' });
    const { status, body } = await post('/v1/embeddings', { model: 'ours', input });
    expect([status, (body as { error: { param: string } }).error.param]).toEqual([400, param]);
  });

  it('is a model that gives no embeddings, and a chat with one that writes nothing', async () => {
    const letters = await home.start(new LetterReplica('letters'));
    await expect(letters.client.embeddings.create({ model: 'letters', input: 'x' })).rejects.toMatchObject({
      ...{ status: 400, code: 'model_embeds_nothing', param: 'model' },
    });
    const { client } = await home.shared({ ...options, model: 'ours' });
    const messages = [{ role: 'user' as const, content: 'x' }];
    const refusal = { status: 400, code: 'model_writes_nothing', param: 'model' };
    await expect(client.chat.completions.create({ model: 'ours', messages })).rejects.toMatchObject(refusal);
    await expect(client.completions.create({ model: 'ours', prompt: 'x' })).rejects.toMatchObject(refusal);
    await expect(client.embeddings.create({ model: 'nobody', input: 'x' })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
  });
});

import { appendFileSync, promises as fs } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tar } from '../../formats/tests/tar-writer.ts';
import { trainBpe, WordCounter } from '../tokenizer/bpe-train.ts';
import { evaluationBatches, requireWindow, trainBatch } from './batches.ts';
import { readPieces } from './pieces.ts';
import { countCharacters, prepareText } from './prepare.ts';

let folder: string;
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'inkstone-text-'));
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const place = path.join(folder, name);
  await fs.mkdir(path.dirname(place), { recursive: true });
  await fs.writeFile(place, content);
  return place;
}

async function documents(place: string, options = {}): Promise<{ source: string; text: string }[]> {
  const result: { source: string; text: string }[] = [];
  for await (const piece of readPieces(place, options)) {
    if (piece.first) result.push({ source: piece.source, text: piece.text });
    else (result.at(-1) as { text: string }).text += piece.text;
  }
  return result;
}

const rejects = (place: string, code: string, options = {}): Promise<void> =>
  expect(documents(place, options)).rejects.toMatchObject({ code });

describe('pieces', () => {
  test('a text file, whatever its name', async () => {
    expect(await documents(await file('plain', 'Hello\r\nworld'))).toEqual([
      { source: 'plain', text: 'Hello\r\nworld' },
    ]);
    expect(await documents(await file('empty.txt', ''))).toEqual([]);
  });

  test('a byte order mark at the start is dropped, one in the middle stays', async () => {
    expect((await documents(await file('bom.txt', '\ufeffa\ufeffb')))[0]?.text).toBe('a\ufeffb');
  });

  test('gzip, also of several members', async () => {
    const twice = Buffer.concat([gzipSync('one '), gzipSync('two')]);
    expect(await documents(await file('t.txt.gz', twice))).toEqual([{ source: 't.txt.gz', text: 'one two' }]);
  });

  test('JSON lines: text, paragraphs, bare strings, a named field, empty lines, CRLF', async () => {
    const lines = [
      '{"text":"a"}',
      '',
      '{"paragraphs":["b","c"],"title":"T"}',
      '"d"',
      '{"text":"ü\\u0041"}',
    ].join('\r\n');
    const place = await file('rows.jsonl', lines);
    expect(await documents(place)).toEqual([
      { source: 'rows.jsonl:1', text: 'a\n' },
      { source: 'rows.jsonl:3', text: 'b\nc\n' },
      { source: 'rows.jsonl:4', text: 'd\n' },
      { source: 'rows.jsonl:5', text: 'üA\n' },
    ]);
    expect(await documents(await file('f.ndjson', '{"title":"T","text":"x"}'), { field: 'title' })).toEqual([
      { source: 'f.ndjson:1', text: 'T\n' },
    ]);
    expect(await documents(await file('z.jsonl.gz', gzipSync('{"text":"zipped"}\n')))).toEqual([
      { source: 'z.jsonl.gz:1', text: 'zipped\n' },
    ]);
  });

  test.each([
    ['not JSON', '{"text":"a"}\n{"text":', /bad\.jsonl:2 is not JSON/],
    ['no text', '{"text":"a"}\n\n{"words":"b"}', /bad\.jsonl:3 has no text/],
    ['a number', '5', /bad\.jsonl:1 has no text/],
    ['null', 'null', /bad\.jsonl:1/],
    ['a list of numbers', '{"paragraphs":[1]}', /bad\.jsonl:1/],
  ])('a line with %s is named by its number', async (_, content, message) => {
    const place = await file('bad.jsonl', content);
    await expect(documents(place)).rejects.toMatchObject({
      code: 'json_line_invalid',
      message: expect.stringMatching(message),
      exitStatus: 3,
    });
  });

  test('a folder: sorted, below it too; hidden and foreign files are passed over', async () => {
    for (const [name, text] of [
      ['b.txt', 'B'],
      ['a/z.md', 'Z'],
      ['a.txt', 'A'],
      ['.hidden.txt', 'no'],
      ['.git/x.txt', 'no'],
      ['image.png', 'no'],
      ['c.jsonl', '{"text":"C"}'],
    ] as const) {
      await file(`tree/${name}`, text);
    }
    expect((await documents(path.join(folder, 'tree'))).map((d) => d.source)).toEqual([
      'tree/a.txt',
      'tree/a/z.md',
      'tree/b.txt',
      'tree/c.jsonl:1',
    ]);
    expect((await documents(`${path.join(folder, 'tree')}/`)).length).toBe(4);
    await fs.mkdir(path.join(folder, 'bare'));
    await rejects(path.join(folder, 'bare'), 'data_missing');
  });

  test('archives: tar, tar.gz, tgz, with gzip and JSON lines inside', async () => {
    const archive = tar([
      { name: './one.txt', content: 'One' },
      { name: 'notes/', type: '5' },
      { name: 'notes/.DS_Store', content: 'junk' },
      { name: 'picture.png', content: 'junk'.repeat(300) },
      { name: 'notes/two.jsonl', content: '{"text":"Two"}\n{"text":"Three"}' },
      { name: 'deep.txt.gz', content: gzipSync('Deep') },
      { name: 'empty.txt', content: '' },
      { name: 'link.txt', type: '2' },
      { name: `${'long/'.repeat(40)}name.txt`, content: 'Long' },
    ]);
    const names = (prefix: string): { source: string; text: string }[] => [
      { source: `${prefix}/one.txt`, text: 'One' },
      { source: `${prefix}/notes/two.jsonl:1`, text: 'Two\n' },
      { source: `${prefix}/notes/two.jsonl:2`, text: 'Three\n' },
      { source: `${prefix}/deep.txt.gz`, text: 'Deep' },
      { source: `${prefix}/${'long/'.repeat(40)}name.txt`, text: 'Long' },
    ];
    expect(await documents(await file('a.tar', archive))).toEqual(names('a.tar'));
    expect(await documents(await file('a.tar.gz', gzipSync(archive)))).toEqual(names('a.tar.gz'));
    expect(await documents(await file('a.tgz', gzipSync(archive)))).toEqual(names('a.tgz'));
  });

  test('an archive within an archive, and a file of the same name behind it', async () => {
    const inner = tar([
      { name: 'x.txt', content: 'X' },
      { name: 'y.txt', content: 'Y'.repeat(3000) },
    ]);
    const outer = tar([
      { name: 'in.tar', content: Buffer.concat([inner, new Uint8Array(20_480)]) },
      { name: 'in.tar', content: inner },
      { name: 'z.txt', content: 'Z' },
    ]);
    const twice = [
      { source: 'outer.tar/in.tar/x.txt', text: 'X' },
      { source: 'outer.tar/in.tar/y.txt', text: 'Y'.repeat(3000) },
    ];
    expect(await documents(await file('outer.tar', outer))).toEqual([
      ...twice,
      ...twice,
      { source: 'outer.tar/z.txt', text: 'Z' },
    ]);
  });

  test('a JSON line over many chunks; half a character in JSON', async () => {
    const long = 'long '.repeat(200_000);
    const place = await file('long.jsonl', `{"text":"${long}"}\n{"text":"a\\ud83d b \\ud83d\\ude42"}`);
    expect(await documents(place)).toEqual([
      { source: 'long.jsonl:1', text: `${long}\n` },
      { source: 'long.jsonl:2', text: 'a\ufffd b 🙂\n' },
    ]);
  });

  test('what is damaged, binary or not there is told as such', async () => {
    const zipped = gzipSync('some text that is long enough to be cut '.repeat(50));
    await rejects(await file('cut.txt.gz', zipped.subarray(0, -20)), 'data_corrupt');
    const flipped = Uint8Array.from(zipped);
    flipped[flipped.length - 6] = (flipped[flipped.length - 6] as number) ^ 1;
    await rejects(await file('sum.txt.gz', flipped), 'data_corrupt');
    await rejects(await file('no.txt.gz', 'not gzip'), 'data_corrupt');
    const archive = tar([{ name: 'a.txt', content: 'a'.repeat(2000) }]);
    await rejects(await file('cut.tar', archive.subarray(0, 1000)), 'tar_corrupt');
    const sums = gzipSync(archive);
    sums[sums.length - 6] = (sums[sums.length - 6] as number) ^ 1;
    await rejects(await file('sum.tar.gz', sums), 'data_corrupt');
    await rejects(await file('latin1.txt', Uint8Array.of(72, 0xe9, 72)), 'data_binary');
    await rejects(await file('utf16.txt', new Uint8Array(Buffer.from('text', 'utf16le'))), 'data_binary');
    await rejects(await file('half.txt', Uint8Array.of(0x61, 0xf0, 0x9f)), 'data_binary');
    await rejects(path.join(folder, 'absent.txt'), 'data_missing');
  });

  test('large files come in pieces that join to the whole and tokenise like the whole', async () => {
    // Three bytes a character: chunks of a power of two cut characters apart.
    const text = Array.from(
      { length: 26_000 },
      (_, i) => `春眠 ${i}  不覺曉\n\n it's 🙂🙂${i % 3 === 0 ? ' '.repeat(5) : ''}`,
    ).join('');
    const place = await file('large.txt', text);
    const words = new WordCounter();
    words.add(text.slice(0, 20_000));
    const tokenizer = trainBpe(words.counts, 400);
    let joined = '';
    let count = 0;
    const ids: number[] = [];
    for await (const piece of readPieces(place)) {
      count++;
      joined += piece.text;
      for (const id of tokenizer.encode(piece.text)) ids.push(id);
      expect(piece.text.length).toBeLessThan(1 << 19);
    }
    expect(count).toBeGreaterThan(2);
    expect(joined === text).toBe(true);
    const whole = tokenizer.encode(text);
    expect(ids.length).toBe(whole.length);
    expect(ids.every((id, i) => id === whole[i])).toBe(true);
  });

  test('text without any white space is cut at last, never inside a character', async () => {
    const place = await file('solid.txt', `x${'🙂'.repeat(2_200_000)}`);
    let size = 0;
    let broken = false;
    for await (const piece of readPieces(place)) {
      size += piece.text.length;
      broken ||= /\p{Surrogate}/u.test(piece.text);
    }
    expect(size).toBe(4_400_001);
    expect(broken).toBe(false);
  });
});

describe('preparing', () => {
  let number = 0;
  const prepare = (
    place: string,
    options: Partial<Parameters<typeof prepareText>[1]> = {},
  ): ReturnType<typeof prepareText> =>
    prepareText(place, {
      folder: path.join(folder, `prepared-${number++}`),
      tokenizer: { name: 'characters' },
      ...options,
    });

  test('the split is at ⌊0.9·N⌋ characters, astral characters counting once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('a', 'é', '春', '🙂', '\n', ' '), minLength: 2, maxLength: 60 }),
        async (text) => {
          const prepared = await prepare(await file('split.txt', text));
          const characters = [...text];
          const train = Math.floor((characters.length * 9) / 10);
          expect(countCharacters(text)).toBe(characters.length);
          expect(prepared).toMatchObject({
            trainCharacters: train,
            trainTokens: train,
            validationTokens: characters.length - train,
            validationCharacters: characters.length - train,
          });
          const ids = await prepared.tokens.read(0, 1000);
          expect(prepared.tokenizer.decode(ids.subarray(0, train))).toBe(characters.slice(0, train).join(''));
          expect(prepared.tokenizer.decode(ids.subarray(train))).toBe(characters.slice(train).join(''));
          await prepared.tokens.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  test('prepared ids are used again while data and tokenizer are the same, and only then', async () => {
    const place = await file('reuse.txt', 'abc '.repeat(100));
    const own = { folder: path.join(folder, 'reuse') };
    const phases: string[] = [];
    const progress = (phase: string): void => void phases.push(phase);
    const run = async (options = {}): Promise<boolean> => {
      phases.length = 0;
      const prepared = await prepare(place, { ...own, progress, ...options });
      expect(prepared.tokenizer.decode(await prepared.tokens.read(0, 9))).toBe(
        (await fs.readFile(place, 'utf8')).slice(0, 9),
      );
      await prepared.tokens.close();
      return phases.includes('encoding');
    };
    expect(await run()).toBe(true);
    expect(await run()).toBe(false);
    expect(await run({ validation: 0.2 })).toBe(true);
    expect(await run()).toBe(true);
    await file('reuse.txt', 'abd '.repeat(100));
    expect(await run()).toBe(true);
    await fs.truncate(path.join(own.folder, 'tokens.bin'), 10);
    expect(await run()).toBe(true);
    await fs.writeFile(path.join(own.folder, 'tokens.json'), '{');
    expect(await run()).toBe(true);
    expect(await run()).toBe(false);
  });

  test('the same text cut into other documents is prepared anew', async () => {
    const options = {
      folder: path.join(folder, 'layout'),
      tokenizer: { name: 'bpe', vocabulary: 300 },
    } as const;
    const lengths: number[] = [];
    for (const [first, second] of [
      ['ab', 'cd ef'],
      ['ab cd', 'ef'],
    ] as const) {
      await file('layout-data/1.txt', `${first} `);
      await file('layout-data/2.txt', second);
      const prepared = await prepare(path.join(folder, 'layout-data'), options);
      const ids = [...(await prepared.tokens.read(0, 100))];
      lengths.push(ids.indexOf(prepared.tokenizer.endOfText as number));
      await prepared.tokens.close();
    }
    expect(lengths).toEqual([3, 6]);
  });

  test('a file that grows while it is read is refused, and leaves nothing to be used again', async () => {
    const place = await file('growing.txt', 'abc '.repeat(100));
    const own = path.join(folder, 'growing');
    const progress = (phase: string): void => {
      if (phase === 'tokenizer') appendFileSync(place, 'abc');
    };
    await expect(prepare(place, { folder: own, progress })).rejects.toMatchObject({
      code: 'data_changed',
      kind: 'conflict',
    });
    expect(await fs.readdir(own)).toEqual([]);
  });

  test('between documents stands the end of text, where the vocabulary has one', async () => {
    const place = await file(
      'docs.jsonl',
      Array.from({ length: 20 }, (_, i) => JSON.stringify({ text: `poem ${i}` })).join('\n'),
    );
    const bpe = await prepare(place, { tokenizer: { name: 'bpe', vocabulary: 300 } });
    const ids = await bpe.tokens.read(0, bpe.tokens.length);
    expect(ids.filter((id) => id === bpe.tokenizer.endOfText)).toHaveLength(20);
    expect(bpe.info.documents).toBe(20);
    expect(bpe.tokenizer.decode(ids)).toBe(Array.from({ length: 20 }, (_, i) => `poem ${i}\n`).join(''));
    expect(bpe.trainTokens + bpe.validationTokens).toBe(bpe.tokens.length);
    await bpe.tokens.close();
    const characters = await prepare(place);
    expect(characters.tokens.length).toBe(characters.info.characters);
    await characters.tokens.close();
  });

  test('the fingerprint is of the text, not of its packing', async () => {
    const plain = await prepare(await file('same.txt', 'the same text'));
    const packed = await prepare(await file('same.txt.gz', gzipSync('the same text')));
    expect(packed.info).toEqual(plain.info);
    expect(plain.info.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    await Promise.all([plain.tokens.close(), packed.tokens.close()]);
  });

  test('no text, and text outside a given vocabulary', async () => {
    await expect(prepare(await file('nothing.txt', ''))).rejects.toMatchObject({ code: 'data_empty' });
    await expect(prepare(await file('nothing.jsonl', '\n\n'))).rejects.toMatchObject({ code: 'data_empty' });
    const { tokenizer, tokens } = await prepare(await file('ab.txt', 'abab'));
    await tokens.close();
    await expect(
      prepare(await file('abc.txt', 'abc'), { tokenizer: { name: 'given', tokenizer } }),
    ).rejects.toMatchObject({ code: 'character_unknown' });
  });
});

describe('batches', () => {
  const tokens = async (count: number): Promise<Awaited<ReturnType<typeof prepareText>>['tokens']> => {
    const text = Array.from({ length: count }, (_, i) => String.fromCodePoint(0x4e00 + i)).join('');
    return (
      await prepareText(await file(`batch-${count}.txt`, text), {
        folder: path.join(folder, `batch-${count}`),
        tokenizer: { name: 'characters' },
      })
    ).tokens;
  };

  test('a training batch is a function of seed and step; targets are one ahead; windows stay inside', async () => {
    const ids = await tokens(60);
    const range = { start: 10, length: 40 };
    const options = { batch: 4, context: 8, seed: 3, step: 5 };
    const one = await trainBatch(ids, range, options);
    expect(await trainBatch(ids, range, options)).toEqual(one);
    expect(await trainBatch(ids, range, { ...options, step: 6 })).not.toEqual(one);
    expect(await trainBatch(ids, range, { ...options, seed: 4 })).not.toEqual(one);
    const seen = new Set<number>();
    for (let step = 0; step < 200; step++) {
      const batch = await trainBatch(ids, range, { ...options, step });
      const [x, y] = [batch.tokens?.data as Int32Array, batch.targets?.data as Int32Array];
      expect(y).toEqual(x.map((id) => id + 1));
      for (const id of [...x, ...y]) seen.add(id);
    }
    // Every place of the range comes up, none outside.
    expect([Math.min(...seen), Math.max(...seen), seen.size]).toEqual([10, 49, 40]);
    const tight = await trainBatch(ids, { start: 0, length: 9 }, options);
    expect(Array.from(tight.tokens?.data as Int32Array).slice(0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await ids.close();
  });

  test('evaluation predicts every position but the first exactly once', async () => {
    const ids = await tokens(80);
    const shape = fc.record({
      start: fc.integer({ min: 0, max: 20 }),
      length: fc.integer({ min: 2, max: 60 }),
      batch: fc.integer({ min: 1, max: 5 }),
      context: fc.integer({ min: 1, max: 17 }),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ start, length, batch, context }) => {
        const predicted: number[] = [];
        for await (const { tokens: x, targets: y, weights: w } of evaluationBatches(
          ids,
          { start, length },
          { batch, context },
        )) {
          expect(x?.shape).toEqual([batch, context]);
          Array.from(w?.data as Float32Array).forEach((weight, i) => {
            if (weight === 0) return;
            expect(Number(y?.data[i])).toBe(Number(x?.data[i]) + 1);
            predicted.push(Number(y?.data[i]));
          });
        }
        expect(predicted).toEqual(Array.from({ length: length - 1 }, (_, i) => start + 1 + i));
      }),
      { numRuns: 60 },
    );
    await ids.close();
  });

  test('a part shorter than a window is refused with what would fit', () => {
    expect(() => requireWindow({ start: 0, length: 9 }, 8, 'training')).not.toThrow();
    expect(() => requireWindow({ start: 0, length: 8 }, 8, 'training')).toThrow(
      expect.objectContaining({ code: 'context_too_long', hint: expect.stringContaining('at most 7') }),
    );
  });
});

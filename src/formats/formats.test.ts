import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DType, type HostTensor, tensor, zeros } from '../base/tensor.ts';
import { brainToFloats, floatsToHalves, fromHalf, halvesToFloats, toHalf } from './float16.ts';
import { readSafetensors, safetensorsPieces, writeSafetensors } from './safetensors.ts';
import { readTar } from './tar.ts';
import { tar, tarHeader } from './tests/tar-writer.ts';

const dtypes: readonly DType[] = ['f32', 'f64', 'f16', 'i32', 'i64', 'u8', 'bool'];

describe('half precision', () => {
  test('all 65536 values survive the way to float32 and back', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const back = floatsToHalves(halvesToFloats(halves));
    for (let half = 0; half < 65536; half++) {
      const isNan = (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0;
      if (isNan) expect(Number.isNaN(fromHalf(back[half] as number))).toBe(true);
      else if (back[half] !== half) expect(back[half]).toBe(half);
    }
  });

  test('known values', () => {
    const cases: [number, number][] = [
      [0x3c00, 1],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x0400, 2 ** -14],
      [0x0001, 2 ** -24],
      [0x7c00, Infinity],
      [0xfc00, -Infinity],
      [0x3555, 0.333251953125],
    ];
    for (const [half, value] of cases) {
      expect(fromHalf(half)).toBe(value);
      expect(toHalf(value)).toBe(half);
    }
    expect(Object.is(fromHalf(0x8000), -0)).toBe(true);
    expect(toHalf(-0)).toBe(0x8000);
  });

  test('rounds to the nearest, ties to even', () => {
    const all = Array.from({ length: 0x7c00 }, (_, half) => fromHalf(half));
    fc.assert(
      fc.property(fc.float({ min: 0, max: 65503, noNaN: true }), (value) => {
        const half = toHalf(value);
        const error = Math.abs((all[half] as number) - value);
        for (const other of [half - 1, half + 1]) {
          const distance = Math.abs((all[other] ?? Infinity) - value);
          expect(distance > error || (distance === error && half % 2 === 0)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
    expect(toHalf(1 + 2 ** -11)).toBe(0x3c00);
    expect(toHalf(1 + 3 * 2 ** -11)).toBe(0x3c02);
    expect(toHalf(65519.99)).toBe(0x7bff);
    expect(toHalf(65520)).toBe(0x7c00);
    expect(toHalf(2 ** -25)).toBe(0);
    expect(toHalf(2 ** -25 * 1.5)).toBe(1);
  });

  test('bfloat16', () => {
    expect([...brainToFloats(Uint16Array.of(0x3f80, 0xc000, 0x7f80))]).toEqual([1, -2, Infinity]);
  });
});

const anyTensor: fc.Arbitrary<HostTensor> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
    seed: fc.integer({ min: 0, max: 250 }),
  })
  .map(({ dtype, shape, seed }) => {
    const value = zeros(dtype, shape);
    for (let i = 0; i < value.data.length; i++)
      value.data[i] = (
        dtype === 'i64' ? BigInt(seed - i) : dtype === 'bool' ? (seed + i) % 2 : seed + i
      ) as never;
    return value;
  });

describe('safetensors', () => {
  const names = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__metadata__');

  test('round trip of any tensors and metadata', () => {
    fc.assert(
      fc.property(fc.dictionary(names, anyTensor), fc.dictionary(names, fc.string()), (tensors, metadata) => {
        const file = readSafetensors(writeSafetensors(tensors, metadata));
        expect(file.metadata).toEqual({ ...metadata });
        expect(Object.keys(file.tensors).sort()).toEqual(Object.keys(tensors).sort());
        for (const [name, value] of Object.entries(tensors)) {
          expect(file.tensors[name]).toEqual({ ...value, shape: [...value.shape] });
        }
      }),
      { numRuns: 150 },
    );
  });

  test('the same tensors give the same bytes, whatever their order; data is aligned', () => {
    const [a, b] = [tensor('f32', [3], [1, 2, 3]), tensor('u8', [1], [7])];
    expect(writeSafetensors({ a, b })).toEqual(writeSafetensors({ b, a }));
    const pieces = safetensorsPieces({ a, b }, { k: 'v' });
    expect(((pieces[0] as Uint8Array).length + (pieces[1] as Uint8Array).length) % 8).toBe(0);
  });

  test('names and texts may look like keys; a tensor may not be called __metadata__', () => {
    const tensors = { 'a":{"b': tensor('u8', [1], [1]), '}"a":': tensor('f32', [1], [2]) };
    const metadata = { dtype: '"x":{', shape: '"}', x: '\\"' };
    const file = readSafetensors(writeSafetensors(tensors, metadata));
    expect(file).toEqual({ tensors, metadata });
    expect(() => writeSafetensors({ __metadata__: tensor('u8', [1], [1]) })).toThrow(
      expect.objectContaining({ code: 'safetensors_name' }),
    );
  });

  test('tensors are views; wide elements come first; a Buffer at an odd place is read too', () => {
    const [a, b] = [tensor('u8', [3], [1, 2, 3]), tensor('f64', [1], [0.5])];
    const bytes = writeSafetensors({ a, b });
    expect(readSafetensors(bytes).tensors.b?.data.buffer).toBe(bytes.buffer);
    const odd = Buffer.concat([Buffer.of(0), bytes]).subarray(1);
    expect(readSafetensors(odd).tensors).toEqual({ a, b });
    for (let offset = 0; offset < 8; offset++) {
      const at = Buffer.concat([Buffer.alloc(offset), bytes]).subarray(offset);
      expect(readSafetensors(at).tensors).toEqual({ a, b });
    }
  });

  test('bfloat16 comes out as float32', () => {
    const header = '{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}';
    const { tensors } = readSafetensors(raw(header, Uint8Array.of(0x80, 0x3f, 0x00, 0xc0)));
    expect(tensors.x).toEqual({ dtype: 'f32', shape: [2], data: Float32Array.of(1, -2) });
  });

  function raw(
    header: string | Uint8Array,
    data: Uint8Array = new Uint8Array(0),
    length?: bigint,
  ): Uint8Array {
    const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
    const size = new Uint8Array(8);
    new DataView(size.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
    return Uint8Array.from(Buffer.concat([size, text, data]));
  }
  const entry = (changes: object): string =>
    JSON.stringify({ a: { dtype: 'U8', shape: [4], data_offsets: [0, 4], ...changes } });
  const four = new Uint8Array(4);

  test.each([
    ['nothing', new Uint8Array(0)],
    ['shorter than its length field', new Uint8Array(7)],
    ['a length past the end', raw('{}', four, 100n)],
    ['an absurd length', raw('{}', four, 2n ** 63n)],
    ['no JSON', raw('{"a"')],
    ['bytes that are no UTF-8', raw(Uint8Array.of(0xff, 0xfe))],
    ['a list', raw('[]')],
    ['null', raw('null')],
    ['an entry without a shape', raw('{"a":{"dtype":"U8","data_offsets":[0,4]}}', four)],
    ['a negative size', raw(entry({ shape: [-4] }), four)],
    ['a fractional size', raw(entry({ shape: [1.5] }), four)],
    ['sizes that overflow', raw(entry({ shape: [2 ** 40, 2 ** 40] }), four)],
    ['offsets the wrong way round', raw(entry({ data_offsets: [4, 0] }), four)],
    ['offsets past the end', raw(entry({ data_offsets: [0, 8], shape: [8] }), four)],
    ['a size that does not fit', raw(entry({ shape: [3] }), four)],
    ['bytes left over', raw(entry({}), new Uint8Array(5))],
    [
      'a hole',
      raw(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}',
        new Uint8Array(3),
      ),
    ],
    [
      'an overlap',
      raw(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
        new Uint8Array(3),
      ),
    ],
    [
      'a name twice',
      raw(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\\u0061" : {"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        four,
      ),
    ],
    ['space before the header', raw(` ${entry({})}`, four)],
    ['metadata that is no text', raw('{"__metadata__":{"a":1}}')],
    ['metadata that is a list', raw('{"__metadata__":[]}')],
  ])('damage: %s', (_, bytes) => {
    expect(() => readSafetensors(bytes)).toThrow(
      expect.objectContaining({ code: 'safetensors_corrupt', exitStatus: 3 }),
    );
  });

  test('an element type that is not known is told, not guessed', () => {
    expect(() => readSafetensors(raw(entry({ dtype: 'F8_E4M3' }), four))).toThrow(
      expect.objectContaining({ code: 'safetensors_unsupported', exitStatus: 9 }),
    );
  });

  test('cut anywhere, it is never read as something else', () => {
    const whole = writeSafetensors({ a: tensor('f32', [2], [1, 2]), b: tensor('i32', [1], [3]) });
    for (let length = 0; length < whole.length; length++) {
      expect(() => readSafetensors(whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'safetensors_corrupt' }),
      );
    }
  });

  test('any flipped byte gives tensors or one of our errors', () => {
    const whole = writeSafetensors({ a: tensor('f32', [2], [1, 2]) }, { k: 'v' });
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(whole);
        bytes[at] = (bytes[at] as number) ^ change;
        try {
          readSafetensors(bytes);
        } catch (thrown) {
          expect((thrown as { code?: string }).code).toMatch(/^safetensors_/);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('tar', () => {
  async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  async function read(bytes: Uint8Array, size = 700): Promise<Record<string, string>> {
    const files: Record<string, string> = {};
    for await (const piece of readTar(chunks(bytes, size)))
      files[piece.name] = (files[piece.name] ?? '') + Buffer.from(piece.bytes).toString('latin1');
    return files;
  }

  test('any files, in chunks of any size', async () => {
    const long = `${'folder/'.repeat(30)}file.txt`;
    const content = fc.dictionary(
      fc.constantFrom('a', 'b/c.txt', 'd', long),
      fc.string({ unit: fc.constantFrom('x', 'y', '\n'), maxLength: 1200 }),
      { noNullPrototype: true },
    );
    await fc.assert(
      fc.asyncProperty(content, fc.integer({ min: 1, max: 3000 }), async (files, size) => {
        const archive = tar(Object.entries(files).map(([name, text]) => ({ name, content: text })));
        expect(await read(archive, size)).toEqual(files);
      }),
      { numRuns: 50 },
    );
  });

  test('pax names, prefixes, sizes in base 256; links and folders are passed over', async () => {
    const pax = `${paxRecord('comment', '9 path=no')}${paxRecord('path', 'from a\npax/é.txt')}${paxRecord('size', '2')}`;
    const archive = tar([
      { name: 'pax', type: 'x', content: pax },
      { name: 'a note on all', type: 'g', content: paxRecord('path', 'not-this') },
      { name: 'the long name of a link', type: 'K', content: 'x'.repeat(600) },
      { name: 'short', content: 'PP' },
      { name: 'folder/', type: '5' },
      { name: 'link', type: '2' },
      { name: 'old', type: '\0', content: 'O' },
      { name: 'old-folder/', type: '\0' },
    ]);
    expect(await read(archive)).toEqual({ 'from a\npax/é.txt': 'PP', old: 'O' });

    const header = tarHeader('name.txt', 1, '0');
    header.set(new TextEncoder().encode('some/prefix'), 345);
    header.fill(0, 124, 136);
    header[124] = 0x80;
    header[135] = 1;
    fixSum(header);
    const block = new Uint8Array(512);
    block[0] = 88;
    expect(await read(Uint8Array.from(Buffer.concat([header, block, new Uint8Array(1024)])))).toEqual({
      'some/prefix/name.txt': 'X',
    });
  });

  /** `LENGTH KEY=VALUE\n`, the length counting itself, in bytes. */
  function paxRecord(key: string, value: string): string {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    let length = rest + 1;
    while (length !== rest + String(length).length) length = rest + String(length).length;
    return `${length} ${key}=${value}\n`;
  }

  test('reading that ends early closes the source', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* chunks(tar([{ name: 'a', content: 'x'.repeat(5000) }]), 600);
      } finally {
        closed = true;
      }
    }
    for await (const piece of readTar(source())) {
      expect(piece.name).toBe('a');
      break;
    }
    expect(closed).toBe(true);
  });

  function fixSum(header: Uint8Array): void {
    header.fill(32, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  }

  test('damage is told', async () => {
    const archive = tar([{ name: 'a.txt', content: 'x'.repeat(1000) }]);
    const corrupt = (bytes: Uint8Array, why: RegExp): Promise<void> =>
      expect(read(bytes)).rejects.toMatchObject({ code: 'tar_corrupt', message: expect.stringMatching(why) });
    await corrupt(archive.subarray(0, 300), /inside a header/);
    await corrupt(archive.subarray(0, 1000), /inside a\.txt/);
    await corrupt(new TextEncoder().encode('not a tar '.repeat(60)), /checksum/);
    const flipped = Uint8Array.from(archive);
    flipped[0] = 98;
    await corrupt(flipped, /checksum/);
    await corrupt(tar([{ name: 'p', type: 'x', content: '99 path=a\n' }]), /malformed pax/);
    await corrupt(tar([{ name: 'p', type: 'x', content: 'nonsense' }]), /malformed pax/);
    await corrupt(tarHeader('p', 2 ** 30, 'L'), /inside a name/);
    const sized = tarHeader('a', 0, '0');
    sized.set(new TextEncoder().encode('zzz'), 124);
    fixSum(sized);
    await corrupt(Uint8Array.from(Buffer.concat([sized, new Uint8Array(512)])), /no size/);
    await corrupt(tar([{ name: `${'n'.repeat(120)}`, content: 'x' }]).subarray(0, 600), /inside a name/);
    expect(await read(new Uint8Array(0))).toEqual({});
  });
});

/** What the browser packs is read by the reader that trainings use. */
import { describe, expect, it } from 'vitest';
import { readTar } from '../../formats/tar.ts';
import { packed, toSend } from './pack.ts';

function file(name: string, bytes: number, more: { type?: string; inside?: string } = {}): File {
  const made = new File([new Uint8Array(bytes).fill(7)], name, { type: more.type ?? 'image/png' });
  return Object.assign(made, { webkitRelativePath: more.inside ?? '' });
}

async function unpacked(archive: File): Promise<[string, number][]> {
  const bytes = new Uint8Array(await archive.arrayBuffer());
  expect(bytes.length % 512).toBe(0);
  const found = new Map<string, number>();
  for await (const { name, bytes: piece } of readTar(
    (async function* () {
      yield bytes;
    })(),
  ))
    found.set(name, (found.get(name) ?? 0) + piece.filter((value) => value === 7).length);
  return [...found];
}

describe('pictures in one file', () => {
  it('are a tar of all of them, whatever their sizes and names', async () => {
    const long = `${'雨'.repeat(40)}.webp`;
    const archive = packed(
      [file('a.png', 1), file('b.png', 512), file(long, 513), file('d.png', 0)],
      'pictures',
    );
    expect(archive.name).toBe('pictures.tar');
    expect(await unpacked(archive)).toEqual([
      ['a.png', 1],
      ['b.png', 512],
      ['000002.webp', 513],
      ['d.png', 0],
    ]);
  });

  it('of a folder keep their classes, and the folder’s name', async () => {
    const given = [
      file('1.png', 3, { inside: 'digits/three/1.png' }),
      file('.DS_Store', 9, { inside: 'digits/.DS_Store', type: '' }),
      file(`${'x'.repeat(120)}.png`, 4, { inside: `digits/four/${'x'.repeat(120)}.png` }),
      file('5.png', 5, { inside: `digits/${'y'.repeat(120)}/5.png` }),
    ];
    const archive = toSend(given) as File;
    expect(archive.name).toBe('digits.tar');
    expect(await unpacked(archive)).toEqual([
      ['three/1.png', 3],
      ['four/000001.png', 4],
      ['000002.png', 5],
    ]);
  });

  it('an archive is sent as it is, a single picture packed', () => {
    const zip = file('icons.zip', 10, { type: 'application/zip' });
    expect(toSend([zip])).toBe(zip);
    expect(toSend([file('one.png', 10)])?.name).toBe('pictures.tar');
    expect(toSend([])).toBeUndefined();
  });
});

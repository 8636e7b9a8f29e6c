/**
 * SentencePiece's compiled normaliser: a double-array trie from UTF-8 to places in a table of replacements (Yata et al.
 * 2007; the layout of darts-clone). Applied as Hugging Face's tokenizers does: grapheme by grapheme where it is short,
 * else character by character, and by the shortest rule that fits its beginning.
 */
import { InkstoneError } from '../../../base/errors.ts';

const bad = (why: string): InkstoneError =>
  new InkstoneError('tokenizer_invalid', `tokenizer.json is damaged: its precompiled_charsmap ${why}`, {
    kind: 'data',
  });

/** Longer graphemes, in bytes, are taken character by character. */
const SHORT_GRAPHEME = 6;

export class CharactersMap {
  private readonly units: Uint32Array;
  private readonly table: Uint8Array;
  private readonly known = new Map<string, string | undefined>();
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder();
  private readonly segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

  /** @param encoded base64 @throws InkstoneError `tokenizer_invalid` */
  constructor(encoded: string) {
    const bytes = Buffer.from(encoded, 'base64');
    const size = bytes.length < 4 ? Number.NaN : bytes.readUInt32LE(0);
    if (!(size >= 4 && size % 4 === 0 && 4 + size <= bytes.length)) throw bad('lies about its length');
    this.units = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
    this.table = new Uint8Array(bytes.subarray(4 + size));
  }

  normalise(text: string): string {
    if (/^[\u0021-\u007e]*$/.test(text) && this.plain()) return text;
    let made = '';
    for (const { segment } of this.segmenter.segment(text)) {
      const whole =
        this.encoder.encode(segment).length < SHORT_GRAPHEME ? this.replacement(segment) : undefined;
      if (whole !== undefined) made += whole;
      else for (const character of segment) made += this.replacement(character) ?? character;
    }
    return made;
  }

  private plainAscii: boolean | undefined;

  /** Whether no rule begins with a printable ASCII character. */
  private plain(): boolean {
    this.plainAscii ??= Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).every(
      (c) => this.replacement(c) === undefined,
    );
    return this.plainAscii;
  }

  private replacement(text: string): string | undefined {
    if (this.known.has(text)) return this.known.get(text);
    const made = this.look(this.encoder.encode(text));
    if (this.known.size < 65_536) this.known.set(text, made);
    return made;
  }

  /** What stands for the shortest known beginning. */
  private look(key: Uint8Array): string | undefined {
    const offset = (unit: number): number => (unit >>> 10) << ((unit & 512) >>> 6);
    const unitAt = (place: number): number => {
      const unit = this.units[place];
      if (unit === undefined) throw bad('points outside itself');
      return unit;
    };
    let place = offset(unitAt(0)) >>> 0;
    for (const byte of key) {
      if (byte === 0) return undefined;
      place = (place ^ byte) >>> 0;
      const unit = unitAt(place);
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      place = (place ^ offset(unit)) >>> 0;
      if (((unit >>> 8) & 1) === 0) continue;
      const start = unitAt(place) & 0x7fffffff;
      const end = this.table.indexOf(0, start);
      if (start >= this.table.length || end < 0) throw bad('points outside its table');
      return this.decoder.decode(this.table.subarray(start, end));
    }
    return undefined;
  }
}

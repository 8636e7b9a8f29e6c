/** The tokenizers of BLEU, as sacreBLEU has them (Post 2018): mteval-v13a, mteval-v14 (international), characters, Chinese. */
import { characters, strip, words } from './python-text.ts';

export const BLEU_TOKENIZERS = ['13a', 'intl', 'none', 'char', 'zh'] as const;
export type BleuTokenizer = (typeof BLEU_TOKENIZERS)[number];

/** Western punctuation apart; points and commas inside numbers stay. */
function separatePunctuation(line: string): string {
  return line
    .replace(/([{-~[-` -&(-+:-@/])/gu, ' $1 ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/gu, '$1 $2 ');
}

function mteval13a(line: string): string {
  const plain = line.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  const text = plain
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>');
  return separatePunctuation(` ${text} `);
}

function international(line: string): string {
  return line
    .replace(/(\P{N})(\p{P})/gu, '$1 $2 ')
    .replace(/(\p{P})(\P{N})/gu, ' $1 $2')
    .replace(/(\p{S})/gu, ' $1 ');
}

/**
 * First and last of each range. Two of the reference's ranges are written with four digits too few for their planes
 * and take in U+2001–2A6D and U+2F81–2FA1 instead; scores are only comparable if they stay so.
 */
const CHINESE: readonly (readonly [number, number])[] = [
  [0x3400, 0x4db5],
  [0x4e00, 0x9fa5],
  [0x9fa6, 0x9fbb],
  [0xf900, 0xfa2d],
  [0xfa30, 0xfa6a],
  [0xfa70, 0xfad9],
  [0x2001, 0x2a6d],
  [0x2f81, 0x2fa1],
  [0xff00, 0xffef],
  [0x2e80, 0x2eff],
  [0x3000, 0x303f],
  [0x31c0, 0x31ef],
  [0x2f00, 0x2fdf],
  [0x2ff0, 0x2fff],
  [0x3100, 0x312f],
  [0x31a0, 0x31bf],
  [0xfe10, 0xfe1f],
  [0xfe30, 0xfe4f],
  [0x2600, 0x26ff],
  [0x2700, 0x27bf],
  [0x3200, 0x32ff],
  [0x3300, 0x33ff],
];

const isChinese = (character: string): boolean => {
  const code = character.codePointAt(0) as number;
  return CHINESE.some(([first, last]) => code >= first && code <= last);
};

function chinese(line: string): string {
  const apart = characters(strip(line)).map((c) => (isChinese(c) ? ` ${c} ` : c));
  return separatePunctuation(apart.join(''));
}

/** The tokens of a segment. */
export function tokenizeForBleu(line: string, tokenizer: BleuTokenizer): string[] {
  switch (tokenizer) {
    case '13a':
      return words(mteval13a(line));
    case 'intl':
      return words(international(line));
    case 'char':
      return words(characters(line).join(' '));
    case 'zh':
      return words(chinese(line));
    case 'none':
      return words(line);
  }
}

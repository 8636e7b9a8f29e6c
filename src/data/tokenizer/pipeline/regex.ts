/**
 * Regular expressions of tokenizer.json (Oniguruma's dialect, Unicode) as JavaScript's. What has no counterpart is
 * refused, never read as something else.
 */
import { InkstoneError } from '../../../base/errors.ts';

const LONGEST = 8192;

/** White space is Unicode's property there; JavaScript's `\s` has U+FEFF too and lacks U+0085. */
const CLASSES: Record<string, { inside: string; outside: string }> = {
  s: { inside: '\\p{White_Space}', outside: '\\p{White_Space}' },
  S: { inside: '\\P{White_Space}', outside: '\\P{White_Space}' },
  d: { inside: '\\p{Nd}', outside: '\\p{Nd}' },
  D: { inside: '\\P{Nd}', outside: '\\P{Nd}' },
  w: { inside: '\\p{L}\\p{M}\\p{Nd}\\p{Pc}', outside: '[\\p{L}\\p{M}\\p{Nd}\\p{Pc}]' },
  W: { inside: '', outside: '[^\\p{L}\\p{M}\\p{Nd}\\p{Pc}]' },
  h: { inside: '0-9a-fA-F', outside: '[0-9a-fA-F]' },
  H: { inside: '', outside: '[^0-9a-fA-F]' },
};

const unsupported = (pattern: string, what: string): InkstoneError =>
  new InkstoneError('tokenizer_unsupported', `the pattern ${JSON.stringify(pattern)} has ${what}`, {
    kind: 'unsupported',
    hint: 'this part of regular expressions has no counterpart here',
  });

/** Letters in both cases, and the two that fold onto ASCII letters: U+017F and U+212A. */
function folded(character: string): string {
  const forms = new Set([character, character.toLowerCase(), character.toUpperCase()]);
  if (forms.has('s')) forms.add('\u017f');
  if (forms.has('k')) forms.add('\u212a');
  return [...forms].filter((form) => [...form].length === 1).join('');
}

/** @throws InkstoneError `tokenizer_unsupported`, `tokenizer_invalid` */
export function compileRegex(pattern: string): RegExp {
  if (pattern.length > LONGEST) throw unsupported(pattern.slice(0, 40), `${pattern.length} characters`);
  try {
    return new RegExp(new Translation(pattern).text(), 'gu');
  } catch (cause) {
    if (InkstoneError.is(cause)) throw cause;
    throw new InkstoneError('tokenizer_invalid', `the pattern ${JSON.stringify(pattern)} cannot be read`, {
      kind: 'data',
      cause,
    });
  }
}

class Translation {
  private readonly pattern: string;
  private readonly characters: readonly string[];
  private at = 0;
  /** Groups that are kept for possessive quantifiers; all others are not. */
  private kept = 0;
  /** Whether case is ignored, group by group. */
  private readonly ignoring: boolean[] = [false];

  constructor(pattern: string) {
    this.pattern = pattern;
    this.characters = [...pattern];
  }

  private get ignores(): boolean {
    return this.ignoring.at(-1) as boolean;
  }

  private take(count = 1): string {
    const taken = this.characters.slice(this.at, this.at + count).join('');
    this.at += count;
    return taken;
  }

  private looking(at: string): boolean {
    return this.characters.slice(this.at, this.at + at.length).join('') === at;
  }

  text(): string {
    let out = '';
    /** Where the last atom begins in what is written, and the groups that are open. */
    let atom = 0;
    const open: number[] = [];
    while (this.at < this.characters.length) {
      const before = out.length;
      const counted = /^\{\d*,?\d*\}/.exec(this.characters.slice(this.at, this.at + 24).join(''))?.[0];
      if (counted !== undefined) {
        out += this.take(counted.length);
        // A plus after a count repeats what was counted: only after + * ? it is possessive.
        if (/[*+]/.test(this.characters[this.at] ?? '')) out = `${out.slice(0, atom)}(?:${out.slice(atom)})`;
        continue;
      }
      if (/[*+?]/.test(this.characters[this.at] as string)) {
        const mark = this.take();
        // A possessive quantifier gives nothing back: a look-ahead keeps what it took.
        if (this.looking('+')) {
          this.take();
          out = `${out.slice(0, atom)}(?=(${out.slice(atom)}${mark}))\\${++this.kept}`;
        } else out += mark;
        continue;
      }
      if (this.looking(')')) {
        atom = open.pop() ?? 0;
        this.ignoring.pop();
        out += this.take();
        continue;
      }
      atom = before;
      if (this.looking('(')) {
        const made = this.group();
        if (made !== '') open.push(before);
        out += made;
      } else if (this.looking('[')) out += this.set();
      else if (this.looking('\\')) out += this.escape(false);
      else if (this.looking('.')) {
        this.take();
        out += '[^\\n]';
      } else if (/[|^$]/.test(this.characters[this.at] as string)) out += this.take();
      else out += this.literal(this.take());
    }
    return out;
  }

  private literal(character: string): string {
    if (this.ignores && /\p{L}/u.test(character)) return `[${folded(character)}]`;
    return /[\\/\]{})]/.test(character) ? `\\${character}` : character;
  }

  private group(): string {
    for (const plain of ['(?:', '(?=', '(?!', '(?<=', '(?<!']) {
      if (!this.looking(plain)) continue;
      this.ignoring.push(this.ignores);
      return this.take(plain.length);
    }
    if (this.looking('(?i:')) {
      this.take(4);
      this.ignoring.push(true);
      return '(?:';
    }
    // `(?i)` counts to the end of the group that it stands in.
    if (this.looking('(?i)')) {
      this.take(4);
      this.ignoring[this.ignoring.length - 1] = true;
      return '';
    }
    if (this.looking('(?')) throw unsupported(this.pattern, `a group ${this.take(4)}…`);
    this.ignoring.push(this.ignores);
    return `${this.take()}?:`;
  }

  private set(): string {
    let out = this.take();
    if (this.looking('^')) out += this.take();
    let first = true;
    while (this.at < this.characters.length && (first || !this.looking(']'))) {
      if (this.looking('[')) throw unsupported(this.pattern, 'a set within a set');
      if (this.looking('&&')) throw unsupported(this.pattern, 'an intersection of sets');
      if (this.looking('\\')) out += this.escape(true);
      else {
        const character = this.take();
        if (this.ignores && /\p{L}/u.test(character)) out += folded(character);
        else out += character === ']' ? '\\]' : character;
      }
      first = false;
    }
    return out + this.take();
  }

  private escape(inside: boolean): string {
    this.take();
    const character = this.take();
    const known = CLASSES[character];
    if (known !== undefined) {
      const text = inside ? known.inside : known.outside;
      if (text === '') throw unsupported(this.pattern, `\\${character} within a set`);
      return text;
    }
    if (character === 'p' || character === 'P') return this.property(character);
    if (character === 'x' && this.looking('{')) {
      this.take();
      let digits = '';
      while (!this.looking('}') && this.at < this.characters.length) digits += this.take();
      this.take();
      return `\\u{${digits}}`;
    }
    if (/[nrtfv]/.test(character)) return `\\${character}`;
    if (character === 'x') return `\\x${this.take(2)}`;
    if (character === 'u') return `\\u${this.take(4)}`;
    if (!inside && (character === 'b' || character === 'B'))
      throw unsupported(this.pattern, 'a word boundary');
    if (character === 'A') return '^';
    if (character === 'z') return '$';
    if (/[A-Za-z0-9]/.test(character)) throw unsupported(this.pattern, `\\${character}`);
    return /[\^$\\.*+?()[\]{}|/-]/.test(character)
      ? character === '-' && !inside
        ? '-'
        : `\\${character}`
      : character;
  }

  private property(kind: string): string {
    if (!this.looking('{')) throw unsupported(this.pattern, `\\${kind} without a name`);
    this.take();
    let name = '';
    while (!this.looking('}') && this.at < this.characters.length) name += this.take();
    this.take();
    let own = kind;
    if (name.startsWith('^')) {
      name = name.slice(1);
      own = kind === 'p' ? 'P' : 'p';
    }
    for (const spelled of [name, `Script=${name}`]) {
      try {
        new RegExp(`\\p{${spelled}}`, 'u');
        return `\\${own}{${spelled}}`;
      } catch {
        // The next spelling may be known.
      }
    }
    throw unsupported(this.pattern, `the property ${name}`);
  }
}

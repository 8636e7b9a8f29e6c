/** Values for fuzzing: what a JSON schema asks for, and what it does not, by one seed. Knows no routes. */
import { Random } from '../../src/base/rng.ts';

export type Schema = Readonly<Record<string, unknown>>;

const WORDS = [
  ...[
    '',
    'a',
    'letters',
    'say',
    'null',
    'true',
    '0',
    '-1',
    '1e999',
    'NaN',
    '../../etc/passwd',
    '..\\..\\windows',
    '%00',
    '%2e%2e%2f',
  ],
  ...[
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:127.0.0.1]:22/',
    'data:text/html,x',
    '{{7*7}}',
  ],
  ...[
    '{% for i in range(10) %}x{% endfor %}',
    '$${jndi:ldap://x}'.slice(1),
    "'; DROP TABLE rows; --",
    '$(touch /tmp/x)',
    '`id`',
    '<script>alert(1)</script>',
  ],
  ...[
    '\u0000',
    '\ud800',
    '\u202e\ufeff',
    '龍'.repeat(50),
    '🂡'.repeat(20),
    'a'.repeat(5000),
    '(a+)+$',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
    '\r\nset-cookie: a=b',
  ],
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    '__defineGetter__',
    'ink-wrong',
    'req-1',
    'file-1',
    'resp_00',
  ],
];
const NUMBERS = [
  ...[
    0,
    -0,
    1,
    -1,
    2,
    0.5,
    64,
    255,
    4096,
    65_536,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    -(2 ** 53),
    1e21,
    1e308,
    -1e308,
    5e-324,
  ],
];

export class Fuzz {
  readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed, 'fuzz');
  }

  chance(share: number): boolean {
    return this.random.uniform() < share;
  }

  of<T>(all: readonly T[]): T {
    return all[this.random.integer(all.length)] as T;
  }

  word(): string {
    if (this.chance(0.7)) return this.of(WORDS);
    return Array.from({ length: this.random.integer(40) }, () =>
      String.fromCharCode(this.random.integer(this.chance(0.8) ? 128 : 65_536)),
    ).join('');
  }

  number(): number {
    return this.chance(0.7) ? this.of(NUMBERS) : Math.round(this.random.normal() * 100);
  }

  /** Anything that JSON holds. */
  any(depth = 0): unknown {
    const kind = this.random.integer(depth > 3 ? 4 : 7);
    if (kind === 0) return this.word();
    if (kind === 1) return this.number();
    if (kind === 2) return this.chance(0.5);
    if (kind === 3) return null;
    if (kind === 4) return Array.from({ length: this.random.integer(4) }, () => this.any(depth + 1));
    if (kind === 5) return this.deep();
    return this.object(depth);
  }

  private object(depth: number): unknown {
    const entries = Array.from({ length: this.random.integer(4) }, () => [this.word(), this.any(depth + 1)]);
    // JSON.parse makes `__proto__` a property of its own, as a body does.
    return JSON.parse(
      `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`,
    );
  }

  /** Brackets without end. */
  private deep(): unknown {
    let value: unknown = 1;
    for (let i = this.random.integer(200); i > 0; i--) value = this.chance(0.5) ? [value] : { a: value };
    return value;
  }

  /** What the schema asks for, now and then something else. */
  like(schema: Schema | undefined, wrong: number, depth = 0): unknown {
    if (schema === undefined || depth > 6 || this.chance(wrong)) return this.any(depth);
    if (schema.const !== undefined) return schema.const;
    if (Array.isArray(schema.enum)) return this.of(schema.enum);
    if (schema.default !== undefined && this.chance(0.3)) return schema.default;
    const choices = (schema.anyOf ?? schema.oneOf) as readonly Schema[] | undefined;
    if (choices !== undefined) return this.like(this.of(choices), wrong, depth + 1);
    const type = Array.isArray(schema.type) ? this.of(schema.type) : schema.type;
    if (type === 'object' || schema.properties !== undefined) return this.properties(schema, wrong, depth);
    if (type === 'array')
      return Array.from({ length: 1 + this.random.integer(3) }, () =>
        this.like(schema.items as Schema | undefined, wrong, depth + 1),
      );
    if (type === 'string') return this.chance(0.3) ? 'letters' : this.chance(0.5) ? 'say' : this.word();
    if (type === 'integer' || type === 'number') return this.within(schema, type === 'integer');
    if (type === 'boolean') return this.chance(0.5);
    return type === 'null' ? null : this.any(depth);
  }

  private properties(schema: Schema, wrong: number, depth: number): unknown {
    const required = (schema.required ?? []) as readonly string[];
    const entries = Object.entries((schema.properties ?? {}) as Record<string, Schema>)
      .filter(([name]) => (required.includes(name) ? !this.chance(wrong) : this.chance(0.25)))
      .map(([name, value]) => [
        name,
        name === 'model' && !this.chance(wrong) ? 'letters' : this.like(value, wrong, depth + 1),
      ]);
    if (this.chance(wrong)) entries.push([this.word(), this.any(depth + 1)]);
    return Object.fromEntries(entries);
  }

  private within({ minimum, maximum, exclusiveMinimum }: Schema, whole: boolean): number {
    if (this.chance(0.2)) return this.number();
    const low = Number(minimum ?? exclusiveMinimum ?? 0);
    const high = Math.min(Number(maximum ?? 20), low + 20);
    const value = low + this.random.uniform() * (high - low);
    return whole ? Math.round(value) : value;
  }
}

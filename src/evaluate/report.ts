/**
 * A model card of an evaluation: what was measured, on which data, by which rules, with which code. One record, as JSON
 * and as Markdown. Formats facts; measures nothing.
 */
import { createHash } from 'node:crypto';
import type { HostTensors } from '../base/tensor.ts';

export interface CardResult {
  name: string;
  value: number;
  unit: string;
  /** The interval at 95 %, where there is one. */
  lower?: number;
  upper?: number;
  /** How the interval was made. */
  interval?: string;
  /** Of how many it is. */
  count?: number;
}

export interface EvaluationCard {
  model: {
    name: string;
    family: string;
    architecture: string;
    parameters: number;
    /** SHA-256 over the parameters as they were used, in order of name. */
    weights: string;
  };
  data: {
    path: string;
    /** SHA-256 of the text, or of pixels and labels, in order. */
    fingerprint: string;
    split: string;
  } & ({ characters: number; documents: number } | { pictures: number; classes: readonly string[] });
  /** The rules, one sentence each. */
  protocol: string[];
  results: CardResult[];
  /** What the numbers do not say. */
  limits: string[];
  command: string;
  version: string;
  /** 40 hexadecimal digits; null outside a checkout. */
  commit: string | null;
  machine: string;
  /** ISO 8601. */
  created: string;
}

/** SHA-256 over names, shapes and bytes: equal for equal parameters. */
export function fingerprintWeights(weights: HostTensors): string {
  const digest = createHash('sha256');
  for (const name of Object.keys(weights).sort()) {
    const { dtype, shape, data } = weights[name] as HostTensors[string];
    digest.update(`${name} ${dtype} ${shape.join('x')}\n`);
    digest.update(new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength));
  }
  return digest.digest('hex');
}

const digits = (value: number): string =>
  Number.isFinite(value) ? String(Number(value.toPrecision(6))) : String(value);

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ');
const code = (text: string): string => `\`${text.replaceAll('`', "'")}\``;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function sizeOf(data: EvaluationCard['data']): string {
  if ('characters' in data) return `${data.characters} characters, ${data.documents} documents`;
  const classes = data.classes.length === 0 ? '' : `, ${data.classes.length} classes`;
  return `${data.pictures} pictures${classes}`;
}

/** The Markdown of a card. */
export function evaluationMarkdown(card: EvaluationCard): string {
  const { model, data, results } = card;
  const facts: [string, string][] = [
    ['Model', `${model.name}: ${model.architecture}, ${model.parameters} parameters`],
    ['Weights', `SHA-256 ${model.weights}`],
    ['Data', data.path],
    ['Fingerprint', `SHA-256 ${data.fingerprint}`],
    ['Size', `${sizeOf(data)}; ${data.split}`],
    ['Command', code(card.command)],
    ['Code', card.commit === null ? card.version : `${card.version}, commit ${card.commit}`],
    ['Machine', card.machine],
    ['Date', card.created],
  ];
  const measured = results.map(({ name, value, unit, lower, upper, interval, count }) => [
    name,
    digits(value),
    lower === undefined || upper === undefined ? '' : `${digits(lower)} – ${digits(upper)}`,
    unit,
    [count === undefined ? '' : `of ${count}`, interval ?? ''].filter((part) => part !== '').join(', '),
  ]);
  const list = (lines: readonly string[]): string => lines.map((one) => `- ${one}`).join('\n');
  return `${[
    `# ${model.name}, evaluated`,
    table(['Measure', 'Value', '95 % interval', 'Unit', ''], measured),
    '## From what',
    table(['', ''], facts),
    '## Protocol',
    list(card.protocol),
    '## Limits',
    list(card.limits),
  ].join('\n\n')}\n`;
}

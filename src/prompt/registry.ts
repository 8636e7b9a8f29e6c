/**
 * Prompts by name in a store: versions that never change, labels that point at one (`production`), their history.
 * `name` is the newest version, `name@3` the third, `name@production` what the label points at. One process writes.
 */
import { createHash } from 'node:crypto';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import { nearest } from '../base/nearest.ts';
import { compilePrompt, type Prompt, type PromptDefinition } from './definition.ts';
import { type DiffLine, differenceOf } from './difference.ts';

/** One version; its row is written once. */
export interface PromptVersion {
  name: string;
  version: number;
  definition: PromptDefinition;
  /** SHA-256 of the definition. */
  hash: string;
  note?: string | undefined;
  /** Seconds since 1970. */
  created: number;
}

export interface LabelMove {
  label: string;
  /** null: the label was taken away. */
  version: number | null;
  at: number;
}

export interface PromptSummary {
  name: string;
  latest: number;
  description?: string | undefined;
  labels: Record<string, number>;
  created: number;
  updated: number;
}

export interface PromptHistory extends PromptSummary {
  /** The newest first. */
  versions: (Omit<PromptVersion, 'definition'> & { labels: string[] })[];
  /** The newest first. */
  moves: LabelMove[];
}

interface VersionRow extends Row, PromptVersion {}
interface HeadRow extends Row {
  latest: number;
  description?: string | undefined;
  labels: Record<string, number>;
  moves: LabelMove[];
  created: number;
  updated: number;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const HEADS = 'prompts';
const VERSIONS = 'prompt-versions';
/** Moves of labels that are kept. */
const MOVES = 200;

const rowId = (name: string, version: number): string => `${name}@${String(version).padStart(8, '0')}`;
const seconds = (): number => Math.floor(now() / 1000);

function usage(code: string, message: string, hint: string, param: string): InkstoneError {
  return new InkstoneError(code, message, { kind: 'usage', hint, details: { param } });
}

/** Fields in one order, so that the same prompt has the same hash. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, canonical(one)]),
  );
}

export const promptHash = (definition: PromptDefinition): string =>
  createHash('sha256')
    .update(JSON.stringify(canonical(definition)))
    .digest('hex');

/** Lines to compare two versions by: texts as they read, the rest as JSON. */
export function promptLines({ text, messages, ...rest }: PromptDefinition): string[] {
  const lines = (messages ?? []).flatMap((one) =>
    'examples' in one ? ['[examples]'] : [`[${one.role}]`, ...one.content.split('\n')],
  );
  const settings = JSON.stringify(canonical(rest), null, 2);
  return [
    ...(text === undefined ? lines : text.split('\n')),
    ...(settings === '{}' ? [] : ['---', ...settings.split('\n')]),
  ];
}

export interface PromptDiff {
  name: string;
  from: number;
  to: number;
  same: boolean;
  lines: DiffLine[];
}

export class PromptRegistry {
  private readonly store: Store;
  /** Changes, one behind the other. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(store: Store) {
    this.store = store;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  private head(name: string): Promise<HeadRow | undefined> {
    return this.store.rows.get<HeadRow>(HEADS, name);
  }

  /** @throws InkstoneError `prompt_not_found`, with the nearest name */
  private async found(name: string): Promise<HeadRow> {
    const row = NAME.test(name) ? await this.head(name) : undefined;
    if (row !== undefined) return row;
    const names = (await this.store.rows.list<HeadRow>(HEADS)).map(({ id }) => id);
    const close = nearest(name, names);
    throw new InkstoneError('prompt_not_found', `there is no prompt ${name}`, {
      kind: 'missing',
      hint: close === undefined ? 'add it first: inkstone prompt add NAME FILE' : `did you mean ${close}?`,
      details: { param: 'name' },
    });
  }

  /**
   * A new version; the newest one again where it is the same.
   * @throws InkstoneError `name_invalid` and what `compilePrompt` throws
   */
  add(
    name: string,
    value: unknown,
    options: { note?: string | undefined; label?: string | undefined } = {},
  ): Promise<PromptVersion & { added: boolean }> {
    return this.inTurn(async () => {
      if (!NAME.test(name))
        throw usage(
          'name_invalid',
          `"${name}" cannot be a prompt's name`,
          'use small letters, digits, dots, dashes and underscores',
          'name',
        );
      if (options.label !== undefined) requireLabel(options.label);
      const { definition } = compilePrompt(value);
      const hash = promptHash(definition);
      const head = await this.head(name);
      const newest = head === undefined ? undefined : await this.row(name, head.latest);
      const at = seconds();
      const added = newest?.hash !== hash;
      // A version whose head was not written is not taken for another one.
      let version = newest === undefined ? 1 : added ? newest.version + 1 : newest.version;
      if (added) while ((await this.store.rows.get(VERSIONS, rowId(name, version))) !== undefined) version++;
      const row: VersionRow =
        added || newest === undefined
          ? {
              id: rowId(name, version),
              name,
              version,
              definition,
              hash,
              created: at,
              ...(options.note === undefined ? {} : { note: options.note }),
            }
          : newest;
      if (added) await this.store.rows.put(VERSIONS, row);
      const next: HeadRow = {
        id: name,
        latest: version,
        labels: head?.labels ?? {},
        moves: head?.moves ?? [],
        created: head?.created ?? at,
        updated: at,
        ...(definition.description === undefined ? {} : { description: definition.description }),
      };
      if (added || options.label !== undefined)
        await this.store.rows.put(
          HEADS,
          options.label === undefined ? next : moved(next, options.label, version, at),
        );
      const { id: _, ...plain } = row;
      return { ...plain, added };
    });
  }

  private async row(name: string, version: number): Promise<VersionRow> {
    const row = await this.store.rows.get<VersionRow>(VERSIONS, rowId(name, version));
    if (row !== undefined) return row;
    throw new InkstoneError('prompt_version_not_found', `${name} has no version ${version}`, {
      kind: 'missing',
      hint: `inkstone prompt show ${name} --history lists them`,
      details: { param: 'version' },
    });
  }

  /** @param reference `name`, `name@3`, `name@label` @throws InkstoneError `prompt_not_found`, `prompt_version_not_found` */
  async get(reference: string): Promise<PromptVersion & { labels: string[] }> {
    const [name, at] = reference.split('@', 2) as [string, string | undefined];
    const head = await this.found(name);
    const version =
      at === undefined || at === 'latest' ? head.latest : /^\d+$/.test(at) ? Number(at) : head.labels[at];
    if (version === undefined)
      throw new InkstoneError('prompt_version_not_found', `${name} has no label ${at}`, {
        kind: 'missing',
        hint: `its labels are ${Object.keys(head.labels).join(', ') || 'none'}; a version is a number`,
        details: { param: 'version' },
      });
    const { id: _, ...row } = await this.row(name, version);
    return { ...row, labels: labelsOf(head, version) };
  }

  /** Ready to render. */
  async open(reference: string): Promise<Prompt & { name: string; version: number; hash: string }> {
    const { definition, name, version, hash } = await this.get(reference);
    return { ...compilePrompt(definition), name, version, hash };
  }

  /** In order of name. */
  async list(): Promise<PromptSummary[]> {
    return (await this.store.rows.list<HeadRow>(HEADS)).map(summaryOf);
  }

  async history(name: string): Promise<PromptHistory> {
    const head = await this.found(name);
    const rows = await Promise.all(
      Array.from({ length: head.latest }, (_, i) =>
        this.store.rows.get<VersionRow>(VERSIONS, rowId(name, head.latest - i)),
      ),
    );
    return {
      ...summaryOf(head),
      versions: rows
        .filter((row) => row !== undefined)
        .map(({ id: _, definition: __, ...row }) => ({ ...row, labels: labelsOf(head, row.version) })),
      moves: [...head.moves].reverse(),
    };
  }

  /** Points a label at a version; null takes it away. */
  label(reference: string, label: string, remove = false): Promise<PromptSummary> {
    return this.inTurn(async () => {
      requireLabel(label);
      const { name, version } = await this.get(reference);
      const head = moved(await this.found(name), label, remove ? null : version, seconds());
      await this.store.rows.put(HEADS, head);
      return summaryOf(head);
    });
  }

  /** @param from, to versions or labels of one prompt */
  async diff(name: string, from: string, to: string): Promise<PromptDiff> {
    const [before, after] = [await this.get(`${name}@${from}`), await this.get(`${name}@${to}`)];
    const lines = differenceOf(promptLines(before.definition), promptLines(after.definition));
    return { name, from: before.version, to: after.version, same: before.hash === after.hash, lines };
  }
}

function requireLabel(label: string): void {
  if (/^[a-z][a-z0-9._-]{0,31}$/.test(label) && label !== 'latest') return;
  throw usage(
    'label_invalid',
    `"${label}" cannot be a label`,
    label === 'latest'
      ? 'latest is always the newest version'
      : 'use small letters, digits, dots, dashes and underscores',
    'label',
  );
}

function moved(head: HeadRow, label: string, version: number | null, at: number): HeadRow {
  const { [label]: before, ...others } = head.labels;
  if (before === (version ?? undefined)) return head;
  return {
    ...head,
    labels: version === null ? others : { ...head.labels, [label]: version },
    moves: [...head.moves, { label, version, at }].slice(-MOVES),
    updated: at,
  };
}

const labelsOf = ({ labels }: HeadRow, version: number): string[] =>
  Object.keys(labels).filter((label) => labels[label] === version);

function summaryOf({ id, latest, description, labels, created, updated }: HeadRow): PromptSummary {
  return {
    name: id,
    latest,
    ...(description === undefined ? {} : { description }),
    labels,
    created,
    updated,
  };
}

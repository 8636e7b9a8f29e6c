/** What is compared: two sides, each a model with a prompt and settings, and what they are given. Knows no drawing. */
import type { GenerationRequest, Message } from '../api/generate.ts';
import type { ModelInfo } from '../api/types.ts';
import { DEFAULTS, type EditedSettings, restored, wireSettings } from '../playground/settings.ts';

export type SideName = 'a' | 'b';
export const SIDES: readonly SideName[] = ['a', 'b'];

export const PLACE = '{{input}}';

export interface Side {
  model: string | undefined;
  /** A prompt that the server keeps, in place of the template; empty for none. */
  registered: string;
  template: string;
  system: string;
  settings: EditedSettings;
  /** Its own, where the two are given different inputs. */
  input: string;
}

export interface Setup {
  mode: 'shared' | 'separate';
  input: string;
  blind: boolean;
  a: Side;
  b: Side;
}

export const EMPTY_SIDE: Side = {
  ...{ model: undefined, registered: '', template: PLACE, system: '', input: '' },
  // Two answers to the same words are compared, so both begin from the same chance.
  settings: { ...DEFAULTS, maxTokens: 120, seed: 1 },
};

export const EMPTY_SETUP: Setup = {
  ...{ mode: 'shared', input: '', blind: false },
  ...{ a: EMPTY_SIDE, b: EMPTY_SIDE },
};

/** The prompt with the input put in its place; what the input contains is never read as a place. */
export const rendered = (template: string, input: string): string => template.split(PLACE).join(input);

export const inputOf = (setup: Setup, side: SideName): string =>
  setup.mode === 'shared' ? setup.input : setup[side].input;

/** What the server made of a registered prompt. */
export interface RenderedPrompt {
  prompt: string;
  messages?: readonly Message[];
}

export function requestOf(
  setup: Setup,
  name: SideName,
  model: ModelInfo,
  registered?: RenderedPrompt,
): GenerationRequest {
  const side = setup[name];
  const prompt = registered?.prompt ?? rendered(side.template, inputOf(setup, name));
  const messages: Message[] = [...(registered?.messages ?? [{ role: 'user' as const, content: prompt }])];
  if (side.system.trim() !== '') messages.unshift({ role: 'system', content: side.system });
  return {
    model: model.id,
    input: model.chat ? { messages } : { prompt },
    settings: wireSettings(side.settings),
    probabilities: true,
  };
}

/** Settings that differ from the ones a new comparison has, by short names. */
function unusual(settings: EditedSettings): string[] {
  const before = EMPTY_SIDE.settings;
  const names = { temperature: 'T', topP: 'top-p', topK: 'top-k', maxTokens: 'max' } as const;
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((name) => settings[name] !== before[name])
    .map((name) => `${names[name]} ${settings[name]}`);
}

const shortened = (text: string): string => {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= 60 ? line : `${line.slice(0, 58)}…`;
};

/** What a side is counted under: the model alone where nothing else is special about it. The seed is no difference. */
export function nameOf(side: Side, model: string): string {
  const parts = [
    ...(side.registered !== ''
      ? [`@${side.registered}`]
      : side.template === PLACE
        ? []
        : [`“${shortened(side.template)}”`]),
    ...(side.system.trim() === '' ? [] : [`[${shortened(side.system)}]`]),
    ...unusual(side.settings),
  ];
  return [model, ...parts].join(' · ').slice(0, 300);
}

/** Only what differs from an empty setup, so that links stay short. */
function difference<T extends object>(value: T, before: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => {
      const old = before[key as keyof T];
      if (typeof item === 'object' && item !== null && typeof old === 'object' && old !== null) {
        const inner = difference(item as object, old as object);
        return Object.keys(inner).length === 0 ? [] : [[key, inner]];
      }
      // JSON forgets undefined; null stands for it.
      return Object.is(item, old) ? [] : [[key, item ?? null]];
    }),
  ) as Partial<T>;
}

/** For an address: URL-safe base64 of JSON. */
export function packed(setup: Setup): string {
  const bytes = new TextEncoder().encode(JSON.stringify(difference(setup, EMPTY_SETUP)));
  let raw = '';
  for (const byte of bytes) raw += String.fromCharCode(byte);
  return btoa(raw).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Undefined for what is no setup of ours; every part is checked, for anybody may write an address. */
export function unpacked(text: string): Setup | undefined {
  try {
    const raw = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
    return readSetup(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const string = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);

function readSide(value: unknown): Side {
  const { model, registered, template, system, settings, input } = record(value);
  const given = record(settings);
  const seed = given.seed === undefined ? EMPTY_SIDE.settings.seed : (given.seed ?? undefined);
  return {
    model: typeof model === 'string' ? model : undefined,
    registered: string(registered, ''),
    template: string(template, PLACE),
    system: string(system, ''),
    settings: {
      ...restored({ ...EMPTY_SIDE.settings, ...given, seed }),
      ...(seed === undefined ? { seed } : {}),
    },
    input: string(input, ''),
  };
}

export function readSetup(value: unknown): Setup {
  const { mode, input, blind, a, b } = record(value);
  return {
    mode: mode === 'separate' ? 'separate' : 'shared',
    input: string(input, ''),
    blind: blind === true,
    a: readSide(a),
    b: readSide(b),
  };
}

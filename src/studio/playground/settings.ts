/** The settings of a request as a person edits them: defaults, limits, stop texts with escapes. */
import type { Settings } from '../api/generate.ts';

/** `stopText` holds one stop text per line, with `\n`, `\t` and `\\` for what cannot be typed. */
export interface EditedSettings extends Omit<Settings, 'stop'> {
  stopText: string;
}

export const DEFAULTS: EditedSettings = {
  temperature: 0.8,
  topK: 0,
  topP: 0.95,
  maxTokens: 200,
  seed: undefined,
  stopText: '',
};

export const LIMITS = {
  temperature: { least: 0, most: 2, step: 0.05 },
  topK: { least: 0, most: 1000, step: 1 },
  topP: { least: 0.05, most: 1, step: 0.05 },
  maxTokens: { least: 1, most: 4096, step: 1 },
  seed: { least: 0, most: 2 ** 31 - 1, step: 1 },
} as const;

export type NumericSetting = keyof typeof LIMITS;

/** The wire takes at most four stop texts. */
export const MOST_STOPS = 4;

const ESCAPES: Record<string, string> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
};

export function stopTexts(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/\\([ntr\\])/g, (_, letter: string) => ESCAPES[letter] ?? letter))
    .filter((line) => line !== '')
    .slice(0, MOST_STOPS);
}

/** A typed number brought into its limits; undefined when it is no number. */
export function bounded(setting: NumericSetting, typed: string): number | undefined {
  const value = typed.trim() === '' ? Number.NaN : Number(typed);
  if (!Number.isFinite(value)) return undefined;
  const { least, most, step } = LIMITS[setting];
  const whole = Number.isInteger(step) ? Math.round(value) : value;
  return Math.min(most, Math.max(least, whole));
}

/** Settings read back from the browser; whatever is off falls back to its default. */
export function restored(kept: Partial<Record<keyof EditedSettings, unknown>>): EditedSettings {
  const settings: EditedSettings = { ...DEFAULTS };
  for (const name of Object.keys(LIMITS) as NumericSetting[]) {
    const value = kept[name];
    if (typeof value === 'number')
      settings[name] = bounded(name, String(value)) ?? (DEFAULTS[name] as number);
  }
  if (typeof kept.stopText === 'string') settings.stopText = kept.stopText;
  return settings;
}

export function wireSettings({ stopText, ...rest }: EditedSettings): Settings {
  return { ...rest, stop: stopTexts(stopText) };
}

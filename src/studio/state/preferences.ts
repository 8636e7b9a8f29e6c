/**
 * What a person chose and wants to find again: language, theme, whether the welcome is closed; and the
 * API key for as long as the tab lives. Knows the browser's storage, not who uses the values.
 */
import { createStore } from './store.ts';

export type Language = 'en' | 'zh';
export type Theme = 'system' | 'light' | 'dark';

interface Preferences {
  language: Language;
  theme: Theme;
  welcomed: boolean;
  /** Sent as a bearer token to a server that knows no log-in; else empty. */
  key: string;
  /** Sent with what changes something: shows that it comes from this page. Empty while nobody is logged in. */
  csrf: string;
}

const KEPT = 'inkstone.preferences';
const KEY = 'inkstone.key';

/** Reads JSON from a browser store; undefined where storage is off or the text is not ours. */
export function recall<T extends object>(
  name: string,
  storage: () => Storage = () => localStorage,
): Partial<T> {
  try {
    const value: unknown = JSON.parse(storage().getItem(name) ?? '{}');
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** Writes JSON to a browser store; a browser that keeps nothing is no error. */
export function keep(name: string, value: object, storage: () => Storage = () => localStorage): void {
  try {
    storage().setItem(name, JSON.stringify(value));
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

/** The language of the page for a browser's tag: `zh-Hant-TW` → `zh`. */
export function languageOf(tag: string): Language {
  return tag.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

function initial(): Preferences {
  const kept = recall<Preferences>(KEPT);
  const session = recall<Preferences>(KEY, () => sessionStorage);
  const browser: Language = languageOf(globalThis.navigator?.language ?? 'en');
  return {
    language: kept.language === 'en' || kept.language === 'zh' ? kept.language : browser,
    theme: kept.theme === 'light' || kept.theme === 'dark' ? kept.theme : 'system',
    welcomed: kept.welcomed === true,
    key: typeof session.key === 'string' ? session.key : '',
    csrf: typeof session.csrf === 'string' ? session.csrf : '',
  };
}

export const preferences = createStore<Preferences>(initial());

/** Puts language and theme on the page and keeps them, now and after each change. */
export function applyPreferences(): void {
  const apply = () => {
    const { language, theme, welcomed, key, csrf } = preferences.get();
    const root = document.documentElement;
    root.lang = language === 'zh' ? 'zh-CN' : 'en';
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    keep(KEPT, { language, theme, welcomed });
    keep(KEY, { key, csrf }, () => sessionStorage);
  };
  preferences.subscribe(apply);
  apply();
}

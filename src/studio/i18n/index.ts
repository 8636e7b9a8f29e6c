/** The words and number forms of the language in force. Knows both dictionaries, not where they appear. */
import { type Language, preferences } from '../state/preferences.ts';
import { useStore } from '../state/store.ts';
import { english, type Texts } from './en.ts';
import { createFormat, type Format } from './format.ts';
import { chinese } from './zh.ts';

export type { Texts } from './en.ts';
export type { Format } from './format.ts';

export const DICTIONARIES: Record<Language, Texts> = {
  en: english,
  zh: chinese,
};

const FORMATS: Record<Language, Format> = {
  en: createFormat('en'),
  zh: createFormat('zh'),
};

export function useTexts(): { t: Texts; format: Format; language: Language } {
  const language = useStore(preferences, (state) => state.language);
  return { t: DICTIONARIES[language], format: FORMATS[language], language };
}

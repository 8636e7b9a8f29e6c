/** Numbers, sizes, durations and dates in the reader's language. Knows no sentences. */
import type { Language } from '../state/preferences.ts';

export const LOCALES: Record<Language, string> = { en: 'en', zh: 'zh-CN' };

export interface Format {
  integer(value: number): string;
  /** A seed is a name: no marks between its thousands. */
  seed(value: number): string;
  decimal(value: number, digits: number): string;
  /** 804096 → `804K`, `80万`. */
  compact(value: number): string;
  /** 0 to 1 → `43%`; small shares keep a digit. */
  percent(share: number): string;
  bytes(value: number): string;
  /** Seconds → `1 min 20 s`, `1 分 20 秒`. */
  duration(seconds: number): string;
  /** Seconds since 1970. */
  date(seconds: number): string;
}

const UNITS: Record<Language, { hour: string; minute: string; second: string }> = {
  en: { hour: ' h', minute: ' min', second: ' s' },
  zh: { hour: ' 小时', minute: ' 分', second: ' 秒' },
};

export function createFormat(language: Language): Format {
  const locale = LOCALES[language];
  const integer = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const compact = new Intl.NumberFormat(locale, {
    notation: 'compact',
    maximumSignificantDigits: 3,
  });
  const date = new Intl.DateTimeFormat(locale, {
    dateStyle: 'medium',
    timeStyle: 'short',
  });
  const units = UNITS[language];
  const decimal = (value: number, digits: number) =>
    new Intl.NumberFormat(locale, {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    }).format(value);
  return {
    decimal,
    integer: (value) => integer.format(value),
    seed: String,
    compact: (value) => compact.format(value),
    percent(share) {
      const value = share * 100;
      if (value > 0 && value < 0.01) return `<${decimal(0.01, 2)}%`;
      return `${decimal(value, value >= 10 || value === 0 ? 0 : value >= 1 ? 1 : 2)}%`;
    },
    bytes(value) {
      const names = ['B', 'KB', 'MB', 'GB', 'TB'];
      const power = value < 1 ? 0 : Math.min(names.length - 1, Math.floor(Math.log10(value) / 3));
      return `${decimal(value / 1000 ** power, power === 0 ? 0 : 1)} ${names[power]}`;
    },
    duration(seconds) {
      const whole = Math.max(0, Math.round(seconds));
      const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
      if (hours > 0) return `${hours}${units.hour} ${minutes}${units.minute}`;
      if (minutes > 0) return `${minutes}${units.minute} ${rest}${units.second}`;
      return `${rest}${units.second}`;
    },
    date: (seconds) => date.format(new Date(seconds * 1000)),
  };
}

/** The frame around the rooms: brand, navigation, language, theme, the line to the server. */
import { useEffect, useRef } from 'preact/hooks';
import { Compare } from './compare/room.tsx';
import { useTexts } from './i18n/index.ts';
import { Inspect } from './inspect/room.tsx';
import { catalogue, refreshCatalogue } from './models/catalogue.ts';
import { Models } from './models/room.tsx';
import { HalfDisc, Moon, Seal, Sun } from './parts/icons.tsx';
import { Pictures } from './pictures/room.tsx';
import { Playground } from './playground/room.tsx';
import { preferences, type Theme } from './state/preferences.ts';
import { address, ROOMS, route } from './state/route.ts';
import { useStore } from './state/store.ts';
import { Train } from './train/room.tsx';
import { Watch } from './watch/room.tsx';

const VIEWS = {
  playground: Playground,
  compare: Compare,
  inspect: Inspect,
  images: Pictures,
  models: Models,
  train: Train,
  watch: Watch,
};
const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const THEME_MARKS = { system: HalfDisc, light: Sun, dark: Moon };

export function Studio() {
  const { t } = useTexts();
  const { room, id } = useStore(route, (state) => state.now);
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${t.nav[room]} · ${t.brand}`;
  }, [t, room]);
  useEffect(() => {
    // On arrival the browser keeps its own focus; after a change of room it goes to the new heading.
    if (first.current) {
      first.current = false;
      return;
    }
    main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
    scrollTo(0, 0);
    void refreshCatalogue();
  }, [room, id]);
  const View = VIEWS[room];
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        {t.common.skip}
      </button>
      <header class="top">
        <a class="brand" href={address('playground')}>
          <Seal />
          <span>{t.brand}</span>
        </a>
        <nav aria-label={t.nav.label}>
          {ROOMS.map((each) => (
            <a key={each} href={address(each)} aria-current={each === room ? 'page' : undefined}>
              {t.nav[each]}
            </a>
          ))}
        </nav>
        <div class="top-tools">
          <ThemeButton />
          <LanguageButton />
        </div>
      </header>
      <Connection />
      <main id="content" ref={main} tabIndex={-1}>
        <View />
      </main>
      <Foot />
    </>
  );
}

function ThemeButton() {
  const { t } = useTexts();
  const theme = useStore(preferences, (state) => state.theme);
  const Mark = THEME_MARKS[theme];
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
  const label = `${t.nav.theme}: ${t.nav.themes[theme]}`;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      onClick={() => preferences.set({ theme: next })}
    >
      <Mark />
    </button>
  );
}

function LanguageButton() {
  const { t, language } = useTexts();
  const other = language === 'en' ? 'zh' : 'en';
  return (
    <button
      type="button"
      class="button quiet language"
      lang={other === 'zh' ? 'zh-CN' : 'en'}
      title={t.nav.language}
      onClick={() => preferences.set({ language: other })}
    >
      {t.nav.otherLanguage}
    </button>
  );
}

/** Says so when the server is gone after it was there. */
function Connection() {
  const { t } = useTexts();
  const lost = useStore(
    catalogue,
    (state) => state.problem?.kind === 'network' && state.models !== undefined,
  );
  return (
    <div role="status" class="connection">
      {lost && (
        <p>
          <strong>{t.nav.offline}</strong> {t.nav.offlineHint}
        </p>
      )}
    </div>
  );
}

function Foot() {
  const { t } = useTexts();
  const version = useStore(catalogue, (state) => state.system?.version);
  return <footer class="foot">{t.nav.footer(version ?? '')}</footer>;
}

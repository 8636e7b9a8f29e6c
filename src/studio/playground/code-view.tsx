/** The request on the page as code, in three languages behind tabs. */
import { useRef, useState } from 'preact/hooks';
import { serverAddress } from '../api/client.ts';
import { useTexts } from '../i18n/index.ts';
import { CopyButton } from '../parts/copy.tsx';
import { CloseMark } from '../parts/icons.tsx';
import { preferences } from '../state/preferences.ts';
import { useStore } from '../state/store.ts';
import { asCode, CODE_LANGUAGES, type CodeLanguage } from './code.ts';
import { currentRequest, type Mode, session } from './session.ts';

interface Properties {
  model: string;
  mode: Mode;
  close: () => void;
}

export function CodeView({ model, mode, close }: Properties) {
  const { t } = useTexts();
  const [language, setLanguage] = useState<CodeLanguage>('javascript');
  const tabs = useRef<HTMLDivElement>(null);
  // Watched, so that the code follows what is typed.
  useStore(session, (state) => state);
  const hasKey = useStore(preferences, ({ key, csrf }) => key !== '' || csrf !== '');
  const code = asCode(currentRequest(model, mode), language, serverAddress('/v1'), hasKey);
  const press = (event: KeyboardEvent) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const at = CODE_LANGUAGES.indexOf(language) + move + CODE_LANGUAGES.length;
    const next = CODE_LANGUAGES[at % CODE_LANGUAGES.length] as CodeLanguage;
    setLanguage(next);
    tabs.current?.querySelector<HTMLElement>(`#code-tab-${next}`)?.focus();
  };
  return (
    <section class="sheet code-view" aria-label={t.code.title}>
      <div class="sheet-head">
        <h2 class="sheet-label">{t.code.title}</h2>
        <button type="button" class="icon-button" aria-label={t.common.close} onClick={close}>
          <CloseMark />
        </button>
      </div>
      <p class="help">{t.code.lead}</p>
      <div class="code-bar">
        <div class="tabs" role="tablist" aria-label={t.code.tabs} ref={tabs} onKeyDown={press}>
          {CODE_LANGUAGES.map((each) => (
            <button
              key={each}
              type="button"
              role="tab"
              id={`code-tab-${each}`}
              aria-selected={each === language}
              aria-controls="code-panel"
              tabIndex={each === language ? 0 : -1}
              onClick={() => setLanguage(each)}
            >
              {t.code.languages[each]}
            </button>
          ))}
        </div>
        <CopyButton text={() => code} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus */}
      <pre id="code-panel" role="tabpanel" aria-labelledby={`code-tab-${language}`} tabIndex={0}>
        <code>{code}</code>
      </pre>
    </section>
  );
}

/** What a first visitor sees: what this is in two sentences, and one button that makes it write. */
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Brush, CloseMark } from '../parts/icons.tsx';
import { preferences } from '../state/preferences.ts';
import { address } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { FIRST_EXAMPLE } from './examples.ts';
import { isRunning } from './runner.ts';
import { complete, modeFor, say, session } from './session.ts';

export function Welcome({ model }: { model: ModelInfo | undefined }) {
  const { t } = useTexts();
  const running = useStore(session, (state) => isRunning(state.run));
  const go = () => {
    if (model === undefined) return;
    if (modeFor(model, session.get().mode) === 'chat') {
      session.set({ draft: FIRST_EXAMPLE.trim() });
      void say(model.id);
    } else {
      session.set({ prompt: FIRST_EXAMPLE });
      void complete(model.id);
    }
    // The introduction has done its work: it makes room for the text.
    preferences.set({ welcomed: true });
    requestAnimationFrame(showAnswer);
  };
  return (
    <section class="welcome" aria-labelledby="welcome-title">
      <div class="welcome-text">
        <h2 id="welcome-title">{t.welcome.title}</h2>
        <p>{t.welcome.lead}</p>
        <div class="welcome-actions">
          <button
            type="button"
            class="button primary large"
            onClick={go}
            disabled={model === undefined || running}
          >
            <Brush />
            {model === undefined ? t.welcome.busy : t.welcome.go}
          </button>
          <a class="button large" href={address('train')}>
            {t.welcome.train}
          </a>
        </div>
      </div>
      <InkDrop />
      <button
        type="button"
        class="icon-button welcome-close"
        aria-label={t.welcome.close}
        title={t.welcome.close}
        onClick={() => preferences.set({ welcomed: true })}
      >
        <CloseMark />
      </button>
    </section>
  );
}

/** Brings the answer into sight, and the focus with it: the button that had it is gone. */
function showAnswer() {
  const answer = document.getElementById('answer');
  if (answer === null) return;
  answer.focus({ preventScroll: true });
  if (answer.getBoundingClientRect().top > innerHeight * 0.55) answer.scrollIntoView({ block: 'start' });
}

/** Ink spreading in water, in five rings: the studio's one picture. */
function InkDrop() {
  return (
    <svg class="ink-drop" viewBox="0 0 240 240" aria-hidden="true" focusable="false">
      <circle cx="120" cy="120" r="112" class="ring ring-1" />
      <circle cx="124" cy="116" r="84" class="ring ring-2" />
      <circle cx="118" cy="122" r="58" class="ring ring-3" />
      <circle cx="122" cy="119" r="34" class="ring ring-4" />
      <path class="drop" d="M120 84c10 17 23 26 23 41a23 23 0 0 1-46 0c0-15 13-24 23-41z" />
      <path class="glint" d="M108 127a12 12 0 0 0 9 11" />
    </svg>
  );
}

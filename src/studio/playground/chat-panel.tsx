/** A conversation with a chat model. */
import { useState } from 'preact/hooks';
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Brush, CodeMark, StopMark } from '../parts/icons.tsx';
import { useStore } from '../state/store.ts';
import { Answer } from './answer.tsx';
import { CodeView } from './code-view.tsx';
import { isRunning } from './runner.ts';
import { clearSession, say, session, stopRun } from './session.ts';
import { TintSwitch } from './tint.tsx';

export function ChatPanel({ model }: { model: ModelInfo }) {
  const { t } = useTexts();
  const { turns, draft, system, run } = useStore(session, (state) => state);
  const [code, setCode] = useState(false);
  const running = isRunning(run);
  const send = () => {
    if (draft.trim() !== '' && !running) void say(model.id);
  };
  const keys = (event: KeyboardEvent) => {
    // Enter that ends an input method's word is not Enter.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  const last = turns.length - 1;
  return (
    <>
      <section class="sheet answer" id="answer" tabIndex={-1} aria-label={t.playground.conversation}>
        <div class="sheet-head">
          <h2 class="sheet-label">{t.playground.conversation}</h2>
          <TintSwitch />
        </div>
        {turns.length === 0 && <p class="quiet-note">{t.playground.conversationEmpty}</p>}
        <ol class="turns">
          {turns.map((turn, index) => (
            <li key={index} class={`turn turn-${turn.role}`}>
              <p class="turn-who">{turn.role === 'user' ? t.playground.you : model.id}</p>
              {turn.run === undefined ? (
                <p class="turn-said">{turn.content}</p>
              ) : (
                <Answer
                  run={turn.run}
                  label={model.id}
                  retry={index === last ? () => void say(model.id, true) : undefined}
                />
              )}
            </li>
          ))}
        </ol>
      </section>
      <div class="sheet composer">
        <label for="message" class="sheet-label">
          {t.playground.message}
        </label>
        <textarea
          id="message"
          class="prompt"
          rows={2}
          placeholder={t.playground.messagePlaceholder}
          value={draft}
          onInput={(event) => session.set({ draft: event.currentTarget.value })}
          onKeyDown={keys}
        />
        <details class="system">
          <summary>{t.playground.system}</summary>
          <textarea
            rows={2}
            aria-label={t.playground.system}
            value={system}
            onInput={(event) => session.set({ system: event.currentTarget.value })}
          />
        </details>
        <div class="actions">
          {running ? (
            <button type="button" class="button primary" onClick={stopRun}>
              <StopMark />
              {t.playground.stop}
            </button>
          ) : (
            <button type="button" class="button primary" onClick={send} disabled={draft.trim() === ''}>
              <Brush />
              {t.playground.send}
            </button>
          )}
          <button type="button" class="button" aria-expanded={code} onClick={() => setCode(!code)}>
            <CodeMark />
            {t.code.open}
          </button>
          {turns.length > 0 && (
            <button type="button" class="button quiet" onClick={clearSession}>
              {t.playground.clear}
            </button>
          )}
        </div>
      </div>
      {code && <CodeView model={model.id} mode="chat" close={() => setCode(false)} />}
    </>
  );
}

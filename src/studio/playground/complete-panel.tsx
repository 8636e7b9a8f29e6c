/** Continuing a text: the beginning, the buttons, and the sheet on which the model writes. */
import { useState } from 'preact/hooks';
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Brush, CodeMark, StopMark } from '../parts/icons.tsx';
import { useStore } from '../state/store.ts';
import { Answer } from './answer.tsx';
import { CodeView } from './code-view.tsx';
import { EXAMPLES, exampleLabel } from './examples.ts';
import { isRunning } from './runner.ts';
import { complete, continueRun, session, stopRun } from './session.ts';
import { TintSwitch } from './tint.tsx';

export function CompletePanel({ model }: { model: ModelInfo }) {
  const { t } = useTexts();
  const prompt = useStore(session, (state) => state.prompt);
  const run = useStore(session, (state) => state.run);
  const [needed, setNeeded] = useState(false);
  const [code, setCode] = useState(false);
  const running = isRunning(run);

  const write = () => {
    if (prompt.trim() === '') {
      setNeeded(true);
      document.getElementById('prompt')?.focus();
      return;
    }
    setNeeded(false);
    void complete(model.id);
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    if (!running) write();
  };
  return (
    <>
      <div class="sheet">
        <label for="prompt" class="sheet-label">
          {t.playground.prompt}
        </label>
        <textarea
          id="prompt"
          class="prompt"
          rows={3}
          spellcheck={false}
          placeholder={t.playground.promptPlaceholder}
          value={prompt}
          aria-describedby={needed ? 'prompt-needed' : 'base-note'}
          aria-invalid={needed}
          onInput={(event) => session.set({ prompt: event.currentTarget.value })}
          onKeyDown={keys}
        />
        {needed && (
          <p id="prompt-needed" class="field-note" role="alert">
            {t.playground.promptNeeded}
          </p>
        )}
        <ul class="examples" aria-label={t.playground.examples}>
          {EXAMPLES.map((example) => (
            <li key={example}>
              <button type="button" class="chip" lang="en" onClick={() => session.set({ prompt: example })}>
                {exampleLabel(example)}
              </button>
            </li>
          ))}
        </ul>
        <div class="actions">
          {running ? (
            <button type="button" class="button primary" onClick={stopRun}>
              <StopMark />
              {t.playground.stop}
            </button>
          ) : (
            <button type="button" class="button primary" onClick={write} title={t.playground.writeKeys}>
              <Brush />
              {t.playground.write}
            </button>
          )}
          <button type="button" class="button" aria-expanded={code} onClick={() => setCode(!code)}>
            <CodeMark />
            {t.code.open}
          </button>
          <span id="base-note" class="help actions-note">
            {t.playground.baseModel}
          </span>
        </div>
      </div>
      {code && <CodeView model={model.id} mode="complete" close={() => setCode(false)} />}
      <section class="sheet answer" id="answer" tabIndex={-1} aria-label={t.playground.answer}>
        <div class="sheet-head">
          <h2 class="sheet-label">{t.playground.answer}</h2>
          <TintSwitch />
        </div>
        {run === undefined ? (
          <p class="quiet-note">{t.playground.empty}</p>
        ) : (
          <Answer
            run={run}
            retry={() => void complete(model.id)}
            more={() => void continueRun(model.id)}
            label={t.playground.answer}
          />
        )}
      </section>
    </>
  );
}

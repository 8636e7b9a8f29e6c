/** Looking inside: a model, a text, and two ways to see how it was read. */
import { useEffect, useState } from 'preact/hooks';
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, pickModel, refreshCatalogue } from '../models/catalogue.ts';
import { Lens } from '../parts/icons.tsx';
import { ModelSelect } from '../parts/model-select.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { ModelState } from '../parts/state-mark.tsx';
import { exampleLabel } from '../playground/examples.ts';
import { route, setQuery } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { AttentionView } from './attention-view.tsx';
import { forget, inspect, look, VIEWS, type View } from './look.ts';
import { SurpriseView } from './surprise-view.tsx';

/** Texts in which something can be seen. */
const EXAMPLES = [
  'Mr. Bennet was so odd a mixture of quick parts, sarcastic humour, reserve, and caprice.',
  'The old man looked at the sea, and the sea looked at the old man.',
  'She sells sea shells; he sells umbrellas.',
] as const;

export function Inspect() {
  const { t } = useTexts();
  const models = useStore(catalogue, (state) => state.models);
  const problem = useStore(catalogue, (state) => state.problem);
  const query = useStore(route, (state) => state.now.query);
  const chosen = useStore(look, (state) => state.model);
  const model = pickModel(models, query.model ?? chosen);
  const view = VIEWS.find((known) => known === query.view) ?? 'surprise';
  return (
    <>
      <div class="room-head">
        <h1 tabIndex={-1}>{t.inspect.title}</h1>
        {model !== undefined && (
          <div class="model-bar">
            <ModelSelect
              id="model"
              label={t.inspect.model}
              models={models ?? []}
              value={model.id}
              choose={(id) => {
                forget();
                look.set({ model: id });
                setQuery(view === 'surprise' ? {} : { view });
              }}
            />
            <ModelState state={model.state} />
          </div>
        )}
        <p class="room-lead">{t.inspect.lead}</p>
      </div>
      {problem !== undefined && models === undefined && (
        <ProblemNote problem={problem} retry={() => void refreshCatalogue()} />
      )}
      {models === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {models?.length === 0 && <p class="quiet-note">{t.models.empty}</p>}
      {model !== undefined && <Desk model={model} view={view} />}
    </>
  );
}

function Desk({ model, view }: { model: ModelInfo; view: View }) {
  const { t } = useTexts();
  const { text, found, busy, loading, problem } = useStore(look, (state) => state);
  const { query } = useStore(route, (state) => state.now);
  const [needed, setNeeded] = useState(false);
  const shown = found[view];

  const read = () => {
    if (text.trim() === '') {
      setNeeded(true);
      document.getElementById('inspect-text')?.focus();
      return;
    }
    setNeeded(false);
    void inspect(model.id, view);
  };
  useEffect(() => {
    // The other view of a text that was read already is one press less.
    const other = found[view === 'surprise' ? 'attention' : 'surprise'];
    if (shown === undefined && other?.text === text && busy === undefined) void inspect(model.id, view);
  }, [view]);

  const keys = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    read();
  };
  return (
    <div class="inspect">
      <div class="sheet">
        <label for="inspect-text" class="sheet-label">
          {t.inspect.text}
        </label>
        <textarea
          id="inspect-text"
          class="prompt"
          rows={3}
          spellcheck={false}
          placeholder={t.inspect.placeholder}
          value={text}
          aria-invalid={needed}
          aria-describedby={needed ? 'inspect-needed' : undefined}
          onInput={(event) => look.set({ text: event.currentTarget.value })}
          onKeyDown={keys}
        />
        {needed && (
          <p id="inspect-needed" class="field-note" role="alert">
            {t.inspect.needed}
          </p>
        )}
        <ul class="examples" aria-label={t.inspect.examples}>
          {EXAMPLES.map((example) => (
            <li key={example}>
              <button type="button" class="chip" lang="en" onClick={() => look.set({ text: example })}>
                {exampleLabel(example)}
              </button>
            </li>
          ))}
        </ul>
        <div class="actions">
          <button
            type="button"
            class="button primary"
            onClick={read}
            disabled={busy !== undefined}
            title={t.inspect.keys}
          >
            <Lens />
            {busy === undefined ? t.inspect.look : t.inspect.looking}
          </button>
          <Segmented<View>
            label={t.inspect.view}
            name="view"
            value={view}
            options={VIEWS.map((value) => ({ value, text: t.inspect.views[value] }))}
            choose={(next) => {
              look.set({ problem: undefined });
              const { view: _, ...rest } = query;
              setQuery(next === 'surprise' ? rest : { ...rest, view: next });
            }}
          />
        </div>
      </div>
      <div role="status">
        {loading !== undefined && (
          <div class="loading-model">
            <p>{loading.message || t.playground.status.loading}</p>
            <ProgressBar value={loading.progress} label={t.inspect.loadingModel} />
          </div>
        )}
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={read} />}
      {problem?.code === 'text_too_long' && view === 'attention' && (
        <p class="quiet-note">{t.inspect.attention.limit('256')}</p>
      )}
      {shown === undefined ? (
        problem === undefined && (
          <p class="quiet-note inspect-empty">{busy === undefined ? t.inspect.empty : t.inspect.looking}</p>
        )
      ) : (
        <>
          {shown.text !== text && <p class="quiet-note">{t.inspect.changed}</p>}
          {shown.inspection.kind === 'masked' && <p class="quiet-note">{t.inspect.masked}</p>}
          {view === 'surprise' ? <SurpriseView found={shown} /> : <AttentionView found={shown} />}
        </>
      )}
    </div>
  );
}

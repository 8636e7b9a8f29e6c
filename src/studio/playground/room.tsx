/** The playground: a model, a text, its continuation or a conversation, and the settings beside it. */
import { useEffect, useMemo } from 'preact/hooks';
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, pickModel, refreshCatalogue, writes } from '../models/catalogue.ts';
import { Brush } from '../parts/icons.tsx';
import { ModelSelect } from '../parts/model-select.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { ModelState } from '../parts/state-mark.tsx';
import { useWide } from '../parts/wide.ts';
import { preferences } from '../state/preferences.ts';
import { address, route } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { ChatPanel } from './chat-panel.tsx';
import { CompletePanel } from './complete-panel.tsx';
import { clearSession, type Mode, modeFor, session } from './session.ts';
import { SettingsPanel } from './settings-panel.tsx';
import { Welcome } from './welcome.tsx';

export function Playground() {
  const { t } = useTexts();
  const known = useStore(catalogue, (state) => state.models);
  const models = useMemo(() => known?.filter(writes), [known]);
  const problem = useStore(catalogue, (state) => state.problem);
  const asked = useStore(route, (state) => state.now.query.model);
  const chosen = useStore(session, (state) => state.model);
  const chosenMode = useStore(session, (state) => state.mode);
  const welcomed = useStore(preferences, (state) => state.welcomed);
  const begun = useStore(session, (state) => state.run !== undefined);
  const wide = useWide();

  useEffect(() => {
    if (asked !== undefined) session.set({ model: asked });
  }, [asked]);

  useEffect(() => {
    // Who has written something has been welcomed.
    if (begun) preferences.set({ welcomed: true });
  }, [begun]);

  const model = pickModel(models, asked ?? chosen);
  const mode = modeFor(model, chosenMode);
  return (
    <>
      {!welcomed && <Welcome model={model} />}
      <div class="room-head">
        <h1 tabIndex={-1}>{t.playground.title}</h1>
        {model !== undefined && <ModelBar models={models ?? []} model={model} mode={mode} />}
      </div>
      {problem !== undefined && models === undefined && (
        <ProblemNote problem={problem} retry={() => void refreshCatalogue()} />
      )}
      {models === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {models?.length === 0 && <NoModels />}
      {model !== undefined && asked !== undefined && model.id !== asked && (
        <p class="quiet-note" role="status">
          {t.models.unknown(asked)}
        </p>
      )}
      {model !== undefined && (
        <div class="desk">
          <section class="desk-main">
            {mode === 'chat' ? <ChatPanel model={model} /> : <CompletePanel model={model} />}
          </section>
          <aside class="desk-side" aria-label={t.settings.title}>
            {wide ? (
              <>
                <h2 class="section-title">{t.settings.title}</h2>
                <SessionSettings />
              </>
            ) : (
              <details class="settings-box">
                <summary>{t.settings.title}</summary>
                <SessionSettings />
              </details>
            )}
          </aside>
        </div>
      )}
    </>
  );
}

function ModelBar({ models, model, mode }: { models: readonly ModelInfo[]; model: ModelInfo; mode: Mode }) {
  const { t } = useTexts();
  const pick = (id: string) => {
    clearSession();
    session.set({ model: id });
    history.replaceState(null, '', address('playground'));
    route.set({ now: { room: 'playground', query: {} } });
  };
  return (
    <div class="model-bar">
      <ModelSelect id="model" label={t.playground.model} models={models} value={model.id} choose={pick} />
      <ModelState state={model.state} />
      {model.chat && (
        <Segmented<Mode>
          label={t.playground.mode}
          name="mode"
          value={mode}
          options={[
            { value: 'chat', text: t.playground.modes.chat },
            { value: 'complete', text: t.playground.modes.complete },
          ]}
          choose={(next) => {
            clearSession();
            session.set({ mode: next });
          }}
        />
      )}
    </div>
  );
}

function NoModels() {
  const { t } = useTexts();
  return (
    <div class="empty">
      <Brush />
      <p class="empty-title">{t.playground.noModels}</p>
      <p>{t.playground.noModelsHint}</p>
      <a class="button primary" href={address('train')}>
        {t.models.trainOne}
      </a>
    </div>
  );
}

function SessionSettings() {
  const settings = useStore(session, (state) => state.settings);
  return (
    <SettingsPanel
      settings={settings}
      change={(part) => session.set(({ settings: before }) => ({ settings: { ...before, ...part } }))}
    />
  );
}

/** The room of pictures: a model, its sliders, and what is done with it: making, going from one to another, changing. */
import { useEffect } from 'preact/hooks';
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, pickModel, refreshCatalogue } from '../models/catalogue.ts';
import { Frame } from '../parts/icons.tsx';
import { ModelSelect } from '../parts/model-select.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { ModelState } from '../parts/state-mark.tsx';
import { useWide } from '../parts/wide.ts';
import { address, route, setQuery } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { changeModel, changeSettings, desk, VIEWS, type View } from './desk.ts';
import { EditView } from './edit-view.tsx';
import { MakeView } from './make-view.tsx';
import { fitted } from './settings.ts';
import { SettingsPanel } from './settings-panel.tsx';
import { WayView } from './way-view.tsx';

export function Pictures() {
  const { t } = useTexts();
  const words = t.pictures;
  const models = useStore(catalogue, (state) => state.pictures);
  const problem = useStore(catalogue, (state) => state.problem);
  const query = useStore(route, (state) => state.now.query);
  const kept = useStore(desk, (state) => state.model);
  const model = pickModel(models, query.model ?? kept);
  useEffect(() => {
    if (model !== undefined && model.id !== kept) changeModel(model.id);
  }, [model?.id, kept]);
  const views = VIEWS.filter(
    (view) =>
      view === 'make' ||
      (view === 'way' && model?.pictures.between === true) ||
      (view === 'edit' && model?.pictures.edits === true),
  );
  const view = views.find((known) => known === query.view) ?? 'make';
  return (
    <>
      <div class="room-head">
        <h1 tabIndex={-1}>{words.title}</h1>
        {model !== undefined && (
          <>
            <div class="model-bar">
              <ModelSelect
                id="picture-model"
                label={words.model}
                models={models ?? []}
                value={model.id}
                choose={(id) => {
                  changeModel(id);
                  setQuery({});
                }}
              />
              <ModelState state={model.state} />
            </div>
            {views.length > 1 && (
              <Segmented<View>
                label={words.view}
                name="pictures-view"
                value={view}
                options={views.map((value) => ({ value, text: words.views[value] }))}
                choose={(next) => setQuery(next === 'make' ? {} : { view: next })}
              />
            )}
          </>
        )}
        <p class="room-lead">{words.lead}</p>
      </div>
      {problem !== undefined && models === undefined && (
        <ProblemNote problem={problem} retry={() => void refreshCatalogue()} />
      )}
      {models === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {models?.length === 0 && (
        <div class="empty">
          <Frame />
          <p class="empty-title">{words.none}</p>
          <p>{words.noneHint}</p>
          <a class="button primary" href={address('train', undefined, { mode: 'pictures' })}>
            {t.models.trainOne}
          </a>
        </div>
      )}
      {model !== undefined && query.model !== undefined && model.id !== query.model && (
        <p class="quiet-note" role="status">
          {t.models.unknown(query.model)}
        </p>
      )}
      {/* What lies on the desk is the model's own: it is laid out once the desk knows which. */}
      {model !== undefined && kept === model.id && <Desk key={model.id} model={model} view={view} />}
    </>
  );
}

function Desk({ model, view }: { model: PictureModel; view: View }) {
  const { t } = useTexts();
  const settings = useStore(desk, (state) => state.settings);
  const wide = useWide();
  const panel = (
    <SettingsPanel
      model={model}
      settings={fitted(model, settings)}
      change={changeSettings}
      smooth={view !== 'way'}
    />
  );
  return (
    <div class="desk">
      {/* Where there is one column, the sliders stand before what they move. */}
      {!wide && (
        <details class="settings-box">
          <summary>{t.pictures.settings}</summary>
          {panel}
        </details>
      )}
      <div class="desk-main">
        {view === 'make' && <MakeView model={model} />}
        {view === 'way' && <WayView model={model} />}
        {view === 'edit' && <EditView model={model} />}
      </div>
      {wide && (
        <aside class="desk-side" aria-label={t.pictures.settings}>
          <h2 class="section-title">{t.pictures.settings}</h2>
          {panel}
        </aside>
      )}
    </div>
  );
}

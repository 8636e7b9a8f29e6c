/** The models: a list, and beside it the facts and the card of one. */

import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Markdown } from '../markdown/view.tsx';
import { Facts } from '../parts/facts.tsx';
import { ArrowLeft, Brush, Frame, Lens, Sheet, Tune } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { ModelState } from '../parts/state-mark.tsx';
import { address, route } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { catalogue, refreshCatalogue, writes } from './catalogue.ts';

export function Models() {
  const { t } = useTexts();
  const texts = useStore(catalogue, (state) => state.models);
  const pictures = useStore(catalogue, (state) => state.pictures);
  const models = texts === undefined ? undefined : [...texts, ...(pictures ?? [])];
  const problem = useStore(catalogue, (state) => state.problem);
  const id = useStore(route, (state) => state.now.id);
  const shown = id === undefined ? undefined : models?.find((model) => model.id === id);
  return (
    <div class={`models${id === undefined ? '' : ' has-choice'}`}>
      <div class="room-head">
        <h1 tabIndex={-1}>{t.models.title}</h1>
        <p class="room-lead">{t.models.lead}</p>
      </div>
      {problem !== undefined && models === undefined && (
        <ProblemNote problem={problem} retry={() => void refreshCatalogue()} />
      )}
      {models === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {models?.length === 0 && (
        <div class="empty">
          <Sheet />
          <p class="empty-title">{t.models.empty}</p>
          <p>{t.models.emptyHint}</p>
          <a class="button primary" href={address('train')}>
            {t.models.trainOne}
          </a>
        </div>
      )}
      {models !== undefined && models.length > 0 && (
        <div class="split">
          <ul class="model-list" aria-label={t.models.list}>
            {models.map((model) => (
              <ModelRow key={model.id} model={model} current={(shown ?? models[0])?.id === model.id} />
            ))}
          </ul>
          <div class="split-detail">
            {id !== undefined && (
              <a class="back" href={address('models')}>
                <ArrowLeft />
                {t.models.back}
              </a>
            )}
            {id !== undefined && shown === undefined ? (
              <p class="quiet-note">{t.models.unknown(id)}</p>
            ) : (
              <ModelDetail model={(shown ?? models[0]) as ModelInfo} />
            )}
          </div>
        </div>
      )}
    </div>
  );
}

function ModelRow({ model, current }: { model: ModelInfo; current: boolean }) {
  const { t, format } = useTexts();
  return (
    <li>
      <a
        class={`model-row${current ? ' current' : ''}`}
        href={address('models', model.id)}
        aria-current={current ? 'true' : undefined}
      >
        <span class="model-name">{model.id}</span>
        <ModelState state={model.state} />
        <span class="model-facts">
          {format.compact(model.parameters)} · {t.models.sources[model.source] ?? model.source}
        </span>
      </a>
    </li>
  );
}

/** The first few by name. */
function classesOf(classes: readonly string[]): string {
  const shown = classes.slice(0, 12).join(', ');
  return classes.length > 12 ? `${shown}, …` : shown;
}

function ModelDetail({ model }: { model: ModelInfo }) {
  const { t, format } = useTexts();
  const { pictures } = model;
  const own: [string, string][] =
    pictures === undefined
      ? [
          [t.common.context, t.common.tokens(format.integer(model.context))],
          [t.models.family, model.family],
          [t.models.kind, model.chat ? t.models.chat : writes(model) ? t.models.base : t.models.reads],
        ]
      : [
          [t.pictures.models.pictures, t.pictures.models.size(String(pictures.size), pictures.channels > 1)],
          [t.pictures.models.classes, classesOf(pictures.classes) || t.pictures.models.noClasses],
          [t.models.family, pictures.architecture],
          [t.models.kind, t.pictures.models.kind],
        ];
  const facts: [string, string][] = [
    [t.common.parameters, format.integer(model.parameters)],
    ...own,
    [t.models.source, t.models.sources[model.source] ?? model.source],
    [t.models.created, format.date(model.created)],
  ];
  return (
    <article class="sheet" aria-labelledby="model-title">
      <div class="sheet-head">
        <h2 id="model-title" class="model-title">
          {model.id}
        </h2>
        <ModelState state={model.state} />
      </div>
      <Facts list={facts} />
      <div class="actions">
        {writes(model) && (
          <a class="button primary" href={address('playground', undefined, { model: model.id })}>
            <Brush />
            {t.models.use}
          </a>
        )}
        {pictures === undefined ? (
          <a class="button" href={address('inspect', undefined, { model: model.id })}>
            <Lens />
            {t.models.inspect}
          </a>
        ) : (
          <a class="button primary" href={address('images', undefined, { model: model.id })}>
            <Frame />
            {t.pictures.models.use}
          </a>
        )}
        {(writes(model) || pictures !== undefined) && (
          <a class="button" href={address('train', undefined, { mode: 'tune', model: model.id })}>
            <Tune />
            {t.models.tune}
          </a>
        )}
      </div>
      <section class="card-text" aria-label={t.models.card}>
        <h3 class="sheet-label">{t.models.card}</h3>
        {model.card.trim() === '' ? (
          <p class="quiet-note">{t.models.noCard}</p>
        ) : (
          <Markdown source={model.card} topLevel={3} />
        )}
      </section>
    </article>
  );
}

/** Training: a form for a new model and the list of earlier trainings, or one training as it runs. */
import { useEffect } from 'preact/hooks';
import type { ModelInfo, TrainingInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, makesPictures, writes } from '../models/catalogue.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { TrainingState } from '../parts/state-mark.tsx';
import { address, route, setQuery } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { NewPictureTuning } from '../tune/new-picture-tuning.tsx';
import { NewTuning } from '../tune/new-tuning.tsx';
import { isFinal, jobs, refreshJobs } from './jobs.ts';
import { NewTraining } from './new-training.tsx';
import { TrainingView } from './training-view.tsx';

const AGAIN_MS = 3000;

const MODES = ['new', 'pictures', 'tune'] as const;
type Mode = (typeof MODES)[number];

export function Train() {
  const id = useStore(route, (state) => state.now.id);
  return id === undefined ? <Overview /> : <TrainingView key={id} id={id} />;
}

function Overview() {
  const { t } = useTexts();
  const { presets, trainings, problem } = useStore(jobs, (state) => state);
  const { models, pictures = [] } = useStore(catalogue, (state) => state);
  const { query } = useStore(route, (state) => state.now);
  const mode = MODES.find((known) => known === query.mode) ?? 'new';
  const kind = mode === 'pictures' ? 'image' : 'text';
  const own = presets?.filter(({ family = 'text' }) => family === kind) ?? [];
  const tunable = models === undefined ? undefined : [...models.filter(writes), ...pictures];
  const base = tunable?.find(({ id }) => id === query.model) ?? tunable?.[0];
  const taken = (trainings ?? []).map((training) => training.name);
  const tuned = base?.pictures === undefined ? t.tune : t.tune.pictures;
  const words = { new: t.train, pictures: t.pictures.train, tune: tuned }[mode];
  const title = mode === 'tune' ? t.tune.title : (mode === 'new' ? t.train : t.pictures.train).newTitle;
  const busy = trainings?.some((training) => !isFinal(training.state)) ?? false;
  useEffect(() => {
    void refreshJobs();
  }, []);
  useEffect(() => {
    if (!busy && problem?.kind !== 'network') return;
    const timer = setInterval(() => void refreshJobs(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [busy, problem?.kind]);
  return (
    <>
      <div class="room-head">
        <h1 tabIndex={-1}>{t.train.title}</h1>
        <Segmented<Mode>
          label={t.tune.mode}
          name="mode"
          value={mode}
          options={MODES.map((value) => ({
            value,
            text: value === 'pictures' ? t.pictures.train.mode : t.tune.modes[value],
          }))}
          choose={(next) => setQuery(next === 'new' ? {} : { mode: next })}
        />
        <p class="room-lead">{words.lead}</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void refreshJobs()} />}
      {presets === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {presets !== undefined && (
        <div class="desk">
          <section class="desk-main sheet" aria-labelledby="new-title">
            <h2 id="new-title" class="section-title">
              {title}
            </h2>
            {mode !== 'tune' && <NewTraining key={kind} kind={kind} presets={own} taken={taken} />}
            {mode === 'tune' && (
              <Tuning
                models={tunable}
                model={base}
                taken={taken}
                choose={(model) => setQuery({ mode, model })}
              />
            )}
          </section>
          <aside class="desk-side" aria-labelledby="earlier-title">
            <h2 id="earlier-title" class="section-title">
              {t.train.earlier}
            </h2>
            <Earlier trainings={trainings ?? []} />
          </aside>
        </div>
      )}
    </>
  );
}

interface TuningProperties {
  /** Undefined until they are known. */
  models: readonly ModelInfo[] | undefined;
  model: ModelInfo | undefined;
  taken: readonly string[];
  choose: (id: string) => void;
}

function Tuning({ models, model, ...rest }: TuningProperties) {
  const { t } = useTexts();
  if (models === undefined || model === undefined)
    return <p class="quiet-note">{models === undefined ? t.common.loading : t.tune.noModels}</p>;
  return makesPictures(model) ? (
    <NewPictureTuning key={model.id} models={models} model={model} {...rest} />
  ) : (
    <NewTuning models={models} model={model} {...rest} />
  );
}

function Earlier({ trainings }: { trainings: readonly TrainingInfo[] }) {
  const { t, format } = useTexts();
  if (trainings.length === 0) return <p class="quiet-note">{t.train.earlierEmpty}</p>;
  return (
    <ul class="model-list">
      {trainings.map((training) => (
        <li key={training.id}>
          <a class="model-row" href={address('train', training.id)}>
            <span class="model-name">{training.model ?? training.name}</span>
            <TrainingState state={training.state} />
            <span class="model-facts">
              {training.base === undefined ? training.preset : t.tune.from(training.base)} ·{' '}
              {format.date(training.created)}
              {training.state === 'running' && <> · {format.percent(training.progress)}</>}
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

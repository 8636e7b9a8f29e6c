/** Training: a form for a new model and the list of earlier trainings, or one training as it runs. */
import { useEffect } from 'preact/hooks';
import type { TrainingInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, writes } from '../models/catalogue.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { TrainingState } from '../parts/state-mark.tsx';
import { address, route, setQuery } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { NewTuning } from '../tune/new-tuning.tsx';
import { isFinal, jobs, refreshJobs } from './jobs.ts';
import { NewTraining } from './new-training.tsx';
import { TrainingView } from './training-view.tsx';

const AGAIN_MS = 3000;

export function Train() {
  const id = useStore(route, (state) => state.now.id);
  return id === undefined ? <Overview /> : <TrainingView key={id} id={id} />;
}

function Overview() {
  const { t } = useTexts();
  const { presets, trainings, problem } = useStore(jobs, (state) => state);
  const models = useStore(catalogue, (state) => state.models);
  const { query } = useStore(route, (state) => state.now);
  const mode = query.mode === 'tune' ? 'tune' : 'new';
  const writers = models?.filter(writes);
  const taken = (trainings ?? []).map((training) => training.name);
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
        <Segmented<'new' | 'tune'>
          label={t.tune.mode}
          name="mode"
          value={mode}
          options={(['new', 'tune'] as const).map((value) => ({ value, text: t.tune.modes[value] }))}
          choose={(next) => setQuery(next === 'tune' ? { mode: 'tune' } : {})}
        />
        <p class="room-lead">{mode === 'tune' ? t.tune.lead : t.train.lead}</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void refreshJobs()} />}
      {presets === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {presets !== undefined && (
        <div class="desk">
          <section class="desk-main sheet" aria-labelledby="new-title">
            <h2 id="new-title" class="section-title">
              {mode === 'tune' ? t.tune.title : t.train.newTitle}
            </h2>
            {mode === 'new' && <NewTraining presets={presets} taken={taken} />}
            {mode === 'tune' &&
              (writers === undefined || writers.length === 0 ? (
                <p class="quiet-note">{writers === undefined ? t.common.loading : t.tune.noModels}</p>
              ) : (
                <NewTuning models={writers} wanted={query.model} taken={taken} />
              ))}
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

/** Training: a form for a new model and the list of earlier trainings, or one training as it runs. */
import { useEffect } from 'preact/hooks';
import type { TrainingInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { TrainingState } from '../parts/state-mark.tsx';
import { address, route } from '../state/route.ts';
import { useStore } from '../state/store.ts';
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
        <p class="room-lead">{t.train.lead}</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void refreshJobs()} />}
      {presets === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {presets !== undefined && (
        <div class="desk">
          <section class="desk-main sheet" aria-labelledby="new-title">
            <h2 id="new-title" class="section-title">
              {t.train.newTitle}
            </h2>
            <NewTraining presets={presets} taken={(trainings ?? []).map((training) => training.name)} />
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
            <span class="model-name">{training.name}</span>
            <TrainingState state={training.state} />
            <span class="model-facts">
              {training.preset} · {format.date(training.created)}
              {training.state === 'running' && <> · {format.percent(training.progress)}</>}
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}

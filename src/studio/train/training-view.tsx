/** One training: state, figures, the loss curve, samples; stop it, or use what came of it. */

import { useEffect, useState } from 'preact/hooks';
import { type Problem, toProblem } from '../api/client.ts';
import { LossChart } from '../chart/loss-chart.tsx';
import { ScoreChart } from '../chart/score-chart.tsx';
import { useTexts } from '../i18n/index.ts';
import { refreshCatalogue } from '../models/catalogue.ts';
import { Facts } from '../parts/facts.tsx';
import { ArrowLeft, Brush, StopMark } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import { TrainingState } from '../parts/state-mark.tsx';
import { address } from '../state/route.ts';
import { Events } from '../tune/events.tsx';
import { isFinal, stop, UNKNOWN, type Watched, watch } from './jobs.ts';
import { Samples } from './samples.tsx';
import { Sheets } from './sheets.tsx';

export function TrainingView({ id }: { id: string }) {
  const { t, format } = useTexts();
  const [known, setKnown] = useState<Watched>(UNKNOWN);
  const [turn, setTurn] = useState(0);
  const [stopping, setStopping] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    const mine = new AbortController();
    void watch(id, mine.signal, setKnown);
    return () => mine.abort();
  }, [id, turn]);
  const { job } = known;
  const ended = job !== undefined && isFinal(job.state);
  useEffect(() => {
    // A finished training is a new model.
    if (ended) void refreshCatalogue();
  }, [ended]);

  const back = (
    <a class="back" href={address('train')}>
      <ArrowLeft />
      {t.train.back}
    </a>
  );
  if (job === undefined) {
    return (
      <>
        {back}
        <h1 tabIndex={-1} class="visually-hidden">
          {t.train.title}
        </h1>
        {known.problem === undefined ? (
          <p class="quiet-note">{known.reconnecting ? t.train.reconnecting : t.common.loading}</p>
        ) : (
          <ProblemNote problem={known.problem} retry={() => setTurn(turn + 1)} />
        )}
      </>
    );
  }
  const askStop = async () => {
    setStopping(true);
    setProblem(undefined);
    try {
      await stop(id);
    } catch (thrown) {
      setProblem(toProblem(thrown));
      setStopping(false);
    }
  };
  const running = !ended;
  // A job of the wire: its model answers only when it has ended well.
  const tuned = job.model !== undefined && job.model !== job.name;
  const pictures = job.family === 'image';
  const usable =
    job.state === 'succeeded' || (!tuned && job.state === 'cancelled' && known.points.length > 0);
  return (
    <>
      {back}
      <div class="room-head">
        <h1 tabIndex={-1}>{job.model ?? job.name}</h1>
        <TrainingState state={job.state} />
        <span class="model-facts">{job.base === undefined ? job.preset : t.tune.from(job.base)}</span>
        <div class="head-actions">
          {running && (
            <button type="button" class="button" onClick={() => void askStop()} disabled={stopping}>
              <StopMark />
              {stopping ? t.train.stopping : tuned ? t.tune.cancel : t.train.stop}
            </button>
          )}
          {usable && (
            <a
              class="button primary"
              href={address(pictures ? 'images' : 'playground', undefined, { model: job.model ?? job.name })}
            >
              <Brush />
              {t.train.use}
            </a>
          )}
        </div>
      </div>
      <p role="status" class="quiet-note">
        {known.reconnecting && t.train.reconnecting}
        {job.state === 'succeeded' && t.train.finished}
        {job.state === 'cancelled' && usable && t.train.stopped}
      </p>
      {problem !== undefined && <ProblemNote problem={problem} />}
      {job.state === 'failed' && <Failure job={job} />}
      <Figures known={known} />
      <Turns known={known} />
      {running && (
        <ProgressBar
          value={progressOf(known)}
          label={`${t.train.progress}: ${format.percent(progressOf(known) ?? 0)}`}
        />
      )}
      <div class="desk wide-side">
        <section class="desk-main sheet">
          {pictures ? (
            <Judgement known={known} running={running} />
          ) : (
            <>
              {known.points.length === 0 ? (
                <p class="quiet-note">{running ? t.train.waiting : t.chart.none}</p>
              ) : (
                <LossChart points={known.points} />
              )}
              <p class="help">{t.train.lossHelp}</p>
            </>
          )}
        </section>
        <aside class="desk-side" aria-labelledby="samples-title">
          {pictures ? (
            <Sheets samples={known.samples} running={running} />
          ) : tuned ? (
            <Events id={id} known={known} />
          ) : (
            <Samples samples={known.samples} running={running} />
          )}
        </aside>
      </div>
    </>
  );
}

function Judgement({ known, running }: { known: Watched; running: boolean }) {
  const { t } = useTexts();
  const words = t.pictures.train;
  return (
    <>
      {known.points.some((point) => point.score !== undefined) ? (
        <ScoreChart points={known.points} />
      ) : (
        <p class="quiet-note">{running ? words.scoreWaiting : t.chart.none}</p>
      )}
      <p class="help">{words.scoreHelp}</p>
    </>
  );
}

function Turns({ known: { rollbacks } }: { known: Watched }) {
  const { t, format } = useTexts();
  const last = rollbacks.at(-1);
  if (last === undefined) return null;
  const [from, step, times] = [last.from, last.step, last.rollbacks].map((value) => format.integer(value));
  return <p class="quiet-note">{t.train.wentBack(from as string, step as string, times as string)}</p>;
}

function Failure({ job }: { job: NonNullable<Watched['job']> }) {
  const { t } = useTexts();
  const problem: Problem = {
    kind: 'server',
    status: 0,
    code: job.error?.code ?? 'failed',
    message: job.error?.message ?? t.train.failed,
    ...(job.error?.hint === undefined ? {} : { hint: job.error.hint }),
  };
  return <ProblemNote problem={problem} title={t.train.failed} />;
}

/** From the newest point where the number of steps is known: the job's own progress is as old as its answer. */
function progressOf({ job, points, total }: Watched): number | undefined {
  const step = points.at(-1)?.step;
  if (total !== undefined && step !== undefined) return Math.min(1, step / total);
  return job === undefined || job.progress === 0 ? undefined : job.progress;
}

function Figures({ known }: { known: Watched }) {
  const { t, format } = useTexts();
  const { job, points, remaining, total } = known;
  const last = points.at(-1);
  const newest = (name: 'loss' | 'val_loss' | 'tokens_per_second' | 'score' | 'best_score' | 'size') =>
    points.findLast((point) => point[name] !== undefined)?.[name];
  const [loss, validation, speed] = [newest('loss'), newest('val_loss'), newest('tokens_per_second')];
  const number = (value: number | undefined, digits: number) =>
    value === undefined ? '–' : format.decimal(value, digits);
  const running = job !== undefined && !isFinal(job.state);
  const step = last === undefined ? '–' : format.integer(last.step);
  const words = t.pictures.train;
  const side = newest('size');
  const name = points.findLast((point) => point.score_name !== undefined)?.score_name;
  const facts: [string, string][] = [
    [t.train.step, total === undefined ? step : `${step} / ${format.integer(total)}`],
    ...((job?.family === 'image'
      ? [
          [name === undefined ? words.scoreAxis : words.score(name), number(newest('score'), 2)],
          [words.best, number(newest('best_score'), 2)],
          ...(side === undefined ? [] : [[words.grown, `${side} × ${side}`]]),
          [words.loss, number(loss, 3)],
          [words.speed, number(speed, 0)],
        ]
      : [
          [t.train.trainLoss, number(loss, 3)],
          [t.train.validationLoss, number(validation, 3)],
          [t.train.speed, number(speed, 0)],
        ]) as [string, string][]),
  ];
  if (running) facts.push([t.train.remaining, remaining === undefined ? '–' : format.duration(remaining)]);
  return <Facts list={facts} look="facts figures-large" />;
}

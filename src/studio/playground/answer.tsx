/** One answer as it grows: its tokens, what is going on, how fast it went, and what can be done with it. */
import { useRef } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { CopyButton } from '../parts/copy.tsx';
import { useFollow } from '../parts/follow.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import { useStore } from '../state/store.ts';
import { isRunning, type Run, textOf } from './runner.ts';
import { session } from './session.ts';
import { TokenText } from './token-text.tsx';
import { meanSurprise } from './tokens.ts';

interface Properties {
  run: Run;
  label: string;
  retry?: (() => void) | undefined;
  more?: () => void;
  /** Tints tokens; where it is left out, as the playground's switch says. */
  tinted?: boolean;
  /** Keeps the end in the window while it grows. */
  follow?: boolean;
}

export function Answer({ run, label, retry, more, tinted: wanted, follow = true }: Properties) {
  const { t } = useTexts();
  const foot = useRef<HTMLDivElement>(null);
  const switched = useStore(session, (state) => state.probabilities);
  const tinted = wanted ?? switched;
  const running = isRunning(run);
  useFollow(foot, running && follow);
  const begun = run.units.length > 0;
  return (
    <>
      {run.phase === 'loading' && (
        <div class="loading-model">
          <p>{run.loading?.message || t.playground.status.loading}</p>
          <ProgressBar value={run.loading?.progress} label={t.playground.loadingProgress} />
        </div>
      )}
      {(begun || (running && run.phase !== 'loading')) && (
        <TokenText
          units={run.units}
          count={run.units.length}
          tinted={tinted}
          label={label}
          lead={run.prompt}
          writing={running}
        />
      )}
      {run.problem !== undefined && (
        <ProblemNote problem={run.problem} {...(retry === undefined ? {} : { retry })} />
      )}
      <div class="answer-foot" ref={foot}>
        <Figures run={run} />
        {!running && begun && (
          <div class="answer-actions">
            <CopyButton text={() => (run.prompt ?? '') + textOf(run)} />
            {retry !== undefined && (
              <button type="button" class="button quiet" onClick={retry}>
                {t.playground.again}
              </button>
            )}
            {more !== undefined && run.phase !== 'failed' && (
              <button type="button" class="button quiet" onClick={more}>
                {t.playground.goOn}
              </button>
            )}
          </div>
        )}
      </div>
    </>
  );
}

/** Tokens, tokens per second, time to the first token, mean surprise. */
function Figures({ run }: { run: Run }) {
  const { t, format } = useTexts();
  const running = isRunning(run);
  const reasons: Record<string, string> = t.playground.reasons;
  const end = run.ended ?? performance.now();
  const seconds = run.first === undefined ? 0 : (end - run.first) / 1000;
  // The first token is where the clock starts, so it is not among those counted.
  const rate = seconds > 0 && run.tokens > 1 ? (run.tokens - 1) / seconds : undefined;
  const surprise = running ? undefined : meanSurprise(run.units);
  const reason =
    run.phase === 'done' && run.reason !== undefined
      ? (reasons[run.reason] ?? t.playground.reasons.other)
      : '';
  return (
    <p class="figures">
      <span role="status">
        {run.problem === undefined && t.playground.status[run.phase]}
        {reason !== '' && <> · {reason}</>}
      </span>
      {run.tokens > 0 && <span data-figure="tokens">{t.common.tokens(format.integer(run.tokens))}</span>}
      {rate !== undefined && <span data-figure="rate">{t.playground.speed(format.integer(rate))}</span>}
      {run.first !== undefined && !running && (
        <span>{t.playground.first(format.integer(run.first - run.started))}</span>
      )}
      {surprise !== undefined && (
        <span title={t.playground.surpriseHelp}>{t.playground.surprise(format.decimal(surprise, 2))}</span>
      )}
    </p>
  );
}

/** Two answers side by side, nameless while the round is blind, and the vote below them. */
import { useTexts } from '../i18n/index.ts';
import { CheckMark } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { Answer } from '../playground/answer.tsx';
import { isRunning, type Run } from '../playground/runner.ts';
import { TokenText } from '../playground/token-text.tsx';
import { useStore } from '../state/store.ts';
import { bothEnded, duel, isHidden, type Round, vote } from './duel.ts';
import type { SideName } from './sides.ts';

export function Answers({ round, retry }: { round: Round; retry: () => void }) {
  const { t } = useTexts();
  return (
    <section id="answers" class="compare-answers" aria-label={t.playground.answer}>
      <div class="two">
        {round.order.map((side, place) => (
          <Pane key={side} round={round} side={side} place={place} retry={retry} />
        ))}
      </div>
      <Verdict round={round} />
    </section>
  );
}

interface PaneProperties {
  round: Round;
  side: SideName;
  /** 0 for left. */
  place: number;
  retry: () => void;
}

function Pane({ round, side, place, retry }: PaneProperties) {
  const { t } = useTexts();
  const words = t.compare;
  const run = useStore(duel, (state) => state.runs[side]);
  const hidden = useStore(duel, isHidden);
  const title = round.blind ? (place === 0 ? words.left : words.right) : side.toUpperCase();
  return (
    <article class="sheet compare-answer" aria-labelledby={`answer-${place}`}>
      <div class="sheet-head">
        <h2 id={`answer-${place}`} class="section-title">
          {title}
        </h2>
        <span class="compare-name">{hidden ? words.hidden : round.names[side]}</span>
      </div>
      {run === undefined ? (
        <p class="quiet-note">{words.empty}</p>
      ) : hidden ? (
        <Nameless run={run} label={title} retry={retry} />
      ) : (
        <Answer run={run} label={title} tinted follow={false} retry={retry} />
      )}
    </article>
  );
}

/** Speed and the words of the server would give a model away; so would the tints of its probabilities. */
function Nameless({ run, label, retry }: { run: Run; label: string; retry: () => void }) {
  const { t } = useTexts();
  const running = isRunning(run);
  return (
    <>
      {(run.units.length > 0 || running) && (
        <TokenText
          units={run.units}
          count={run.units.length}
          tinted={false}
          label={label}
          lead={run.prompt}
          writing={running}
        />
      )}
      {run.problem !== undefined && <ProblemNote problem={run.problem} retry={retry} />}
      <p class="figures" role="status">
        {run.phase === 'loading'
          ? t.compare.waitingBlind
          : run.problem === undefined && t.playground.status[run.phase]}
      </p>
    </>
  );
}

function Verdict({ round }: { round: Round }) {
  const { t } = useTexts();
  const words = t.compare;
  const votable = useStore(
    duel,
    (state) => bothEnded(state) && state.runs.a?.phase !== 'failed' && state.runs.b?.phase !== 'failed',
  );
  const voted = useStore(duel, (state) => state.vote);
  const problem = useStore(duel, (state) => state.problem);
  if (round.names.a === round.names.b) return <p class="quiet-note">{words.same}</p>;
  if (!votable) return <p class="quiet-note">{words.noVote}</p>;
  const titles = round.blind ? [words.left, words.right] : ['A', 'B'];
  const [left, right] = round.order;
  if (voted !== undefined)
    return (
      <p class="verdict-said" role="status">
        <CheckMark />
        {voted === 'tie' ? words.votedTie : words.voted(round.names[voted])}{' '}
        {round.blind && words.revealed(round.names[left], round.names[right])}
      </p>
    );
  const button = (winner: SideName | 'tie', label: string) => (
    <button type="button" class="button" onClick={() => void vote(winner)}>
      {label}
    </button>
  );
  return (
    <div class="verdict">
      <p class="verdict-ask" id="verdict-ask">
        {words.vote}
      </p>
      {/* biome-ignore lint/a11y/useSemanticElements: buttons that each do something are no fieldset */}
      <div class="actions" role="group" aria-labelledby="verdict-ask">
        {button(left, words.better(titles[0] as string))}
        {button('tie', words.tie)}
        {button(right, words.better(titles[1] as string))}
      </div>
      {problem !== undefined && <ProblemNote problem={problem} />}
    </div>
  );
}

/**
 * Times participants against each other in one run: round after round each takes its turn while the others
 * wait. Knows nothing of what they compute.
 */
import type { RunAnswer } from './protocol.ts';

export interface Spread {
  median: number;
  /** First and third quartile. */
  lower: number;
  upper: number;
  samples: number;
}

/** @param values at least one */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (fraction: number): number => {
    const place = fraction * (sorted.length - 1);
    const low = sorted[Math.floor(place)] as number;
    return low + ((sorted[Math.ceil(place)] as number) - low) * (place % 1);
  };
  return { median: at(0.5), lower: at(0.25), upper: at(0.75), samples: sorted.length };
}

export interface Participant {
  id: string;
  run(count: number): Promise<RunAnswer>;
}

export interface Plan {
  rounds: number;
  /** Timed runs of each participant in a round; one more goes before them, untimed. */
  runs: number;
  /** Seconds that one participant may take beyond its warm-up; a slow one gets fewer runs. */
  budget: number;
  /** Runs before the first round, to compile and to fill caches; at least 1. */
  warmup: number;
  /** Milliseconds of rest between turns: threads that spin for a while after their work must have stopped. */
  rest?: number;
}

export interface Measured {
  id: string;
  /** Seconds of one run. */
  time: Spread;
  /** Of all runs from the first on, timed or not. */
  losses: number[];
  tokens: number[] | undefined;
  /** Said where it was measured otherwise than the others. */
  note: string | undefined;
}

interface Turn {
  participant: Participant;
  runs: number;
  rounds: number;
  seconds: number[];
  losses: number[];
  tokens: number[] | undefined;
  note: string | undefined;
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

async function take(turn: Turn, count: number): Promise<number[]> {
  const answer = await turn.participant.run(count);
  turn.losses.push(...(answer.losses ?? []));
  turn.tokens ??= answer.tokens;
  return answer.seconds;
}

/** How often a participant that takes `seconds` a run may go within the plan's budget. */
export function share(plan: Plan, seconds: number): { runs: number; rounds: number } {
  const whole = plan.rounds * (plan.runs + 1);
  const affordable = Math.floor(plan.budget / seconds);
  if (affordable >= whole) return { runs: plan.runs, rounds: plan.rounds };
  if (affordable < 2) return { runs: 0, rounds: 0 };
  const rounds = Math.max(1, Math.min(plan.rounds, Math.floor(affordable / 2)));
  return { runs: Math.min(plan.runs, Math.floor(affordable / rounds) - 1), rounds };
}

/**
 * A failing participant is reported through `failed` and leaves the run; the others go on.
 * @returns those that finished, in the order given
 */
export async function interleave(
  participants: readonly Participant[],
  plan: Plan,
  report: { show(text: string): void; failed(id: string, reason: unknown): void },
): Promise<Measured[]> {
  let turns: Turn[] = [];
  for (const participant of participants) {
    report.show(`${participant.id}: warming up`);
    const turn: Turn = { participant, ...plan, seconds: [], losses: [], tokens: undefined, note: undefined };
    try {
      const [first = 0] = await take(turn, 1);
      // The first run compiles and may be far slower than the rest: only later ones say how fast it goes.
      const rest = await take(turn, Math.max(1, Math.min(plan.warmup - 1, Math.floor(plan.budget / first))));
      const last = rest.at(-1) as number;
      const { runs, rounds } = share(plan, last);
      turn.runs = runs;
      turn.rounds = rounds;
      if (runs === 0) {
        turn.seconds.push(last);
        turn.note = `one run of ${last.toFixed(1)} s, outside the rounds`;
      } else if (runs < plan.runs || rounds < plan.rounds) {
        turn.note = `${rounds} rounds of ${runs}, being slow; the others ${plan.rounds} of ${plan.runs}`;
      }
      turns.push(turn);
    } catch (thrown) {
      report.failed(participant.id, thrown);
    }
  }
  for (let round = 0; round < plan.rounds; round++) {
    for (const turn of [...turns]) {
      if (round >= turn.rounds) continue;
      report.show(`round ${round + 1} of ${plan.rounds}: ${turn.participant.id}`);
      await pause(plan.rest ?? 300);
      try {
        turn.seconds.push(...(await take(turn, turn.runs + 1)).slice(1));
      } catch (thrown) {
        turns = turns.filter((one) => one !== turn);
        report.failed(turn.participant.id, thrown);
      }
    }
  }
  return turns.map(({ participant, seconds, losses, tokens, note }) => ({
    id: participant.id,
    time: spread(seconds),
    losses,
    tokens,
    note,
  }));
}

/** How fast each side does one piece of work, in turns, as cases of a benchmark. Knows no kind of work. */
import { InkstoneError } from '../src/base/errors.ts';
import { interleave, type Measured, type Plan } from './interleave.ts';
import type { Peer } from './peer.ts';
import { type Absent, type OpenPeer, PEER_NAMES } from './peers.ts';
import type { Work } from './protocol.ts';
import { absentCase, type BenchCase, round, scaled } from './report.ts';

export interface SpeedCall {
  name: string;
  unit: string;
  /** Of a run that took so long: the more the better. */
  speed(seconds: number): number;
  plan: Plan;
  ours: Peer;
  open: readonly OpenPeer[];
  absent: readonly Absent[];
  /** What each side is told to prepare. */
  work: Work;
  /** Our compute threads; a peer says its own. Left out where `beside` tells them. */
  threads?: number;
  /** @throws where the other side did something else: fast and wrong is not fast */
  check(peerName: string, own: Measured, theirs: Measured): void;
  /** More to say of our side. */
  beside?(own: Measured): Partial<BenchCase>;
  /** More to say of the other side. */
  besideTheirs?(theirs: Measured): Partial<BenchCase>;
  show(text: string): void;
  note(text: string): void;
}

/** One case for each peer, absent ones too; one without a peer where none was asked for. @throws what ours or `check` throws */
export async function speedCases(call: SpeedCall): Promise<BenchCase[]> {
  const { name, unit, speed, ours, open, absent, work } = call;
  const all = [{ id: 'ours', peer: ours }, ...open];
  for (const { peer } of all) await peer.ask({ do: 'prepare', name, ...work });
  const measured = await interleave(
    all.map(({ id, peer }) => ({ id, run: (count) => peer.ask({ do: 'run', name, count }) })),
    call.plan,
    {
      show: (said) => call.show(`${name}: ${said}`),
      failed: (id, reason) => {
        if (id === 'ours') throw InkstoneError.from(reason);
        call.note(`${name}: ${id} failed: ${InkstoneError.from(reason).message}`);
      },
    },
  );
  for (const { peer } of all) await peer.ask({ do: 'free', name }).catch(() => undefined);
  const own = measured.find(({ id }) => id === 'ours') as Measured;
  const common = {
    unit,
    better: 'higher' as const,
    ours: round(speed(own.time.median)),
    ours_spread: scaled(own.time, speed),
    ...call.beside?.(own),
  };
  const cases: BenchCase[] = [];
  for (const { id, description } of open) {
    const theirs = measured.find((one) => one.id === id);
    if (theirs === undefined) continue;
    call.check(PEER_NAMES[id], own, theirs);
    cases.push({
      case: `${name}, ${PEER_NAMES[id]}`,
      ...common,
      peer: round(speed(theirs.time.median)),
      peer_name: PEER_NAMES[id],
      peer_version: description.version,
      ratio: round(theirs.time.median / own.time.median, 3),
      peer_spread: scaled(theirs.time, speed),
      ...call.besideTheirs?.(theirs),
      ...(call.threads === undefined ? {} : { threads: { ours: call.threads, peer: description.threads } }),
      ...(theirs.note === undefined ? {} : { note: theirs.note }),
    });
  }
  for (const one of absent) {
    const peerName = PEER_NAMES[one.id];
    cases.push({
      ...absentCase(`${name}, ${peerName}`, unit, 'higher', common.ours, one, peerName),
      ...common,
    });
  }
  if (open.length + absent.length === 0)
    cases.push({ case: name, ...common, peer: null, peer_name: null, peer_version: null, ratio: null });
  return cases;
}

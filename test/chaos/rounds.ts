/**
 * Rounds of kills under load, and the account at the end: what was accepted has ended, each effect is there once, nobody
 * waited past the deadline, orphans came back in time. Returns a report; judges nothing.
 */
import { isThere } from './served.ts';
import { since, stoodStill } from './standstill.ts';
import { DEADLINE, IN_BATCH, type StoreName, Yard } from './yard.ts';

export type Blow = 'server' | 'host' | 'hang' | 'database' | 'backend' | 'clock' | 'disk';

export interface Round {
  blow: Blow;
  /** False where nobody was there to be struck. */
  struck: boolean;
  /** Milliseconds from the blow until a request was answered again; for a killed server from when it listened again. */
  back: number;
  /** Milliseconds from when a server listened again until the batches that the dead one held were taken up. */
  orphans?: number;
  /** A host that was struck was still there when requests were answered: it was not the one that answers. */
  missed?: boolean;
}

export interface ChaosReport {
  store: StoreName;
  rounds: Round[];
  /** Rounds by what was struck; of all those in which nobody was there. */
  blows: Partial<Record<Blow, number>>;
  notStruck: number;
  missed: number;
  requests: Yard['counts'];
  accepted: number;
  /** Of those accepted. */
  ended: number;
  notEnded: string[];
  /** Batches with an answer missing, or there twice. */
  wrong: string[];
  /** More than one batch under one key. */
  doubled: number;
  /** Rounds in which a dead server held batches. */
  orphaned: number;
  /** The longest, in milliseconds. */
  worst: { back: number; orphans: number };
  /** Milliseconds for which everything stood still, of which none counts. */
  standstill: number;
  seconds: number;
}

export interface ChaosOptions {
  store: StoreName;
  rounds: number;
  /** By how often each shall come. */
  blows: Partial<Record<Blow, number>>;
  seed?: number;
  tell?(round: Round, number: number): void;
}

/** Hosts that may end between two starts of the server: one more, and it says for half a minute that they only fall over. */
const HOST_ENDS = 4;
/** Milliseconds: how far a clock jumps at most, and how long a disk stays full. */
const FARTHEST = 3_600_000;
const FULL = 500;

const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Batches that somebody works on. */
async function held(yard: Yard): Promise<string[]> {
  const open = await yard.stillOpen();
  return open.filter(({ state }) => state === 'running').map(({ id }) => id);
}

export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const started = performance.now();
  let state = options.seed ?? 1;
  // Numbers that look like chance and are the same again (Park and Miller).
  const chance = (): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const yard = await Yard.open(options.store);
  const rounds: Round[] = [];
  const drawn = Object.entries(options.blows).flatMap(([blow, often]) =>
    blow === 'disk' && !yard.ownDisk ? [] : Array<Blow>(often).fill(blow as Blow),
  );
  try {
    await yard.start();
    await yard.recovered();
    yard.load(2, 300);
    let hostEnds = 0;
    for (let i = 0; i < options.rounds; i++) {
      await wait(100 + chance() * 500);
      let blow = drawn[Math.floor(chance() * drawn.length)] as Blow;
      if (hostEnds >= HOST_ENDS && (blow === 'host' || blow === 'hang')) blow = 'server';
      hostEnds = blow === 'server' ? 0 : hostEnds + (blow === 'host' || blow === 'hang' ? 1 : 0);
      const round = await strike(yard, blow, chance);
      rounds.push(round);
      options.tell?.(round, i + 1);
    }
    await yard.endLoad();
    return {
      ...(await account(yard)),
      store: options.store,
      rounds,
      ...summed(rounds),
      standstill: Math.round(stoodStill(started, performance.now())),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await yard.close();
  }
}

async function strike(yard: Yard, blow: Blow, chance: () => number): Promise<Round> {
  if (blow === 'server') {
    const orphans = await held(yard).catch(() => []);
    await yard.killServer();
    await yard.start();
    const listening = performance.now();
    const [back, taken] = await Promise.all([yard.recovered(), takenUp(yard, orphans, listening)]);
    return { blow, struck: true, back, ...(taken === undefined ? {} : { orphans: taken }) };
  }
  if (blow === 'host' || blow === 'hang') {
    const host = yard.killHost(blow === 'hang' ? 'SIGSTOP' : 'SIGKILL');
    const back = await yard.recovered();
    if (host === undefined) return { blow, struck: false, back };
    return { blow, struck: true, back, missed: isThere(host) };
  }
  let struck = true;
  if (blow === 'database') struck = await yard.killDatabase();
  else if (blow === 'backend') struck = yard.postgres?.killBackend() === true;
  else if (blow === 'clock') await yard.jump(Math.round((2 * chance() - 1) * FARTHEST));
  else {
    yard.fillDisk();
    await wait(FULL);
    yard.freeDisk();
  }
  return { blow, struck, back: await yard.recovered() };
}

/** Until the work of the dead one moves again, or is done. */
async function takenUp(
  yard: Yard,
  orphans: readonly string[],
  listening: number,
): Promise<number | undefined> {
  if (orphans.length === 0) return undefined;
  const moved = async (id: string): Promise<boolean> => {
    const job = await yard.jobState(id).catch(() => undefined);
    return job?.ended !== undefined || job?.mine === true;
  };
  let left = orphans;
  while (left.length > 0 && since(listening) < DEADLINE) {
    const still: string[] = [];
    for (const one of left) if (!(await moved(one))) still.push(one);
    left = still;
    if (left.length > 0) await wait(50);
  }
  return since(listening);
}

/** Waits for what was accepted and looks at every answer. */
async function account(
  yard: Yard,
): Promise<Pick<ChaosReport, 'requests' | 'accepted' | 'ended' | 'notEnded' | 'wrong' | 'doubled'>> {
  const notEnded: string[] = [];
  const wrong: string[] = [];
  const until = performance.now() + 180_000;
  const ids = new Set(yard.accepted.values());
  for (const id of ids) {
    let batch = await yard.client.batches.retrieve(id).catch(() => undefined);
    while (batch?.status !== 'completed' && performance.now() < until) {
      await wait(100);
      batch = await yard.client.batches.retrieve(id).catch(() => undefined);
    }
    if (batch?.status !== 'completed') {
      notEnded.push(`${id}: ${batch?.status ?? 'not there'}`);
      continue;
    }
    const text = await (await yard.client.files.content(batch.output_file_id ?? '')).text();
    const answered = text
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);
    const all = Array.from({ length: IN_BATCH }, (_, i) => `r${i}`);
    if (answered.join() !== all.join()) wrong.push(`${id}: ${answered.join()}`);
  }
  let there = 0;
  for await (const batch of yard.client.batches.list({ limit: 100 })) {
    void batch;
    there++;
  }
  return {
    requests: yard.counts,
    accepted: ids.size,
    ended: ids.size - notEnded.length,
    notEnded,
    wrong,
    doubled: there - ids.size,
  };
}

function summed(
  rounds: readonly Round[],
): Pick<ChaosReport, 'blows' | 'notStruck' | 'missed' | 'orphaned' | 'worst'> {
  const blows: Partial<Record<Blow, number>> = {};
  for (const { blow } of rounds) blows[blow] = (blows[blow] ?? 0) + 1;
  const orphans = rounds.flatMap((round) => (round.orphans === undefined ? [] : [round.orphans]));
  return {
    blows,
    notStruck: rounds.filter(({ struck }) => !struck).length,
    missed: rounds.filter(({ missed }) => missed === true).length,
    orphaned: orphans.length,
    worst: { back: Math.max(0, ...rounds.map(({ back }) => back)), orphans: Math.max(0, ...orphans) },
  };
}

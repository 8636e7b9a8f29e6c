/**
 * Rounds of kills under load, and the account at the end: what was accepted has ended, each effect is there once, nobody
 * waited past the deadline, orphans came back in time. Returns a report; judges nothing.
 */
import { DEADLINE, IN_BATCH, type StoreName, Yard } from './yard.ts';

export type Blow = 'server' | 'host' | 'hang' | 'database' | 'backend';

export interface Round {
  blow: Blow;
  /** False where nobody was there to be struck. */
  struck: boolean;
  /** Milliseconds from the blow until a request was answered again; for a killed server from when it listened again. */
  back: number;
  /** Milliseconds from when a server listened again until the batches that the dead one held were taken up. */
  orphans?: number;
}

export interface ChaosReport {
  store: StoreName;
  rounds: Round[];
  requests: Yard['counts'];
  accepted: number;
  /** Of those accepted. */
  ended: number;
  notEnded: string[];
  /** Batches with an answer missing, or there twice. */
  wrong: string[];
  /** More than one batch under one key. */
  doubled: number;
  /** The longest, in milliseconds. */
  worst: { back: number; orphans: number };
  seconds: number;
}

export interface ChaosOptions {
  store: StoreName;
  rounds: number;
  blows: readonly Blow[];
  seed?: number;
  tell?(round: Round, number: number): void;
}

const wait = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

interface OpenJob {
  id: string;
  fence: number;
  state: string;
}

/** Batches that somebody works on. */
async function held(yard: Yard): Promise<OpenJob[]> {
  const found: OpenJob[] = [];
  for await (const { id } of yard.client.batches.list({ limit: 100 })) {
    const batch = await yard.client.batches.retrieve(id);
    if (['in_progress', 'finalizing'].includes(batch.status))
      found.push({ id, state: batch.status, fence: 0 });
    if (found.length >= 5) break;
  }
  return found;
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
  try {
    await yard.start();
    await yard.recovered();
    yard.load(2, 250);
    for (let i = 0; i < options.rounds; i++) {
      await wait(200 + chance() * 800);
      const blow = options.blows[Math.floor(chance() * options.blows.length)] as Blow;
      const round = await strike(yard, blow);
      rounds.push(round);
      options.tell?.(round, i + 1);
    }
    await yard.endLoad();
    return {
      ...(await account(yard)),
      store: options.store,
      rounds,
      worst: worstOf(rounds),
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await yard.close();
  }
}

async function strike(yard: Yard, blow: Blow): Promise<Round> {
  if (blow === 'server') {
    const orphans = await held(yard).catch(() => []);
    await yard.killServer();
    await yard.start();
    const listening = performance.now();
    const [back, taken] = await Promise.all([yard.recovered(), takenUp(yard, orphans, listening)]);
    return { blow, struck: true, back, ...(taken === undefined ? {} : { orphans: taken }) };
  }
  const struck =
    blow === 'host'
      ? yard.killHost()
      : blow === 'hang'
        ? yard.killHost('SIGSTOP')
        : blow === 'database'
          ? await yard.killDatabase()
          : yard.postgres?.killBackend() === true;
  return { blow, struck, back: await yard.recovered() };
}

/** Until the work of the dead one moves again, or is done. */
async function takenUp(yard: Yard, orphans: readonly OpenJob[], since: number): Promise<number | undefined> {
  if (orphans.length === 0) return undefined;
  const moved = async ({ id }: OpenJob): Promise<boolean> => {
    const response = await fetch(`http://127.0.0.1:${yard.port}/api/jobs/${id}`).catch(() => undefined);
    if (response?.ok !== true) return false;
    const job = (await response.json()) as { state: string; holder?: string; ended?: number; mine: boolean };
    return job.ended !== undefined || job.mine;
  };
  let left = orphans;
  while (left.length > 0 && performance.now() - since < DEADLINE) {
    const still: OpenJob[] = [];
    for (const one of left) if (!(await moved(one))) still.push(one);
    left = still;
    if (left.length > 0) await wait(50);
  }
  return performance.now() - since;
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

function worstOf(rounds: readonly Round[]): ChaosReport['worst'] {
  return {
    back: Math.max(0, ...rounds.map(({ back }) => back)),
    orphans: Math.max(0, ...rounds.map(({ orphans = 0 }) => orphans)),
  };
}

/**
 * A durable job whose work is a command of ours (`inkstone … --json`) in a folder: one process at a time, whatever is
 * killed. The process is tied to this one and ends with it; it is stopped, its work kept, when the job is; killed, or hung
 * and so killed here, it is tried again from what it kept. Knows no kind of work.
 */
import path from 'node:path';
import type { JobWork } from '../../base/contracts/jobs.ts';
import { type ErrorKind, InkstoneError, kindOfExit } from '../../base/errors.ts';
import {
  type ChildProcess,
  exists,
  isAlive,
  lowerPriority,
  monotonic,
  processUse,
  readText,
  sendSignal,
  spawnTied,
} from '../../base/host.ts';
import { HostWatch } from '../hosts/host-watch.ts';

/** Where such a job stands; the rest of it is in its folder. */
export interface CommandStep {
  /** The process that was last started for it. */
  process?: { id: number; started?: number };
}

export interface CommandRun {
  /** @param resume whether an earlier process of this very job began in the folder */
  args(resume: boolean): string[];
  folder: string;
  /** The file in the folder by which one sees that the work was begun. */
  mark: string;
  /** 0 to 1, by what is in the folder. */
  progress(): Promise<number>;
  /** Milliseconds that a process has to put down its work when it is told to. */
  grace?: number;
  /** Milliseconds in which a process that neither says anything nor computes is taken for hung. */
  silent?: number | undefined;
  /** W3C `traceparent` of whoever asked. */
  trace?: string | undefined;
}

const GRACE = 30_000;
/** Long enough for a slow disk, and for a machine that has much else to do. */
const SILENT = 300_000;
/** Milliseconds between looks: at how far it is, and at a process that has to go. */
const LOOK = 1000;
const WAIT = 50;
const RESUME = 'resume it: what it kept is not lost';
/** Kept of what a process writes; its JSON line is the last. */
const TAIL = 65_536;

interface End {
  status: number | null;
  signal: string | null;
  /** The JSON line of the command: its result, or `{error}`. */
  answer: Record<string, unknown> | undefined;
}

/**
 * @returns the command's JSON line
 * @throws InkstoneError with the command's own code; `process_lost` where it was killed, `process_hung` where it did
 * nothing any more, `interrupted` where the job was told to stop
 */
export async function runCommand(
  work: JobWork<unknown, CommandStep>,
  run: CommandRun,
): Promise<Record<string, unknown>> {
  const { grace = GRACE } = run;
  await emptied(run.folder, work.step?.process, grace, work.signal);
  if (work.signal.aborted) throw interrupted();
  // What lies in the folder is this job's only if it was here before: else the command refuses the folder.
  const resume = work.step !== undefined && (await exists(path.join(run.folder, run.mark)));
  let progress = resume ? await run.progress() : 0;
  await work.save({}, progress);
  if (work.signal.aborted) throw interrupted();
  const child = new Command(run.args(resume), run);
  const stop = (): void => child.stop();
  work.signal.addEventListener('abort', stop);
  let end: End | undefined;
  const over = child.end.then((how) => {
    end = how;
  });
  for (let last = false; !last; ) {
    last = end !== undefined;
    progress = Math.max(progress, await run.progress());
    // A store that is away for a moment is none of its business; a job that is another's by now has stopped it.
    await work.save({ process: child.process }, progress).catch(() => undefined);
    await Promise.race([over, new Promise((resolve) => setTimeout(resolve, LOOK).unref())]);
  }
  work.signal.removeEventListener('abort', stop);
  if (child.hung !== undefined && !work.signal.aborted) throw child.hung;
  return answerOf(end as End, work.signal);
}

/** Waits until no process is at work in a folder; one that an earlier holder of the job left is made to end. */
async function emptied(
  folder: string,
  known: CommandStep['process'],
  grace: number,
  signal: AbortSignal,
): Promise<void> {
  const until = monotonic() + grace;
  let told: NodeJS.Signals | undefined;
  for (;;) {
    const id = await holderOf(folder);
    if (id === undefined || !isAlive(id)) return;
    const left = until - monotonic();
    // An id may by now be another process's: when it began tells.
    const ours = known?.id === id && processUse(id)?.started === known.started;
    if (!ours && (left < 0 || signal.aborted))
      throw new InkstoneError('run_locked', `process ${id} is at work in ${folder}`, {
        kind: 'resource',
        hint: 'wait for it or stop it',
      });
    const wanted = left < 0 ? 'SIGKILL' : 'SIGTERM';
    if (ours && told !== wanted) sendSignal(id, wanted);
    if (ours) told = wanted;
    await new Promise((resolve) => setTimeout(resolve, WAIT));
  }
}

/** Id of the process that a folder's lock names. */
async function holderOf(folder: string): Promise<number | undefined> {
  const text = await readText(path.join(folder, 'lock')).catch(() => '');
  const id = Number(text);
  return Number.isInteger(id) && id > 0 ? id : undefined;
}

class Command {
  readonly end: Promise<End>;
  readonly process: NonNullable<CommandStep['process']>;
  /** Why it was ended here. */
  hung: InkstoneError | undefined;
  private readonly child: ChildProcess;
  private readonly grace: number;
  private late: NodeJS.Timeout | undefined;

  constructor(args: string[], { grace = GRACE, silent = SILENT, trace }: CommandRun) {
    this.grace = grace;
    this.child = spawnTied(args, trace === undefined ? {} : { TRACEPARENT: trace });
    const { pid = 0 } = this.child;
    // Whoever waits for an answer goes first.
    if (pid > 0) lowerPriority(pid);
    const started = processUse(pid)?.started;
    this.process = { id: pid, ...(started === undefined ? {} : { started }) };
    const watch = new HostWatch({
      ...{ process: pid, name: 'this work' },
      settings: { silent, busy: Number.POSITIVE_INFINITY },
      condemn: () => {
        const seconds = Math.round(silent / 1000);
        this.hung = failure('process_hung', `its process did nothing for ${seconds} s`, 'internal', RESUME);
        this.child.kill('SIGKILL');
      },
    });
    watch.started();
    let output = '';
    this.child.stdout?.on('data', (piece) => {
      watch.alive();
      output = (output + String(piece)).slice(-TAIL);
    });
    this.child.stderr?.on('data', () => watch.alive());
    this.end = new Promise((resolve) => {
      // `close` comes when the last output was read; `error` alone when the process could not be made.
      this.child.on('close', (status, signal) => resolve({ status, signal, answer: lastJson(output) }));
      this.child.on('error', () => resolve({ status: null, signal: null, answer: lastJson(output) }));
    });
    void this.end.then(() => {
      clearTimeout(this.late);
      watch.stop();
    });
  }

  /** It puts its work down and ends. Told once: a second signal would cut it short, and does when it takes too long. */
  stop(): void {
    if (this.late !== undefined) return;
    this.late = setTimeout(() => this.child.kill('SIGKILL'), this.grace);
    this.child.kill('SIGTERM');
  }
}

function answerOf({ status, signal, answer }: End, { aborted }: AbortSignal): Record<string, unknown> {
  const error = answer?.error as { code: string; message: string; hint?: string } | undefined;
  if (answer !== undefined && error === undefined && answer.state !== 'stopped') return answer;
  if (aborted) throw interrupted();
  if (error !== undefined && error.code !== 'interrupted')
    throw failure(error.code, error.message, kindOfExit(status), error.hint);
  // Killed, or told to stop by somebody else than us, as everybody is when a machine goes down.
  const how = signal === null ? `with status ${status}` : `by ${signal}`;
  throw failure('process_lost', `its process ended ${how}`, 'internal', RESUME);
}

const failure = (code: string, message: string, kind: ErrorKind, hint?: string): InkstoneError =>
  new InkstoneError(code, message, { kind, ...(hint === undefined ? {} : { hint }) });

export const interrupted = (): InkstoneError =>
  failure('interrupted', 'the work was told to stop', 'conflict');

function lastJson(output: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/**
 * A model's own chat template (Jinja, as Hugging Face's tokenizer_config.json has it): how its turns become a prompt.
 * Rendered in a process of its own with bounds on time, memory and size, since templates come from anywhere.
 */
import type { ChatTemplate } from '../base/contracts/replica.ts';
import { InkstoneError } from '../base/errors.ts';
import { type ChildProcess, forkEntry } from '../base/host.ts';
import type { RenderAnswer, RenderCall } from './template-worker.ts';

/** Characters of a template, and of what it gives. */
const LONGEST_TEMPLATE = 256 * 1024;
const LONGEST_PROMPT = 16 * 2 ** 20;
/** Milliseconds of one rendering. */
const PATIENCE = 5000;
/** Milliseconds until its process can render. */
const START = 60_000;
/** MiB of its process's heap. */
const MEMORY = 128;

interface Rendering {
  call: RenderCall;
  resolve(text: string): void;
  reject(error: InkstoneError): void;
  timer: NodeJS.Timeout;
}

export interface RendererOptions {
  /** Milliseconds of one rendering, and until its process can render. */
  patience?: number;
  start?: number;
  /** What its process runs. */
  entry?: string;
}

export class TemplateRenderer {
  private readonly options: Required<RendererOptions>;
  private worker: ChildProcess | undefined;
  private ready = false;
  private current: Rendering | undefined;
  private last: Promise<unknown> = Promise.resolve();
  /** Templates that ran out of time or memory once are not tried again: others would wait. */
  private readonly endless = new Set<string>();

  constructor(options: RendererOptions = {}) {
    this.options = { patience: PATIENCE, start: START, entry: 'prompt/template-worker', ...options };
  }

  /** @throws InkstoneError `template_failed` (what the template itself says, or that it is too slow or too large), `template_process` */
  render(template: ChatTemplate, values: Record<string, unknown>): Promise<string> {
    const { source, bos, eos } = template;
    if (source.length > LONGEST_TEMPLATE) return Promise.reject(failed('it is too large'));
    // Defined and nothing, as transformers has them.
    const nothing = { tools: null, documents: null };
    const all = { ...nothing, bos_token: bos ?? '', eos_token: eos ?? '', ...values };
    // One after another: the process has one conversation at a time, and the clock is this one's.
    const turn = this.last.then(() => this.run(source, all));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  private run(source: string, values: Record<string, unknown>): Promise<string> {
    if (this.endless.has(source)) return Promise.reject(failed('it ran out of time or memory before'));
    try {
      this.worker ??= this.open();
    } catch (cause) {
      return Promise.reject(noProcess(cause));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.close(), this.options.start);
      this.current = { call: { source, values }, resolve, reject, timer };
      if (this.ready) this.begin();
    });
  }

  /** The process is there: from now on it is the template that takes its time. */
  private begin(): void {
    const { current } = this;
    if (current === undefined) return;
    const { patience } = this.options;
    clearTimeout(current.timer);
    current.timer = setTimeout(() => {
      this.kill();
      this.blame(`it takes longer than ${patience / 1000} s`);
    }, patience);
    this.worker?.send(current.call, () => undefined);
  }

  private open(): ChildProcess {
    const worker = forkEntry(this.options.entry, [], {
      execArgv: [`--max-old-space-size=${MEMORY}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // It keeps nobody alive who has nothing else to do; the clock of a rendering does.
    worker.unref();
    worker.channel?.unref();
    // What one still says that was given up is about a rendering that is over.
    const isOurs = (): boolean => worker === this.worker;
    worker.on('message', (answer) => {
      if (isOurs()) this.receive(answer as RenderAnswer);
    });
    worker.on('error', (cause) => {
      if (isOurs() && !this.ready) this.close(cause);
    });
    worker.on('exit', () => {
      if (!isOurs()) return;
      if (!this.ready) return this.close();
      this.kill();
      this.blame('it needs too much memory');
    });
    return worker;
  }

  private receive(answer: RenderAnswer): void {
    if ('ready' in answer) {
      this.ready = true;
      this.begin();
      return;
    }
    const current = this.settled();
    if (current === undefined) return;
    if ('error' in answer) current.reject(failed(answer.error));
    else if (answer.text.length > LONGEST_PROMPT) current.reject(failed('it makes too long a prompt'));
    else current.resolve(answer.text);
  }

  /** The process is gone, and it was the template's doing. */
  private blame(why: string): void {
    const current = this.settled();
    if (current === undefined) return;
    this.endless.add(current.call.source);
    current.reject(failed(why));
  }

  private settled(): Rendering | undefined {
    const { current } = this;
    clearTimeout(current?.timer);
    this.current = undefined;
    return current;
  }

  private kill(): void {
    const { worker } = this;
    this.worker = undefined;
    this.ready = false;
    worker?.kill('SIGKILL');
  }

  /** Ends the process; what it was to render is no template's fault. The next rendering has a new one. */
  close(cause?: unknown): void {
    this.kill();
    this.settled()?.reject(noProcess(cause));
  }
}

const noProcess = (cause?: unknown): InkstoneError =>
  new InkstoneError(
    'template_process',
    'the process that renders chat templates does not start, or was ended',
    {
      kind: 'resource',
      hint: 'try again when the machine has less to do or more memory',
      ...(cause === undefined ? {} : { cause }),
    },
  );

function failed(why: string): InkstoneError {
  return new InkstoneError('template_failed', `the model's chat template cannot render this: ${why}`, {
    kind: 'usage',
    hint: 'templates often want users and assistants in turn',
    details: { param: 'messages' },
  });
}

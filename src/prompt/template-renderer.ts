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

export class TemplateRenderer {
  private readonly patience: number;
  private worker: ChildProcess | undefined;
  private ready = false;
  private current: Rendering | undefined;
  private last: Promise<unknown> = Promise.resolve();
  /** Templates that ran out of time or memory once are not tried again: others would wait. */
  private readonly endless = new Set<string>();

  constructor(options: { patience?: number } = {}) {
    this.patience = options.patience ?? PATIENCE;
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
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.giveUp(), START);
      this.current = { call: { source, values }, resolve, reject, timer };
      this.worker ??= this.open();
      if (this.ready) this.begin();
    });
  }

  /** The process is there: from now on it is the template that takes its time. */
  private begin(): void {
    const { current } = this;
    if (current === undefined) return;
    clearTimeout(current.timer);
    current.timer = setTimeout(() => {
      this.close();
      this.give(`it takes longer than ${this.patience / 1000} s`);
    }, this.patience);
    this.worker?.send(current.call, () => undefined);
  }

  private open(): ChildProcess {
    const worker = forkEntry('prompt/template-worker', [], {
      execArgv: [`--max-old-space-size=${MEMORY}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // It keeps nobody alive who has nothing else to do; the clock of a rendering does.
    worker.unref();
    worker.channel?.unref();
    worker.on('message', (answer) => this.receive(answer as RenderAnswer));
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      if (worker !== this.worker) return;
      this.worker = undefined;
      if (this.ready) this.give('it needs too much memory');
      else this.giveUp();
      this.ready = false;
    });
    return worker;
  }

  private receive(answer: RenderAnswer): void {
    if ('ready' in answer) {
      this.ready = true;
      this.begin();
      return;
    }
    const { current } = this;
    if (current === undefined) return;
    this.settle();
    if ('error' in answer) current.reject(failed(answer.error));
    else if (answer.text.length > LONGEST_PROMPT) current.reject(failed('it makes too long a prompt'));
    else current.resolve(answer.text);
  }

  /** The process is gone, and it was the template's doing. */
  private give(why: string): void {
    const { current } = this;
    if (current === undefined) return;
    this.settle();
    this.endless.add(current.call.source);
    current.reject(failed(why));
  }

  /** No process to render in: no template's doing. */
  private giveUp(): void {
    const { current } = this;
    this.close();
    this.settle();
    current?.reject(
      new InkstoneError('template_process', 'the process that renders chat templates does not start', {
        kind: 'resource',
        hint: 'try again when the machine has less to do or more memory',
      }),
    );
  }

  private settle(): void {
    clearTimeout(this.current?.timer);
    this.current = undefined;
  }

  close(): void {
    const { worker } = this;
    this.worker = undefined;
    this.ready = false;
    worker?.kill('SIGKILL');
  }
}

function failed(why: string): InkstoneError {
  return new InkstoneError('template_failed', `the model's chat template cannot render this: ${why}`, {
    kind: 'usage',
    hint: 'templates often want users and assistants in turn',
    details: { param: 'messages' },
  });
}

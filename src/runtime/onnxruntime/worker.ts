/** The thread that holds sessions: `session.run` blocks whoever calls it, so nobody else lives here. */
import { parentPort } from 'node:worker_threads';
import { InkstoneError } from '../../base/errors.ts';
import type { HostTensors } from '../../base/tensor.ts';
import { Dispatcher } from './dispatch.ts';
import type { Answer, Question } from './messages.ts';

const port = parentPort;
const dispatcher = new Dispatcher();
/** One call after another, in order. */
let last: Promise<void> = Promise.resolve();

port?.on('message', (question: Question) => {
  last = last.then(async () => {
    let answer: Answer;
    let moved: ArrayBuffer[] = [];
    try {
      const value = await dispatcher.answer(question.call);
      answer = { id: question.id, value };
      // What was read is a copy already; it is handed over, not copied again.
      if (question.call.kind === 'read' || question.call.kind === 'readPart')
        moved = Object.values(value as HostTensors).map((t) => t.data.buffer as ArrayBuffer);
    } catch (thrown) {
      const { code, message, kind, hint, details } = InkstoneError.from(thrown, 'engine_failed');
      answer = { id: question.id, error: { code, message, kind, hint, details } };
    }
    port.postMessage(answer, moved);
  });
});

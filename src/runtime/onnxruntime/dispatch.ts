/** Answers engine calls: the one table used inline and in the worker. */
import { InkstoneError } from '../../base/errors.ts';
import { channelBlocks } from './blocks.ts';
import { Engine } from './engine.ts';
import type { EngineCall } from './messages.ts';

export class Dispatcher {
  private engine: Engine | undefined;

  async answer(call: EngineCall): Promise<unknown> {
    if (call.kind === 'open') {
      this.engine = new Engine(call.options);
      return undefined;
    }
    const { engine } = this;
    if (engine === undefined) throw new InkstoneError('backend_closed', 'this backend was closed');
    switch (call.kind) {
      case 'compile':
        return engine.compile(call.bytes, call.name, call.profile);
      case 'blocks':
        return channelBlocks();
      case 'time':
        return engine.time(call.models, call.inputs, call.runs);
      case 'run':
        return engine.run(call.request);
      case 'resident':
        return engine.resident(call.tensors);
      case 'read':
        return engine.read(call.id, call.names);
      case 'write':
        return engine.write(call.id, call.tensors);
      case 'resize':
        return engine.resize(call.id, call.names, call.axis, call.size);
      case 'copyRows':
        return engine.copyRows(call.id, call.names, call.from, call.to);
      case 'readPart':
        return engine.readPart(call.id, call.names, call.part);
      case 'writePart':
        return engine.writePart(call.id, call.tensors, call.part);
      case 'freeResident':
        return engine.freeResident(call.id);
      case 'profile':
        return engine.profile(call.session);
      case 'free':
        return engine.free(call.session);
      case 'close':
        this.engine = undefined;
        return engine.close();
    }
  }
}

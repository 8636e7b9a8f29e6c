/** How many channels the CPU provider's blocked convolutions take together: asked of the runtime itself, on a tensor whose order tells. */
import * as ort from 'onnxruntime-node';
import { writeOnnx } from '../../formats/onnx.ts';

/** Two places of 64 channels: after the first block comes its second place. */
const CHANNELS = 64;
const DOMAIN = 'com.microsoft.nchwc';

function model(): Uint8Array {
  const shape = [1, CHANNELS, 1, 2];
  return writeOnnx({
    irVersion: 9,
    producerName: 'inkstone',
    opsets: [
      { domain: '', version: 20 },
      { domain: DOMAIN, version: 1 },
    ],
    graph: {
      name: 'blocks',
      inputs: [{ name: 'x', dtype: 'f32', shape }],
      outputs: [{ name: 'y', dtype: 'f32', shape }],
      nodes: [{ opType: 'ReorderInput', domain: DOMAIN, inputs: ['x'], outputs: ['y'], attributes: {} }],
      initializers: [],
    },
  });
}

/** 0 where the runtime has no blocks on this processor. */
async function ask(): Promise<number> {
  try {
    const session = await ort.InferenceSession.create(model(), {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      logSeverityLevel: 4,
    });
    const x = new ort.Tensor(
      'float32',
      Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i),
      [1, CHANNELS, 1, 2],
    );
    const { y } = (await session.run({ x })) as { y: ort.Tensor };
    await session.release();
    // Channel c, place p holds 2c + p: the value 1 stands where the first block ends.
    const at = (y.data as Float32Array).indexOf(1);
    return at === 8 || at === 16 ? at : 0;
  } catch {
    return 0;
  }
}

let known: Promise<number> | undefined;

/** Asked once a process. */
export function channelBlocks(): Promise<number> {
  known ??= ask();
  return known;
}

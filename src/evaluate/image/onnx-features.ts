/**
 * A feature network that a user brings as an ONNX file, an Inception above all. It takes pictures as its only input; which of
 * its outputs are the features and which the classes it says in its metadata, or by their names and shapes.
 */
import path from 'node:path';
import { InkstoneError } from '../../base/errors.ts';
import { readBytes } from '../../base/host.ts';
import { type HostTensor, type HostTensors, tensor } from '../../base/tensor.ts';
import type { Backend, GivenGraph, GivenValue } from '../../runtime/contract.ts';
import type { FeatureNetwork, PictureBytes } from './features.ts';
import type { Features } from './frechet.ts';
import { asInput, type Wanted } from './resize.ts';

/** Pictures at a time where the file leaves it open. */
const BATCH = 32;
/** What Inception takes where the file leaves its size open. */
const SIDE = 299;

/**
 * The file's metadata may say `inkstone.range` (`-1,1` if it says nothing; what bytes 0 and 255 become), `inkstone.features`
 * and `inkstone.logits` (names of outputs) and `inkstone.name` (what stands in a score's name; else the file's name).
 * @throws InkstoneError `file_missing`, `onnx_corrupt`, `features_invalid`, `compile_failed`
 */
export async function onnxFeatures(file: string, backend: Backend): Promise<FeatureNetwork> {
  if (backend.openOnnx === undefined)
    throw new InkstoneError('unsupported_setting', `the backend ${backend.name} reads no ONNX files`, {
      kind: 'unsupported',
      hint: 'score on the CPU (--device cpu)',
    });
  const graph = await backend.openOnnx(await readBytes(file), path.basename(file));
  try {
    return new OnnxNetwork(file, graph);
  } catch (thrown) {
    await graph.free();
    throw thrown;
  }
}

class OnnxNetwork implements FeatureNetwork {
  readonly name: string;
  private readonly graph: GivenGraph;
  private readonly input: GivenValue;
  private readonly wanted: Wanted;
  private readonly batch: { rows: number; fixed: boolean };
  private readonly features: string;
  private readonly logits: string | undefined;

  constructor(file: string, graph: GivenGraph) {
    this.graph = graph;
    const [input, ...more] = graph.inputs;
    const shape = input?.shape;
    if (input === undefined || more.length > 0 || shape?.length !== 4)
      throw invalid(
        file,
        `it takes ${graph.inputs.map(told).join(', ') || 'nothing'}, not pictures alone`,
        'the network has one input, [batch, 3, height, width] or [batch, height, width, 3]',
      );
    if (input.dtype !== 'f32' && input.dtype !== 'u8')
      throw invalid(file, `it takes pictures as ${input.dtype}`, 'give a network of float32 or uint8');
    this.input = input;
    this.wanted = wantedOf(file, input, graph.metadata['inkstone.range']);
    const rows = shape[0];
    this.batch = typeof rows === 'number' ? { rows, fixed: true } : { rows: BATCH, fixed: false };
    const outputs = outputsOf(file, graph);
    this.features = outputs.features;
    this.logits = outputs.logits;
    const stem = graph.metadata['inkstone.name'] ?? path.basename(file).replace(/\.onnx$/i, '');
    this.name = stem.toLowerCase().replace(/[^a-z0-9]+/g, '-') || 'onnx';
  }

  async extract(pictures: PictureBytes): Promise<{ features: Features; classes?: Features }> {
    const { count } = pictures;
    const features = new Rows(count);
    const classes = new Rows(count);
    for (let at = 0; at < count; at += this.batch.rows) {
      const rows = Math.min(this.batch.rows, count - at);
      const result = await this.run(pictures, at, rows);
      features.put(at, rows, result[this.features] as HostTensor);
      if (this.logits !== undefined) classes.put(at, rows, result[this.logits] as HostTensor);
    }
    const found = { features: features.taken() };
    return this.logits === undefined ? found : { ...found, classes: classes.taken() };
  }

  private run(pictures: PictureBytes, at: number, rows: number): Promise<HostTensors> {
    const { height, width, channels, channelsLast } = this.wanted;
    const values = asInput(pictures, at, rows, this.wanted);
    const stride = channels * height * width;
    // A network of a fixed number of pictures gets nothing in the places of those that are missing.
    const batch = this.batch.fixed ? this.batch.rows : rows;
    const shape = channelsLast ? [batch, height, width, channels] : [batch, channels, height, width];
    const size = batch * stride;
    const input =
      this.input.dtype === 'u8'
        ? tensor('u8', shape, filled(new Uint8Array(size), values.map(Math.round)))
        : tensor('f32', shape, filled(new Float32Array(size), values));
    const outputs = this.logits === undefined ? [this.features] : [this.features, this.logits];
    return this.graph.run({ [this.input.name]: input }, outputs);
  }

  close(): Promise<void> {
    return this.graph.free();
  }
}

function filled<Values extends Uint8Array | Float32Array>(all: Values, values: Float32Array): Values {
  all.set(values);
  return all;
}

/** Rows of one output; how wide they are is known with the first. */
class Rows {
  private readonly count: number;
  private data = new Float32Array(0);
  private width = 0;

  constructor(count: number) {
    this.count = count;
  }

  put(at: number, rows: number, { shape, data }: HostTensor): void {
    const width = shape.slice(1).reduce((a, b) => a * b, 1);
    if (this.width === 0) {
      this.width = width;
      this.data = new Float32Array(this.count * width);
    }
    for (let i = 0; i < rows * width; i++) this.data[at * width + i] = Number(data[i]);
  }

  taken(): Features {
    return { count: this.count, width: this.width, data: this.data };
  }
}

const told = ({ name, dtype, shape = [] }: GivenValue): string => `${name} ${dtype}[${shape.join(', ')}]`;

const invalid = (file: string, what: string, hint: string): InkstoneError =>
  new InkstoneError('features_invalid', `${file} is no network for features: ${what}`, {
    kind: 'data',
    hint,
  });

function wantedOf(file: string, { shape = [], dtype }: GivenValue, range: string | undefined): Wanted {
  const [, second, third, fourth] = shape;
  const channelsLast = second !== 1 && second !== 3 && (fourth === 1 || fourth === 3);
  const channels = channelsLast ? fourth : second;
  if (channels !== 1 && channels !== 3)
    throw invalid(
      file,
      `its input is [${shape.join(', ')}], of neither 1 nor 3 channels`,
      'the network sees grey or colour',
    );
  const side = (size: number | string | undefined): number => (typeof size === 'number' ? size : SIDE);
  const [height, width] = channelsLast ? [second, third] : [third, fourth];
  return {
    ...{ height: side(height), width: side(width), channels, channelsLast },
    range: dtype === 'u8' ? [0, 255] : rangeOf(file, range ?? '-1,1'),
  };
}

function rangeOf(file: string, text: string): [number, number] {
  const [low, high, ...more] = text.split(',').map(Number);
  if (
    low !== undefined &&
    high !== undefined &&
    more.length === 0 &&
    low < high &&
    Number.isFinite(high - low)
  )
    return [low, high];
  throw invalid(file, `its inkstone.range is "${text}"`, 'two numbers with a comma between them, as -1,1');
}

/** Rows of numbers; one that is a map of pixels is no row. */
const isRows = ({ dtype, shape }: GivenValue): boolean =>
  (dtype === 'f32' || dtype === 'f64') &&
  (shape === undefined || shape.length === 2 || (shape.length === 4 && shape[2] === 1 && shape[3] === 1));

function outputsOf(file: string, graph: GivenGraph): { features: string; logits: string | undefined } {
  const { metadata } = graph;
  const rows = graph.outputs.filter(isRows);
  const named = (key: string): string | undefined => {
    const name = metadata[key];
    if (name === undefined || rows.some((output) => output.name === name)) return name;
    throw invalid(
      file,
      `it says that "${name}" is its ${key}, which no output of rows is`,
      'mend the metadata',
    );
  };
  const like = (pattern: RegExp, not?: string): string | undefined =>
    rows.find(({ name }) => name !== not && pattern.test(name))?.name;
  const logits = named('inkstone.logits') ?? like(/logits/i, metadata['inkstone.features']);
  const features =
    named('inkstone.features') ??
    like(/feature|pool|embed/i, logits) ??
    rows.find(({ name }) => name !== logits)?.name ??
    logits;
  if (features !== undefined) return { features, logits };
  throw invalid(
    file,
    `it gives ${graph.outputs.map(told).join(', ') || 'nothing'}, no row of numbers a picture`,
    'an output of features is [batch, width]',
  );
}

/**
 * A loop inside a program: a body run once per row of its sequences, handing a carry from step to step. Its
 * gradient is another scan, run backwards over the carries that the first one kept.
 */
import { gradientsOf } from '../gradient.ts';
import { inline } from '../inline.ts';
import { define, type ReferenceValue, shapeError } from '../operation.ts';
import { programOf } from '../trace.ts';
import type { Named, Program, Size, Tensor, TensorType } from '../types.ts';
import { product } from './broadcast.ts';
import { fill, input } from './constant.ts';
import { add } from './elementwise.ts';

/**
 * Inputs: carries, sequences `[steps, …]`, constants. The body takes a carry, a row and the constants each,
 * and gives the next carry and rows of results. Outputs: last carries, results `[steps, …]`, and (with
 * `history`) each step's carry before it, `[steps, …]`.
 */
type Attributes = { body: Program; carries: number; sequences: number; reverse: boolean; history: boolean };

const scanCall: (inputs: readonly Tensor[], attributes: Attributes) => readonly Tensor[] = define<Attributes>(
  {
    name: 'scan',
    infer: (types, { body, carries, sequences, history }) => {
      const steps = stepsOf(types, carries, sequences);
      const outputs = body.outputs.map((o) => o.tensor as TensorType);
      const stacked = (type: TensorType): TensorType => ({
        dtype: type.dtype,
        shape: [steps, ...type.shape],
      });
      return [
        ...types.slice(0, carries),
        ...outputs.slice(carries).map(stacked),
        ...(history ? types.slice(0, carries).map(stacked) : []),
      ];
    },
    vjp: ({ inputs, outputs, cotangents, attributes }) => {
      const { body, carries, sequences, reverse } = attributes;
      const results = body.outputs.length - carries;
      const kept = outputs.slice(carries + results);
      const constants = inputs.slice(carries + sequences);
      const flows = (t: TensorType): boolean => t.dtype.startsWith('f');
      const zero = (t: TensorType): Tensor => fill(0, t.shape, t.dtype);
      // Carries of the way back: cotangents of the carries, then sums for the constants.
      const state = [
        ...outputs.slice(0, carries).map((t, i) => cotangents[i] ?? zero(t)),
        ...constants.map(zero),
      ].filter(flows);
      const rowFlows = outputs
        .slice(carries, carries + results)
        .map((t, i) => (flows(t) ? (cotangents[carries + i] ?? zero(t)) : undefined));
      const historyFlows = kept.map((t, i) =>
        cotangents[carries + results + i] === undefined
          ? undefined
          : flows(t)
            ? cotangents[carries + results + i]
            : undefined,
      );
      const rows = [
        ...kept,
        ...inputs.slice(carries, carries + sequences),
        ...rowFlows.filter((t) => t !== undefined),
        ...historyFlows.filter((t) => t !== undefined),
      ];
      const way = backwardBody(
        body,
        attributes,
        rowFlows.map((t) => t !== undefined),
        historyFlows.map((t) => t !== undefined),
        constants,
      );
      const back = scanCall([...state, ...rows, ...constants], {
        body: way,
        carries: state.length,
        sequences: rows.length,
        reverse: !reverse,
        history: true,
      });
      let next = 0;
      const carryBack = inputs.slice(0, carries).map((t) => (flows(t) ? back[next++] : undefined));
      const constantBack = constants.map((t) => (flows(t) ? back[next++] : undefined));
      const sequenceBack = inputs
        .slice(carries, carries + sequences)
        .map((t) => (flows(t) ? back[next++] : undefined));
      return [...carryBack, ...sequenceBack, ...constantBack];
    },
    onnx: (call) => {
      const { emit, emitMany, inputs, outputTypes, subgraph, types } = call;
      const { body, carries, sequences, reverse, history } = call.attributes;
      // ONNX Runtime's loop refuses to run no step at all.
      if (types[carries]?.shape[0] === 0)
        return outputTypes.map(({ dtype, shape }, i) =>
          i < carries
            ? emit('Identity', [inputs[i] as string])
            : emit('Expand', [call.scalar(0, dtype), call.shape(shape)]),
        );
      const captured = Object.fromEntries(
        body.inputs
          .slice(carries + sequences)
          .map(({ name }, i) => [name, inputs[carries + sequences + i] as string]),
      );
      const whole = history
        ? programOf(body.name, body.inputs, [
            ...body.outputs,
            ...body.inputs.slice(0, carries).map(({ name, tensor }) => ({ name: `${name}/before`, tensor })),
          ])
        : body;
      const results = whole.outputs.length - carries;
      const way = (count: number): number[] => Array.from({ length: count }, () => (reverse ? 1 : 0));
      return emitMany('Scan', inputs.slice(0, carries + sequences), whole.outputs.length, {
        body: { graph: subgraph(whole, captured) },
        num_scan_inputs: sequences,
        scan_input_directions: way(sequences),
        scan_output_directions: way(results),
      });
    },
    reference: ({
      inputs,
      attributes: { body, carries, sequences, reverse, history },
      outputs,
      evaluate,
    }) => {
      const steps = (inputs[carries] as ReferenceValue).shape[0] as number;
      let state = inputs.slice(0, carries);
      const constants = inputs.slice(carries + sequences);
      const stacks = outputs.slice(carries).map((o) => new Float64Array(product(o.shape)));
      for (let s = 0; s < steps; s++) {
        const t = reverse ? steps - 1 - s : s;
        const rows = inputs.slice(carries, carries + sequences).map(({ shape, data }): ReferenceValue => {
          const size = product(shape.slice(1));
          return { shape: shape.slice(1), data: data.slice(t * size, (t + 1) * size) };
        });
        const results = evaluate(body, [...state, ...rows, ...constants]);
        const stacked = [...results.slice(carries), ...(history ? state : [])];
        stacked.forEach((value, i) => {
          (stacks[i] as Float64Array).set(value.data, t * value.data.length);
        });
        state = results.slice(0, carries);
      }
      return [...state.map((v) => v.data), ...stacks];
    },
  },
);

function stepsOf(types: readonly TensorType[], carries: number, sequences: number): Size {
  const own = types.slice(carries, carries + sequences);
  const steps = own[0]?.shape[0];
  if (steps === undefined || own.some((t) => t.shape[0] !== steps))
    shapeError('scan', 'needs at least one sequence, all of one length', own.length === 0 ? types : own);
  return steps;
}

/** Inputs: cotangents and sums, carries before, rows, cotangents of rows, constants. Outputs: the next of the first, then cotangents of the rows. */
function backwardBody(
  body: Program,
  { carries, sequences }: Attributes,
  rowFlows: readonly boolean[],
  historyFlows: readonly boolean[],
  constants: readonly Tensor[],
): Program {
  const made: Named[] = [];
  const take = (label: string, type: TensorType): Tensor => {
    const name = `${label}${made.length}`;
    const tensor = input(name, { dtype: type.dtype, shape: type.shape });
    made.push({ name, tensor });
    return tensor;
  };
  const flows = (t: TensorType): boolean => t.dtype.startsWith('f');
  const types = body.inputs.map((i) => i.tensor);
  const carryTypes = types.slice(0, carries);
  const rowTypes = types.slice(carries, carries + sequences);
  const results = body.outputs.slice(carries).map((o) => o.tensor);
  const carryFlow = carryTypes.map((t) => (flows(t) ? take('carry_flow', t) : undefined));
  const sums = constants.map((t) => (flows(t) ? take('sum', t) : undefined));
  const before = carryTypes.map((t) => take('before', t));
  const rows = rowTypes.map((t) => take('row', t));
  const resultFlow = results.map((t, i) => (rowFlows[i] === true ? take('result_flow', t) : undefined));
  const beforeFlow = carryTypes.map((t, i) =>
    historyFlows[i] === true ? take('before_flow', t) : undefined,
  );
  const held = constants.map((t) => take('constant', t));
  const outputs = inline(body, [...before, ...rows, ...held]);
  const wanted = [...before, ...held, ...rows].filter(flows);
  const found = gradientsOf(outputs, [...carryFlow, ...resultFlow], wanted);
  const answers: Tensor[] = [];
  let next = 0;
  carryTypes.forEach((t, i) => {
    if (!flows(t)) return;
    const own = found[next++] as Tensor;
    answers.push(beforeFlow[i] === undefined ? own : add(own, beforeFlow[i]));
  });
  constants.forEach((t, i) => {
    if (flows(t)) answers.push(add(sums[i] as Tensor, found[next++] as Tensor));
  });
  for (const t of rowTypes) if (flows(t)) answers.push(found[next++] as Tensor);
  return programOf(
    `${body.name}_back`,
    made,
    answers.map((tensor, i) => ({ name: `out${i}`, tensor })),
  );
}

export interface ScanResult {
  carry: Record<string, Tensor>;
  /** `[steps, …]`. */
  results: Record<string, Tensor>;
}

/**
 * Runs `body` once per row of `sequences` (axis 0).
 * @param constants tensors that every step uses (weights): the body may use no other outside tensor
 */
export function scan(
  options: {
    carry: Readonly<Record<string, Tensor>>;
    sequences: Readonly<Record<string, Tensor>>;
    constants?: Readonly<Record<string, Tensor>>;
    /** From the last row to the first. */
    reverse?: boolean;
  },
  body: (step: {
    carry: Record<string, Tensor>;
    row: Record<string, Tensor>;
    constants: Record<string, Tensor>;
  }) => {
    carry: Readonly<Record<string, Tensor>>;
    results?: Readonly<Record<string, Tensor>>;
  },
): ScanResult {
  const constants = options.constants ?? {};
  const stand = (prefix: string, tensors: Readonly<Record<string, Tensor>>, row = false): Named[] =>
    Object.entries(tensors).map(([name, t]) => ({
      name: `${prefix}_${name}`,
      tensor: input(`${prefix}_${name}`, { dtype: t.dtype, shape: row ? t.shape.slice(1) : t.shape }),
    }));
  const named = {
    carry: stand('carry', options.carry),
    row: stand('row', options.sequences, true),
    constants: stand('constant', constants),
  };
  const record = (list: readonly Named[], prefix: string): Record<string, Tensor> =>
    Object.fromEntries(list.map(({ name, tensor }) => [name.slice(prefix.length + 1), tensor]));
  const made = body({
    carry: record(named.carry, 'carry'),
    row: record(named.row, 'row'),
    constants: record(named.constants, 'constant'),
  });
  const keys = Object.keys(options.carry);
  const results = Object.entries(made.results ?? {});
  const next = keys.map((key): Named => {
    const tensor = made.carry[key];
    const before = options.carry[key] as Tensor;
    if (
      tensor === undefined ||
      tensor.dtype !== before.dtype ||
      tensor.shape.join() !== before.shape.join()
    ) {
      shapeError(
        'scan',
        `the carry "${key}" must keep its type`,
        tensor === undefined ? [before] : [before, tensor],
      );
    }
    return { name: `next_${key}`, tensor };
  });
  const program = programOf(
    'scan',
    [...named.carry, ...named.row, ...named.constants],
    [...next, ...results.map(([name, tensor]) => ({ name: `result_${name}`, tensor }))],
  );
  const outputs = scanCall(
    [...Object.values(options.carry), ...Object.values(options.sequences), ...Object.values(constants)],
    {
      body: program,
      carries: keys.length,
      sequences: Object.keys(options.sequences).length,
      reverse: options.reverse ?? false,
      history: true,
    },
  );
  return {
    carry: Object.fromEntries(keys.map((key, i) => [key, outputs[i] as Tensor])),
    results: Object.fromEntries(results.map(([name], i) => [name, outputs[keys.length + i] as Tensor])),
  };
}

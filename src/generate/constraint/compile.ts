/** From what a request asks of its text to a grammar. */
import type { TextConstraint } from '../../base/contracts/generator.ts';
import { bytes, choice, type Grammar, lazy, type Machine, machine, sequence } from './grammar.ts';
import { schemaGrammar } from './json-schema.ts';
import { ofPattern } from './pattern.ts';
import { unsatisfiable } from './schema-errors.ts';
import { stringMachine } from './text-machines.ts';

/** @throws InkstoneError `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable` */
export function constraintGrammar(constraint: TextConstraint): Grammar {
  switch (constraint.type) {
    case 'json_schema':
      return schemaGrammar(constraint.schema);
    case 'json_object':
      return schemaGrammar({ type: 'object' });
    case 'regex': {
      const characters = ofPattern(constraint.pattern, { whole: true });
      const text = stringMachine(characters, true);
      if (characters.start < 0 || text.least(text.start) === Number.POSITIVE_INFINITY)
        throw unsatisfiable('', `no text matches /${constraint.pattern}/`);
      return machine(text);
    }
    case 'tool_calls':
      return toolCalls(constraint);
  }
}

function toolCalls(constraint: Extract<TextConstraint, { type: 'tool_calls' }>): Grammar {
  const { open, close, schema, parallel, text } = constraint;
  const gap = choice(bytes(''), bytes('\n'));
  const call = sequence(bytes(open), gap, schemaGrammar(schema), gap, bytes(close));
  const more = lazy((): Grammar => choice(bytes(''), sequence(gap, call, more)));
  const calls = parallel ? sequence(call, more) : call;
  if (text !== undefined) return choice(constraintGrammar(text), calls);
  return sequence(machine(without(open)), choice(bytes(''), calls));
}

/** Any bytes in which a mark does not come (Knuth, Morris and Pratt 1977); a state is how much of it has come. */
function without(mark: string): Machine {
  const wanted = new TextEncoder().encode(mark);
  const fallback = new Int32Array(wanted.length);
  const next = (state: number, byte: number): number => {
    let at = state;
    while (at > 0 && wanted[at] !== byte) at = fallback[at - 1] as number;
    return wanted[at] === byte ? at + 1 : 0;
  };
  for (let i = 1; i < wanted.length; i++) fallback[i] = next(fallback[i - 1] as number, wanted[i] as number);
  return {
    start: 0,
    next: (state, byte) => {
      const behind = next(state, byte);
      return behind === wanted.length ? -1 : behind;
    },
    final: () => true,
    least: () => 0,
  };
}

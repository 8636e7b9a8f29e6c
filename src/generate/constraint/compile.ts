/** From what a request asks of its text to a grammar. */
import type { TextConstraint } from '../../base/contracts/generator.ts';
import { type Grammar, machine } from './grammar.ts';
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
  }
}

/** One model's grammars: those that were asked for last stay, with their masks. Knows no sequences. */
import type { TextConstraint } from '../../base/contracts/generator.ts';
import { constraintGrammar } from './compile.ts';
import { TokenConstraint, TokenGrammar } from './token-constraint.ts';
import { TokenTree } from './vocabulary.ts';

/** Grammars that are kept. */
const KEPT = 16;

export interface ConstrainedVocabulary {
  size: number;
  /** Empty for tokens that write nothing. */
  bytesOf(id: number): Uint8Array;
  /** Ends a text; without one, a text ends as soon as it may. */
  endOfText: number | undefined;
}

export class Constraints {
  private readonly vocabulary: ConstrainedVocabulary;
  private tree: TokenTree | undefined;
  private readonly grammars = new Map<string, TokenGrammar>();

  constructor(vocabulary: ConstrainedVocabulary) {
    this.vocabulary = vocabulary;
  }

  /**
   * For one sequence of at most `maxTokens` tokens.
   * @throws InkstoneError `schema_invalid`, `schema_unsupported`, `schema_unsatisfiable`, `constraint_unwritable`
   */
  open(constraint: TextConstraint, maxTokens: number): TokenConstraint {
    const openEnded = constraint.type === 'tool_calls' && constraint.text === undefined;
    const { endOfText } = this.vocabulary;
    return new TokenConstraint(this.grammar(constraint), { endOfText, maxTokens, openEnded });
  }

  private grammar(constraint: TextConstraint): TokenGrammar {
    const key = JSON.stringify(constraint);
    const known = this.grammars.get(key);
    this.grammars.delete(key);
    if (known !== undefined && !known.grown) {
      this.grammars.set(key, known);
      return known;
    }
    const grammar = constraintGrammar(constraint);
    this.tree ??= new TokenTree(this.vocabulary.size, (id) => this.vocabulary.bytesOf(id));
    const made = new TokenGrammar(grammar, this.tree);
    this.grammars.set(key, made);
    const [oldest] = this.grammars.keys();
    if (this.grammars.size > KEPT && oldest !== undefined) this.grammars.delete(oldest);
    return made;
  }
}

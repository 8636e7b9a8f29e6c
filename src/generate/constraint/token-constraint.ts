/**
 * Keeps a sequence of tokens to a grammar of bytes: which tokens may come next, and how much room the shortest end
 * still needs, so that a document is whole when the tokens run out. Knows ids and bytes; knows no model.
 */
import { InkstoneError } from '../../base/errors.ts';
import { Follower, type Grammar, Lengths, type Position } from './grammar.ts';
import type { TokenTree } from './vocabulary.ts';

interface Allowed {
  ids: Int32Array;
  /** Tokens that the shortest end needs behind each, at most. */
  least: Int32Array;
  /** The least of them. */
  fewest: number;
}

/** Bytes of token masks that one grammar keeps. */
const MASK_BYTES = 64 * 2 ** 20;
/** Positions from which on a grammar is better followed anew: strings with a length have one for each character. */
const MANY_POSITIONS = 100_000;

const unwritable = (): InkstoneError =>
  new InkstoneError('constraint_unwritable', 'this model has no tokens to write such a document with', {
    kind: 'usage',
    hint: 'its vocabulary lacks characters that the schema needs; use another model or schema',
  });

/** A grammar in the tokens of one vocabulary; shared by every sequence that is written under it. */
export class TokenGrammar {
  readonly start: Position;
  private readonly tree: TokenTree;
  private readonly follower: Follower;
  private readonly masks = new Map<Position, Allowed>();
  private held = 0;

  /** @throws InkstoneError `constraint_unwritable` where the vocabulary cannot write the fixed parts */
  constructor(grammar: Grammar, tree: TokenTree) {
    this.tree = tree;
    const lengths = new Lengths(grammar, tree.fewest);
    if (lengths.of(grammar) === Number.POSITIVE_INFINITY) throw unwritable();
    this.follower = new Follower(lengths);
    this.start = this.follower.start;
  }

  /** So much was kept that a new one should take its place. */
  get grown(): boolean {
    return this.follower.size > MANY_POSITIONS;
  }

  /** Which tokens may come at a position. */
  allowed(position: Position): Allowed {
    let found = this.masks.get(position);
    if (found !== undefined) {
      // What was used last goes last.
      this.masks.delete(position);
      this.masks.set(position, found);
      return found;
    }
    const ids: number[] = [];
    const least: number[] = [];
    let fewest = Number.POSITIVE_INFINITY;
    const step = (at: Position, byte: number): Position | undefined => this.follower.next(at, byte);
    this.tree.walk(position, step, (id, behind) => {
      if (behind.least === Number.POSITIVE_INFINITY) return;
      ids.push(id);
      least.push(behind.least);
      if (behind.least < fewest) fewest = behind.least;
    });
    found = { ids: Int32Array.from(ids), least: Int32Array.from(least), fewest };
    this.masks.set(position, found);
    this.held += 8 * ids.length;
    for (const [old, { ids: gone }] of this.masks) {
      if (this.held <= MASK_BYTES || old === position) break;
      this.masks.delete(old);
      this.held -= 8 * gone.length;
    }
    return found;
  }

  /** The position behind a token. @throws InkstoneError `constraint_broken` */
  behind(position: Position, id: number): Position {
    let at = position;
    for (const byte of this.tree.bytesOf(id)) {
      const next = this.follower.next(at, byte);
      if (next === undefined)
        throw new InkstoneError('constraint_broken', `token ${id} does not fit the grammar here`);
      at = next;
    }
    return at;
  }
}

export interface ConstraintOptions {
  /** Ends the text; without one the text ends as soon as the document may. */
  endOfText: number | undefined;
  maxTokens: number;
  /** Without an end of text it goes on while it may: what is written is no document. */
  openEnded?: boolean;
}

/** One sequence being written under a grammar. */
export class TokenConstraint {
  private readonly grammar: TokenGrammar;
  private readonly endOfText: number | undefined;
  private readonly openEnded: boolean;
  private position: Position;
  private left: number;
  private kept = new Float32Array(0);

  constructor(grammar: TokenGrammar, options: ConstraintOptions) {
    this.grammar = grammar;
    this.endOfText = options.endOfText;
    this.openEnded = options.openEnded ?? false;
    this.position = grammar.start;
    this.left = options.maxTokens;
  }

  /** The same place, gone on from separately. */
  fork(): TokenConstraint {
    const made = new TokenConstraint(this.grammar, { endOfText: this.endOfText, maxTokens: this.left });
    made.position = this.position;
    return made;
  }

  /** Nothing more may come. */
  get complete(): boolean {
    const { done, readings } = this.position;
    if (!done || readings.length === 0 || this.left <= 0 || this.endOfText !== undefined)
      return done && (readings.length === 0 || this.left <= 0);
    // Nothing says that it ends: a document does when it may, a text when nothing more has room.
    return !this.openEnded || this.grammar.allowed(this.position).fewest > this.left - 1;
  }

  /**
   * Forbids what may not come next, and what leaves too few tokens for an end. Where even the shortest end has no
   * room, the shortest way is taken.
   * @throws InkstoneError `constraint_unwritable` where the vocabulary has no way on
   */
  process(logits: Float32Array): void {
    const { endOfText, position } = this;
    const { ids, least, fewest } = this.grammar.allowed(position);
    const room = position.done ? this.left - 1 : Math.max(this.left - 1, fewest);
    if (this.kept.length < ids.length) this.kept = new Float32Array(ids.length);
    const { kept } = this;
    for (let i = 0; i < ids.length; i++) kept[i] = logits[ids[i] as number] as number;
    const ending = endOfText !== undefined && position.done ? (logits[endOfText] as number) : Number.NaN;
    logits.fill(Number.NEGATIVE_INFINITY);
    let any = false;
    for (let i = 0; i < ids.length; i++) {
      if ((least[i] as number) > room) continue;
      logits[ids[i] as number] = kept[i] as number;
      any = true;
    }
    if (endOfText !== undefined && position.done) {
      logits[endOfText] = ending;
      any = true;
    }
    if (!any) throw unwritable();
  }

  /** Takes the token that was chosen. */
  push(id: number): void {
    this.position = this.grammar.behind(this.position, id);
    this.left -= 1;
  }
}

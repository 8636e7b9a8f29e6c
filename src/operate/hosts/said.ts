/**
 * What was given out of an answer, so that a second attempt at it goes on from there. A text depends on seed and prompt
 * alone: the second attempt says the same again, piece by piece; where it does not, the answer cannot be gone on with.
 */
import type { TextEvent } from '../../base/contracts/generator.ts';

export class Said {
  private readonly pieces: string[] = [];
  private begun = false;
  /** Pieces of this attempt that were compared. */
  private at = 0;

  /** A new attempt: what was said is heard once more. */
  again(): void {
    this.at = 0;
  }

  /** What to do with an event: give it out, keep it back because it was given before, or end because it is another answer. */
  judge(event: TextEvent): 'give' | 'keep' | 'differs' {
    if (event.type === 'start') {
      const first = !this.begun;
      this.begun = true;
      return first ? 'give' : 'keep';
    }
    const before = this.pieces[this.at];
    if (event.type === 'end') return before === undefined ? 'give' : 'differs';
    const piece = `${event.tokens.length} ${event.text}`;
    this.at++;
    if (before !== undefined) return before === piece ? 'keep' : 'differs';
    this.pieces.push(piece);
    return 'give';
  }
}

/**
 * How strongly pictures are perturbed before the critic sees them: more while it is too sure of what is real, less while it is
 * not (Karras et al. 2020, section 3.1; Wang et al. 2022, section 3.3). Knows no pictures.
 */
import type { AdversarialConfig } from './config.ts';

export interface Strength {
  /** 0 … 1 */
  now: number;
  /** Signs of the scores of real pictures since the last change, their sum, and how many critic's steps they are of. */
  signs: number;
  counted: number;
}

/** Steps between two changes (section 3.1: four). */
const EVERY = 4;

/** After one more step of the critic. @param sign mean sign of its scores of real pictures */
export function adapted(
  strength: Strength,
  sign: number,
  { augment, batch }: Pick<AdversarialConfig, 'augment' | 'batch'>,
): Strength {
  if (augment.name === 'none' || (augment.name === 'ada' && augment.fixed !== undefined)) return strength;
  const signs = strength.signs + sign;
  const counted = strength.counted + 1;
  if (counted < EVERY) return { now: strength.now, signs, counted };
  const direction = Math.sign(signs / counted - augment.target);
  const change = (direction * batch * EVERY) / augment.span;
  return { now: Math.min(1, Math.max(0, strength.now + change)), signs: 0, counted: 0 };
}

/**
 * Whom a request goes to: the target with least outstanding work, or the better of two drawn at random where several
 * gateways share them and counts are stale; one that has read the beginning of the prompt, while queues are balanced.
 * Knows no HTTP.
 */
import type { Random } from '../../base/rng.ts';
import { type Beginnings, PrefixIndex } from './prefix-index.ts';
import type { Target } from './target.ts';

export type Policy = 'least-outstanding' | 'two-choices';

export interface BalancerOptions {
  policy?: Policy;
  random: Random;
  /** Share of a prompt that must be known for it to matter (Ray's rule: a tenth). */
  affinity?: number;
  /** Queues are balanced while the longest has at most so many more than the shortest. */
  imbalance?: number;
}

export interface Choice {
  now: number;
  /** Only these; those that were tried already are left out of them. */
  among: readonly Target[];
  tenant?: string;
  prompt?: string;
}

export class Balancer {
  private readonly options: BalancerOptions;
  private readonly prefixes = new PrefixIndex();
  /** Requests that went where their beginning was known, since the start. */
  affine = 0;
  chosen = 0;

  constructor(options: BalancerOptions) {
    this.options = options;
  }

  /** Undefined where none may be asked. */
  choose({ now, among, tenant = '', prompt = '' }: Choice): Target | undefined {
    const open = among.filter((one) => one.open(now));
    if (open.length === 0) return undefined;
    const beginnings = prompt === '' ? [] : this.prefixes.beginningsOf(tenant, prompt);
    // Where there is one, nothing is to be chosen.
    const known = beginnings.length > 0 && open.length > 1 ? this.known(open, beginnings) : undefined;
    const target = known ?? this.least(open);
    this.chosen++;
    if (known !== undefined) this.affine++;
    this.prefixes.add(beginnings, target.name);
    return target;
  }

  private known(open: readonly Target[], beginnings: Beginnings): Target | undefined {
    const loads = open.map((one) => one.outstanding);
    const { imbalance = 4, affinity = 0.1 } = this.options;
    if (Math.max(...loads) - Math.min(...loads) > imbalance) return undefined;
    const matches = this.prefixes.match(beginnings);
    let best: Target | undefined;
    let share = affinity;
    for (const one of open) {
      const match = matches.get(one.name) ?? 0;
      if (match < share || (match === share && best !== undefined && best.outstanding <= one.outstanding))
        continue;
      best = one;
      share = match;
    }
    return best;
  }

  private least(open: readonly Target[]): Target {
    const { policy = 'least-outstanding', random } = this.options;
    const start = random.integer(open.length);
    let best = open[start] as Target;
    const looks = policy === 'two-choices' ? Math.min(2, open.length) : open.length;
    // Of equal ones a random one, so that the first of the list is not everybody's choice.
    const step = policy === 'two-choices' && open.length > 2 ? 1 + random.integer(open.length - 1) : 1;
    for (let i = 1; i < looks; i++) {
      const one = open[(start + i * step) % open.length] as Target;
      if (one.outstanding < best.outstanding) best = one;
    }
    return best;
  }

  /** A target was started anew: it knows no beginnings any more. */
  forget(name: string): void {
    this.prefixes.forget(name);
  }
}

/** What every generator of pictures says, whatever else it says; and the sizes its pictures grow through. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';

const whole = z.number().int();

export const imageSizes = {
  /** Pixels a side. */
  size: whole.min(8).max(256),
  /** 1 for grey, 3 for colour. */
  channels: whole.min(1).max(4),
  /** 0 for pictures without labels. */
  classes: whole.min(0).max(100_000).default(0),
  /** Numbers of a latent. */
  latent: whole.min(1).default(64),
  /** Channels at full size; each halving doubles them, up to `widest`. */
  width: whole.min(1).default(32),
  widest: whole.min(1).default(128),
};

/** From the smallest (3 to 7, or 4 for powers of two) to `size`, doubling. */
export function ladder(size: number): number[] {
  const steps = [size];
  while ((steps[0] as number) % 2 === 0 && (steps[0] as number) > 4) steps.unshift((steps[0] as number) / 2);
  if ((steps[0] as number) > 7)
    throw new InkstoneError('image_size', `pictures of ${size} × ${size} cannot be built up by doubling`, {
      kind: 'usage',
      hint: 'use a size that is 3 to 7 times a power of two: 16, 28, 32, 64, 128',
    });
  return steps;
}

export function channelsAt(size: number, config: { size: number; width: number; widest: number }): number {
  return Math.min(config.widest, Math.round((config.width * config.size) / size));
}

/** The words of a training of pictures: what was chosen once, and nothing of it when its own folder says all. */
import { expect, it } from 'vitest';
import { trainingArguments } from './training-order.ts';

const order = {
  ...{ name: 'mine', family: 'image' as const, file: 'mine.zip', preset: 'tiny-gan', steps: 5 },
  choices: { size: 32, colour: true, labels: false, set: ['training.r1.weight=2', '--force'] },
};
const rest = ['--data', 'mine.zip', '--out', 'runs/mine', '--json', '--steps', '5'];

it('a new one is of its preset, with what was chosen', () => {
  expect(trainingArguments(order, 'runs/mine', false)).toEqual([
    ...['train', 'image', '--samples', '2000', '--preset', 'tiny-gan'],
    ...['--size=32', '--colour', '--no-labels', '--set=training.r1.weight=2', '--set=--force'],
    ...rest,
  ]);
});

it('one that goes on from a model names it, and no preset', () => {
  const base = { model: 'base', folder: 'runs/base', augment: 'none', freeze: ['critic.picture'] };
  expect(trainingArguments({ ...order, base, choices: { flip: true } }, 'runs/mine', false)).toEqual([
    ...['train', 'image', '--samples', '500', '--from', 'runs/base', '--augment', 'none'],
    ...['--freeze', 'critic.picture', '--flip'],
    ...rest,
  ]);
});

it('one that is resumed is what its folder says', () => {
  const words = ['train', 'image', '--samples', '2000', ...rest, '--resume'];
  expect(trainingArguments(order, 'runs/mine', true)).toEqual(words);
});

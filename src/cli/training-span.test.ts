import { expect, it } from 'vitest';
import { type EndedSpan, Tracer } from '../operate/watch/span.ts';
import { traced } from './training-span.ts';

const progress = (step: number, steps: number, validationLoss?: number) => ({
  ...{ step, steps, loss: 1 / step, tokensPerSecond: 1000.4 },
  ...(validationLoss === undefined ? {} : { validationLoss }),
});

it('tells of few steps, of evaluations, and of the end', () => {
  const ended: EndedSpan[] = [];
  const span = new Tracer((one) => void ended.push(one)).start('inkstone train text');
  let reports = 0;
  const report = traced(span, () => void reports++);
  let judged: number | undefined;
  for (let step = 1; step <= 10_000; step++) {
    if (step % 1000 === 0) judged = 5 - step / 1000;
    report(progress(step, 10_000, judged));
  }
  span.end();
  expect(reports).toBe(10_000);
  const [{ events, attributes } = { events: [], attributes: {} }] = ended;
  expect(events.filter(({ name }) => name === 'evaluation')).toHaveLength(10);
  expect(events.length).toBeGreaterThan(40);
  expect(events.length).toBeLessThan(75);
  expect(events[0]?.attributes).toMatchObject({ 'inkstone.training.step': 1, 'inkstone.training.loss': 1 });
  expect(attributes).toEqual({
    'inkstone.training.step': 10_000,
    'inkstone.training.steps': 10_000,
    'inkstone.training.loss': 1 / 10_000,
    'inkstone.training.validation_loss': -5,
    'inkstone.training.tokens_per_second': 1000,
  });
});

it('leaves a report alone where nobody traces', () => {
  const report = (): void => undefined;
  expect(traced(undefined, report)).toBe(report);
});

/** A training as a span: its steps are events, few of them however many steps it has. Knows no exporter. */
import type { Attributes, Span } from '../operate/watch/span.ts';
import type { TrainProgress } from '../train/index.ts';

/** Events of steps, and of evaluations beside them, in one training. */
const STEPS = 50;
const EVALUATIONS = 50;

type Told = Pick<TrainProgress, 'step' | 'steps' | 'loss' | 'validationLoss' | 'tokensPerSecond'>;

function attributesOf({ step, loss, validationLoss, tokensPerSecond }: Told): Attributes {
  return {
    'inkstone.training.step': step,
    ...(Number.isFinite(loss) ? { 'inkstone.training.loss': loss } : {}),
    ...(validationLoss === undefined ? {} : { 'inkstone.training.validation_loss': validationLoss }),
    'inkstone.training.tokens_per_second': Math.round(tokensPerSecond),
  };
}

/** The same report; what it is told becomes events and attributes of the span, where there is one. */
export function traced<P extends Told>(
  span: Span | undefined,
  report: (progress: P) => void,
): (progress: P) => void {
  if (span === undefined) return report;
  let next = 0;
  let evaluations = 0;
  let judged: number | undefined;
  return (progress) => {
    report(progress);
    const { step, steps, validationLoss } = progress;
    const evaluated = validationLoss !== undefined && validationLoss !== judged && evaluations < EVALUATIONS;
    if (step < next && step < steps && !evaluated) return;
    if (evaluated) evaluations++;
    judged = validationLoss;
    if (step >= next) next = step + Math.max(1, Math.ceil(steps / STEPS));
    const attributes = attributesOf(progress);
    span.set({ 'inkstone.training.steps': steps, ...attributes });
    span.event(evaluated ? 'evaluation' : 'step', attributes);
  };
}

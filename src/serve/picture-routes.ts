/**
 * What the studio's API says of pictures: the models that make them, the presets that train them, and the sample sheets of a
 * training that runs.
 */
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { exists, readBytes } from '../base/host.ts';
import { imageConfig } from '../models/image/any.ts';
import { imagePreset, imagePresets } from '../models/image/presets.ts';
import type { ImageTraining } from '../models/image/training.ts';
import { traitsOf } from '../operate/picture-source.ts';
import type { MetricLine } from '../operate/run-metrics.ts';
import type { TrainingOrder } from '../operate/training-order.ts';
import { imageChoices, lossesOf, withChoices } from '../train/image-choices.ts';
import { isAlone, requireLayers, trainedParameters } from '../train/image-kinds.ts';
import { tuningPlan } from '../train/image-tuning.ts';
import type { ServerContext } from './context.ts';
import type { TrainingBody } from './schemas.ts';

/** As `/api/models` lists them: what every model says, and what can be asked of this one. */
export async function pictureModels({ registry, pool }: ServerContext): Promise<object[]> {
  return (await registry.pictures()).map(({ id, source, info }) => ({
    id,
    family: info.family,
    parameters: info.parameters,
    context: 0,
    created: info.created,
    chat: false,
    produces: ['image'],
    state: pool.state(id),
    source,
    card: info.card,
    pictures: traitsOf(info),
  }));
}

/** One that goes on from another model (diffusion in an autoencoder's latents) is begun on the command line. */
const startable = imagePresets.filter(({ model }) => imageConfig.safeParse(model).success);

export const isImagePreset = (id: string): boolean => startable.some((preset) => preset.id === id);

/** Parameters are of all networks that learn; labels add a few, which come with the data. */
export function imagePresetList(): object[] {
  return startable.map(({ id, title, description, model, labels, training }) => ({
    id,
    family: 'image',
    title,
    description,
    parameters: trainedParameters(imageConfig.parse(model)),
    size: model.size,
    channels: model.channels,
    labels,
    steps: training.steps,
    losses: lossesOf({ model, training }),
  }));
}

type Registered = Awaited<ReturnType<ServerContext['registry']['find']>>;
type Pictures = Awaited<ReturnType<ServerContext['registry']['pictures']>>[number];

export const isPictures = (model: Registered): model is Pictures => model.info.family === 'image';

type Order = Pick<TrainingOrder, 'preset' | 'steps' | 'base' | 'family' | 'choices'>;

const wrong = (param: string, message: string, hint: string): InkstoneError =>
  new InkstoneError('parameter_invalid', message, { kind: 'usage', hint, details: { param } });

/** A model of pictures from nothing. @throws InkstoneError `parameter_invalid` and what `withChoices` refuses */
export function newPictures(id: string, body: TrainingBody): Order {
  requireNoTuning(body);
  const choices = imageChoices.parse(body);
  withChoices(imagePreset(id), choices);
  return { preset: id, steps: body.steps, family: 'image', choices };
}

/** What only a model of pictures has. @throws InkstoneError `parameter_invalid` */
export function requireNoPictureSettings(body: TrainingBody): void {
  requireNoTuning(body);
  const param = imageChoices.keyof().options.find((name) => body[name] !== undefined);
  if (param !== undefined) throw wrong(param, `'${param}' is for models of pictures`, 'leave it out');
}

/** What only a model of pictures that is gone on from has. */
function requireNoTuning(body: TrainingBody): void {
  const param = (['freeze', 'augment'] as const).find((name) => body[name] !== undefined);
  if (param === undefined) return;
  throw wrong(
    param,
    `'${param}' is for a model of pictures that is gone on from`,
    "leave it out, or name such a model with 'from'",
  );
}

/** Goes on from a model of pictures. @throws InkstoneError `parameter_invalid`, `layer_unknown`, `nothing_learns` and what `withChoices` refuses */
export async function pictureTuning({ id, info }: Pictures, body: TrainingBody): Promise<Order> {
  const { preset, steps, freeze, augment, learning_rate: learningRate, batch_size: batch } = body;
  if (preset !== undefined)
    throw wrong('preset', 'a model of pictures keeps its own kind', "leave 'preset' out");
  if (batch === 1) throw wrong('batch_size', 'a step takes two pictures or more', 'give 2 or more');
  const choices = imageChoices.parse(body);
  const { id: own, model, training } = withChoices(await tuningPlan(info.folder), choices);
  if (augment !== undefined && isAlone(model.architecture))
    throw wrong('augment', `a ${model.architecture} model has no critic`, "leave 'augment' out");
  requireLayers(model, { ...training, frozen: freeze } as ImageTraining);
  return {
    ...{ preset: own, family: 'image', steps, choices },
    base: { ...{ model: id, folder: info.folder, learningRate, batch }, freeze, augment },
  };
}

/** A sample of a training: its text, or where its sheet is fetched. */
export function sampleOf(id: string, { step, text, file }: MetricLine): object {
  if (file === undefined) return { step, text };
  return { step, picture: `/api/trainings/${encodeURIComponent(id)}/samples/${step}` };
}

export function addSampleSheets(app: FastifyInstance, { trainings }: ServerContext): void {
  app.get<{ Params: { id: string; step: string } }>(
    '/api/trainings/:id/samples/:step',
    async (request, reply) => {
      const row = await trainings.get(request.params.id);
      const lines = await trainings.metrics(row);
      // Only what the training itself named as its sheet is read.
      const line = lines.findLast(
        ({ type, step, file }) =>
          type === 'sample' && file !== undefined && String(step) === request.params.step,
      );
      const file = line?.file === undefined ? undefined : path.join(row.folder, line.file);
      if (file === undefined || !(await exists(file)))
        throw new InkstoneError('sample_missing', `there is no sample of step ${request.params.step}`, {
          kind: 'missing',
          hint: 'the training says at which steps it drew samples',
        });
      return reply
        .type('image/png')
        .header('cache-control', 'no-cache')
        .send(Buffer.from(await readBytes(file)));
    },
  );
}

/**
 * What the studio's API says of pictures: the models that make them, the presets that train them, and the sample sheets of a
 * training that runs.
 */
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { InkstoneError } from '../base/errors.ts';
import { exists, readBytes } from '../base/host.ts';
import { imageConfig } from '../models/image/any.ts';
import { imagePresets } from '../models/image/presets.ts';
import { traitsOf } from '../operate/picture-source.ts';
import type { MetricLine } from '../operate/run-metrics.ts';
import { trainedParameters } from '../train/image-kinds.ts';
import type { ServerContext } from './context.ts';

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
  }));
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

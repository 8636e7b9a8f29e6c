/**
 * `/v1/images/generations`, `/v1/images/edits` and, beyond OpenAI's, `/v1/images/interpolations`: pictures from models that
 * make them, as base64. What the prompt says is searched for the model's classes; nothing else of it can be followed, and
 * the answer says what was.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { PictureFile, PictureRequest } from '../base/contracts/pictures.ts';
import { InkstoneError } from '../base/errors.ts';
import { now } from '../base/host.ts';
import { Random } from '../base/rng.ts';
import { maskOf } from '../generate/image/given.ts';
import type { ServerContext } from './context.ts';
import { parse } from './errors.ts';
import { type OpenedReplica, openReplica } from './generation.ts';
import { hangUp } from './sse.ts';
import { refuse } from './unsupported.ts';

const whole = z.coerce.number().int();

export const imageBody = z.looseObject({
  model: z.string().min(1),
  prompt: z.string().max(32_000).default(''),
  n: whole.min(1).max(64).nullish(),
  /** `auto`, or `WIDTHxHEIGHT` with both the same. */
  size: z.string().nullish(),
  response_format: z.enum(['b64_json', 'url']).nullish(),
  output_format: z.enum(['png', 'webp', 'jpeg', 'avif']).nullish(),
  user: z.string().nullish(),
  /** Beyond OpenAI's: what these models know. */
  seed: whole
    .min(0)
    .max(2 ** 31 - 1)
    .nullish(),
  label: z.union([z.string(), z.array(z.string())]).nullish(),
  truncation: z.coerce.number().min(0).max(2).nullish(),
  mix_seed: whole.min(0).nullish(),
  mix_layer: whole.min(1).max(16).nullish(),
  guidance: z.coerce.number().min(0).max(20).nullish(),
  steps: whole.min(1).max(1000).nullish(),
  eta: z.coerce.number().min(0).max(1).nullish(),
  strength: z.coerce.number().gt(0).max(1).nullish(),
  /** By a convolution with a fixed kernel; `size` after it. */
  upscale: whole.min(2).max(4).nullish(),
});
type ImageBody = z.infer<typeof imageBody>;

/** Pictures of one way; more would be a film. */
const LONGEST_WAY = 480;

export const wayBody = z
  .looseObject({
    ...imageBody.pick({ model: true, prompt: true, size: true, label: true, truncation: true, user: true })
      .shape,
    /** Two or more, in their order, and back to the first. */
    seeds: z
      .array(whole.min(0).max(2 ** 31 - 1))
      .min(2)
      .max(16),
    /** Pictures a stretch. */
    frames: whole.min(2).max(120).default(24),
    /** Milliseconds a picture, of an animation. */
    delay: whole.min(20).max(2000).default(60),
    /** An animation in one file, or all its pictures. */
    output_format: z.enum(['webp', 'gif', 'png']).default('webp'),
  })
  .refine(({ seeds, frames }) => seeds.length * frames <= LONGEST_WAY, {
    path: ['frames'],
    error: `there may be ${LONGEST_WAY} pictures on the whole way`,
  });

/** What is of one picture, or of models that have no way. */
const NOT_ON_A_WAY = ['n', 'upscale', 'guidance', 'steps', 'eta', 'strength'] as const;

/** Bytes of the pictures that an edit may bring. */
const LARGEST = 16 * 2 ** 20;

export function addImages(app: FastifyInstance, context: ServerContext): void {
  app.post('/v1/images/generations', (request, reply) =>
    answer(context, parse(imageBody, request.body), {}, request, reply),
  );

  app.post('/v1/images/interpolations', (request, reply) => {
    const { seeds, frames, delay, output_format: format, ...body } = parse(wayBody, request.body);
    const way = { seeds, frames, ...(format === 'png' ? {} : { animation: format, delay }) };
    const asked = parse(imageBody, { ...body, seed: seeds[0] });
    for (const param of NOT_ON_A_WAY) refuse(asked[param] != null, param, ' on a way');
    return answer(context, asked, { way }, request, reply);
  });

  app.post('/v1/images/edits', { bodyLimit: 2 * LARGEST }, async (request, reply) => {
    const { fields, files } = await parts(request);
    const from = files.image;
    if (from === undefined)
      throw new InkstoneError('parameter_missing', "'image' is required", {
        kind: 'usage',
        hint: 'send the picture as the part "image"',
        details: { param: 'image' },
      });
    const mask =
      files.mask === undefined ? {} : { mask: Buffer.from(await maskOf(files.mask)).toString('base64') };
    return answer(
      context,
      parse(imageBody, fields),
      { from: from.toString('base64'), ...mask },
      request,
      reply,
    );
  });
}

/** What would change the answer and is not done; quality and style are wishes that these models have no use for. */
function refuseUndone(body: ImageBody): void {
  refuse(body.response_format === 'url', 'response_format', ' of url');
  refuse(truthy(body.stream), 'stream');
  refuse(Number(body.partial_images ?? 0) > 0, 'partial_images');
  refuse(body.background === 'transparent', 'background', ' of transparent');
  refuse(Number(body.output_compression ?? 100) !== 100, 'output_compression', ' below 100');
}

/** A form sends words. */
const truthy = (value: unknown): boolean => value === true || value === 'true';

async function answer(
  { generation }: ServerContext,
  body: ImageBody,
  given: Pick<PictureRequest, 'from' | 'mask' | 'way'>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<object> {
  refuseUndone(body);
  const signal = hangUp(reply);
  const opened = await openReplica(
    generation,
    { id: request.id, model: body.model, key: request.keyId, gives: 'image' },
    signal,
  );
  try {
    const prompt = await admitted(opened, body.prompt, generation.guard);
    const asked = asRequest(request.id, body, prompt, opened.replica.model.classes ?? []);
    const source = opened.replica;
    if (source.pictures === undefined)
      throw new InkstoneError('invariant_broken', `${source.model.id} promises pictures and gives none`);
    const files = await source.pictures({ ...asked.request, ...given }, signal);
    if (request.meter !== undefined) request.meter.pictures = files.length;
    request.meter?.end('stop', 0);
    const data = [];
    for (const file of files) data.push(await imageObject(file, opened, generation.guard));
    const format = given.way?.animation ?? asked.request.format;
    return { created: Math.floor(now() / 1000), output_format: format, data };
  } finally {
    opened.release();
  }
}

type Guard = ServerContext['generation']['guard'];

async function admitted({ context }: OpenedReplica, prompt: string, guard: Guard): Promise<string> {
  const verdict = await guard.input(prompt, context);
  if (verdict.action === 'block')
    throw new InkstoneError('content_filter', verdict.reason, {
      kind: 'usage',
      details: { param: 'prompt' },
    });
  return verdict.action === 'replace' ? verdict.text : prompt;
}

/** Nothing leaves but through the one gate. */
async function imageObject(
  { data, mediaType, seed, label }: PictureFile,
  { context }: OpenedReplica,
  guard: Guard,
): Promise<object> {
  const marked = await guard.mark(Buffer.from(data, 'base64'), mediaType, context);
  return {
    b64_json: Buffer.from(marked).toString('base64'),
    revised_prompt: label === undefined ? '' : label,
    seed,
  };
}

function asRequest(
  id: string,
  body: ImageBody,
  prompt: string,
  classes: readonly string[],
): { request: PictureRequest } {
  const wanted = body.label === undefined || body.label === null ? undefined : [body.label].flat();
  const labels =
    wanted === undefined ? named(prompt, classes) : wanted.map((label) => numberOf(label, classes));
  const size = sizeOf(body.size);
  return {
    request: {
      id,
      count: body.n ?? 1,
      seed: body.seed ?? new Random(now(), id).integer(2 ** 31 - 1),
      format: body.output_format ?? 'png',
      ...(labels.length > 0 ? { labels } : {}),
      ...(size === undefined ? {} : { size }),
      ...(body.truncation == null ? {} : { truncation: body.truncation }),
      ...(body.mix_seed == null ? {} : { mix: { seed: body.mix_seed, layer: body.mix_layer ?? 4 } }),
      ...(body.guidance == null ? {} : { guidance: body.guidance }),
      ...(body.steps == null ? {} : { steps: body.steps }),
      ...(body.eta == null ? {} : { eta: body.eta }),
      ...(body.strength == null ? {} : { strength: body.strength }),
      ...(body.upscale == null ? {} : { upscale: body.upscale }),
    },
  };
}

const DIGITS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

/** Classes that the prompt names, in its order; digits by their words, too. */
export function named(prompt: string, classes: readonly string[]): number[] {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const found: number[] = [];
  for (const word of words) {
    const digit = DIGITS.indexOf(word.replace(/s$/, ''));
    const at = classes.findIndex(
      (name) =>
        name.toLowerCase() === word ||
        `${name.toLowerCase()}s` === word ||
        (digit >= 0 && name === String(digit)),
    );
    if (at >= 0) found.push(at);
  }
  return found;
}

function numberOf(label: string, classes: readonly string[]): number {
  const at = classes.indexOf(label);
  if (at >= 0) return at;
  throw new InkstoneError('label_unknown', `there is no class ${label}`, {
    kind: 'usage',
    hint:
      classes.length > 0 ? `the classes are ${classes.slice(0, 20).join(', ')}` : 'this model has no classes',
    details: { param: 'label' },
  });
}

/** @throws InkstoneError `parameter_invalid` */
function sizeOf(size: string | null | undefined): number | undefined {
  if (size === undefined || size === null || size === 'auto') return undefined;
  const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(size) ?? [];
  const side = Number(width);
  if (width !== undefined && width === height && side >= 8 && side <= 2048) return side;
  throw new InkstoneError('parameter_invalid', `'size': ${size} is no square of 8 to 2048 pixels a side`, {
    kind: 'usage',
    hint: 'as 256x256, or auto',
    details: { param: 'size' },
  });
}

async function parts(
  request: FastifyRequest,
): Promise<{ fields: Record<string, string>; files: Record<string, Buffer | undefined> }> {
  if (!request.isMultipart())
    throw new InkstoneError('media_type_unsupported', 'pictures are sent as multipart/form-data', {
      kind: 'usage',
      hint: 'send the parts model, prompt and image',
      details: { httpStatus: 415 },
    });
  // Without a prototype: a part may be named `__proto__`.
  const fields: Record<string, string> = Object.create(null);
  const files: Record<string, Buffer | undefined> = Object.create(null);
  for await (const part of request.parts({ limits: { fileSize: LARGEST, files: 2, fields: 20 } })) {
    if (part.type === 'file') files[(part.fieldname ?? '').replace(/\[\]$/, '')] = await part.toBuffer();
    else fields[part.fieldname] = typeof part.value === 'string' ? part.value : JSON.stringify(part.value);
  }
  return { fields, files };
}

/** Models of pictures that only pretend: each picture is a pattern of its seed, class and styles. For the browser tests. */
import type { IncomingMessage } from 'node:http';
import sharp from 'sharp';

const facts = { source: 'folder', chat: false, state: 'ready', family: 'image', context: 0 };
const tuning = { layers: ['generator.start', 'generator.size28'], early: [] as string[], augments: true };
const CARD = '# Digits\n\nA generator of handwritten digits.';

export const PICTURE_MODELS = [
  {
    ...{ ...facts, id: 'starter-digits', source: 'starter', parameters: 284_352, card: CARD },
    ...{ created: 1_763_900_000, produces: ['image'] },
    pictures: {
      ...{ architecture: 'gan', size: 28, channels: 1, classes: [...'0123456789'] },
      ...{ styles: 0, between: true, edits: false, masks: false, steps: 0, tuning },
    },
  },
  {
    ...{ ...facts, id: 'icons', parameters: 731_000, card: '', created: 1_763_900_000, produces: ['image'] },
    pictures: {
      ...{ architecture: 'stylegan2', size: 64, channels: 3, classes: [] },
      ...{ styles: 10, between: true, edits: false, masks: false, steps: 0 },
      tuning: {
        layers: ['generator.mapping0', 'generator.size4', 'critic.picture', 'critic.size64', 'critic.score'],
        ...{ early: ['critic.picture', 'critic.size64'], augments: true },
      },
    },
  },
  {
    ...{
      ...facts,
      id: 'denoiser',
      parameters: 512_000,
      card: '',
      created: 1_763_900_000,
      produces: ['image'],
    },
    pictures: {
      ...{ architecture: 'ddpm', size: 32, channels: 1, classes: ['cat', 'dog'] },
      ...{ styles: 0, between: false, edits: true, masks: true, steps: 200 },
      tuning: { layers: ['down32.0', 'last'], early: [] as string[], augments: false },
    },
  },
];

export const IMAGE_PRESETS = [
  {
    ...{ id: 'mnist-cgan', family: 'image', title: 'Digits on demand', labels: true },
    ...{ description: 'A conditional GAN.', parameters: 731_000, size: 28, channels: 1, steps: 9000 },
  },
  {
    ...{ id: 'icons-stylegan2', family: 'image', title: 'Icons', labels: false },
    ...{
      description: 'For a few thousand drawings.',
      parameters: 1_300_000,
      size: 64,
      channels: 1,
      steps: 6000,
      losses: ['non-saturating', 'minimax', 'lsgan', 'wgan-gp', 'hinge'],
    },
  },
];

/** A disc whose place comes from the seed and whose grey from what it is mixed with. */
async function drawn(side: number, seed: number, tone: number, type: string): Promise<string> {
  const [x, y] = [20 + ((seed * 37) % 60), 20 + ((seed * 53) % 60)];
  const grey = 90 + ((tone * 41) % 160);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="${side}" height="${side}"><rect width="100" height="100"/><circle cx="${x}" cy="${y}" r="${16 + (seed % 7)}" fill="rgb(${grey},${grey},${255 - grey})"/></svg>`;
  const image = sharp(Buffer.from(svg));
  const bytes = await image.toFormat(type as 'png').toBuffer();
  return bytes.toString('base64');
}

interface Body {
  model: string;
  n?: number;
  seed?: number;
  label?: string | string[];
  size?: string;
  output_format?: string;
  mix_seed?: number;
  seeds?: number[];
  frames?: number;
}

/** The answer of an image route, and the body as a test wants to see it: a form's files by their sizes. */
export async function pictured(
  route: string,
  raw: Buffer,
  request: IncomingMessage,
): Promise<{ body: Record<string, unknown>; answer: object }> {
  const type = request.headers['content-type'] ?? '';
  const body = type.startsWith('multipart/') ? await formOf(raw, type) : JSON.parse(raw.toString());
  const asked = body as Body;
  const model = PICTURE_MODELS.find(({ id }) => id === asked.model);
  const { size, classes } = model?.pictures ?? { size: 16, classes: [] };
  const side = asked.size === undefined ? size : Number(asked.size.split('x')[0]);
  const kind = asked.output_format ?? 'png';
  const count =
    route === 'interpolations' ? (asked.seeds?.length ?? 0) * (asked.frames ?? 1) : Number(asked.n) || 1;
  const isFilm = route === 'interpolations' && kind !== 'png';
  const first = Number(asked.seed ?? asked.seeds?.[0] ?? 1);
  const labels = asked.label === undefined ? classes : [asked.label].flat();
  const data = await Promise.all(
    Array.from({ length: isFilm ? 1 : count }, async (_, i) => {
      const seed = first + i;
      return {
        b64_json: await drawn(side, seed, Number(asked.mix_seed ?? seed), kind),
        seed: route === 'interpolations' ? first : seed,
        revised_prompt: labels.length === 0 ? '' : (labels[i % labels.length] ?? ''),
      };
    }),
  );
  return { body: { route, ...body }, answer: { created: 1, output_format: kind, data } };
}

async function formOf(raw: Buffer, type: string): Promise<Record<string, unknown>> {
  const form = await new Response(new Uint8Array(raw), { headers: { 'content-type': type } }).formData();
  const fields: Record<string, unknown> = {};
  for (const [name, value] of form)
    fields[name] = typeof value === 'string' ? value : Buffer.from(await (value as Blob).arrayBuffer());
  return fields;
}

/** A sheet of sixty-four squares that grow lighter from step to step. */
export async function sheetOf(step: number): Promise<Buffer> {
  const light = Math.min(255, Math.round(step / 2));
  return sharp({
    create: { width: 232, height: 232, channels: 3, background: { r: light, g: light, b: light } },
  })
    .png()
    .toBuffer();
}

/** The models the server has, asked again while one is loading. Knows the API; does not draw. */
import { type Problem, sendForJson, toProblem } from '../api/client.ts';
import type { ModelInfo, PictureModel, SystemInfo } from '../api/types.ts';
import { createStore } from '../state/store.ts';

interface Catalogue {
  /** Undefined until the first answer. */
  models: readonly ModelInfo[] | undefined;
  /** Those that make pictures; `models` are the others. */
  pictures: readonly PictureModel[] | undefined;
  system: SystemInfo | undefined;
  problem: Problem | undefined;
  busy: boolean;
}

export const catalogue = createStore<Catalogue>({
  models: undefined,
  pictures: undefined,
  system: undefined,
  problem: undefined,
  busy: false,
});

const AGAIN_MS = 2000;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Asks for models and system. While a model is starting, or nobody answers, asks again by itself. */
export async function refreshCatalogue(): Promise<void> {
  clearTimeout(timer);
  catalogue.set({ busy: true });
  try {
    const [{ data }, system] = await Promise.all([
      sendForJson<{ data: ModelInfo[] }>('/api/models'),
      sendForJson<SystemInfo>('/api/system').catch(() => catalogue.get().system),
    ]);
    catalogue.set({
      models: order(data.filter((model) => !makesPictures(model))),
      pictures: order(data).filter(makesPictures),
      system,
      problem: undefined,
      busy: false,
    });
    if (data.some((model) => model.state === 'starting')) again();
  } catch (thrown) {
    const problem = toProblem(thrown);
    catalogue.set({ problem, busy: false });
    if (problem.kind === 'network' || problem.kind === 'loading') again();
  }
}

function again(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void refreshCatalogue(), AGAIN_MS);
}

/** The starter first, then the newest. */
function order(models: readonly ModelInfo[]): ModelInfo[] {
  const rank = (model: ModelInfo) => (model.source === 'starter' ? 0 : 1);
  return [...models].sort((one, other) => rank(one) - rank(other) || other.created - one.created);
}

/** The model with this name, else the first that can answer, else the first. */
export function pickModel<Model extends ModelInfo>(
  models: readonly Model[] | undefined,
  wanted: string | undefined,
): Model | undefined {
  if (models === undefined) return undefined;
  const alive = models.find((model) => model.state !== 'failed' && model.state !== 'stopped');
  return models.find((model) => model.id === wanted) ?? alive ?? models[0];
}

export const makesPictures = (model: ModelInfo): model is PictureModel => model.pictures !== undefined;

/** Whether a model writes text; a BERT only reads. */
export const writes = ({ produces }: ModelInfo): boolean => produces?.includes('text') ?? true;

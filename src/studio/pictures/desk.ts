/** What lies on the desk of pictures: the model, the settings, what was made, what was chosen of it. Does not draw. */
import type { Made } from '../api/pictures.ts';
import type { PictureModel } from '../api/types.ts';
import { keep, recall } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import { type Asked, createAsk, NOTHING_ASKED } from './ask.ts';
import { fitted, generationBody, type PictureSettings, restored } from './settings.ts';

export const VIEWS = ['make', 'way', 'edit'] as const;
export type View = (typeof VIEWS)[number];

/** One of two pictures whose styles are mixed. */
export interface MixEnd {
  seed: number;
  label: string;
}

interface Desk extends Asked {
  model: string | undefined;
  settings: PictureSettings;
  /** What the pictures were made with; undefined while there are none. */
  madeWith: { model: string; settings: PictureSettings } | undefined;
  /** Place in `made`. */
  chosen: number;
  /** Place of the picture that was picked up with the keyboard. */
  held: number | undefined;
  mix: { coarse: MixEnd | undefined; fine: MixEnd | undefined; layer: number };
  /** As typed. */
  waySeeds: string;
}

const KEPT = 'inkstone.pictures';
const kept = recall<{ model: string; settings: Record<string, unknown> }>(KEPT);

export const desk = createStore<Desk>({
  ...NOTHING_ASKED,
  model: typeof kept.model === 'string' ? kept.model : undefined,
  settings: restored(kept.settings ?? {}),
  madeWith: undefined,
  chosen: 0,
  held: undefined,
  mix: { coarse: undefined, fine: undefined, layer: 4 },
  waySeeds: '',
});

desk.subscribe(() => {
  const { model, settings } = desk.get();
  keep(KEPT, { model, settings });
});

const asking = createAsk((change) => desk.set(change));

export function changeSettings(part: Partial<PictureSettings>): void {
  desk.set(({ settings }) => ({ settings: { ...settings, ...part } }));
}

/** Another model makes other pictures: nothing of the old one's stays. */
export function changeModel(id: string): void {
  asking.stop();
  desk.set({
    ...NOTHING_ASKED,
    model: id,
    madeWith: undefined,
    chosen: 0,
    held: undefined,
    mix: { coarse: undefined, fine: undefined, layer: 4 },
    waySeeds: '',
  });
}

/** Makes the grid's pictures. */
export async function makeGrid(model: PictureModel): Promise<void> {
  const settings = fitted(model, desk.get().settings);
  const made = await asking.ask('generations', generationBody(model, settings));
  if (made === undefined) return;
  desk.set(({ chosen }) => ({
    madeWith: { model: model.id, settings },
    chosen: Math.min(chosen, made.length - 1),
    held: undefined,
  }));
}

export const endOf = ({ seed, label }: Made): MixEnd => ({ seed, label });

/** The dragged picture gives its finish to the one it is dropped on. */
export function mixOnto(target: Made, dragged: Made): void {
  desk.set(({ mix }) => ({ mix: { ...mix, coarse: endOf(target), fine: endOf(dragged) }, held: undefined }));
}

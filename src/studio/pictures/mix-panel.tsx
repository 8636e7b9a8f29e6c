/** Two pictures' styles in one: the early layers from here, the late ones from there. Pictures are dropped in, or named by seed. */
import { useEffect, useState } from 'preact/hooks';
import { addressOf, type Made } from '../api/pictures.ts';
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Slider } from '../parts/slider.tsx';
import { useStore } from '../state/store.ts';
import { useAsk } from './ask.ts';
import { AskedNote } from './asked-note.tsx';
import { ChosenPicture } from './chosen.tsx';
import { desk, type MixEnd } from './desk.ts';
import { fitted, MOST_SEED, sharedBody } from './settings.ts';

export function MixPanel({ model }: { model: PictureModel }) {
  const { t, format } = useTexts();
  const words = t.pictures.mix;
  const mix = useStore(desk, (state) => state.mix);
  const settings = useStore(desk, (state) => state.settings);
  const { coarse, fine } = mix;
  const layer = Math.min(mix.layer, model.pictures.styles - 1);
  const fit = fitted(model, settings);
  const { scale, smooth, truncation, format: kind } = fit;
  const base = { ...sharedBody(model, fit), output_format: kind, n: 1 };
  const mixed = useAsk();
  const run = () => {
    if (coarse === undefined || fine === undefined) return;
    const { seed, label } = coarse;
    void mixed.ask('generations', {
      ...base,
      seed,
      ...(label === '' ? {} : { label }),
      mix_seed: fine.seed,
      mix_layer: layer,
    });
  };
  useEffect(() => {
    const timer = setTimeout(run, 120);
    return () => clearTimeout(timer);
  }, [model.id, coarse?.seed, coarse?.label, fine?.seed, layer, scale, smooth, truncation, kind]);

  const result = mixed.made[0];
  const set = (name: 'coarse' | 'fine') => (end: MixEnd) =>
    desk.set(({ mix: before }) => ({ mix: { ...before, [name]: end } }));
  return (
    <section class="sheet" aria-labelledby="mix-title">
      <h2 id="mix-title" class="section-title">
        {words.title}
      </h2>
      <p class="help">{words.lead}</p>
      <div class="mix-ends">
        <MixEndSlot
          id="mix-coarse"
          label={words.coarse}
          {...{ model, base }}
          end={coarse}
          set={set('coarse')}
        />
        <MixEndSlot id="mix-fine" label={words.fine} {...{ model, base }} end={fine} set={set('fine')} />
        {result !== undefined && coarse !== undefined && fine !== undefined && (
          <ChosenPicture
            picture={result}
            model={model.id}
            title={words.result}
            prefix="mixed"
            facts={[
              [words.fine, format.seed(fine.seed)],
              [words.layer, format.integer(layer)],
            ]}
          />
        )}
      </div>
      <Slider
        id="mix-layer"
        label={words.layer}
        help={words.layerHelp}
        least={1}
        most={model.pictures.styles - 1}
        step={1}
        value={layer}
        text={format.integer(layer)}
        change={(value) => desk.set(({ mix: before }) => ({ mix: { ...before, layer: value } }))}
      />
      <AskedNote asked={mixed} retry={run} />
    </section>
  );
}

interface SlotProperties {
  id: string;
  label: string;
  model: PictureModel;
  base: Record<string, unknown>;
  end: MixEnd | undefined;
  set: (end: MixEnd) => void;
}

/** One of the two: a place to drop a picture, and a field for its seed. */
function MixEndSlot({ id, label, model, base, end, set }: SlotProperties) {
  const { t, format } = useTexts();
  const [typed, setTyped] = useState('');
  const [over, setOver] = useState(false);
  const own = useAsk();
  const key = JSON.stringify(base);
  useEffect(() => {
    setTyped(end === undefined ? '' : String(end.seed));
    if (end === undefined) return;
    const { seed, label: name } = end;
    void own.ask('generations', { ...base, seed, ...(name === '' ? {} : { label: name }) });
  }, [model.id, end?.seed, end?.label, key]);
  const parsed = Number(typed);
  const wrong = typed.trim() !== '' && !(Number.isInteger(parsed) && parsed >= 0 && parsed <= MOST_SEED);
  const take = (text: string) => {
    const seed = Number(text);
    if (text.trim() !== '' && Number.isInteger(seed) && seed >= 0 && seed <= MOST_SEED)
      set({ seed, label: labelOf(seed) ?? end?.label ?? '' });
  };
  const picture: Made | undefined = end === undefined ? undefined : own.made[0];
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dropping is extra; the field inside does the same
    <div
      class={`mix-end${over ? ' over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer?.getData('text/plain') ?? '');
      }}
    >
      <div class="field">
        <label for={id}>{label}</label>
        <input
          id={id}
          type="text"
          inputMode="numeric"
          autocomplete="off"
          value={typed}
          aria-invalid={wrong}
          aria-describedby={wrong ? `${id}-wrong` : undefined}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            take(event.currentTarget.value);
          }}
        />
        {wrong && (
          <p id={`${id}-wrong`} class="field-note" role="alert">
            {t.pictures.mix.seedWrong}
          </p>
        )}
      </div>
      <div class="mix-picture">
        {picture !== undefined && (
          <img src={addressOf(picture)} alt={t.pictures.tile(format.seed(picture.seed), picture.label)} />
        )}
      </div>
    </div>
  );
}

/** The class of a picture of the grid, which its seed alone does not say. */
function labelOf(seed: number): string | undefined {
  return desk.get().made.find((picture) => picture.seed === seed)?.label;
}

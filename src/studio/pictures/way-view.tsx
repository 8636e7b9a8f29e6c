/** The way from picture to picture: played, looked through by hand, saved as an animation. */
import { useEffect, useState } from 'preact/hooks';
import { addressOf, endingOf, fileOf } from '../api/pictures.ts';
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { DownMark, PauseMark, PlayMark } from '../parts/icons.tsx';
import { Slider } from '../parts/slider.tsx';
import { useStore } from '../state/store.ts';
import { useAsk } from './ask.ts';
import { AskedNote } from './asked-note.tsx';
import { desk } from './desk.ts';
import { fileName, fitted, seedsOf, sharedBody } from './settings.ts';

/** Pictures of a whole way that the server makes. */
const LONGEST = 480;

export function WayView({ model }: { model: PictureModel }) {
  const { t, format } = useTexts();
  const words = t.pictures.way;
  const { settings, waySeeds, made, chosen } = useStore(desk, (state) => state);
  const fit = fitted(model, settings);
  const text = waySeeds === '' ? firstSeeds(fit.seed) : waySeeds;
  const [frames, setFrames] = useState(24);
  const [speed, setSpeed] = useState(16);
  const seeds = seedsOf(text);
  const total = (seeds?.length ?? 0) * frames;
  const tooLong = total > LONGEST;
  // A way of its own class; where all take turns, that of the chosen picture.
  const label =
    fit.label >= 0 ? model.pictures.classes[fit.label] : made[chosen]?.label || model.pictures.classes[0];
  const body = {
    ...sharedBody(model, { ...fit, smooth: false }),
    ...(label === undefined ? {} : { label }),
    seeds,
    frames,
  };
  const shown = useAsk();
  const key = JSON.stringify(body);
  const run = () => void shown.ask('interpolations', { ...body, output_format: 'png' });
  useEffect(() => {
    if (seeds === undefined || tooLong) return;
    const timer = setTimeout(run, 250);
    return () => clearTimeout(timer);
  }, [key]);
  return (
    <section class="sheet" aria-labelledby="way-title">
      <h2 id="way-title" class="section-title">
        {words.title}
      </h2>
      <p class="help">{words.lead}</p>
      <div class="way">
        <Player frames={shown.made.map(addressOf)} speed={speed} busy={shown.busy} />
        <div class="settings">
          <div class="field">
            <label for="way-seeds">{words.seeds}</label>
            <input
              id="way-seeds"
              type="text"
              autocomplete="off"
              value={text}
              aria-invalid={seeds === undefined}
              aria-describedby="way-seeds-help"
              onInput={(event) => desk.set({ waySeeds: event.currentTarget.value || ' ' })}
            />
            <p id="way-seeds-help" class={seeds === undefined ? 'field-note' : 'help'}>
              {seeds === undefined ? words.seedsWrong : words.seedsHelp}
            </p>
          </div>
          {label !== undefined && (
            <p class="help">
              {t.pictures.label}: {label}
            </p>
          )}
          <Slider
            id="way-frames"
            label={words.frames}
            help={tooLong ? words.tooLong : words.framesHelp(format.integer(total))}
            least={2}
            most={60}
            step={1}
            value={frames}
            text={format.integer(frames)}
            change={setFrames}
          />
          <Slider
            id="way-speed"
            label={words.speed}
            least={2}
            most={50}
            step={1}
            value={speed}
            text={format.integer(speed)}
            change={setSpeed}
          />
          <div class="actions">
            {(['webp', 'gif'] as const).map((kind) => (
              <SaveButton
                key={kind}
                kind={kind}
                model={model}
                disabled={seeds === undefined || tooLong}
                body={{ ...body, delay: Math.round(1000 / speed) }}
                name={(seeds ?? []).join('-')}
              />
            ))}
          </div>
        </div>
      </div>
      <AskedNote asked={shown} retry={run} />
    </section>
  );
}

const firstSeeds = (seed: number): string => [seed, seed + 1, seed + 2, seed + 3].join(', ');

interface PlayerProperties {
  /** Addresses of the pictures. */
  frames: readonly string[];
  /** Pictures a second. */
  speed: number;
  busy: boolean;
}

function Player({ frames, speed, busy }: PlayerProperties) {
  const { t, format } = useTexts();
  const words = t.pictures.way;
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(() => !matchMedia('(prefers-reduced-motion: reduce)').matches);
  const count = frames.length;
  useEffect(() => {
    if (!playing || count === 0) return;
    const timer = setInterval(() => setAt((before) => (before + 1) % count), 1000 / speed);
    return () => clearInterval(timer);
  }, [playing, count, speed]);
  const place = Math.min(at, Math.max(0, count - 1));
  const value = words.frameValue(format.integer(place + 1), format.integer(count));
  return (
    <div class="player">
      {/* All are there at once: what is decoded already does not flicker. */}
      <div class="player-screen" role="img" aria-label={`${words.picture}. ${value}`} aria-busy={busy}>
        {frames.map((source, index) => (
          <img key={index} src={source} alt="" class={index === place ? 'now' : ''} />
        ))}
      </div>
      <div class="player-bar">
        <button
          type="button"
          class="button"
          disabled={count === 0}
          onClick={() => setPlaying(!playing)}
          aria-pressed={playing}
        >
          {playing ? <PauseMark /> : <PlayMark />}
          {playing ? words.pause : words.play}
        </button>
        <input
          type="range"
          min={0}
          max={Math.max(0, count - 1)}
          step={1}
          value={place}
          disabled={count === 0}
          aria-label={words.frame}
          aria-valuetext={value}
          onInput={(event) => {
            setPlaying(false);
            setAt(Number(event.currentTarget.value));
          }}
        />
      </div>
      <p class="help" aria-hidden="true">
        {count === 0 ? '' : value}
      </p>
    </div>
  );
}

interface SaveProperties {
  kind: 'webp' | 'gif';
  model: PictureModel;
  body: object;
  name: string;
  disabled: boolean;
}

/** Asks for the animation, and gives it to the browser to keep. */
function SaveButton({ kind, model, body, name, disabled }: SaveProperties) {
  const { t } = useTexts();
  const words = t.pictures.way;
  const saving = useAsk();
  const [saved, setSaved] = useState(false);
  const save = async () => {
    setSaved(false);
    const [film] = (await saving.ask('interpolations', { ...body, output_format: kind })) ?? [];
    if (film === undefined) return;
    const address = URL.createObjectURL(fileOf(film));
    const link = document.createElement('a');
    link.href = address;
    link.download = fileName(model.id, `way-${name}`, endingOf(film.type));
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    setSaved(true);
  };
  return (
    <>
      <button type="button" class="button" disabled={disabled || saving.busy} onClick={() => void save()}>
        <DownMark />
        {saving.busy ? words.saving : kind === 'webp' ? words.saveWebp : words.saveGif}
      </button>
      <span role="status" class="visually-hidden">
        {saved ? words.saved : ''}
      </span>
      {saving.problem !== undefined && <AskedNote asked={saving} retry={() => void save()} />}
    </>
  );
}

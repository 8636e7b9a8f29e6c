/** Making pictures: the grid, the chosen one beside it, and the mixing of styles where the model has them. */
import { useEffect, useRef } from 'preact/hooks';
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Brush, Dice } from '../parts/icons.tsx';
import { address, route } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { AskedNote } from './asked-note.tsx';
import { ChosenPicture } from './chosen.tsx';
import { changeSettings, desk, endOf, makeGrid, mixOnto } from './desk.ts';
import { PictureGrid } from './grid.tsx';
import { MixPanel } from './mix-panel.tsx';
import { fitted } from './settings.ts';

/** Milliseconds after the last move of a slider. */
const REST = 180;

export function MakeView({ model }: { model: PictureModel }) {
  const { t, format } = useTexts();
  const words = t.pictures;
  const state = useStore(desk, (all) => all);
  const { made, chosen, busy, settings, madeWith, held } = state;
  const { query } = useStore(route, (all) => all.now);
  const { styles, between, edits } = model.pictures;
  const wanted = JSON.stringify(fitted(model, settings));
  const isMade = madeWith?.model === model.id && JSON.stringify(madeWith.settings) === wanted;
  const first = useRef(true);
  useEffect(() => {
    // A network answers at once, and follows the sliders; denoising takes a while, and waits to be told.
    if (!between || isMade) return;
    const timer = setTimeout(() => void makeGrid(model), first.current ? 0 : REST);
    first.current = false;
    return () => clearTimeout(timer);
  }, [model.id, wanted]);

  const picture = made[chosen];
  const mixing =
    styles === 0
      ? undefined
      : {
          held,
          hold: (at: number | undefined) => desk.set({ held: at }),
          mix: (target: number, from: number) => {
            const [one, other] = [made[target], made[from]];
            if (one !== undefined && other !== undefined) mixOnto(one, other);
          },
        };
  const heldSeed = held === undefined ? undefined : made[held]?.seed;
  const { coarse, fine } = state.mix;
  const onWay = state.waySeeds.trim();
  const toWay = (seed: number) => desk.set({ waySeeds: onWay === '' ? String(seed) : `${onWay}, ${seed}` });
  return (
    <>
      <div class="sheet pictures-make">
        <div>
          <div class="actions">
            <button type="button" class="button primary" onClick={() => void makeGrid(model)} disabled={busy}>
              <Brush />
              {busy ? words.making : words.make}
            </button>
            <button
              type="button"
              class="button"
              onClick={() => {
                changeSettings({ seed: Math.floor(Math.random() * 1_000_000) });
                if (!between) void makeGrid(model);
              }}
            >
              <Dice />
              {words.others}
            </button>
          </div>
          <AskedNote asked={state} retry={() => void makeGrid(model)} />
          {made.length > 0 ? (
            <>
              <PictureGrid
                {...{ made, chosen, busy }}
                label={words.grid}
                choose={(at) => desk.set({ chosen: at })}
                {...(mixing === undefined ? {} : { mixing })}
              />
              <p class="help">{mixing === undefined ? words.gridKeys : words.gridMixKeys}</p>
              <p role="status" class="help">
                {heldSeed !== undefined
                  ? words.held(format.seed(heldSeed))
                  : coarse !== undefined && fine !== undefined
                    ? words.mixed(format.seed(coarse.seed), format.seed(fine.seed))
                    : ''}
              </p>
            </>
          ) : (
            !busy && state.problem === undefined && <p class="quiet-note pictures-empty">{words.empty}</p>
          )}
        </div>
        {picture !== undefined && (
          <ChosenPicture picture={picture} model={model.id} title={words.chosen} facts={factsOf()}>
            {styles > 0 && (
              <>
                <button
                  type="button"
                  class="button"
                  onClick={() => desk.set(({ mix }) => ({ mix: { ...mix, coarse: endOf(picture) } }))}
                >
                  {words.toCoarse}
                </button>
                <button
                  type="button"
                  class="button"
                  onClick={() => desk.set(({ mix }) => ({ mix: { ...mix, fine: endOf(picture) } }))}
                >
                  {words.toFine}
                </button>
              </>
            )}
            {between && (
              <button type="button" class="button" onClick={() => toWay(picture.seed)}>
                {words.toWay}
              </button>
            )}
            {between && onWay !== '' && (
              <p class="help" role="status">
                {words.onWay(onWay)}{' '}
                <a href={address('images', undefined, { ...query, view: 'way' })}>{words.showWay}</a>
              </p>
            )}
            {edits && (
              <a class="button" href={address('images', undefined, { ...query, view: 'edit' })}>
                {words.toEdit}
              </a>
            )}
          </ChosenPicture>
        )}
      </div>
      {styles > 0 && <MixPanel model={model} />}
    </>
  );

  function factsOf(): [string, string][] {
    if (madeWith === undefined) return [];
    const { truncation, guidance, steps, eta } = madeWith.settings;
    return edits
      ? [
          [words.steps, format.integer(steps)],
          ...(model.pictures.classes.length > 0
            ? [[words.guidance, format.decimal(guidance, 1)] as [string, string]]
            : []),
          ...(eta > 0 ? [[words.eta, format.decimal(eta, 2)] as [string, string]] : []),
        ]
      : [[words.truncation, format.decimal(truncation, 2)]];
  }
}

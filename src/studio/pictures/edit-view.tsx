/** Changing a picture: one from a file or of the grid, a mask painted over it, and what the model makes of it. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { addressOf, fileOf } from '../api/pictures.ts';
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Brush } from '../parts/icons.tsx';
import { Slider } from '../parts/slider.tsx';
import { useStore } from '../state/store.ts';
import { useAsk } from './ask.ts';
import { AskedNote } from './asked-note.tsx';
import { ChosenPicture } from './chosen.tsx';
import { changeSettings, desk } from './desk.ts';
import { PictureGrid } from './grid.tsx';
import { emptyMask, fullMask, type Mask, maskPixels, partOf } from './mask.ts';
import { MaskCanvas } from './mask-canvas.tsx';
import { fitted, generationBody } from './settings.ts';

export function EditView({ model }: { model: PictureModel }) {
  const { t, format } = useTexts();
  const words = t.pictures.edit;
  const { settings, made, chosen } = useStore(desk, (state) => state);
  const { size, masks } = model.pictures;
  const ofGrid = made[chosen];
  const [file, setFile] = useState<Blob | undefined>(() =>
    ofGrid === undefined ? undefined : fileOf(ofGrid),
  );
  const source = useMemo(() => (file === undefined ? undefined : URL.createObjectURL(file)), [file]);
  const [mask, setMask] = useState<Mask>(() => emptyMask(size));
  const [brush, setBrush] = useState(() => Math.max(2, Math.round(size / 7)));
  const [note, setNote] = useState<string>();
  const [at, setAt] = useState(0);
  const asked = useAsk();
  const fit = fitted(model, settings);
  useEffect(() => () => (source === undefined ? undefined : URL.revokeObjectURL(source)), [source]);

  const take = async (given: Blob | undefined) => {
    if (given === undefined) return;
    const shows = await canShow(given);
    setNote(shows ? undefined : words.notPicture);
    if (!shows) return;
    setFile(given);
    setMask(emptyMask(size));
  };
  const run = async () => {
    if (file === undefined) {
      setNote(words.needed);
      document.getElementById('edit-file')?.focus();
      return;
    }
    const form = new FormData();
    const body = { ...generationBody(model, fit), strength: fit.strength };
    for (const [name, value] of Object.entries(body)) form.append(name, String(value));
    form.append('image', file, 'image');
    if (partOf(mask) > 0) form.append('mask', await maskFile(mask), 'mask.png');
    setAt(0);
    await asked.ask('edits', form);
  };
  const part = partOf(mask);
  const picture = asked.made[at];
  return (
    <>
      <section class="sheet" aria-labelledby="edit-title">
        <h2 id="edit-title" class="section-title">
          {words.title}
        </h2>
        <p class="help">{masks ? words.lead : words.leadWhole}</p>
        <div class="edit">
          {source !== undefined && (
            <div>
              {masks ? (
                <MaskCanvas source={source} mask={mask} brush={brush} change={setMask} />
              ) : (
                <div class="mask whole">
                  <img src={source} alt="" />
                </div>
              )}
            </div>
          )}
          <div class="settings">
            <div class="field">
              <span class="field-label" id="edit-file-label">
                {words.file}
              </span>
              <label class="button file-button edit-file">
                <input
                  id="edit-file"
                  type="file"
                  accept="image/*,.svg"
                  aria-labelledby="edit-file-label edit-file-action"
                  aria-invalid={note !== undefined}
                  aria-describedby="edit-file-help"
                  onChange={(event) => {
                    void take(event.currentTarget.files?.[0]);
                    // The same file may be chosen again after it was changed.
                    event.currentTarget.value = '';
                  }}
                />
                <span id="edit-file-action">{words.choose}</span>
              </label>
              <p id="edit-file-help" class={note === undefined ? 'help' : 'field-note'}>
                {note ?? words.fileHelp}
              </p>
              {ofGrid !== undefined && (
                <button type="button" class="button quiet" onClick={() => void take(fileOf(ofGrid))}>
                  <img class="thumb" src={addressOf(ofGrid)} alt="" />
                  {words.fromGrid}
                </button>
              )}
            </div>
            {masks && source !== undefined && (
              <>
                <Slider
                  id="edit-brush"
                  label={words.brush}
                  least={1}
                  most={Math.max(2, size >> 1)}
                  step={1}
                  value={brush}
                  text={words.brushValue(format.integer(brush))}
                  change={setBrush}
                />
                <div class="actions">
                  <button type="button" class="button quiet" onClick={() => setMask(emptyMask(size))}>
                    {words.wipe}
                  </button>
                  <button type="button" class="button quiet" onClick={() => setMask(fullMask(size))}>
                    {words.everything}
                  </button>
                </div>
                <p class="help" role="status">
                  {part > 0 ? words.painted(format.percent(part)) : words.whole}
                </p>
              </>
            )}
            <Slider
              id="edit-strength"
              label={words.strength}
              help={words.strengthHelp}
              least={0.05}
              most={1}
              step={0.05}
              value={settings.strength}
              text={format.decimal(settings.strength, 2)}
              change={(strength) => changeSettings({ strength })}
            />
            <div class="actions">
              <button type="button" class="button primary" onClick={() => void run()} disabled={asked.busy}>
                <Brush />
                {asked.busy ? t.pictures.making : words.go}
              </button>
            </div>
          </div>
        </div>
        <AskedNote asked={asked} retry={() => void run()} />
      </section>
      <section class="sheet pictures-make" aria-label={words.results}>
        {picture === undefined ? (
          <p class="quiet-note pictures-empty">{words.empty}</p>
        ) : (
          <>
            <PictureGrid
              made={asked.made}
              chosen={at}
              choose={setAt}
              label={words.results}
              busy={asked.busy}
            />
            <ChosenPicture picture={picture} model={model.id} title={t.pictures.chosen} />
          </>
        )}
      </section>
    </>
  );
}

/** Whether the browser can show a file; the server may read more, but nobody paints over what is not seen. */
async function canShow(file: Blob): Promise<boolean> {
  const address = URL.createObjectURL(file);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return true;
  } catch {
    return false;
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function maskFile(mask: Mask): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = mask.size;
  canvas.height = mask.size;
  canvas.getContext('2d')?.putImageData(new ImageData(maskPixels(mask), mask.size, mask.size), 0, 0);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob === null ? reject(new Error('no picture of the mask')) : resolve(blob))),
  );
}

/** Sample sheets of a training of pictures: the newest, and by slider the earlier ones. Fetched with the key, each once. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { send } from '../api/client.ts';
import type { Sample } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';

export function Sheets({ samples, running }: { samples: readonly Sample[]; running: boolean }) {
  const { t, format } = useTexts();
  const words = t.pictures.train;
  const sheets = samples.filter((sample) => sample.picture !== undefined);
  /** Undefined follows the newest. */
  const [at, setAt] = useState<number>();
  const place = Math.min(at ?? sheets.length - 1, sheets.length - 1);
  const sheet = sheets[place];
  const address = useFetched(sheet?.picture);
  return (
    <>
      <h2 id="samples-title" class="section-title">
        {words.sheets}
      </h2>
      {sheet === undefined ? (
        <p class="quiet-note">{running ? words.sheetsEmpty : t.chart.none}</p>
      ) : (
        <figure class="sheets-frame">
          <figcaption class="help">{words.sheetsLead}</figcaption>
          {address === undefined ? (
            <p class="quiet-note">{t.common.loading}</p>
          ) : (
            <img class="sheets-picture" src={address} alt={words.sheet(format.integer(sheet.step))} />
          )}
          {sheets.length > 1 && (
            <input
              type="range"
              min={0}
              max={sheets.length - 1}
              step={1}
              value={place}
              aria-label={words.sheetStep}
              aria-valuetext={format.integer(sheet.step)}
              onInput={(event) => {
                const next = Number(event.currentTarget.value);
                setAt(next === sheets.length - 1 ? undefined : next);
              }}
            />
          )}
          <p class="help" aria-hidden="true">
            {t.train.sampleAt(format.integer(sheet.step))}
          </p>
        </figure>
      )}
    </>
  );
}

/** A picture behind the key, as an address that an `<img>` takes; what was shown before stays until it is there. */
function useFetched(path: string | undefined): string | undefined {
  const known = useRef(new Map<string, string>());
  const [shown, setShown] = useState<string>();
  useEffect(() => {
    const mine = new AbortController();
    const look = async () => {
      if (path === undefined) return;
      if (!known.current.has(path)) {
        const blob = await (await send(path, { signal: mine.signal })).blob();
        known.current.set(path, URL.createObjectURL(blob));
      }
      setShown(known.current.get(path));
    };
    // A sheet that cannot be had is one picture less; the training's own state says what is wrong.
    look().catch(() => {});
    return () => mine.abort();
  }, [path]);
  useEffect(
    () => () => {
      for (const address of known.current.values()) URL.revokeObjectURL(address);
    },
    [],
  );
  return shown;
}

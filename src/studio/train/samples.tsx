/** What the model wrote on the way, the newest first. */
import type { Sample } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';

export function Samples({ samples, running }: { samples: readonly Sample[]; running: boolean }) {
  const { t, format } = useTexts();
  const newest = samples.at(-1);
  const older = samples.slice(0, -1).reverse();
  return (
    <>
      <h2 id="samples-title" class="section-title">
        {t.train.samples}
      </h2>
      {newest === undefined ? (
        <p class="quiet-note">{running ? t.train.samplesEmpty : t.chart.none}</p>
      ) : (
        <>
          <p class="help">{t.train.samplesLead}</p>
          <One sample={newest} />
        </>
      )}
      {older.length > 0 && (
        <details class="older">
          <summary>{t.train.earlierSamples(format.integer(older.length))}</summary>
          {older.map((sample) => (
            <One key={sample.step} sample={sample} />
          ))}
        </details>
      )}
    </>
  );
}

function One({ sample }: { sample: Sample }) {
  const { t, format } = useTexts();
  return (
    <figure class="sample">
      <figcaption>{t.train.sampleAt(format.integer(sample.step))}</figcaption>
      <blockquote>{sample.text}</blockquote>
    </figure>
  );
}

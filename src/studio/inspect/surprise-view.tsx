/** A text with every token tinted by its surprise, its figures, and the tokens that surprised most. */

import { useMemo, useState } from 'preact/hooks';
import type { InspectedToken } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Facts } from '../parts/facts.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { TokenText } from '../playground/token-text.tsx';
import { useStore } from '../state/store.ts';
import { type Found, look } from './look.ts';
import { labelOf, mostSurprising, SURPRISE_BOUNDS, surpriseLevel, unitsOf } from './surprise.ts';

const LISTED = 8;
const NONE = '–';

/** Nats in the unit that was chosen. */
function useUnit(): { unit: 'nats' | 'bits'; of: (nats: number) => number } {
  const unit = useStore(look, (state) => state.unit);
  return { unit, of: (nats) => (unit === 'bits' ? nats / Math.LN2 : nats) };
}

export function SurpriseView({ found: { inspection } }: { found: Found }) {
  const { t, format } = useTexts();
  const { unit, of } = useUnit();
  const words = t.inspect.surprise;
  const units = useMemo(() => unitsOf(inspection.tokens), [inspection]);
  const most = useMemo(() => mostSurprising(inspection.tokens, LISTED), [inspection]);
  const number = (value: number | null, digits: number) =>
    value === null ? NONE : format.decimal(value, digits);
  const { mean_nats: mean } = inspection;
  const facts: [string, string][] = [
    [words.mean, mean === null ? NONE : `${format.decimal(of(mean), 2)} ${words.units[unit]}`],
    [words.perplexity, number(inspection.perplexity, 1)],
    [words.bitsPerByte, number(inspection.bits_per_byte, 3)],
    [words.tokens, format.integer(inspection.tokens.length)],
  ];
  return (
    <div class="desk wide-side">
      <section class="desk-main sheet" aria-labelledby="surprise-title">
        <div class="sheet-head">
          <h2 id="surprise-title" class="section-title">
            {words.title}
          </h2>
          <Segmented<'nats' | 'bits'>
            label={words.unit}
            name="unit"
            value={unit}
            options={(['nats', 'bits'] as const).map((value) => ({ value, text: words.units[value] }))}
            choose={(next) => look.set({ unit: next })}
          />
        </div>
        <Legend />
        <TokenText
          units={units}
          count={units.length}
          tinted
          label={words.title}
          writing={false}
          level={surpriseLevel}
        />
        <p class="help surprise-note">
          {inspection.predictions === 0
            ? inspection.kind === 'masked' && t.inspect.noHead
            : inspection.kind === 'causal' && words.first}
        </p>
      </section>
      <aside class="desk-side" aria-labelledby="most-title">
        <Facts list={facts} look="facts surprise-facts" />
        <p class="help">{words.meanHelp}</p>
        {most.length > 0 && (
          <>
            <h2 id="most-title" class="section-title">
              {words.most}
            </h2>
            <Rows tokens={most.map((at) => inspection.tokens[at] as InspectedToken)} />
          </>
        )}
        <All tokens={inspection.tokens} />
      </aside>
    </div>
  );
}

function Legend() {
  const { t, format } = useTexts();
  const { unit, of } = useUnit();
  const words = t.inspect.surprise;
  const values = SURPRISE_BOUNDS.map((bound) => format.decimal(of(bound), unit === 'nats' ? 0 : 1));
  const named = [
    words.below(values[0] as string),
    ...values.slice(1).map((high, at) => words.between(values[at] as string, high)),
    words.above(values.at(-1) as string),
  ];
  return (
    <ul class="surprise-legend" aria-label={`${words.legend} (${words.units[unit]})`}>
      {named.map((name, level) => (
        <li key={name}>
          <span class={`swatch level-${level}`} aria-hidden="true" />
          {name}
        </li>
      ))}
      <li>{words.units[unit]}</li>
    </ul>
  );
}

function Rows({ tokens }: { tokens: readonly InspectedToken[] }) {
  const { t, format } = useTexts();
  const { unit, of } = useUnit();
  const words = t.inspect.surprise;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
    <div class="table-scroll tall" tabIndex={0}>
      <table class="surprise-table">
        <thead>
          <tr>
            <th scope="col">{words.token}</th>
            <th scope="col">
              {words.value} ({words.units[unit]})
            </th>
            <th scope="col">{words.rank}</th>
            <th scope="col">{words.expected}</th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token, row) => (
            <tr key={row}>
              <th scope="row">
                <code>{labelOf(token)}</code>
              </th>
              <td>{token.surprise === null ? NONE : format.decimal(of(token.surprise), 2)}</td>
              <td>{token.rank === null ? NONE : format.integer(token.rank)}</td>
              <td>
                {token.rank !== null && token.rank > 1 && token.top_logprobs[0] !== undefined ? (
                  <>
                    <code>{labelOf(token.top_logprobs[0])}</code>{' '}
                    {format.percent(Math.exp(token.top_logprobs[0].logprob))}
                  </>
                ) : (
                  NONE
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function All({ tokens }: { tokens: readonly InspectedToken[] }) {
  const { t } = useTexts();
  const [open, setOpen] = useState(false);
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t.inspect.surprise.table}</summary>
      {open && <Rows tokens={tokens} />}
    </details>
  );
}

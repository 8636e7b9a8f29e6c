/** All votes so far, pair by pair, with how sure one can be. */
import { useState } from 'preact/hooks';
import type { Votes } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { useStore } from '../state/store.ts';
import { clearVotes, duel } from './duel.ts';

export function VoteTable() {
  const { t, format } = useTexts();
  const words = t.compare;
  const votes = useStore(duel, (state) => state.votes);
  const [asking, setAsking] = useState(false);
  if (votes === undefined) return null;
  return (
    <section class="sheet" aria-labelledby="votes-title">
      <div class="sheet-head">
        <h2 id="votes-title" class="section-title">
          {words.results}
        </h2>
        {votes.total > 0 &&
          (asking ? (
            <span class="actions">
              <span>{words.clearSure}</span>
              <button
                type="button"
                class="button"
                onClick={() => {
                  setAsking(false);
                  void clearVotes();
                }}
              >
                {words.clear}
              </button>
              <button type="button" class="button quiet" onClick={() => setAsking(false)}>
                {words.keep}
              </button>
            </span>
          ) : (
            <button type="button" class="button quiet" onClick={() => setAsking(true)}>
              {words.clear}
            </button>
          ))}
      </div>
      {votes.table.length === 0 ? (
        <p class="quiet-note">{words.resultsEmpty}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
        <div class="table-scroll" tabIndex={0}>
          <table class="votes">
            <thead>
              <tr>
                <th scope="col">{words.pair}</th>
                <th scope="col">{words.wins}</th>
                <th scope="col">{words.ties}</th>
                <th scope="col">{words.rate}</th>
              </tr>
            </thead>
            <tbody>
              {votes.table.map((row) => (
                <tr key={`${row.a}\n${row.b}`}>
                  <th scope="row">
                    <strong>{row.a}</strong>
                    <span class="votes-other">{row.b}</span>
                    <span class="help">
                      {words.blindOf(format.integer(row.blind), format.integer(row.votes))}
                    </span>
                  </th>
                  <td>
                    {format.integer(row.wins.a)} : {format.integer(row.wins.b)}
                  </td>
                  <td>{format.integer(row.ties)}</td>
                  <td>
                    <Interval {...row.preferred} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** A line from 0 to 100 % with the interval on it, and the same in figures. */
function Interval({ value, lower, upper }: Votes['table'][number]['preferred']) {
  const { t, format } = useTexts();
  if (value === null) return <span class="help">{t.compare.undecided}</span>;
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  return (
    <div class="interval">
      <div class="interval-line" aria-hidden="true">
        <span class="interval-half" />
        <span class="interval-range" style={{ left: percent(lower), width: percent(upper - lower) }} />
        <span class="interval-point" style={{ left: percent(value) }} />
      </div>
      <span>{t.compare.interval(format.percent(value), format.percent(lower), format.percent(upper))}</span>
    </div>
  );
}

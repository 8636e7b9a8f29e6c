/** Comparing: the setup of two sides, their answers side by side, the vote, and the votes so far. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { catalogue, pickModel, refreshCatalogue, writes } from '../models/catalogue.ts';
import { CopyButton } from '../parts/copy.tsx';
import { Brush, StopMark } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { Segmented } from '../parts/segmented.tsx';
import { EXAMPLES, exampleLabel } from '../playground/examples.ts';
import { isRunning } from '../playground/runner.ts';
import { address, route, setQuery } from '../state/route.ts';
import { useStore } from '../state/store.ts';
import { Answers } from './answers.tsx';
import { changeSetup, duel, refreshPrompts, refreshVotes, start, stop } from './duel.ts';
import { SidePanel } from './side-panel.tsx';
import { inputOf, packed, SIDES, type SideName, unpacked } from './sides.ts';
import { VoteTable } from './vote-table.tsx';

/** Milliseconds after the last change until the address follows it. */
const ADDRESS_AFTER = 400;

export function Compare() {
  const { t } = useTexts();
  const known = useStore(catalogue, (state) => state.models);
  const problem = useStore(catalogue, (state) => state.problem);
  const models = useMemo(() => known?.filter(writes), [known]);
  useAddress();
  useEffect(() => {
    void refreshVotes();
    void refreshPrompts();
  }, []);
  return (
    <>
      <div class="room-head">
        <h1 tabIndex={-1}>{t.compare.title}</h1>
        <p class="room-lead">{t.compare.lead}</p>
      </div>
      {problem !== undefined && models === undefined && (
        <ProblemNote problem={problem} retry={() => void refreshCatalogue()} />
      )}
      {models === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {models?.length === 0 && <p class="quiet-note">{t.models.empty}</p>}
      {models !== undefined && models.length > 0 && <Desk models={models} />}
    </>
  );
}

/** The address holds the setup, so that a link or a reload brings it back. */
function useAddress(): void {
  const asked = useStore(route, (state) => state.now.query.s);
  const setup = useStore(duel, (state) => state.setup);
  const own = useRef<string | undefined>(undefined);
  useEffect(() => {
    if (asked === undefined || asked === own.current) return;
    const found = unpacked(asked);
    own.current = asked;
    if (found !== undefined) duel.set({ setup: found });
  }, [asked]);
  useEffect(() => {
    const timer = setTimeout(() => {
      const text = packed(setup);
      // On the way to another room the address is that room's.
      if (text === own.current || route.get().now.room !== 'compare') return;
      own.current = text;
      setQuery({ s: text });
    }, ADDRESS_AFTER);
    return () => clearTimeout(timer);
  }, [setup]);
}

function Desk({ models }: { models: readonly ModelInfo[] }) {
  const { t } = useTexts();
  const words = t.compare;
  // Not the runs themselves: they change many times a second, and nothing here draws them.
  const setup = useStore(duel, (state) => state.setup);
  const round = useStore(duel, (state) => state.round);
  const running = useStore(duel, ({ runs }) => isRunning(runs.a) || isRunning(runs.b));
  const [needed, setNeeded] = useState(false);
  const first = pickModel(models, setup.a.model) as ModelInfo;
  const second = pickModel(models, setup.b.model ?? other(models, first)) as ModelInfo;
  const chosen: Record<SideName, ModelInfo> = { a: first, b: second };

  const run = () => {
    const missing = SIDES.find((side) => inputOf(setup, side).trim() === '');
    setNeeded(missing !== undefined);
    if (missing !== undefined) {
      document
        .getElementById(setup.mode === 'shared' ? 'compare-input' : `compare-${missing}-input`)
        ?.focus();
      return;
    }
    void start(chosen);
    document.getElementById('answers')?.scrollIntoView({ block: 'nearest' });
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
    event.preventDefault();
    if (!running) run();
  };
  return (
    <div class="compare">
      <section class="sheet" aria-labelledby="setup-title">
        <div class="sheet-head">
          <h2 id="setup-title" class="section-title">
            {words.setup}
          </h2>
          <Segmented<'shared' | 'separate'>
            label={words.mode}
            name="mode"
            value={setup.mode}
            options={(['shared', 'separate'] as const).map((value) => ({ value, text: words.modes[value] }))}
            choose={(mode) => changeSetup({ mode })}
          />
        </div>
        {setup.mode === 'shared' && (
          <>
            <label for="compare-input" class="sheet-label">
              {words.input}
            </label>
            <textarea
              id="compare-input"
              class="prompt"
              rows={2}
              spellcheck={false}
              placeholder={words.inputPlaceholder}
              value={setup.input}
              aria-invalid={needed && setup.input.trim() === ''}
              onInput={(event) => changeSetup({ input: event.currentTarget.value })}
              onKeyDown={keys}
            />
            <ul class="examples" aria-label={t.playground.examples}>
              {EXAMPLES.map((example) => (
                <li key={example}>
                  <button
                    type="button"
                    class="chip"
                    lang="en"
                    onClick={() => changeSetup({ input: example })}
                  >
                    {exampleLabel(example)}
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
        <div class="two compare-sides">
          {SIDES.map((side) => (
            <SidePanel
              key={side}
              side={side}
              setup={setup}
              models={models}
              model={chosen[side]}
              needed={needed}
              keys={keys}
            />
          ))}
        </div>
        {needed && (
          <p class="field-note" role="alert">
            {words.needed}
          </p>
        )}
        <div class="actions">
          {running ? (
            <button type="button" class="button primary" onClick={stop}>
              <StopMark />
              {words.stop}
            </button>
          ) : (
            <button type="button" class="button primary" onClick={run} title={words.runKeys}>
              <Brush />
              {words.run}
            </button>
          )}
          <label class="switch" title={words.blindHelp}>
            <input
              type="checkbox"
              checked={setup.blind}
              aria-describedby="blind-help"
              onChange={(event) => changeSetup({ blind: event.currentTarget.checked })}
            />
            <span>{words.blind}</span>
          </label>
          <span id="blind-help" class="help actions-note">
            {words.blindHelp}
          </span>
          <CopyButton
            label={words.share}
            text={() => new URL(address('compare', undefined, { s: packed(setup) }), location.href).href}
          />
        </div>
      </section>
      {round !== undefined && <Answers round={round} retry={() => void start(chosen)} />}
      <VoteTable />
    </div>
  );
}

/** Another model than the first, where there is one. */
const other = (models: readonly ModelInfo[], first: ModelInfo): string =>
  (models.find(({ id }) => id !== first.id) ?? first).id;

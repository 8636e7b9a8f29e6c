/** Replicas and keys as tables, alerts as a list with a button each. */
import { useTexts } from '../i18n/index.ts';
import { ModelState } from '../parts/state-mark.tsx';
import { type Live, silence, unsilence } from './live.ts';

export function Alerts({ alerts }: Pick<Live, 'alerts'>) {
  const { t, format } = useTexts();
  const words = t.watch.alerts;
  return (
    <section class="sheet" aria-labelledby="alerts-title">
      <h2 id="alerts-title" class="section-title">
        {words.title}
      </h2>
      {alerts.length === 0 ? (
        <p class="quiet-note">{words.quiet}</p>
      ) : (
        <ul class="watch-alerts">
          {alerts.map(({ rule, severity, summary, hint, state, since, silenced }) => (
            <li key={rule} class={`watch-alert is-${silenced ? 'silenced' : state} is-${severity}`}>
              <div>
                <p class="watch-alert-head">
                  <strong>{summary}</strong>
                </p>
                <p class="help">
                  {rule} · {words.states[state] ?? state} · {words.severities[severity] ?? severity} ·{' '}
                  {words.since(format.date(since / 1000))}
                  {silenced ? ` · ${words.silenced}` : ''}
                </p>
                <p class="help">{hint}</p>
              </div>
              <button
                type="button"
                class="button quiet"
                onClick={() => void (silenced ? unsilence(rule) : silence(rule))}
              >
                {silenced ? words.unsilence : words.silence}
                <span class="visually-hidden"> {rule}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function Replicas({ replicas }: Pick<Live, 'replicas'>) {
  const { t, format } = useTexts();
  const words = t.watch.replicas;
  const heads = [
    words.model,
    words.state,
    words.running,
    words.waiting,
    words.memory,
    words.cache,
    words.restarts,
  ];
  return (
    <section class="sheet" aria-labelledby="replicas-title">
      <h2 id="replicas-title" class="section-title">
        {words.title}
      </h2>
      {replicas.length === 0 ? (
        <p class="quiet-note">{words.none}</p>
      ) : (
        <Scroll>
          <table class="watch-table">
            <Heads names={heads} />
            <tbody>
              {replicas.map((one, i) => (
                <tr key={`${one.model} ${i}`}>
                  <th scope="row">{one.model}</th>
                  <td>
                    <ModelState state={one.state} />
                  </td>
                  <td>{format.integer(one.running)}</td>
                  <td>{format.integer(one.waiting)}</td>
                  <td>{one.memory === null ? t.watch.none : format.bytes(one.memory)}</td>
                  <td>{one.cacheUsed === null ? t.watch.none : format.percent(one.cacheUsed)}</td>
                  <td>{format.integer(one.restarts)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

export function Keys({ keys }: Pick<Live, 'keys'>) {
  const { t, format } = useTexts();
  const words = t.watch.keys;
  const money = (value: number): string => format.decimal(value, value >= 100 ? 0 : value >= 1 ? 2 : 4);
  return (
    <section class="sheet" aria-labelledby="keys-title">
      <h2 id="keys-title" class="section-title">
        {words.title}
      </h2>
      {keys.length === 0 ? (
        <p class="quiet-note">{words.none}</p>
      ) : (
        <Scroll>
          <table class="watch-table">
            <Heads names={[words.key, words.requests, words.read, words.written, words.cost, words.budget]} />
            <tbody>
              {keys.map((key) => (
                <tr key={key.id}>
                  <th scope="row">
                    {key.name} <span class="help">{key.prefix}…</span>
                  </th>
                  <td>{format.integer(key.requests)}</td>
                  <td>{format.compact(key.prompt)}</td>
                  <td>{format.compact(key.completion)}</td>
                  <td>{money(key.cost)}</td>
                  <td>
                    {key.budget === null ? words.unlimited : words.spent(money(key.spent), money(key.budget))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

function Scroll({ children }: { children: preact.ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
    <div class="table-scroll" tabIndex={0}>
      {children}
    </div>
  );
}

function Heads({ names }: { names: readonly string[] }) {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
      </tr>
    </thead>
  );
}

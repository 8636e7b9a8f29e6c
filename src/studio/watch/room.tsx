/** The room of live numbers: what the server does now, what is wrong, what it costs. */
import { useEffect } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { ProblemNote } from '../parts/problem.tsx';
import { useStore } from '../state/store.ts';
import { Charts } from './charts.tsx';
import { follow, type Live, live, look } from './live.ts';
import { Alerts, Keys, Replicas } from './tables.tsx';

export function Watch() {
  const { t, format } = useTexts();
  const now = useStore(live, (state) => state.now);
  const problem = useStore(live, (state) => state.problem);
  useEffect(follow, []);
  return (
    <div class="watch">
      <div class="room-head">
        <h1 tabIndex={-1}>{t.watch.title}</h1>
        <p class="room-lead">{t.watch.lead}</p>
        {now !== undefined && <p class="quiet-note">{t.watch.updated(format.integer(now.every))}</p>}
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void look()} />}
      {now === undefined && problem === undefined && <p class="quiet-note">{t.common.loading}</p>}
      {now !== undefined && (
        <>
          <Tiles now={now} />
          <Charts points={now.points} />
          <Alerts alerts={now.alerts} />
          <Replicas replicas={now.replicas} />
          <Keys keys={now.keys} />
        </>
      )}
    </div>
  );
}

function Tiles({ now }: { now: Live }) {
  const { t, format } = useTexts();
  const words = t.watch.tiles;
  const last = now.points.at(-1);
  const shown = (value: number | null | undefined, show: (value: number) => string): string =>
    value === null || value === undefined ? t.watch.none : show(value);
  const milliseconds = (value: number): string => `${format.integer(value * 1000)} ms`;
  const one = (value: number): string => format.decimal(value, 1);
  const tiles: [string, string][] = [
    [words.running, format.integer(now.queue.running)],
    [words.waiting, format.integer(now.queue.waiting)],
    [words.requests, shown(last?.requestsPerSecond, one)],
    [words.tokens, shown(last?.tokensPerSecond, one)],
    [words.first, shown(last?.firstToken95, milliseconds)],
    [words.between, shown(last?.betweenTokens95, milliseconds)],
    [words.memory, format.percent(now.machine.memoryUsed)],
    [words.disk, shown(now.machine.diskUsed, format.percent)],
  ];
  return (
    <dl class="watch-tiles">
      {tiles.map(([name, value]) => (
        <div key={name} class="sheet">
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

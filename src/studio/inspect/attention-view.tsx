/** Attention: all heads small, one of them large, and for one token where it looks or who looks at it. */
import { useMemo, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { Segmented } from '../parts/segmented.tsx';
import { type Direction, habitOf, type Layer, sharesOf, sharpest } from './attention.ts';
import { Heat } from './heat.tsx';
import type { Found } from './look.ts';
import { labelOf } from './surprise.ts';
import { TokenStrip } from './token-strip.tsx';

/** `head` −1 is the mean of all. */
interface Choice {
  layer: number;
  head: number;
}

const LISTED = 6;

export function AttentionView({ found: { inspection, layers } }: { found: Found }) {
  const { t, format } = useTexts();
  const words = t.inspect.attention;
  const { tokens } = inspection;
  const time = tokens.length;
  const [chosen, setChoice] = useState<Choice>();
  const [token, setToken] = useState<number>();
  const [direction, setDirection] = useState<Direction>('from');

  const most = useMemo(() => sharpest(layers, time), [layers, time]);
  const choice = chosen ?? most;
  const layer = layers[Math.min(choice.layer, layers.length - 1)];
  if (layer === undefined) return null;
  const map = choice.head < 0 ? layer.mean : (layer.heads[choice.head] ?? layer.mean);
  // The last token has most to look at.
  const at = Math.min(token ?? time - 1, time - 1);
  const shares = sharesOf(map, time, at, direction);
  const name = nameOf(words, choice, layer, format.integer);
  const habit = habitOf(map, time);
  const labels = tokens.map(labelOf);
  const label = labels[at] ?? '';
  const said = direction === 'from' ? words.from : words.to;
  const say = (index: number): string => {
    const others = listed(sharesOf(map, time, index, direction), 3);
    return `${said(labels[index] ?? '')}: ${others.map((other) => `${labels[other.at]} ${format.percent(other.share)}`).join(', ')}`;
  };
  return (
    <div class="attention">
      <section class="sheet attention-heads" aria-labelledby="heads-title">
        <h2 id="heads-title" class="section-title">
          {words.heads}
        </h2>
        <p class="help">{words.lead}</p>
        <Heads layers={layers} time={time} choice={choice} choose={setChoice} />
      </section>
      <section class="sheet attention-head" aria-labelledby="head-title">
        <div class="sheet-head">
          <h2 id="head-title" class="section-title">
            {name}
          </h2>
          <Segmented<Direction>
            label={words.direction}
            name="direction"
            value={direction}
            options={(['from', 'to'] as const).map((value) => ({ value, text: words.directions[value] }))}
            choose={setDirection}
          />
        </div>
        <p class="help">
          {words.habit(
            ...([habit.self, habit.previous, habit.first].map((share) => format.percent(share)) as [
              string,
              string,
              string,
            ]),
            format.decimal(habit.distance, 1),
          )}
        </p>
        <div class="attention-body">
          <div class="attention-text">
            <TokenStrip labels={labels} shares={shares} selected={at} said={say(at)} select={setToken} />
            <p class="attention-of">{said(label)}</p>
            <ol class="attention-list">
              {listed(shares, LISTED).map((other) => (
                <li key={other.at}>
                  <code>{labels[other.at]}</code>
                  <span class="attention-no">{format.integer(other.at + 1)}</span>
                  <span class="bar" aria-hidden="true">
                    <span style={{ width: `${Math.min(100, other.share * 100).toFixed(1)}%` }} />
                  </span>
                  <span class="share">{format.percent(other.share)}</span>
                </li>
              ))}
            </ol>
            <Table labels={labels} shares={shares} label={label} />
          </div>
          <figure
            class="attention-map"
            onPointerMove={(event) => {
              const box = event.currentTarget.querySelector('canvas')?.getBoundingClientRect();
              if (box === undefined) return;
              const along =
                direction === 'from'
                  ? (event.clientY - box.top) / box.height
                  : (event.clientX - box.left) / box.width;
              if (along >= 0 && along < 1) setToken(Math.floor(along * time));
            }}
          >
            <div class="attention-frame" role="img" aria-label={words.map(name)}>
              <Heat map={map} time={time} class="map-large" />
              <span
                class={`map-cursor map-cursor-${direction}`}
                style={
                  direction === 'from'
                    ? { top: `${(100 * at) / time}%`, height: `${100 / time}%` }
                    : { left: `${(100 * at) / time}%`, width: `${100 / time}%` }
                }
              />
            </div>
            <figcaption class="help">{words.mapNote}</figcaption>
          </figure>
        </div>
      </section>
    </div>
  );
}

interface Words {
  head(layer: string, head: string): string;
  meanOf(layer: string): string;
}

function nameOf(
  words: Words,
  { head }: Choice,
  { layer }: Layer,
  integer: (value: number) => string,
): string {
  return head < 0 ? words.meanOf(integer(layer + 1)) : words.head(integer(layer + 1), integer(head + 1));
}

/** The largest shares, with what is too small to matter left out. */
function listed(shares: readonly number[], count: number): { at: number; share: number }[] {
  return shares
    .map((share, at) => ({ at, share }))
    .sort((one, other) => other.share - one.share || one.at - other.at)
    .filter(({ share }) => share >= 0.005)
    .slice(0, count);
}

interface HeadsProperties {
  layers: readonly Layer[];
  time: number;
  choice: Choice;
  choose: (choice: Choice) => void;
}

/** Radio buttons drawn as small maps: arrow keys go from head to head. */
function Heads({ layers, time, choice, choose }: HeadsProperties) {
  const { t, format } = useTexts();
  const words = t.inspect.attention;
  return (
    <div class="heads" role="radiogroup" aria-labelledby="heads-title">
      {layers.map((layer, row) => (
        <div class="heads-row" key={layer.layer}>
          <span class="heads-name">{words.layer(format.integer(layer.layer + 1))}</span>
          {[layer.mean, ...layer.heads].map((map, column) => {
            const head = column - 1;
            return (
              <label
                class="head"
                key={head}
                title={nameOf(words, { layer: row, head }, layer, format.integer)}
              >
                <input
                  type="radio"
                  name="head"
                  checked={choice.layer === row && choice.head === head}
                  aria-label={nameOf(words, { layer: row, head }, layer, format.integer)}
                  onChange={() => choose({ layer: row, head })}
                />
                <Heat map={map} time={time} class="map-small" />
                <span aria-hidden="true">{head < 0 ? words.mean : format.integer(head + 1)}</span>
              </label>
            );
          })}
        </div>
      ))}
    </div>
  );
}

function Table({
  labels,
  shares,
  label,
}: {
  labels: readonly string[];
  shares: readonly number[];
  label: string;
}) {
  const { t, format } = useTexts();
  const words = t.inspect.attention;
  const [open, setOpen] = useState(false);
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.table(label)}</summary>
      {open && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling area needs focus
        <div class="table-scroll tall" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{words.position}</th>
                <th scope="col">{t.inspect.surprise.token}</th>
                <th scope="col">{words.share}</th>
              </tr>
            </thead>
            <tbody>
              {labels.map((token, at) => (
                <tr key={at}>
                  <td>{format.integer(at + 1)}</td>
                  <th scope="row">
                    <code>{token}</code>
                  </th>
                  <td>{format.percent(shares[at] ?? 0)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

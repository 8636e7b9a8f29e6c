/**
 * Generated text, token by token, tinted by probability, with an inspector that follows the pointer, a
 * tap, or the arrow keys. Draws in runs of units, so that a long text stays quick while it grows.
 */
import { Component } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { TokenInspector } from './token-inspector.tsx';
import { type Level, levelOf, type Unit } from './tokens.ts';

const RUN_LENGTH = 40;

interface RunProperties {
  units: readonly Unit[];
  level: (unit: Unit) => Level | undefined;
  from: number;
  to: number;
  selected: number | undefined;
}

/** A run never changes once it is full, but for the selection. */
class UnitRun extends Component<RunProperties> {
  override shouldComponentUpdate(next: RunProperties): boolean {
    const now = this.props;
    return now.units !== next.units || now.to !== next.to || now.selected !== next.selected;
  }

  override render({ units, level: of, from, to, selected }: RunProperties) {
    return units.slice(from, to).map((unit, offset) => {
      const index = from + offset;
      const level = of(unit);
      const tint = level === undefined ? '' : ` level-${level}`;
      return (
        <span key={index} data-unit={index} class={`token${tint}${selected === index ? ' selected' : ''}`}>
          {unit.text}
        </span>
      );
    });
  }
}

interface Properties {
  units: readonly Unit[];
  /** How many units there are now: `units` grows in place. */
  count: number;
  tinted: boolean;
  label: string;
  lead?: string | undefined;
  writing: boolean;
  /** How units are tinted; by the probability of what was written, where it is left out. */
  level?: (unit: Unit) => Level | undefined;
}

export function TokenText({ units, count, tinted, label, lead, writing, level = levelOf }: Properties) {
  const { t } = useTexts();
  const [selected, setSelected] = useState<number>();
  const [pinned, setPinned] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  // A new answer starts with nothing selected.
  useLayoutEffect(() => {
    setSelected(undefined);
    setPinned(false);
  }, [units]);

  const inspectable = tinted && units.some((unit) => unit.tokens.length > 0);
  const close = () => {
    setSelected(undefined);
    setPinned(false);
  };
  const unitAt = (target: EventTarget | null): number | undefined => {
    const index = target instanceof HTMLElement ? target.dataset.unit : undefined;
    return index === undefined ? undefined : Number(index);
  };
  const point = (event: PointerEvent) => {
    const index = unitAt(event.target);
    if (event.pointerType === 'mouse' && index !== undefined && !pinned) setSelected(index);
  };
  const click = (event: MouseEvent) => {
    const index = unitAt(event.target);
    if (index === undefined || getSelection()?.isCollapsed === false) return;
    if (pinned && index === selected) return close();
    setSelected(index);
    setPinned(true);
  };
  const press = (event: KeyboardEvent) => {
    const last = count - 1;
    const now = selected ?? -1;
    const moves: Record<string, number> = {
      ArrowRight: Math.min(last, now + 1),
      ArrowLeft: Math.max(0, now - 1),
      ArrowDown: neighbour(box.current, now, 1) ?? last,
      ArrowUp: neighbour(box.current, now, -1) ?? 0,
      Home: 0,
      End: last,
    };
    const next = moves[event.key];
    if (event.key === 'Escape' && selected !== undefined) close();
    else if (next === undefined || last < 0) return;
    else {
      setSelected(next);
      setPinned(true);
    }
    event.preventDefault();
  };

  const runs = Array.from({ length: Math.ceil(count / RUN_LENGTH) }, (_, run) => {
    const from = run * RUN_LENGTH;
    const to = Math.min(count, from + RUN_LENGTH);
    const own = selected !== undefined && selected >= from && selected < to ? selected : undefined;
    return <UnitRun key={run} {...{ units, level, from, to }} selected={inspectable ? own : undefined} />;
  });
  const unit = selected === undefined ? undefined : units[selected];
  const reach = inspectable
    ? {
        tabIndex: 0,
        onPointerOver: point,
        onClick: click,
        onKeyDown: press,
        onBlur: close,
        onPointerLeave: leave,
      }
    : {};
  function leave() {
    if (!pinned) setSelected(undefined);
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: a group of tokens is no fieldset
    <div
      ref={box}
      class={`token-text${inspectable ? ' tinted' : ''}`}
      role="group"
      aria-label={inspectable ? `${label}. ${t.tokens.howTo}` : label}
      aria-busy={writing}
      {...reach}
    >
      {lead !== undefined && <span class="lead">{lead}</span>}
      {runs}
      {writing && <span class="caret" aria-hidden="true" />}
      {inspectable && <TokenInspector box={box} index={selected} unit={unit} />}
    </div>
  );
}

/** The unit nearest below or above the selected one. */
function neighbour(box: HTMLElement | null, index: number, direction: 1 | -1): number | undefined {
  const all = [...(box?.querySelectorAll<HTMLElement>('[data-unit]') ?? [])];
  const own = all[index];
  if (own === undefined) return undefined;
  const from = own.getBoundingClientRect();
  let found: number | undefined;
  let best = Number.POSITIVE_INFINITY;
  for (let at = index + direction; at >= 0 && at < all.length; at += direction) {
    const rectangle = (all[at] as HTMLElement).getBoundingClientRect();
    const away = (rectangle.top - from.top) * direction;
    if (away < from.height / 2) continue;
    // Two lines further on there is nothing nearer.
    if (found !== undefined && away > from.height * 2) break;
    const distance = Math.abs(rectangle.left - from.left) + away * 4;
    if (distance < best) {
      best = distance;
      found = at;
    }
  }
  return found;
}

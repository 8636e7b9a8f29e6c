/** A text token by token, each as dark as its share; one is chosen with the pointer, a tap or the arrow keys. */
import { useTexts } from '../i18n/index.ts';
import { darkness } from './attention.ts';

interface Properties {
  /** As they are named. */
  labels: readonly string[];
  shares: readonly number[];
  selected: number;
  /** What is said of the chosen one. */
  said: string;
  select: (index: number) => void;
}

export function TokenStrip({ labels, shares, selected, said, select }: Properties) {
  const { t } = useTexts();
  const words = t.inspect.attention;
  const indexOf = (target: EventTarget | null): number | undefined => {
    const index =
      target instanceof HTMLElement ? target.closest<HTMLElement>('[data-token]')?.dataset.token : undefined;
    return index === undefined ? undefined : Number(index);
  };
  const point = (event: PointerEvent | MouseEvent) => {
    const index = indexOf(event.target);
    if (index !== undefined) select(index);
  };
  const press = (event: KeyboardEvent) => {
    const last = labels.length - 1;
    const moves: Record<string, number> = {
      ArrowRight: Math.min(last, selected + 1),
      ArrowLeft: Math.max(0, selected - 1),
      Home: 0,
      End: last,
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(next);
  };
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a group of tokens is no fieldset */}
      <div
        class="strip"
        role="group"
        aria-label={`${words.strip}. ${words.howTo}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys go from token to token
        tabIndex={0}
        onPointerOver={(event) => event.pointerType === 'mouse' && point(event)}
        onClick={point}
        onKeyDown={press}
      >
        {labels.map((label, at) => (
          <span
            key={at}
            data-token={at}
            class={`strip-token${at === selected ? ' selected' : ''}`}
            style={{ '--depth': darkness(shares[at] ?? 0).toFixed(3) }}
          >
            {label}
          </span>
        ))}
      </div>
      <span role="status" class="visually-hidden">
        {said}
      </span>
    </>
  );
}

/**
 * Pictures in rows: one is chosen, arrow keys go about, and where styles can be mixed one is dragged onto another, or picked
 * up and put down with a key. Knows no request.
 */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { addressOf, type Made } from '../api/pictures.ts';
import { useTexts } from '../i18n/index.ts';

interface Properties {
  made: readonly Made[];
  chosen: number;
  choose: (at: number) => void;
  /** What the list is called. */
  label: string;
  busy?: boolean;
  /** Where styles can be mixed: the picture in hand, and what is done with two. */
  mixing?: {
    held: number | undefined;
    hold: (at: number | undefined) => void;
    mix: (target: number, dragged: number) => void;
  };
}

export function PictureGrid({ made, chosen, choose, label, busy = false, mixing }: Properties) {
  const { t, format } = useTexts();
  const list = useRef<HTMLDivElement>(null);
  const [over, setOver] = useState<number>();
  const wanted = useRef(false);
  useLayoutEffect(() => {
    // The focus goes along only where the keys moved the choice.
    if (wanted.current) list.current?.querySelector<HTMLElement>('[aria-selected=true]')?.focus();
    wanted.current = false;
  }, [chosen]);

  const columns = (): number => {
    const tiles = [...(list.current?.children ?? [])] as HTMLElement[];
    const top = tiles[0]?.offsetTop;
    return Math.max(1, tiles.filter((tile) => tile.offsetTop === top).length);
  };
  const keys = (event: KeyboardEvent) => {
    const last = made.length - 1;
    const steps: Record<string, () => number> = {
      ArrowLeft: () => chosen - 1,
      ArrowRight: () => chosen + 1,
      ArrowUp: () => chosen - columns(),
      ArrowDown: () => chosen + columns(),
      Home: () => 0,
      End: () => last,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = step();
      if (next < 0 || next > last || next === chosen) return;
      wanted.current = true;
      choose(next);
    } else if (mixing !== undefined && event.key.toLowerCase() === 'm' && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      if (mixing.held === undefined) mixing.hold(chosen);
      else if (mixing.held === chosen) mixing.hold(undefined);
      else mixing.mix(chosen, mixing.held);
    } else if (event.key === 'Escape' && mixing?.held !== undefined) mixing.hold(undefined);
  };
  const dragged = useRef<number>(undefined);
  const dropOn = (at: number) => (event: DragEvent) => {
    const from = dragged.current;
    setOver(undefined);
    if (from === undefined || from === at) return;
    event.preventDefault();
    mixing?.mix(at, from);
  };
  return (
    <div
      ref={list}
      class="picture-grid"
      role="listbox"
      aria-label={label}
      aria-busy={busy}
      aria-orientation="horizontal"
      onKeyDown={keys}
    >
      {made.map((picture, at) => (
        // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys of all its options
        <div
          key={at}
          role="option"
          aria-selected={at === chosen}
          tabIndex={at === chosen ? 0 : -1}
          class={`picture-tile${mixing?.held === at ? ' held' : ''}${over === at ? ' over' : ''}`}
          draggable={mixing !== undefined}
          onClick={() => choose(at)}
          onDragStart={(event) => {
            dragged.current = at;
            event.dataTransfer?.setData('text/plain', String(picture.seed));
          }}
          onDragEnd={() => {
            dragged.current = undefined;
            setOver(undefined);
          }}
          onDragOver={(event) => {
            if (mixing === undefined || dragged.current === undefined || dragged.current === at) return;
            event.preventDefault();
            setOver(at);
          }}
          onDragLeave={() => setOver(undefined)}
          onDrop={dropOn(at)}
        >
          <img
            src={addressOf(picture)}
            alt={t.pictures.tile(format.seed(picture.seed), picture.label)}
            draggable={false}
          />
        </div>
      ))}
    </div>
  );
}

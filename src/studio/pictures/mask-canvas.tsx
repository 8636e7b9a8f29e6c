/** A picture to be painted over, by mouse, finger or keys: what is painted is made anew. Knows no request. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { dotted, type Mask, stroked } from './mask.ts';

interface Properties {
  /** Address of the picture underneath. */
  source: string;
  mask: Mask;
  /** Pixels of the model across. */
  brush: number;
  change: (mask: Mask) => void;
}

interface Place {
  x: number;
  y: number;
}

export function MaskCanvas({ source, mask, brush, change }: Properties) {
  const { t, format } = useTexts();
  const words = t.pictures.edit;
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<Place>(undefined);
  const { size } = mask;
  const [cursor, setCursor] = useState<Place>({ x: size >> 1, y: size >> 1 });
  const [focused, setFocused] = useState(false);
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (context === null || context === undefined) return;
    const image = context.createImageData(size, size);
    // Cinnabar, half through: seen on light and on dark.
    mask.marks.forEach((mark, i) => {
      if (mark === 1) image.data.set([200, 50, 30, 165], i * 4);
    });
    context.putImageData(image, 0, 0);
  }, [mask]);

  const placeOf = (event: PointerEvent): Place => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const within = (part: number) => Math.min(size - 1, Math.max(0, Math.floor(part * size)));
    return {
      x: within((event.clientX - box.left) / box.width),
      y: within((event.clientY - box.top) / box.height),
    };
  };
  const keys = (event: KeyboardEvent) => {
    const far = event.shiftKey ? 4 : 1;
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-far, 0],
      ArrowRight: [far, 0],
      ArrowUp: [0, -far],
      ArrowDown: [0, far],
    };
    const step = steps[event.key];
    const within = (value: number) => Math.min(size - 1, Math.max(0, value));
    if (step !== undefined) setCursor({ x: within(cursor.x + step[0]), y: within(cursor.y + step[1]) });
    else if (event.key === ' ') change(dotted(mask, { ...cursor, width: brush }));
    else if (event.key === 'Delete' || event.key === 'Backspace')
      change(dotted(mask, { ...cursor, width: brush, paint: false }));
    else return;
    event.preventDefault();
  };
  const painted = mask.marks[cursor.y * size + cursor.x] === 1;
  const spoken = words.cursor(format.integer(cursor.x + 1), format.integer(cursor.y + 1), painted);
  return (
    <>
      <div
        id="mask"
        class="mask"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is painted on with the keys
        tabIndex={0}
        aria-label={words.paint}
        aria-describedby="mask-keys"
        onKeyDown={keys}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          const at = placeOf(event);
          last.current = at;
          setCursor(at);
          change(dotted(mask, { ...at, width: brush }));
        }}
        onPointerMove={(event) => {
          if (last.current === undefined) return;
          const at = placeOf(event);
          change(stroked(mask, last.current, at, { width: brush }));
          last.current = at;
          setCursor(at);
        }}
        onPointerUp={() => {
          last.current = undefined;
        }}
        onPointerCancel={() => {
          last.current = undefined;
        }}
      >
        <img src={source} alt="" draggable={false} />
        <canvas ref={canvas} width={size} height={size} />
        {focused && (
          <span
            class="mask-cursor"
            style={{
              left: `${((cursor.x + 0.5) / size) * 100}%`,
              top: `${((cursor.y + 0.5) / size) * 100}%`,
              width: `${(brush / size) * 100}%`,
              height: `${(brush / size) * 100}%`,
            }}
          />
        )}
      </div>
      <p role="status" class="help">
        {focused ? spoken : ''}
      </p>
      <p id="mask-keys" class="help">
        {words.paintKeys}
      </p>
    </>
  );
}

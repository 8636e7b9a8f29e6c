/** A map of shares drawn into a canvas in the page's own ink, a pixel a share. Knows no tokens. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { preferences } from '../state/preferences.ts';
import { useStore } from '../state/store.ts';
import { darkness, type HeadMap } from './attention.ts';

interface Properties {
  map: HeadMap;
  time: number;
  class: string;
}

/** Draws again when the theme changes: canvas knows no custom properties. */
function useInk(): string {
  const theme = useStore(preferences, (state) => state.theme);
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useLayoutEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const change = () => setDark(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return `${theme} ${dark}`;
}

/** `#rrggbb` as numbers. */
const channels = (colour: string): number[] =>
  [1, 3, 5].map((at) => Number.parseInt(colour.trim().slice(at, at + 2), 16));

export function Heat({ map, time, class: name }: Properties) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const ink = useInk();
  useLayoutEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    const style = getComputedStyle(document.documentElement);
    const [paper, mark] = ['--sheet', '--seal'].map((each) => channels(style.getPropertyValue(each))) as [
      number[],
      number[],
    ];
    const image = context.createImageData(time, time);
    for (let i = 0; i < time * time; i += 1) {
      const depth = darkness(map[i] ?? 0);
      for (let c = 0; c < 3; c += 1)
        image.data[4 * i + c] = (paper[c] as number) + depth * ((mark[c] as number) - (paper[c] as number));
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }, [map, time, ink]);
  return <canvas ref={canvas} class={name} width={time} height={time} />;
}

/** Keeps the end of a growing part in the window, until the reader scrolls up. */
import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

const MARGIN = 16;
/** Scrolling back by less than this is no wish of the reader's. */
const SLACK = 4;

/** @param active true while the part grows; following starts anew each time it becomes true */
export function useFollow(end: RefObject<HTMLElement | null>, active: boolean): void {
  const following = useRef(false);
  const was = useRef(false);
  useEffect(() => {
    if (!active) return;
    following.current = true;
    let last = scrollY;
    const look = () => {
      if (scrollY < last - SLACK) following.current = false;
      last = scrollY;
    };
    addEventListener('scroll', look, { passive: true });
    return () => removeEventListener('scroll', look);
  }, [active]);
  useLayoutEffect(() => {
    // Once more after the end: what comes last (an error, the buttons) belongs to it.
    const due = active || was.current;
    was.current = active;
    if (!due || !following.current || end.current === null) return;
    const over = end.current.getBoundingClientRect().bottom - (innerHeight - MARGIN);
    if (over > 0) scrollBy(0, over);
  });
}

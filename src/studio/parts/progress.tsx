/** A bar that fills from 0 to 1, or moves while nobody knows how far it is. */

export function ProgressBar({ value, label }: { value: number | undefined; label: string }) {
  // The element's own value, not a style, carries the number: assistive technology reads it.
  return value === undefined ? (
    <progress class="progress" aria-label={label} />
  ) : (
    <progress class="progress" aria-label={label} max={1} value={value} />
  );
}

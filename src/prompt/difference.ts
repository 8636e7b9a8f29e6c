/** What changed between two texts, line by line: a longest common subsequence. */

export interface DiffLine {
  kind: 'same' | 'removed' | 'added';
  text: string;
}

/** Removed lines stand before those added in their place. */
export function differenceOf(before: readonly string[], after: readonly string[]): DiffLine[] {
  const width = after.length + 1;
  const common = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      common[i * width + j] =
        before[i] === after[j]
          ? (common[(i + 1) * width + j + 1] as number) + 1
          : Math.max(common[(i + 1) * width + j] as number, common[i * width + j + 1] as number);
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      lines.push({ kind: 'same', text: before[i] as string });
      i++;
      j++;
    } else if (
      i < before.length &&
      (j >= after.length || (common[(i + 1) * width + j] as number) >= (common[i * width + j + 1] as number))
    )
      lines.push({ kind: 'removed', text: before[i++] as string });
    else lines.push({ kind: 'added', text: after[j++] as string });
  }
  return lines;
}

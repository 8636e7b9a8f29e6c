/**
 * Who waits, key by key: within a key by priority, then by deadline, then in order of arrival; between keys the one
 * that has had least. Knows no clock and no places.
 */
import type { Entry } from './entry.ts';

/** Which of two of one key goes first. */
function before(a: Entry, b: Entry): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  if (a.dueAt !== b.dueAt) return a.dueAt < b.dueAt;
  return a.order < b.order;
}

interface Candidate {
  head: Entry;
  had: number;
  length: number;
}

function sooner(a: Candidate, b: Candidate): boolean {
  if (a.head.priority !== b.head.priority) return a.head.priority > b.head.priority;
  if (a.had !== b.had) return a.had < b.had;
  return a.length === b.length ? a.head.order < b.head.order : a.length < b.length;
}

export class WaitingLine {
  private readonly keys = new Map<string, Entry[]>();
  size = 0;

  /** The keys that have something waiting. */
  active(): Iterable<string> {
    return this.keys.keys();
  }

  count(key: string): number {
    return this.keys.get(key)?.length ?? 0;
  }

  add(entry: Entry): void {
    const list = this.keys.get(entry.key) ?? [];
    let low = 0;
    for (let high = list.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (before(list[middle] as Entry, entry)) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, entry);
    this.keys.set(entry.key, list);
    this.size++;
  }

  remove(entry: Entry): void {
    const list = this.keys.get(entry.key) ?? [];
    const at = list.indexOf(entry);
    if (at < 0) return;
    list.splice(at, 1);
    if (list.length === 0) this.keys.delete(entry.key);
    this.size--;
  }

  /**
   * The next by fair shares: of the highest priority that waits, the first of the key with the least counter; of
   * equal ones that with less waiting, so that a newcomer goes first.
   */
  fair(counter: (key: string) => number): Entry | undefined {
    let best: Candidate | undefined;
    for (const [key, list] of this.keys) {
      const one: Candidate = { head: list[0] as Entry, had: counter(key), length: list.length };
      if (best === undefined || sooner(one, best)) best = one;
    }
    return best?.head;
  }

  /** The next whoever sent it: by priority, then in order of arrival. */
  firstCome(): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.all())
      if (
        best === undefined ||
        entry.priority > best.priority ||
        (entry.priority === best.priority && entry.order < best.order)
      )
        best = entry;
    return best;
  }

  *all(): Iterable<Entry> {
    for (const list of this.keys.values()) yield* list;
  }

  /** The last of the key that waits most. */
  last(): Entry | undefined {
    let longest: Entry[] = [];
    for (const list of this.keys.values()) if (list.length > longest.length) longest = list;
    return longest.at(-1);
  }
}

/** Asking for pictures, where only the newest question counts. Knows the API; does not draw. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { isAbort, type Problem, toProblem } from '../api/client.ts';
import type { Loading } from '../api/patient.ts';
import { askPictures, type Made, type PictureRoute } from '../api/pictures.ts';

export interface Asked {
  made: readonly Made[];
  busy: boolean;
  loading: Loading | undefined;
  problem: Problem | undefined;
}

export const NOTHING_ASKED: Asked = { made: [], busy: false, loading: undefined, problem: undefined };

export interface Ask {
  /** What was made; undefined where it failed or a newer question came. What was made before stays until then. */
  ask(route: PictureRoute, body: object): Promise<readonly Made[] | undefined>;
  stop(): void;
}

export function createAsk(tell: (change: Partial<Asked>) => void): Ask {
  let abort: AbortController | undefined;
  return {
    async ask(route, body) {
      abort?.abort();
      const mine = new AbortController();
      abort = mine;
      tell({ busy: true, loading: undefined, problem: undefined });
      try {
        const made = await askPictures(route, body, mine.signal, (loading) => {
          if (abort === mine) tell({ loading });
        });
        if (abort !== mine) return undefined;
        tell({ made, busy: false, loading: undefined });
        return made;
      } catch (thrown) {
        if (abort === mine && !isAbort(thrown))
          tell({ busy: false, loading: undefined, problem: toProblem(thrown) });
        return undefined;
      }
    },
    stop() {
      abort?.abort();
      abort = undefined;
      tell({ busy: false, loading: undefined });
    },
  };
}

/** For what a component alone wants to know; ends with it. */
export function useAsk(): Asked & Ask {
  const [state, setState] = useState<Asked>(NOTHING_ASKED);
  const asking = useMemo(() => createAsk((change) => setState((known) => ({ ...known, ...change }))), []);
  useEffect(() => () => asking.stop(), []);
  return { ...state, ...asking };
}

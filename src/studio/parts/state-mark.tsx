/** A dot and a word for the state of a model or a training. */
import type { JobState } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';

const TONES: Record<string, 'good' | 'busy' | 'bad' | 'calm'> = {
  ready: 'good',
  succeeded: 'good',
  starting: 'busy',
  running: 'busy',
  queued: 'busy',
  draining: 'busy',
  failed: 'bad',
};

function Mark({ state, word }: { state: string; word: string }) {
  return (
    <span class={`state state-${TONES[state] ?? 'calm'}`}>
      <span class="state-dot" aria-hidden="true" />
      {word}
    </span>
  );
}

export function ModelState({ state }: { state: string }) {
  const { t } = useTexts();
  const words: Record<string, string> = t.models.states;
  return <Mark state={state} word={words[state] ?? state} />;
}

export function TrainingState({ state }: { state: JobState }) {
  const { t } = useTexts();
  return <Mark state={state} word={t.train.states[state]} />;
}

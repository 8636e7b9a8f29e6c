/** A problem as a person reads it: what happened, what to do, what the server said, another try. */
import { useState } from 'preact/hooks';
import { logIn, type Problem, toProblem } from '../api/client.ts';
import { useTexts } from '../i18n/index.ts';
import { Warning } from './icons.tsx';

interface Properties {
  problem: Problem;
  /** Said instead of the kind's own words. */
  title?: string;
  retry?: () => void;
}

export function ProblemNote({ problem, title, retry }: Properties) {
  const { t } = useTexts();
  const { kind } = problem;
  return (
    <div class="problem" role="alert">
      <Warning />
      <div class="problem-body">
        <p class="problem-title">{title ?? t.problems[kind]}</p>
        {problem.message !== '' && (
          <p class="problem-said">
            <span class="visually-hidden">{t.problems.details}: </span>
            {problem.message}
          </p>
        )}
        <p class="problem-hint">{problem.hint ?? t.problems[`${kind}Hint`]}</p>
        {kind === 'denied' && <KeyForm done={retry} />}
        {retry !== undefined && kind !== 'denied' && (
          <button type="button" class="button" onClick={retry}>
            {t.common.retry}
          </button>
        )}
      </div>
    </div>
  );
}

function KeyForm({ done }: { done: (() => void) | undefined }) {
  const { t } = useTexts();
  const [key, setKey] = useState('');
  const [refused, setRefused] = useState('');
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      await logIn(key.trim());
      setRefused('');
      done?.();
    } catch (thrown) {
      setRefused(toProblem(thrown).message || t.problems.network);
    }
  };
  return (
    <form class="key-form" onSubmit={save}>
      <label class="visually-hidden" for="api-key">
        {t.problems.key}
      </label>
      <input
        id="api-key"
        type="password"
        autocomplete="off"
        placeholder={t.problems.key}
        value={key}
        onInput={(event) => setKey(event.currentTarget.value)}
      />
      <button type="submit" class="button" disabled={key.trim() === ''}>
        {t.problems.keySave}
      </button>
      {refused !== '' && (
        <p class="problem-said" role="status">
          {refused}
        </p>
      )}
    </form>
  );
}

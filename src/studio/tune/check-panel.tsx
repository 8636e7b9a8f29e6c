/** What an uploaded file holds for a model: counts, the lines that cannot be used, how it begins. */

import type { Problem } from '../api/client.ts';
import type { FileCheck } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Facts } from '../parts/facts.tsx';
import { CheckMark, Warning } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import { usable } from './form.ts';

/** A check that was asked for: under way, answered, or failed. */
export interface Checked {
  busy: boolean;
  found?: FileCheck;
  problem?: Problem;
}

export function CheckPanel({ checked, again }: { checked: Checked; again: () => void }) {
  const { t } = useTexts();
  const { busy, found, problem } = checked;
  return (
    <div class="check" role="status">
      {busy && (
        <>
          <p class="help">{t.tune.checking}</p>
          <ProgressBar value={undefined} label={t.tune.checking} />
        </>
      )}
      {problem !== undefined && <ProblemNote problem={problem} retry={again} />}
      {!busy && found !== undefined && <Found found={found} />}
    </div>
  );
}

function Found({ found }: { found: FileCheck }) {
  const { t, format } = useTexts();
  const words = t.tune;
  const facts: [string, string][] =
    found.kind === 'conversations'
      ? [
          [words.conversations, format.integer(found.conversations)],
          [words.turns, format.integer(found.turns)],
          [words.tokens, format.integer(found.tokens)],
          [words.learned, format.integer(found.answer_tokens)],
          [words.longest, t.common.tokens(format.integer(found.longest))],
        ]
      : [
          [words.characters, format.integer(found.characters)],
          [words.tokens, format.integer(found.tokens)],
        ];
  const good = usable(found);
  const unknown = found.unknown_characters.join(' ');
  const missing = found.kind === 'conversations' ? found.template_missing.join(' ') : '';
  const verdict =
    found.kind === 'text'
      ? good
        ? words.goodText
        : words.badText
      : good
        ? words.good
        : missing !== '' && found.error_count === 0
          ? words.mute(missing)
          : words.bad(format.integer(found.error_count), format.integer(found.lines));
  return (
    <section class="check-found" aria-labelledby="check-title">
      <h3 id="check-title" class="sheet-label">
        {words.checked}
      </h3>
      <Facts list={facts} />
      <p class={good ? 'check-good' : 'check-bad'}>
        {good ? <CheckMark /> : <Warning />}
        {verdict}
      </p>
      {found.errors.length > 0 && (
        <ul class="check-errors">
          {found.errors.map(({ line, message }) => (
            <li key={line}>
              <strong>{words.line(format.integer(line))}</strong> {words.why[message] ?? message}
            </li>
          ))}
          {found.error_count > found.errors.length && (
            <li>{words.more(format.integer(found.error_count - found.errors.length))}</li>
          )}
        </ul>
      )}
      {found.kind === 'conversations' && found.too_long > 0 && (
        <p class="check-note">
          {words.tooLong(format.integer(found.too_long), format.integer(found.context))}
        </p>
      )}
      {unknown !== '' && (
        <p class="check-note">
          {found.kind === 'text' ? words.unknownText(unknown) : words.unknown(unknown)}
        </p>
      )}
      {good && <Sample found={found} />}
    </section>
  );
}

function Sample({ found }: { found: FileCheck }) {
  const { t } = useTexts();
  return (
    <details class="check-sample" open>
      <summary>{t.tune.sample}</summary>
      {found.kind === 'text' ? (
        <blockquote class="check-text">{found.sample}</blockquote>
      ) : (
        <ol class="turns">
          {found.sample.map((turns, at) => (
            <li key={at} class="check-talk">
              {turns.map((turn, index) => (
                <p key={index}>
                  <span class="turn-who">{t.tune.roles[turn.role] ?? turn.role}</span> {turn.content}
                </p>
              ))}
            </li>
          ))}
        </ol>
      )}
    </details>
  );
}

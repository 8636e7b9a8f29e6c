/** What stands behind one token: its probability, its log-probability and what else could have come. */
import type { RefObject } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Token } from '../api/generate.ts';
import { useTexts } from '../i18n/index.ts';
import { type Unit, visible } from './tokens.ts';

interface Properties {
  box: RefObject<HTMLElement | null>;
  index: number | undefined;
  unit: Unit | undefined;
}

const GAP = 6;

export function TokenInspector({ box, index, unit }: Properties) {
  const { t, format } = useTexts();
  const card = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const token = box.current?.querySelector<HTMLElement>(`[data-unit="${index}"]`);
    if (card.current && box.current && token) place(card.current, box.current, token);
  });
  const token = unit?.tokens[0];
  const say = (each: { text: string; logprob: number }) =>
    t.tokens.chosen(visible(each.text), format.percent(Math.exp(each.logprob)));
  const others = (each: Token) => each.top.slice(0, 3).map(say).join(', ');
  const spoken = unit?.tokens
    .map((each) => `${say(each)}. ${t.tokens.alternatives}: ${others(each)}`)
    .join('; ');
  return (
    <>
      <span role="status" class="visually-hidden">
        {spoken ?? ''}
      </span>
      {unit !== undefined && token !== undefined && (
        <div ref={card} class="inspector" aria-hidden="true">
          {unit.tokens.length > 1 && (
            <p class="inspector-note">{t.tokens.parts(format.integer(unit.tokens.length))}</p>
          )}
          {unit.tokens.map((each, part) => (
            <TokenTable key={part} token={each} />
          ))}
        </div>
      )}
    </>
  );
}

function TokenTable({ token }: { token: Token }) {
  const { t, format } = useTexts();
  const listed = token.top.some((other) => other.text === token.text);
  const rows = listed ? token.top : [...token.top, token];
  return (
    <div class="inspector-token">
      <p class="inspector-head">
        <code>{visible(token.text)}</code>
        <strong>{format.percent(Math.exp(token.logprob))}</strong>
        <span>{t.tokens.logprob(format.decimal(token.logprob, 3))}</span>
      </p>
      {token.rank !== undefined && (
        <p class="inspector-note">{t.inspect.surprise.guess(format.integer(token.rank))}</p>
      )}
      {token.top.length > 0 && <p class="inspector-note">{t.tokens.alternatives}</p>}
      <ul>
        {rows.map((other) => (
          <li key={other.text} class={other.text === token.text ? 'chosen' : ''}>
            <code>{visible(other.text)}</code>
            <span class="bar">
              <span
                style={{
                  width: `${(Math.exp(other.logprob) * 100).toFixed(1)}%`,
                }}
              />
            </span>
            <span class="share">{format.percent(Math.exp(other.logprob))}</span>
            <span class="log">{format.decimal(other.logprob, 2)}</span>
          </li>
        ))}
      </ul>
      {!listed && token.top.length > 0 && <p class="inspector-note">{t.tokens.unlisted}</p>}
    </div>
  );
}

/** Below the token, or above where the window ends; never past the text's left and right edges. */
function place(card: HTMLElement, box: HTMLElement, token: HTMLElement): void {
  const frame = box.getBoundingClientRect();
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const width = card.offsetWidth;
  const left = Math.min(Math.max(0, at.left - frame.left - 12), Math.max(0, frame.width - width));
  const below = at.bottom + GAP + card.offsetHeight <= innerHeight || at.top < card.offsetHeight + GAP;
  const top = below ? at.bottom - frame.top + GAP : at.top - frame.top - GAP - card.offsetHeight;
  card.style.setProperty('left', `${left}px`);
  card.style.setProperty('top', `${top}px`);
  // Keyboard travellers are brought along.
  if (at.bottom > innerHeight || at.top < 0) token.scrollIntoView({ block: 'center' });
}

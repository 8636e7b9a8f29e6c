/** The switch for tinting by probability, and the legend of its five levels. */
import { useTexts } from '../i18n/index.ts';
import { useStore } from '../state/store.ts';
import { session } from './session.ts';
import { LEVEL_BOUNDS } from './tokens.ts';

export function TintSwitch() {
  const { t, format } = useTexts();
  const probabilities = useStore(session, (state) => state.probabilities);
  const bounds = [...LEVEL_BOUNDS, 0];
  const range = (level: number) =>
    level === 4 ? `< ${format.percent(LEVEL_BOUNDS[3])}` : `≥ ${format.percent(bounds[level] ?? 0)}`;
  return (
    <div class="tint">
      {probabilities && (
        <span
          class="legend"
          role="img"
          aria-label={`${t.tokens.legend}: ${t.tokens.sure} → ${t.tokens.surprised}`}
        >
          <span>{t.tokens.sure}</span>
          {bounds.map((_, level) => (
            <span key={level} class={`swatch level-${level}`} title={range(level)} />
          ))}
          <span>{t.tokens.surprised}</span>
        </span>
      )}
      <label class="switch">
        <input
          type="checkbox"
          checked={probabilities}
          onChange={(event) => session.set({ probabilities: event.currentTarget.checked })}
        />
        <span>{t.tokens.show}</span>
      </label>
    </div>
  );
}

/** Choosing a model: a list with the state of those that are not ready. */
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';

interface Properties {
  id: string;
  label: string;
  /** The label is seen beside the list, not only heard. */
  shown?: boolean;
  models: readonly ModelInfo[];
  value: string;
  choose: (id: string) => void;
}

export function ModelSelect({ id, label, shown = false, models, value, choose }: Properties) {
  const { t } = useTexts();
  const words: Record<string, string> = t.models.states;
  const suffix = ({ state }: ModelInfo) =>
    state === 'ready' ? '' : ` ${t.playground.modelState(words[state] ?? state)}`;
  return (
    <>
      <label for={id} class={shown ? 'field-label' : 'visually-hidden'}>
        {label}
      </label>
      <select id={id} value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {models.map((each) => (
          <option key={each.id} value={each.id}>
            {each.id}
            {suffix(each)}
          </option>
        ))}
      </select>
    </>
  );
}

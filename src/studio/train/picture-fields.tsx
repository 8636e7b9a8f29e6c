/** What only a training of pictures has: their size and colour, how they may vary, and the game that two networks play. */
import type { PresetInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Field } from '../parts/field.tsx';
import { Switch } from '../parts/switch.tsx';
import type { FormField, TrainingForm } from './form.ts';

interface Properties {
  form: TrainingForm;
  change: (part: Partial<TrainingForm>) => void;
  error: (field: FormField, message: string) => string | undefined;
  preset: PresetInfo | undefined;
}

export function PictureFields({ form, change, error, preset }: Properties) {
  const words = useTexts().t.pictures.train;
  return (
    <>
      <Field
        id="train-size"
        numeric
        label={words.side}
        help={words.sideHelp}
        placeholder={preset?.size === undefined ? '' : String(preset.size)}
        error={error('size', words.sideWrong)}
        value={form.size}
        change={(size) => change({ size })}
      />
      <Switch
        id="train-colour"
        label={words.colour}
        help={words.colourHelp}
        on={form.colour}
        change={(colour) => change({ colour })}
      />
    </>
  );
}

/** Those for who knows what they are for. */
export function MorePictureFields({ form, change, error, preset }: Properties) {
  const words = useTexts().t.pictures.train;
  const losses = preset?.losses ?? [];
  const share = (field: 'crop' | 'jitter') => (
    <Field
      id={`train-${field}`}
      numeric
      label={words[field]}
      help={words[`${field}Help`]}
      placeholder="0"
      error={error(field, words[`${field}Wrong`])}
      value={form[field]}
      change={(value) => change({ [field]: value })}
    />
  );
  return (
    <>
      {losses.length > 0 && (
        <div class="field">
          <label class="field-label" for="train-loss">
            {words.game}
          </label>
          <select
            id="train-loss"
            value={losses.includes(form.loss) ? form.loss : losses[0]}
            aria-describedby="train-loss-help"
            onChange={(event) => change({ loss: event.currentTarget.value })}
          >
            {losses.map((loss) => (
              <option key={loss} value={loss}>
                {words.games[loss as keyof typeof words.games] ?? loss}
              </option>
            ))}
          </select>
          <p id="train-loss-help" class="help">
            {words.gameHelp}
          </p>
        </div>
      )}
      <Switch
        id="train-flip"
        label={words.flip}
        help={words.flipHelp}
        on={form.flip}
        change={(flip) => change({ flip })}
      />
      <div class="two">
        {share('crop')}
        {share('jitter')}
      </div>
    </>
  );
}

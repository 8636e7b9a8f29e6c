/** The form for going on from a model of pictures: a few pictures, a name, and what of the model stays as it is. */
import { useState } from 'preact/hooks';
import { sendForJson } from '../api/client.ts';
import type { ModelInfo, PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Field } from '../parts/field.tsx';
import { Brush } from '../parts/icons.tsx';
import { ModelSelect } from '../parts/model-select.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { Switch } from '../parts/switch.tsx';
import { useForm } from '../parts/use-form.ts';
import { FilePicker } from '../train/file-picker.tsx';
import { suggestedName } from '../train/form.ts';
import { ACCEPTED } from '../train/new-training.tsx';
import { idOf } from './form.ts';
import {
  type PictureTuningField,
  type PictureTuningForm,
  startingForm,
  toRequest,
  USUAL_STEPS,
  wrongFields,
} from './picture-form.ts';

interface Properties {
  /** All that can be tuned, of whatever kind. */
  models: readonly ModelInfo[];
  model: PictureModel;
  taken: readonly string[];
  /** Another model was chosen. */
  choose: (id: string) => void;
}

export function NewPictureTuning({ models, model, taken, choose }: Properties) {
  const { t } = useTexts();
  const words = t.tune.pictures;
  const [named, setNamed] = useState(false);
  // The list stays open when what was wrong in it is mended.
  const [shown, setShown] = useState(false);
  const { layers, augments } = model.pictures.tuning;
  const { form, change, wrong, problem, busy, submit, error } = useForm<
    PictureTuningForm,
    PictureTuningField
  >(startingForm(model), {
    wrongFields: (form) => wrongFields(form, model),
    idOf,
    send: (form) =>
      sendForJson<{ id: string }>('/api/trainings', { method: 'POST', body: toRequest(form, model) }),
  });
  const number = (field: 'steps' | 'batch' | 'seed', label: string, help: string, message: string) => (
    <Field
      id={`tune-${field}`}
      numeric
      label={label}
      help={help}
      placeholder={{ steps: String(USUAL_STEPS), batch: t.tune.automatic, seed: '1' }[field]}
      error={error(field, message)}
      value={form[field]}
      change={(value) => change({ [field]: value })}
    />
  );
  return (
    <form class="train-form" onSubmit={(event) => void submit(event)} noValidate>
      <div class="field">
        <ModelSelect
          id="tune-base"
          label={t.tune.base}
          shown
          models={models}
          value={form.base}
          choose={choose}
        />
        <p class="help">{t.tune.baseHelp}</p>
      </div>
      <FilePicker
        label={t.pictures.train.file}
        help={words.fileHelp}
        accept={ACCEPTED.image}
        several
        words={{ needed: words.fileNeeded, empty: t.pictures.train.fileEmpty }}
        file={form.file}
        wrong={wrong.includes('file')}
        choose={(file) =>
          change({
            file,
            ...(named || file === undefined ? {} : { name: suggestedName(file.name, taken) }),
          })
        }
      />
      <Field
        id="tune-name"
        label={t.tune.suffix}
        help={t.train.nameHelp}
        error={error('name', t.train.nameWrong)}
        value={form.name}
        change={(name) => {
          setNamed(name !== '');
          change({ name });
        }}
      />
      {number('steps', t.tune.steps, words.stepsHelp, t.train.stepsWrong)}
      {augments && (
        <Switch
          id="tune-varied"
          label={words.varied}
          help={words.variedHelp}
          on={form.varied}
          change={(varied) => change({ varied })}
        />
      )}
      <details
        open={shown || wrong.includes('frozen')}
        onToggle={(event) => setShown(event.currentTarget.open)}
      >
        <summary>{words.frozen(String(form.frozen.length), String(layers.length))}</summary>
        <fieldset class="layers" id="tune-frozen" tabIndex={-1} aria-describedby="tune-frozen-help">
          <legend class="visually-hidden">{words.layers}</legend>
          {layers.map((layer) => (
            <label key={layer} class="switch">
              <input
                type="checkbox"
                checked={form.frozen.includes(layer)}
                onChange={(event) =>
                  change({
                    frozen: event.currentTarget.checked
                      ? [...form.frozen, layer]
                      : form.frozen.filter((other) => other !== layer),
                  })
                }
              />
              <code>{layer}</code>
            </label>
          ))}
        </fieldset>
        <p id="tune-frozen-help" class={wrong.includes('frozen') ? 'field-note' : 'help'}>
          {wrong.includes('frozen') ? words.frozenWrong : words.frozenHelp}
        </p>
      </details>
      <details open={wrong.some((field) => ['batch', 'seed'].includes(field)) || undefined}>
        <summary>{words.advanced}</summary>
        <div class="two">
          {number('batch', t.tune.batch, words.batchHelp, words.batchWrong)}
          {number('seed', t.train.seed, t.train.seedHelp, t.train.seedWrong)}
        </div>
      </details>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void submit()} />}
      <div class="actions">
        <button type="submit" class="button primary large" disabled={busy}>
          <Brush />
          {busy ? t.train.starting : t.tune.start}
        </button>
      </div>
    </form>
  );
}

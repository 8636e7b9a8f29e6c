/** The form for a new training: a text or pictures, a size, a name; steps, seed and more for who wants them. */
import { useState } from 'preact/hooks';
import type { PresetInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Field } from '../parts/field.tsx';
import { Brush } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { useForm } from '../parts/use-form.ts';
import { FilePicker } from './file-picker.tsx';
import {
  emptyForm,
  type FormField,
  suggestedName,
  type TrainingForm,
  toRequest,
  wrongFields,
} from './form.ts';
import { start } from './jobs.ts';
import { MorePictureFields, PictureFields } from './picture-fields.tsx';

interface Properties {
  presets: readonly PresetInfo[];
  taken: readonly string[];
  /** What is learned from: a text, or an archive of pictures. */
  kind?: 'text' | 'image';
}

/** Fields that are hidden until they are asked for. */
const ADVANCED: readonly FormField[] = ['crop', 'jitter', 'steps', 'seed'];

export const ACCEPTED = {
  text: '.txt,.md,.jsonl,.gz,.tgz,.tar.gz,text/plain',
  image: '.zip,.tgz,.tar.gz,.tar,application/zip',
};

export function NewTraining({ presets, taken, kind = 'text' }: Properties) {
  const { t, format } = useTexts();
  const own = kind === 'image' ? t.pictures.train : t.train;
  const [named, setNamed] = useState(false);
  const { form, change, wrong, problem, busy, submit, error } = useForm<TrainingForm, FormField>(
    emptyForm(presets),
    {
      wrongFields: (form) => wrongFields(form, presets),
      idOf: (field) => `train-${field}`,
      send: (form) => start(toRequest(form, presets)),
    },
  );
  const factsOf = ({ parameters, steps, context = 0, size = 0, channels = 1 }: PresetInfo) => {
    const [many, long] = [format.compact(parameters), format.integer(steps)];
    return kind === 'image'
      ? t.pictures.train.presetFacts(many, String(size), channels > 1, long)
      : t.train.presetFacts(many, format.integer(context), long);
  };
  const chosen = presets.find((preset) => preset.id === form.preset);
  return (
    <form class="train-form" onSubmit={(event) => void submit(event)} noValidate>
      <FilePicker
        label={own.file}
        help={own.fileHelp}
        accept={ACCEPTED[kind]}
        words={{ needed: own.fileNeeded, empty: own.fileEmpty }}
        file={form.file}
        wrong={wrong.includes('file')}
        choose={(file) =>
          change({
            file,
            ...(named || file === undefined ? {} : { name: suggestedName(file.name, taken) }),
          })
        }
      />
      <fieldset class="presets" id="train-preset" tabIndex={-1}>
        <legend>{own.preset}</legend>
        {presets.length === 0 && <p class="field-note">{t.train.noPresets}</p>}
        {presets.map((preset) => (
          <label key={preset.id} class="preset">
            <input
              type="radio"
              name="preset"
              checked={preset.id === form.preset}
              onChange={() => change({ preset: preset.id })}
            />
            <span class="preset-body">
              <span class="preset-title">{preset.title}</span>
              <span class="help">{preset.description}</span>
              <span class="help preset-facts">{factsOf(preset)}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <Field
        id="train-name"
        label={t.train.name}
        help={t.train.nameHelp}
        error={error('name', t.train.nameWrong)}
        value={form.name}
        change={(name) => {
          setNamed(name !== '');
          change({ name });
        }}
      />
      {kind === 'image' && <PictureFields form={form} change={change} error={error} preset={chosen} />}
      <details open={wrong.some((field) => ADVANCED.includes(field)) || undefined}>
        <summary>{kind === 'image' ? t.pictures.train.advanced : t.train.advanced}</summary>
        {kind === 'image' && <MorePictureFields form={form} change={change} error={error} preset={chosen} />}
        <div class="two">
          <Field
            id="train-steps"
            numeric
            label={t.train.steps}
            help={t.train.stepsHelp}
            placeholder={chosen === undefined ? '' : String(chosen.steps)}
            error={error('steps', t.train.stepsWrong)}
            value={form.steps}
            change={(steps) => change({ steps })}
          />
          <Field
            id="train-seed"
            numeric
            label={t.train.seed}
            help={t.train.seedHelp}
            placeholder="1"
            error={error('seed', t.train.seedWrong)}
            value={form.seed}
            change={(seed) => change({ seed })}
          />
        </div>
      </details>
      {problem !== undefined && <ProblemNote problem={problem} retry={() => void submit()} />}
      <div class="actions">
        <button type="submit" class="button primary large" disabled={busy}>
          <Brush />
          {busy ? t.train.starting : t.train.start}
        </button>
      </div>
    </form>
  );
}

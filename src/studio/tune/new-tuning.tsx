/** The form for tuning: a model, a file that is looked through at once, a name, and what to change. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { sendForJson, toProblem } from '../api/client.ts';
import type { FileCheck, ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Field } from '../parts/field.tsx';
import { Brush } from '../parts/icons.tsx';
import { ModelSelect } from '../parts/model-select.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { useForm } from '../parts/use-form.ts';
import { FilePicker } from '../train/file-picker.tsx';
import { suggestedName } from '../train/form.ts';
import { type Checked, CheckPanel } from './check-panel.tsx';
import {
  EMPTY,
  idOf,
  isConversations,
  type TuningField,
  type TuningForm,
  toRequest,
  tunedName,
  wrongFields,
} from './form.ts';

interface Properties {
  /** All that can be tuned; those of pictures have a form of their own. */
  models: readonly ModelInfo[];
  /** The model to begin with. */
  model: ModelInfo;
  taken: readonly string[];
  /** A model of pictures was chosen. */
  choose: (id: string) => void;
}

export function NewTuning({ models, model, taken, choose }: Properties) {
  const { t } = useTexts();
  const words = t.tune;
  const [named, setNamed] = useState(false);
  const [checked, setChecked] = useState<Checked>({ busy: false });
  const asked = useRef(0);
  const { form, change, wrong, problem, busy, submit, error } = useForm<TuningForm, TuningField>(
    { ...EMPTY, base: model.id },
    {
      wrongFields: (form) => wrongFields(form, checked.found),
      // A file that nobody has looked through yet is not sent; the server would refuse a bad one late.
      missing: (form) => {
        const found = wrongFields(form, checked.found);
        return checked.found === undefined && !found.includes('file') ? ['file', ...found] : found;
      },
      idOf,
      send: (form) => {
        const { path, body } = toRequest(form);
        return sendForJson<{ id: string }>(path, { method: 'POST', body });
      },
    },
  );
  const talks = isConversations(form.file?.name ?? '');

  const check = async () => {
    const mine = ++asked.current;
    const { file, base } = form;
    if (file === undefined) return setChecked({ busy: false });
    setChecked({ busy: true });
    try {
      const path = `/api/files/${encodeURIComponent(file.id)}/check?model=${encodeURIComponent(base)}`;
      const found = await sendForJson<FileCheck>(path);
      if (mine === asked.current) setChecked({ busy: false, found });
    } catch (thrown) {
      if (mine === asked.current) setChecked({ busy: false, problem: toProblem(thrown) });
    }
  };
  useEffect(() => void check(), [form.file?.id, form.base]);

  const waiting = wrong.includes('file') && form.file !== undefined && checked.busy;
  return (
    <form class="train-form" onSubmit={(event) => void submit(event)} noValidate>
      <div class="field">
        <ModelSelect
          id="tune-base"
          label={words.base}
          shown
          models={models}
          value={form.base}
          choose={(base) =>
            models.find(({ id }) => id === base)?.pictures === undefined ? change({ base }) : choose(base)
          }
        />
        <p class="help">{words.baseHelp}</p>
      </div>
      <FilePicker
        label={words.file}
        help={words.fileHelp}
        accept=".jsonl,.ndjson,.txt,.md,text/plain"
        file={form.file}
        wrong={wrong.includes('file') && form.file === undefined}
        choose={(file) =>
          change({
            file,
            ...(named || file === undefined
              ? {}
              : {
                  name: suggestedName(file.name, taken).replaceAll(isConversations(file.name) ? '.' : '', ''),
                }),
          })
        }
      />
      {form.file !== undefined && <CheckPanel checked={checked} again={() => void check()} />}
      {waiting && (
        <p class="field-note" role="alert">
          {words.checkFirst}
        </p>
      )}
      <Field
        id="tune-name"
        label={words.suffix}
        help={
          talks
            ? words.suffixHelp(tunedName(form.base, form.name === '' ? '…' : form.name))
            : t.train.nameHelp
        }
        error={error('name', talks ? words.suffixWrong : t.train.nameWrong)}
        value={form.name}
        change={(name) => {
          setNamed(name !== '');
          change({ name });
        }}
      />
      {talks ? (
        <>
          <Field
            id="tune-epochs"
            numeric
            label={words.epochs}
            help={words.epochsHelp}
            error={error('epochs', words.epochsWrong)}
            value={form.epochs}
            change={(epochs) => change({ epochs })}
          />
          <fieldset class="presets">
            <legend>{words.how}</legend>
            {(['whole', 'adapters'] as const).map((how) => (
              <label key={how} class="preset">
                <input type="radio" name="how" checked={form.how === how} onChange={() => change({ how })} />
                <span class="preset-body">
                  <span class="preset-title">{words.hows[how]}</span>
                  <span class="help">{words.howHelp[how]}</span>
                </span>
              </label>
            ))}
          </fieldset>
        </>
      ) : (
        <Field
          id="tune-steps"
          numeric
          label={words.steps}
          help={words.stepsHelp}
          error={error('steps', t.train.stepsWrong)}
          value={form.steps}
          change={(steps) => change({ steps })}
        />
      )}
      <details open={wrong.some((field) => ['batch', 'rate', 'seed'].includes(field)) || undefined}>
        <summary>{words.advanced}</summary>
        <div class="two">
          <Field
            id="tune-batch"
            numeric
            label={words.batch}
            help={words.batchHelp}
            placeholder={words.automatic}
            error={error('batch', words.batchWrong)}
            value={form.batch}
            change={(batch) => change({ batch })}
          />
          <Field
            id="tune-rate"
            numeric
            label={words.rate}
            help={words.rateHelp}
            placeholder={words.automatic}
            error={error('rate', words.rateWrong)}
            value={form.rate}
            change={(rate) => change({ rate })}
          />
          <Field
            id="tune-seed"
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
          {busy ? t.train.starting : words.start}
        </button>
      </div>
    </form>
  );
}

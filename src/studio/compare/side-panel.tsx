/** The setup of one side: its model, its own input where it has one, its prompt and its settings. */
import type { ModelInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { ModelSelect } from '../parts/model-select.tsx';
import { ModelState } from '../parts/state-mark.tsx';
import { SettingsPanel } from '../playground/settings-panel.tsx';
import { useStore } from '../state/store.ts';
import { changeSetup, duel } from './duel.ts';
import { EMPTY_SIDE, PLACE, type Setup, type Side, type SideName } from './sides.ts';

interface Properties {
  side: SideName;
  setup: Setup;
  models: readonly ModelInfo[];
  model: ModelInfo;
  /** Inputs were found missing. */
  needed: boolean;
  /** Keys that start the comparison. */
  keys: (event: KeyboardEvent) => void;
}

export function SidePanel({ side, setup, models, model, needed, keys }: Properties) {
  const { t } = useTexts();
  const words = t.compare;
  const own = setup[side];
  const prompts = useStore(duel, (state) => state.prompts);
  const name = side.toUpperCase();
  const id = (part: string) => `compare-${side}-${part}`;
  const change = (part: Partial<Side>) => changeSetup({ [side]: { ...own, ...part } });
  const unused = !own.template.includes(PLACE);
  return (
    <fieldset class="compare-side">
      <legend class="section-title">{words.side(name)}</legend>
      <div class="model-bar">
        <ModelSelect
          id={id('model')}
          label={words.model(name)}
          models={models}
          value={model.id}
          choose={(chosen) => change({ model: chosen })}
        />
        <ModelState state={model.state} />
      </div>
      {setup.mode === 'separate' && (
        <div class="field">
          <label for={id('input')}>{words.sideInput(name)}</label>
          <textarea
            id={id('input')}
            class="prompt"
            rows={3}
            spellcheck={false}
            value={own.input}
            aria-invalid={needed && own.input.trim() === ''}
            onInput={(event) => change({ input: event.currentTarget.value })}
            onKeyDown={keys}
          />
        </div>
      )}
      <details class="compare-more">
        <summary>{words.prompt(name)}</summary>
        {(prompts.length > 0 || own.registered !== '') && (
          <div class="field">
            <label for={id('registered')}>{words.registered}</label>
            <select
              id={id('registered')}
              value={own.registered}
              aria-describedby={id('registered-help')}
              onChange={(event) => change({ registered: event.currentTarget.value })}
            >
              <option value="">{words.ownPrompt}</option>
              {[
                ...new Set([
                  ...prompts.map((one) => one.name),
                  ...(own.registered === '' ? [] : [own.registered]),
                ]),
              ].map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
            <p id={id('registered-help')} class="help">
              {prompts.find((one) => one.name === own.registered)?.description ?? words.registeredHelp}
            </p>
          </div>
        )}
        {own.registered === '' && (
          <div class="field">
            <label for={id('template')}>{words.template}</label>
            <textarea
              id={id('template')}
              rows={3}
              spellcheck={false}
              value={own.template}
              aria-describedby={id('template-help')}
              onInput={(event) => change({ template: event.currentTarget.value })}
            />
            <p id={id('template-help')} class={unused ? 'field-note' : 'help'}>
              {unused ? words.templateWrong : words.templateHelp}
            </p>
          </div>
        )}
        {model.chat && (
          <div class="field">
            <label for={id('system')}>{words.system}</label>
            <textarea
              id={id('system')}
              rows={2}
              value={own.system}
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </div>
        )}
        <SettingsPanel
          settings={own.settings}
          change={(part) => change({ settings: { ...own.settings, ...part } })}
          prefix={`compare-${side}`}
          defaults={EMPTY_SIDE.settings}
        />
      </details>
      {side === 'b' && (
        <button
          type="button"
          class="button quiet"
          onClick={() => changeSetup({ b: { ...setup.a, model: model.id } })}
        >
          {words.swap}
        </button>
      )}
    </fieldset>
  );
}

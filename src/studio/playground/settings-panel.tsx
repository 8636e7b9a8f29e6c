/** The settings of a request, each with what it does. Knows no request and no store. */
import { useEffect, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { bounded, DEFAULTS, type EditedSettings, LIMITS, type NumericSetting } from './settings.ts';

interface PanelProperties {
  settings: EditedSettings;
  change: (part: Partial<EditedSettings>) => void;
  /** Begins the ids of the fields, where a page has several panels. */
  prefix?: string;
  /** What the button brings back. */
  defaults?: EditedSettings;
}

export function SettingsPanel({
  settings,
  change,
  prefix = 'setting',
  defaults = DEFAULTS,
}: PanelProperties) {
  const { t } = useTexts();
  const shared = { settings, change, prefix };
  return (
    <div class="settings">
      <NumberSetting
        {...shared}
        name="temperature"
        label={t.settings.temperature}
        help={t.settings.temperatureHelp}
        slider
      />
      <NumberSetting {...shared} name="topP" label={t.settings.topP} help={t.settings.topPHelp} slider />
      <NumberSetting {...shared} name="topK" label={t.settings.topK} help={t.settings.topKHelp} />
      <NumberSetting
        {...shared}
        name="maxTokens"
        label={t.settings.maxTokens}
        help={t.settings.maxTokensHelp}
      />
      <NumberSetting {...shared} name="seed" label={t.settings.seed} help={t.settings.seedHelp} />
      <div class="setting">
        <label for={`${prefix}-stop`}>{t.settings.stop}</label>
        <textarea
          id={`${prefix}-stop`}
          rows={2}
          value={settings.stopText}
          aria-describedby={`${prefix}-stop-help`}
          onInput={(event) => change({ stopText: event.currentTarget.value })}
        />
        <p id={`${prefix}-stop-help`} class="help">
          {t.settings.stopHelp}
        </p>
      </div>
      <button type="button" class="button quiet" onClick={() => change(defaults)}>
        {t.settings.reset}
      </button>
    </div>
  );
}

interface Properties extends Required<Omit<PanelProperties, 'defaults'>> {
  name: NumericSetting;
  label: string;
  help: string;
  slider?: boolean;
}

function NumberSetting({ settings, change, prefix, name, label, help, slider = false }: Properties) {
  const { t } = useTexts();
  const value = settings[name];
  const shown = value === undefined ? '' : String(value);
  const [typed, setTyped] = useState(shown);
  useEffect(() => setTyped(shown), [shown]);
  const { least, most, step } = LIMITS[name];
  const id = `${prefix}-${name}`;
  // A number is taken when it is finished: while it is typed, "0." and "" are on the way to one.
  const finish = () => {
    const next = bounded(name, typed);
    if (next !== undefined || name === 'seed') change({ [name]: next });
    setTyped(next === undefined && name !== 'seed' ? shown : String(next ?? ''));
  };
  const slide = (text: string) => change({ [name]: bounded(name, text) ?? value });
  return (
    <div class="setting">
      <div class="setting-head">
        <label for={id}>{label}</label>
        <input
          id={id}
          type="number"
          inputMode="decimal"
          min={least}
          max={most}
          step={step}
          value={typed}
          placeholder={name === 'seed' ? t.settings.seedEmpty : ''}
          aria-describedby={`${id}-help`}
          onInput={(event) => setTyped(event.currentTarget.value)}
          onChange={finish}
          onBlur={finish}
        />
      </div>
      {slider && (
        <input
          type="range"
          aria-label={label}
          min={least}
          max={most}
          step={step}
          value={value}
          onInput={(event) => slide(event.currentTarget.value)}
        />
      )}
      <p id={`${id}-help`} class="help">
        {help}
      </p>
    </div>
  );
}

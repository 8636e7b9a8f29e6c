/** The sliders of a model of pictures: only what it knows. Knows no request. */
import type { PictureModel } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { Slider } from '../parts/slider.tsx';
import { Switch } from '../parts/switch.tsx';
import {
  canBeSmooth,
  DEFAULTS,
  FORMATS,
  limitsOf,
  type NumericSetting,
  type PictureSettings,
} from './settings.ts';

interface Properties {
  model: PictureModel;
  settings: PictureSettings;
  change: (part: Partial<PictureSettings>) => void;
  /** Whether what is made can be enlarged smoothly. */
  smooth: boolean;
}

/** Where the seed's slider ends; the field goes on. */
const SEED_SLIDER = 999;

export function SettingsPanel({ model, settings, change, smooth }: Properties) {
  const { t, format } = useTexts();
  const words = t.pictures;
  const limits = limitsOf(model);
  const { classes, size } = model.pictures;
  const slider = (name: NumericSetting, label: string, help: string, text?: string) => {
    const { least, most, step } = limits[name];
    if (least === most) return null;
    return (
      <Slider
        id={`pictures-${name}`}
        {...{ label, help, least, most, step }}
        value={settings[name]}
        {...(text === undefined ? {} : { text })}
        {...(name === 'seed' ? { slideTo: SEED_SLIDER } : {})}
        change={(value) => change({ [name]: value })}
      />
    );
  };
  const pixels = format.integer(size * settings.scale);
  return (
    <div class="settings">
      {slider('seed', words.seed, words.seedHelp)}
      {classes.length > 0 &&
        slider(
          'label',
          words.label,
          words.labelHelp,
          settings.label < 0 ? words.allLabels : (classes[settings.label] ?? ''),
        )}
      {slider('truncation', words.truncation, words.truncationHelp, format.decimal(settings.truncation, 2))}
      {slider('guidance', words.guidance, words.guidanceHelp, format.decimal(settings.guidance, 1))}
      {slider('steps', words.steps, words.stepsHelp, format.integer(settings.steps))}
      {slider('eta', words.eta, words.etaHelp, format.decimal(settings.eta, 2))}
      {slider('count', words.count, words.countHelp, format.integer(settings.count))}
      {slider('scale', words.size, words.sizeHelp, words.sizeValue(pixels))}
      {smooth && canBeSmooth(settings) && (
        <Switch
          id="pictures-smooth"
          label={words.smooth}
          help={words.smoothHelp}
          on={settings.smooth}
          change={(smooth) => change({ smooth })}
        />
      )}
      <div class="setting">
        <div class="setting-head">
          <label for="pictures-format">{words.format}</label>
          <select
            id="pictures-format"
            value={settings.format}
            aria-describedby="pictures-format-help"
            onChange={(event) =>
              change({ format: FORMATS.find((name) => name === event.currentTarget.value) ?? 'png' })
            }
          >
            {FORMATS.map((name) => (
              <option key={name} value={name}>
                {name.toUpperCase()}
              </option>
            ))}
          </select>
        </div>
        <p id="pictures-format-help" class="help">
          {words.formatHelp}
        </p>
      </div>
      <button type="button" class="button quiet" onClick={() => change(DEFAULTS)}>
        {words.reset}
      </button>
    </div>
  );
}

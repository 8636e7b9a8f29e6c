/** A number by slider, with its value beside it: as words, or as a field where exact numbers are typed. */
import { useEffect, useState } from 'preact/hooks';

interface Properties {
  id: string;
  label: string;
  help?: string;
  least: number;
  most: number;
  step: number;
  value: number;
  /** What the value is called; a field with the number where left out. */
  text?: string;
  /** Where the slider ends, if the field goes further. */
  slideTo?: number;
  change: (value: number) => void;
}

export function Slider({
  id,
  label,
  help,
  least,
  most,
  step,
  value,
  text,
  slideTo = most,
  change,
}: Properties) {
  const [typed, setTyped] = useState(String(value));
  useEffect(() => setTyped(String(value)), [value]);
  // A number is taken when it is finished: while it is typed, "0." and "" are on the way to one.
  const finish = () => {
    const number = typed.trim() === '' ? Number.NaN : Number(typed);
    const next = Number.isFinite(number) ? Math.min(most, Math.max(least, number)) : value;
    const whole = Number.isInteger(step) ? Math.round(next) : next;
    setTyped(String(whole));
    if (whole !== value) change(whole);
  };
  const described = help === undefined ? {} : { 'aria-describedby': `${id}-help` };
  return (
    <div class="setting">
      <div class="setting-head">
        <label for={id}>{label}</label>
        {text === undefined ? (
          <input
            id={id}
            type="number"
            inputMode="decimal"
            min={least}
            max={most}
            step={step}
            value={typed}
            {...described}
            onInput={(event) => setTyped(event.currentTarget.value)}
            onChange={finish}
            onBlur={finish}
          />
        ) : (
          <output class="setting-value" for={id}>
            {text}
          </output>
        )}
      </div>
      <input
        id={text === undefined ? undefined : id}
        type="range"
        aria-label={text === undefined ? label : undefined}
        {...(text === undefined ? {} : { 'aria-valuetext': text })}
        min={least}
        max={Math.min(most, slideTo)}
        step={step}
        value={value}
        {...described}
        onInput={(event) => change(Number(event.currentTarget.value))}
      />
      {help !== undefined && (
        <p id={`${id}-help`} class="help">
          {help}
        </p>
      )}
    </div>
  );
}

/** One choice out of a few, side by side: native radio buttons drawn as one control. */

interface Properties<Value extends string> {
  label: string;
  name: string;
  options: readonly { value: Value; text: string }[];
  value: Value;
  choose: (value: Value) => void;
}

export function Segmented<Value extends string>({ label, name, options, value, choose }: Properties<Value>) {
  return (
    <fieldset class="segmented">
      <legend class="visually-hidden">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === value}
            onChange={() => choose(option.value)}
          />
          <span>{option.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

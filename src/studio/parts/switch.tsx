/** Something that is on or off, with its label and its help. */

interface Properties {
  id: string;
  label: string;
  help: string;
  on: boolean;
  change: (on: boolean) => void;
}

export function Switch({ id, label, help, on, change }: Properties) {
  return (
    <div class="field">
      <label class="switch">
        <input
          type="checkbox"
          checked={on}
          aria-describedby={`${id}-help`}
          onChange={(event) => change(event.currentTarget.checked)}
        />
        <span>{label}</span>
      </label>
      <p id={`${id}-help`} class="help">
        {help}
      </p>
    </div>
  );
}

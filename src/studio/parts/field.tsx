/** A line of text with its label, its help and what is wrong with it. */

interface Properties {
  id: string;
  label: string;
  help: string;
  error: string | undefined;
  value: string;
  placeholder?: string;
  numeric?: boolean;
  change: (value: string) => void;
}

export function Field({
  id,
  label,
  help,
  error,
  value,
  placeholder = '',
  numeric = false,
  change,
}: Properties) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        inputMode={numeric ? 'decimal' : 'text'}
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        value={value}
        aria-invalid={error !== undefined}
        aria-describedby={`${id}-help`}
        onInput={(event) => change(event.currentTarget.value)}
      />
      <p id={`${id}-help`} class={error === undefined ? 'help' : 'field-note'}>
        {error ?? help}
      </p>
    </div>
  );
}

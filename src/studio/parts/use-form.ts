/**
 * What every form does that starts work on the server: its values, what in them is wrong, and sending them to the page of
 * the work that begins. Knows no field and no words.
 */
import { useState } from 'preact/hooks';
import { type Problem, toProblem } from '../api/client.ts';
import { address, go } from '../state/route.ts';

interface Rules<Values, Field extends string> {
  wrongFields(form: Values): Field[];
  /** What keeps it from being sent, where that is more than what is wrong; the first takes the focus. */
  missing?(form: Values): Field[];
  /** The element that takes the focus for a field. */
  idOf(field: Field): string;
  /** The work that began. */
  send(form: Values): Promise<{ id: string }>;
}

export function useForm<Values extends object, Field extends string>(
  start: Values,
  rules: Rules<Values, Field>,
) {
  const [form, setForm] = useState(start);
  const [wrong, setWrong] = useState<readonly Field[]>([]);
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);

  const change = (part: Partial<Values>) => {
    const next = { ...form, ...part };
    setForm(next);
    // What was marked wrong is looked at again at once; nothing is marked before the first try.
    if (wrong.length > 0) setWrong(rules.wrongFields(next).filter((field) => wrong.includes(field)));
  };
  const submit = async (event?: Event) => {
    event?.preventDefault();
    const found = (rules.missing ?? rules.wrongFields)(form);
    setWrong(found);
    setProblem(undefined);
    const first = found[0];
    if (first !== undefined) {
      document.getElementById(rules.idOf(first))?.focus();
      return;
    }
    setBusy(true);
    try {
      const job = await rules.send(form);
      go(address('train', job.id));
    } catch (thrown) {
      setProblem(toProblem(thrown));
    } finally {
      setBusy(false);
    }
  };
  const error = (field: Field, message: string): string | undefined =>
    wrong.includes(field) ? message : undefined;
  return { form, change, wrong, problem, busy, submit, error };
}

/** Pictures from the wire: generations, edits, ways. Knows addresses and answers; does not draw. */
import { type Problem, RequestFailure } from './client.ts';
import { type Loading, patiently } from './patient.ts';

export interface Made {
  seed: number;
  /** Name of its class; empty for a model without. */
  label: string;
  /** `image/png`, … */
  type: string;
  /** The file, in base64. */
  data: string;
}

export type PictureRoute = 'generations' | 'edits' | 'interpolations';

interface Answer {
  output_format: string;
  data: { b64_json: string; seed: number; revised_prompt: string }[];
}

/** @throws RequestFailure; DOMException `AbortError` */
export async function askPictures(
  route: PictureRoute,
  body: object,
  signal: AbortSignal,
  loading: (loading: Loading) => void,
): Promise<Made[]> {
  const asking = patiently(`/v1/images/${route}`, body, signal);
  let step = await asking.next();
  for (; step.done !== true; step = await asking.next()) loading(step.value);
  const answer = (await step.value.json().catch(() => undefined)) as Answer | undefined;
  if (!Array.isArray(answer?.data)) throw new RequestFailure(BROKEN);
  const type = `image/${answer.output_format}`;
  return answer.data.map(({ b64_json: data, seed, revised_prompt: label }) => ({ seed, label, type, data }));
}

const BROKEN: Problem = { kind: 'broken', status: 200, code: 'bad_answer', message: '' };

/** What an `<img>` or a download takes. */
export const addressOf = ({ type, data }: Made): string => `data:${type};base64,${data}`;

export function fileOf({ type, data }: Made): Blob {
  return new Blob([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], { type });
}

const ENDINGS: Record<string, string> = { 'image/jpeg': 'jpg' };

export const endingOf = (type: string): string => ENDINGS[type] ?? type.replace('image/', '');

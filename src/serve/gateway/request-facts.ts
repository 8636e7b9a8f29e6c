/** What a gateway has to know of a body: the model, whether it streams, the beginning of its prompt. Checks nothing else. */

export interface RequestFacts {
  model: string | undefined;
  /** Beginning of the prompt, for those who have read it before. */
  prompt: string;
  /** The body as an object, where it is one. */
  body: Record<string, unknown> | undefined;
}

/** Characters of a prompt that matter. */
const LONGEST = 8192;

/** @param bytes JSON; anything else has no facts */
export function factsOf(bytes: Buffer, type: string | undefined): RequestFacts {
  const none: RequestFacts = { model: undefined, prompt: '', body: undefined };
  if (bytes.length === 0 || !(type ?? '').includes('json')) return none;
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch {
    return none;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return none;
  const { model, prompt, messages, input, instructions } = body as Record<string, unknown>;
  let text = '';
  for (const part of [instructions, prompt, messages, input]) if (part !== undefined) text = add(text, part);
  return {
    model: typeof model === 'string' ? model : undefined,
    prompt: text,
    body: body as Record<string, unknown>,
  };
}

/** Of a form no more than its fields of text: files are looked at by nobody here. @param type with the boundary */
export async function formFacts(bytes: Buffer, type: string | undefined): Promise<RequestFacts> {
  if (type?.startsWith('multipart/form-data') !== true) return factsOf(bytes, type);
  const form = await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } })
    .formData()
    .catch(() => new FormData());
  const model = form.get('model');
  return { model: typeof model === 'string' ? model : undefined, prompt: '', body: undefined };
}

/** All strings in order, as far as they are wanted. */
function add(text: string, part: unknown): string {
  if (text.length >= LONGEST) return text;
  if (typeof part === 'string') return (text + part).slice(0, LONGEST);
  if (Array.isArray(part)) {
    for (const one of part) {
      if (text.length >= LONGEST) break;
      text = add(text, one);
    }
    return text;
  }
  if (typeof part === 'object' && part !== null) {
    const { role, content, text: inner } = part as Record<string, unknown>;
    for (const one of [role, content, inner])
      if (typeof one === 'string' || Array.isArray(one)) text = add(text, one);
  }
  return text;
}

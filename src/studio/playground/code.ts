/**
 * The request on the page as a program: the openai SDK in JavaScript and Python, and curl. Knows the
 * wire's bodies and each language's quoting, not the page.
 */
import { endpoint, type GenerationRequest, isChat, requestBody } from '../api/generate.ts';

export const CODE_LANGUAGES = ['javascript', 'python', 'curl'] as const;
export type CodeLanguage = (typeof CODE_LANGUAGES)[number];

/** Fields of our wire that the Python SDK has no argument for. */
const EXTRA = ['top_k'];

/** @param base the address of the wire, ending in `/v1` */
export function asCode(
  request: GenerationRequest,
  language: CodeLanguage,
  base: string,
  hasKey: boolean,
): string {
  if (language === 'curl') return asCurl(request, base, hasKey);
  return language === 'python' ? asPython(request, base, hasKey) : asJavaScript(request, base, hasKey);
}

function asJavaScript(request: GenerationRequest, base: string, hasKey: boolean): string {
  const method = isChat(request) ? 'chat.completions' : 'completions';
  const piece = isChat(request) ? "part.choices[0]?.delta?.content ?? ''" : "part.choices[0]?.text ?? ''";
  const fields = Object.entries(requestBody(request)).map(
    ([name, value]) => `  ${name}: ${quote(value, 'js', 2)},`,
  );
  return [
    "import OpenAI from 'openai';",
    '',
    'const client = new OpenAI({',
    `  baseURL: ${quote(base, 'js')},`,
    `  apiKey: ${hasKey ? 'process.env.INKSTONE_API_KEY' : "'not-needed'"},`,
    '});',
    '',
    `const stream = await client.${method}.create({`,
    ...fields,
    '});',
    `for await (const part of stream) process.stdout.write(${piece});`,
    '',
  ].join('\n');
}

function asPython(request: GenerationRequest, base: string, hasKey: boolean): string {
  const method = isChat(request) ? 'chat.completions' : 'completions';
  const piece = isChat(request) ? "part.choices[0].delta.content or ''" : 'part.choices[0].text';
  const body = Object.entries(requestBody(request));
  const plain = body.filter(([name]) => !EXTRA.includes(name));
  const extra = Object.fromEntries(body.filter(([name]) => EXTRA.includes(name)));
  const fields = plain.map(([name, value]) => `    ${name}=${quote(value, 'python', 4)},`);
  if (Object.keys(extra).length > 0) fields.push(`    extra_body=${quote(extra, 'python', 4)},`);
  return [
    hasKey ? 'import os\nfrom openai import OpenAI' : 'from openai import OpenAI',
    '',
    'client = OpenAI(',
    `    base_url=${quote(base, 'python')},`,
    `    api_key=${hasKey ? 'os.environ["INKSTONE_API_KEY"]' : '"not-needed"'},`,
    ')',
    '',
    `stream = client.${method}.create(`,
    ...fields,
    ')',
    'for part in stream:',
    '    if part.choices:',
    `        print(${piece.replaceAll("''", '""')}, end="", flush=True)`,
    '',
  ].join('\n');
}

function asCurl(request: GenerationRequest, base: string, hasKey: boolean): string {
  const body = JSON.stringify(requestBody(request), null, 2).replaceAll("'", "'\\''");
  return [
    `curl -N ${base}${endpoint(request).replace(/^\/v1/, '')} \\`,
    ...(hasKey ? ['  -H "authorization: Bearer $INKSTONE_API_KEY" \\'] : []),
    "  -H 'content-type: application/json' \\",
    `  -d '${body}'`,
    '',
  ].join('\n');
}

/** A JSON value as a literal; long lists get a line per item. */
function quote(value: unknown, style: 'js' | 'python', indent = 0): string {
  if (typeof value === 'string') return style === 'js' ? single(value) : JSON.stringify(value);
  if (typeof value === 'boolean') return style === 'python' ? (value ? 'True' : 'False') : String(value);
  if (Array.isArray(value)) {
    const items = value.map((item) => quote(item, style, indent + (style === 'js' ? 2 : 4)));
    if (items.join(', ').length < 60) return `[${items.join(', ')}]`;
    const pad = ' '.repeat(indent + (style === 'js' ? 2 : 4));
    return `[\n${items.map((item) => `${pad}${item},`).join('\n')}\n${' '.repeat(indent)}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const name = (key: string) => (style === 'js' ? key : JSON.stringify(key));
    const items = Object.entries(value).map(([key, item]) => `${name(key)}: ${quote(item, style, indent)}`);
    return style === 'js' ? `{ ${items.join(', ')} }` : `{${items.join(', ')}}`;
  }
  return String(value);
}

/** A JavaScript string in single quotes; JSON's escapes are all valid there. */
function single(text: string): string {
  const inner = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${inner}'`;
}

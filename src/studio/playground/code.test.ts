import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { GenerationRequest } from '../api/generate.ts';
import { requestBody } from '../api/generate.ts';
import { asCode } from './code.ts';

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is what must survive
const NASTY = 'He said "it\'s 5$ `now`"\n\\n ${x} 砚台 \u2028';
const REQUEST: GenerationRequest = {
  model: 'starter',
  input: { prompt: NASTY },
  settings: { temperature: 0.8, topK: 40, topP: 0.95, maxTokens: 200, seed: 7, stop: ["'", '\n'] },
  probabilities: false,
};
const CHAT: GenerationRequest = {
  ...REQUEST,
  input: {
    messages: [
      { role: 'system', content: NASTY },
      { role: 'user', content: 'Hello, and a line long enough that the list is broken' },
    ],
  },
  probabilities: true,
};
const BASE = 'http://127.0.0.1:4747/v1';

/** Runs the program with a pretended SDK and gives back what it asked for. */
function asked(code: string, method: 'completions' | 'chat.completions'): unknown {
  const body = code
    .replace("import OpenAI from 'openai';", '')
    .replace(/^for await.*$/m, '')
    .replace('const stream = await', 'return');
  class OpenAI {
    completions = { create: (given: unknown) => given };
    chat = { completions: { create: (given: unknown) => given } };
  }
  expect(code).toContain(`client.${method}.create(`);
  return new Function('OpenAI', body)(OpenAI);
}

describe('asCode', () => {
  it('writes JavaScript that asks for the same', () => {
    expect(asked(asCode(REQUEST, 'javascript', BASE, false), 'completions')).toEqual(requestBody(REQUEST));
    expect(asked(asCode(CHAT, 'javascript', BASE, false), 'chat.completions')).toEqual(requestBody(CHAT));
  });

  it('writes a curl line whose body survives the shell', () => {
    for (const request of [REQUEST, CHAT]) {
      const line = asCode(request, 'curl', BASE, true).replace('curl -N', 'printf "%s\\0"');
      const words = execFileSync('sh', ['-c', line], {
        env: { PATH: '/bin:/usr/bin', INKSTONE_API_KEY: 'k' },
      });
      const [address, ...rest] = words.toString().split('\0');
      expect(address).toBe(BASE + (request === CHAT ? '/chat/completions' : '/completions'));
      expect(rest).toContain('authorization: Bearer k');
      expect(JSON.parse(rest[rest.indexOf('-d') + 1] as string)).toEqual(requestBody(request));
    }
  });

  it('writes Python with our own fields in extra_body', () => {
    const code = asCode(CHAT, 'python', BASE, true);
    expect(code).toContain('extra_body={"top_k": 40},');
    expect(code).toContain('logprobs=True,');
    expect(code).toContain('os.environ["INKSTONE_API_KEY"]');
    expect(code).toContain(`{"role": "system", "content": ${JSON.stringify(NASTY)}}`);
    expect(asCode(REQUEST, 'python', BASE, false)).not.toContain('import os');
  });
});

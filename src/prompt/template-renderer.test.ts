/** A model's own chat template in its thread: what it gives, and that a bad one costs only its own request. */
import { afterAll, describe, expect, test } from 'vitest';
import { TemplateRenderer } from './template-renderer.ts';

const renderer = new TemplateRenderer({ patience: 5000 });
afterAll(() => renderer.close());
const chatml =
  '{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}';
const messages = [{ role: 'user', content: 'hi' }];

describe('a template', () => {
  test('gets turns, tools and the tokens around them', async () => {
    const template = { source: chatml, bos: '<s>', eos: '</s>' };
    expect(await renderer.render(template, { messages })).toBe('<s><|user|>hi</s>');
    expect(await renderer.render(template, { messages, tools: [{ a: 1 }] })).toContain('{"a": 1}');
  });
  test('says itself why it does not take turns', async () => {
    const source = "{{ raise_exception('roles must alternate') }}";
    await expect(renderer.render({ source }, { messages })).rejects.toMatchObject({
      code: 'template_failed',
      message: expect.stringContaining('roles must alternate'),
    });
  });
  test.each([
    ['that is no template', '{% for %}'],
    ['that never ends', '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}'],
    ['that eats memory', '{% set a = range(99999999) %}{% set b = range(99999999) %}{{ a | length }}'],
    ['that is too large', 'x'.repeat(300_000)],
  ])('%s fails alone, and the next one is rendered', async (_, source) => {
    const bad = renderer.render({ source }, { messages });
    const good = renderer.render({ source: chatml }, { messages });
    await expect(bad).rejects.toMatchObject({ code: 'template_failed', kind: 'usage' });
    expect(await good).toBe('<|user|>hi');
    await expect(renderer.render({ source }, { messages })).rejects.toMatchObject({
      code: 'template_failed',
    });
  });
  test('reaches nothing of the machine', async () => {
    for (const source of [
      '{{ messages.constructor }}',
      "{{ messages.constructor.constructor('return 1')() }}",
      '{{ process }}{{ globalThis }}{{ require }}',
    ]) {
      const text = await renderer.render({ source }, { messages }).catch(() => '');
      expect(text.replaceAll(/undefined|null/g, '')).toBe('');
    }
  });
});

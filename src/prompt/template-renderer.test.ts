/** A model's own chat template in its thread: what it gives, and that a bad one costs only its own request. */
import { afterAll, describe, expect, test } from 'vitest';
import { TemplateRenderer } from './template-renderer.ts';

const renderer = new TemplateRenderer({ patience: 5000 });
const slow = '{% for a in range(300) %}{% for b in range(1000) %}{% endfor %}{% endfor %}slow';
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

describe('the process of a renderer', () => {
  const render = (one: TemplateRenderer, source: string): Promise<string> =>
    one.render({ source }, { messages });

  test.each([
    // A module that does nothing ends at once; none is there within a thousandth of a second.
    ['ends before it is ready', { entry: 'prompt/template-renderer' }],
    ['does not start in time', { start: 1 }],
    ['cannot be had', { entry: '../nowhere' }],
  ])('that %s is no fault of the template', async (_, options) => {
    const one = new TemplateRenderer(options);
    // Twice: the template is not remembered as one that never ends.
    for (let i = 0; i < 2; i++)
      await expect(render(one, chatml)).rejects.toMatchObject({ code: 'template_process', kind: 'resource' });
    one.close();
  });
  test('that is given up says nothing to the next rendering', async () => {
    const one = new TemplateRenderer({ patience: 300 });
    await render(one, 'first');
    const late = render(one, slow).catch((error: { code: string }) => error.code);
    const next = render(one, 'next');
    await new Promise(setImmediate);
    // Meanwhile the answer comes, and is looked at only after the clock.
    const until = performance.now() + 3000;
    while (performance.now() < until);
    expect(await late).toBe('template_failed');
    expect(await next).toBe('next');
    one.close();
  });
  test('that is closed leaves nobody waiting', async () => {
    const one = new TemplateRenderer();
    const waiting = render(one, chatml);
    await new Promise(setImmediate);
    one.close();
    await expect(waiting).rejects.toMatchObject({ code: 'template_process' });
    expect(await render(one, chatml)).toBe('<|user|>hi');
    one.close();
  });
});

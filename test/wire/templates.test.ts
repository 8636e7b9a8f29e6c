/** A model's own chat template over the wire: read from its folder, given turns and tools, honest where it refuses. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { describeTextModel } from '../../src/models/text/load.ts';
import { describe as describeModel } from '../../src/operate/model-info.ts';
import { ScriptedReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome(['letters']);
const golden = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../src/models/text/golden/llama');
const source =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'king' %}{{ raise_exception('no kings') }}{% endif %}[{{ m.role }}]{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}({{ c.function.name }} {{ c.function.arguments | tojson }}){% endfor %}{% endif %}{% endfor %}{% if tools %}<{% for t in tools %}{{ t.function.name }}{% endfor %}>{% endif %}{% if add_generation_prompt %}[assistant]{% endif %}";

async function folderWith(files: Record<string, unknown>): Promise<string> {
  const folder = path.join(home.folder, `templated-${Object.keys(files).join('-')}-${Math.random()}`);
  await mkdir(folder);
  await writeFile(path.join(folder, 'config.json'), await readFile(path.join(golden, 'config.json')));
  for (const [name, content] of Object.entries(files))
    await writeFile(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  return folder;
}

const user = { role: 'user' as const, content: 'hi' };
const tool = { type: 'function' as const, function: { name: 'f' } };

describe('a chat template', () => {
  it('is read from its folder in every place where it may stand', async () => {
    const of = async (files: Record<string, unknown>) =>
      (await describeTextModel(await folderWith(files))).template;
    const tokens = { bos_token: { content: '<s>', lstrip: false }, eos_token: '</s>' };
    expect(await of({ 'tokenizer_config.json': { chat_template: source, ...tokens } })).toEqual({
      ...{ source, bos: '<s>', eos: '</s>' },
    });
    const many = [
      { name: 'other', template: 'x' },
      { name: 'default', template: source },
    ];
    expect((await of({ 'tokenizer_config.json': { chat_template: many } }))?.source).toBe(source);
    expect((await of({ 'chat_template.jinja': source }))?.source).toBe(source);
    expect(await of({ 'tokenizer_config.json': tokens })).toBeUndefined();
    for (const bad of ['{', { chat_template: 5 }, { chat_template: 'x'.repeat(300_000) }])
      await expect(of({ 'tokenizer_config.json': bad })).rejects.toMatchObject({ code: 'model_invalid' });
  });

  it('writes turns, calls and tools down, and its end of a turn ends the answer', async () => {
    const folder = await folderWith({
      'tokenizer_config.json': { chat_template: source, bos_token: '<s>', eos_token: '</s>' },
    });
    const { template } = describeModel(await describeTextModel(folder), 'x');
    const replica = new ScriptedReplica(
      'letters',
      ['fine</s>[user] more'],
      template === undefined ? {} : { template },
    );
    const { client } = await home.start(replica);
    const call = { id: 'call_1', type: 'function' as const, function: { name: 'f', arguments: '{"a": 1}' } };
    const { choices } = await client.chat.completions.create({
      ...{ model: 'letters', tools: [tool] },
      messages: [
        { role: 'developer', content: 'be kind' },
        user,
        { role: 'assistant', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content: 'done' },
      ],
    });
    expect(replica.asked[0]?.prompt).toBe(
      '<s>[system]be kind[user]hi[assistant](f {"a": 1})[tool]done<f>[assistant]',
    );
    expect(choices[0]).toMatchObject({ message: { content: 'fine' }, finish_reason: 'stop' });
  });

  it('that knows no tools is told of them in words', async () => {
    const plain = '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}';
    const replica = new ScriptedReplica('letters', ['fine'], { template: { source: plain } });
    const { client } = await home.start(replica);
    await client.chat.completions.create({ model: 'letters', tools: [tool], messages: [user] });
    expect(replica.asked[0]?.prompt).toMatch(/^\[system\].*"name":"f".*\[user\]hi$/s);
  });

  it('that refuses turns gives a 400 with its own words', async () => {
    const refusing = "{{ raise_exception('users and assistants must alternate') }}";
    const { client } = await home.start(
      new ScriptedReplica('letters', [''], { template: { source: refusing } }),
    );
    await expect(
      client.chat.completions.create({ model: 'letters', messages: [user, user] }),
    ).rejects.toMatchObject({
      ...{ status: 400, code: 'template_failed', param: 'messages' },
      message: expect.stringContaining('must alternate'),
    });
  });
});

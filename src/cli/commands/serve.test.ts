/** `inkstone serve` as a process with the starter model: the first answer, real clients, the end on a signal, memory. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChildProcess, exists, packageFolder, spawnCommand } from '../../base/host.ts';

const there = await exists(path.join(packageFolder, 'models', 'starter', 'model.safetensors'));

describe.skipIf(!there)('inkstone serve (needs models/starter)', () => {
  let home: string;
  let server: ChildProcess;
  let address = '';
  let said = '';
  let complained = '';
  let client: OpenAI;

  beforeAll(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'inkstone-serve-command-'));
    server = spawnCommand(['serve', '--port', '0', '--home', home, '--json']);
    server.stdout?.on('data', (piece) => (said += String(piece)));
    // Apart: of two pipes nobody knows which line came first, and requests are logged on this one.
    server.stderr?.on('data', (piece) => (complained += String(piece)));
    while (!said.includes('\n')) {
      if (server.exitCode !== null)
        throw new Error(`the server ended with ${server.exitCode}: ${said}${complained}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const first = JSON.parse(said.split('\n')[0] as string) as Record<string, string>;
    expect(first).toMatchObject({ state: 'listening', model: 'starter' });
    address = first.address as string;
    // A model that is being loaded answers 503, and the client comes back by itself.
    client = new OpenAI({ baseURL: `${address}/v1`, apiKey: 'none', maxRetries: 20 });
  });

  afterAll(async () => {
    if (server.exitCode === null) server.kill('SIGKILL');
    await rm(home, { recursive: true, force: true });
  });

  const ask = { model: 'starter', prompt: 'It was', max_tokens: 16, seed: 3 };

  it('answers, and answers the same again', async () => {
    const one = await client.completions.create({ ...ask, logprobs: 3 });
    expect(one.choices[0]?.text.length).toBeGreaterThan(0);
    expect(one.choices[0]?.logprobs?.tokens?.join('')).toBe(one.choices[0]?.text);
    expect((await client.completions.create(ask)).choices[0]?.text).toBe(one.choices[0]?.text);
    expect(one.usage?.completion_tokens).toBe(16);
  });

  it('stops at stop strings, and streams what it says plainly', async () => {
    const chat = { model: 'starter', messages: [{ role: 'user' as const, content: 'It was' }], seed: 3 };
    const plain = await client.chat.completions.create({ ...chat, max_completion_tokens: 40, stop: ['the'] });
    const stream = client.chat.completions.stream({ ...chat, max_completion_tokens: 40, stop: ['the'] });
    const whole = await stream.finalChatCompletion();
    expect(whole.choices[0]?.message.content).toBe(plain.choices[0]?.message.content);
    expect(plain.choices[0]?.message.content).not.toContain('the');
    const model = createOpenAI({ baseURL: `${address}/v1`, apiKey: 'none' }).chat('starter');
    expect((await generateText({ model, prompt: 'It was', maxOutputTokens: 8, seed: 3 })).text).not.toBe('');
  });

  it('keeps server and model host together under 400 MB', async ({ skip }) => {
    const id = server.pid as number;
    const children = await readFile(`/proc/${id}/task/${id}/children`, 'utf8').catch(() => undefined);
    if (children === undefined) return skip('there is no /proc here');
    let total = 0;
    for (const one of [id, ...children.trim().split(' ').map(Number)]) {
      const status = await readFile(`/proc/${one}/status`, 'utf8');
      total += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
    }
    expect(total).toBeGreaterThan(50);
    expect(total).toBeLessThan(400);
  });

  it('trains a model on a file that was sent, and serves it at once', { timeout: 180_000 }, async () => {
    const text = Array.from(
      { length: 400 },
      (_, i) => `The ${i % 7} reeds bend and the boats come home.\n`,
    ).join('');
    const sent = await fetch(`${address}/api/files?name=song.txt`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: text,
    });
    const { id: file } = (await sent.json()) as { id: string };
    const begun = await fetch(`${address}/api/trainings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'song', file, preset: 'tiny', steps: 20, seed: 1 }),
    });
    expect(begun.status).toBe(201);
    const { id } = (await begun.json()) as { id: string };
    // Live until it ends: metrics, a sample perhaps, and the state last.
    const told = (await (await fetch(`${address}/api/trainings/${id}/events`)).text()).trim().split('\n\n');
    const events = told.map((event) => JSON.parse(event.slice(6)) as { type: string; state?: string });
    expect(events.at(-1)).toEqual({ type: 'state', state: 'succeeded' });
    expect(events.some((event) => event.type === 'metrics')).toBe(true);
    expect((await client.models.list()).data.map((model) => model.id)).toEqual([
      'starter',
      'song',
      'starter-digits',
    ]);
    const answer = await client.completions.create({
      model: 'song',
      prompt: 'The 3',
      max_tokens: 5,
      seed: 1,
    });
    expect(answer.choices[0]?.text).toHaveLength(5);
    await expect(client.completions.create({ model: 'song', prompt: '墨' })).rejects.toMatchObject({
      status: 400,
      code: 'character_unknown',
    });
  });

  it('finishes its streams when it is told to end, and says so', async () => {
    const exited = new Promise<number | null>((resolve) => server.once('close', (status) => resolve(status)));
    let tokens = 0;
    for await (const chunk of await client.completions.create({ ...ask, max_tokens: 120, stream: true })) {
      if (tokens === 0) server.kill('SIGTERM');
      if (chunk.choices[0]?.finish_reason !== null) expect(chunk.choices[0]?.finish_reason).toBe('length');
      tokens++;
    }
    expect(tokens).toBeGreaterThan(20);
    expect(await exited).toBe(0);
    expect(JSON.parse(said.trim().split('\n').at(-1) as string)).toEqual({ address, state: 'stopped' });
  });
});

/** Alerts in a running server: what the studio is told, silences, and a word to a webhook. */
import { rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { LetterReplica } from '../../src/serve/testing.ts';
import { wireHome } from './harness.ts';

const home = wireHome(['letters']);
const say = { model: 'letters', messages: [{ role: 'user', content: 'say' }], seed: 0, max_tokens: 5 };
let hook: http.Server | undefined;
afterEach(async () => {
  hook?.close();
  hook?.closeAllConnections();
  await rm(path.join(home.folder, 'alerts.json'), { force: true });
});

it('tells a webhook that answers fail, shows it, and is silent where it is told to be', async () => {
  const bodies: { alerts: { labels: { alertname: string } }[] }[] = [];
  hook = http.createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    bodies.push(JSON.parse(body));
    response.end();
  });
  await new Promise<void>((resolve) => hook?.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
  await writeFile(
    path.join(home.folder, 'alerts.json'),
    JSON.stringify({ every: 0.05, group: { wait: 0, interval: 0.1 }, receivers: [{ type: 'webhook', url }] }),
  );
  const { server, post } = await home.start(new LetterReplica('letters', { failAfter: 2 }));
  const get = async (route: string) => (await fetch(`${server.address}${route}`)).json() as Promise<never>;
  await expect
    .poll(async () => ((await get('/api/watch')) as { points: unknown[] }).points.length)
    .toBeGreaterThan(1);
  const silenced = await post('/api/alerts/silences', {
    rule: 'ErrorBudgetBurnsS*',
    hours: 1,
    comment: 'known',
  });
  expect(silenced.status).toBe(201);
  for (let i = 0; i < 3; i++) expect((await post('/v1/chat/completions', say)).status).toBe(503);
  await expect.poll(() => bodies.length).toBeGreaterThan(0);
  const told = bodies.flatMap(({ alerts }) => alerts.map(({ labels }) => labels.alertname));
  expect(told).toContain('ErrorBudgetBurnsFast');
  expect(told).not.toContain('ErrorBudgetBurnsSlowly');
  interface Shown {
    alerts: { rule: string; state: string; silenced: boolean }[];
    silences: { id: string; comment: string }[];
    replicas: { model: string }[];
    points: { requestsPerSecond: number | null }[];
  }
  const shown = (await get('/api/watch')) as Shown;
  const found = (rule: string) => shown.alerts.find((one) => one.rule === rule);
  expect(found('ErrorBudgetBurnsFast')).toMatchObject({ state: 'firing', silenced: false });
  expect(found('ErrorBudgetBurnsSlowly')).toMatchObject({ state: 'firing', silenced: true });
  expect(shown.replicas).toMatchObject([{ model: 'letters' }]);
  expect(shown.points.at(-1)?.requestsPerSecond).toBeGreaterThan(0);
  const text = await (await fetch(`${server.address}/metrics`)).text();
  expect(text).toContain('inkstone_alerts_firing{rule="ErrorBudgetBurnsFast",severity="page"} 1');
  const { id } = shown.silences[0] as { id: string };
  expect((await fetch(`${server.address}/api/alerts/silences/${id}`, { method: 'DELETE' })).status).toBe(200);
  expect((await fetch(`${server.address}/api/alerts/silences/${id}`, { method: 'DELETE' })).status).toBe(404);
});

it('refuses to start with an alerts.json that is wrong, naming what', async () => {
  await writeFile(path.join(home.folder, 'alerts.json'), '{"every": "often"}');
  await expect(home.start(new LetterReplica('letters'))).rejects.toMatchObject({
    code: 'alert_config_invalid',
    message: expect.stringContaining('every'),
  });
});

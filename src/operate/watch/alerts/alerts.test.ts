/** Rules over a history with a clock that is moved by hand: when they wait, fire, end; who is told, when, and who is not. */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { METRICS, publishedNames } from '../definitions.ts';
import { Drift, stabilityIndex } from '../drift.ts';
import type { Reading } from '../metrics.ts';
import { alertConfig } from './config.ts';
import { type Expression, evaluate, namesIn, promql, promqlOf } from './expression.ts';
import { History, sampleOf } from './history.ts';
import { type Notification, Notifier, type Silence } from './notify.ts';
import { emailOf, type Receiver, tell, webhookBody } from './receivers.ts';
import { ruleFile } from './rule-file.ts';
import { type Rule, rulesFor } from './rules.ts';
import { type AlertState, step } from './state.ts';

const SECOND = 1000;
const rules = rulesFor();
const wanted = rules.flatMap(({ when }) => when.map(({ value }) => value));
const rule = (id: string): Rule => rules.find((one) => one.id === id) as Rule;

/** A server whose numbers a test says, looked at every so many seconds. */
class Scene {
  readonly history = new History();
  states: AlertState[] = [];
  at = Date.UTC(2026, 10, 1);
  private readonly values = new Map<string, Reading>();

  set(name: string, value: number, labels: Record<string, string> = {}): void {
    this.values.set(`${name} ${JSON.stringify(labels)}`, { name, labels, value });
  }

  add(name: string, value: number, labels: Record<string, string> = {}): void {
    this.set(name, (this.values.get(`${name} ${JSON.stringify(labels)}`)?.value ?? 0) + value, labels);
  }

  /** Lets time go by; `each` happens before every look. */
  run(seconds: number, each: () => void = () => undefined, every = 15): void {
    for (let gone = 0; gone < seconds; gone += every) {
      this.at += every * SECOND;
      each();
      this.history.add(this.at, sampleOf([...this.values.values()], wanted));
      this.states = step(rules, this.states, this.history, this.at);
    }
  }

  stateOf(id: string): string {
    return this.states.find((one) => one.rule === id)?.state ?? 'quiet';
  }
  get firing(): string[] {
    return this.states.filter(({ state }) => state === 'firing').map((one) => one.rule);
  }
}

const traffic = (scene: Scene, requests: number, failed: number) => () => {
  scene.add(METRICS.requests.name, requests);
  scene.add(METRICS.failures.name, failed);
};

describe('burn rates', () => {
  it('wake somebody when both windows burn 14.4 times too fast, and end with the short one', () => {
    const scene = new Scene();
    scene.run(3600, traffic(scene, 100, 0));
    // 20 in 1000 fail: 20 times as fast as allowed. The hour's window needs 43 minutes for that.
    scene.run(40 * 60, traffic(scene, 1000, 20));
    expect(scene.stateOf('ErrorBudgetBurnsFast')).toBe('firing');
    scene.run(6 * 60, traffic(scene, 1000, 0));
    expect(scene.stateOf('ErrorBudgetBurnsFast')).toBe('resolved');
  });

  it('stay quiet just below, and for a burst that the long window does not feel', () => {
    const scene = new Scene();
    scene.run(2 * 3600, traffic(scene, 1000, 14));
    expect(scene.stateOf('ErrorBudgetBurnsFast')).toBe('quiet');
    expect(scene.stateOf('ErrorBudgetBurns')).toBe('firing');
    const burst = new Scene();
    burst.run(3600, traffic(burst, 1000, 0));
    burst.run(120, traffic(burst, 1000, 100));
    const woken = burst.firing.filter((id) => rule(id).severity === 'page');
    expect(woken).toEqual([]);
  });

  it('write a ticket for what is slow, after days', () => {
    const scene = new Scene();
    scene.run(3 * 86_400, traffic(scene, 1000, 0), 300);
    expect(scene.firing).toEqual([]);
    // Twice as fast as allowed: over three days' mean it takes a day and a half.
    scene.run(86_400, traffic(scene, 1000, 2), 300);
    expect(scene.firing).toEqual([]);
    scene.run(86_400, traffic(scene, 1000, 2), 300);
    expect(scene.firing).toEqual(['ErrorBudgetBurnsSlowly']);
  });

  it('see the first failure of all, and a counter that began anew', () => {
    const history = new History();
    const sum = { kind: 'increase', name: METRICS.failures.name, window: 60 } as const;
    const look = (at: number, readings: Reading[]): void => history.add(at, sampleOf(readings, [sum]));
    look(0, []);
    expect(evaluate(sum, history)).toBeNaN();
    look(15_000, [{ name: METRICS.failures.name, labels: {}, value: 4 }]);
    expect(evaluate(sum, history)).toBe(4);
    look(30_000, [{ name: METRICS.failures.name, labels: {}, value: 1 }]);
    expect(evaluate(sum, history)).toBe(5);
    look(90_000, [{ name: METRICS.failures.name, labels: {}, value: 1 }]);
    expect(evaluate(sum, history)).toBe(0);
  });
});

describe('the other rules', () => {
  it.each<[string, number, (scene: Scene) => void]>([
    ['CacheNearlyFull', 60, (s) => s.set(METRICS.cacheUsage.name, 0.91, { model_name: 'a' })],
    ['QueueOld', 60, (s) => s.set(METRICS.queueAge.name, 31)],
    ['MemoryNearlyFull', 300, (s) => s.set(METRICS.memoryUsed.name, 0.86)],
    ['DiskNearlyFull', 300, (s) => s.set(METRICS.diskUsed.name, 0.86)],
    ['BackupOld', 0, (s) => s.set(METRICS.backupAge.name, 26 * 3600 + 1)],
    ['ModelDrift', 1800, (s) => s.set(METRICS.drift.name, 0.3, { model_name: 'a', of: 'prompt_length' })],
    ['SequencesPreempted', 0, (s) => s.add(METRICS.preemptions.name, 1, { model_name: 'a' })],
    ['ReplicaRestarts', 0, (s) => s.add(METRICS.restarts.name, 4, { model_name: 'a' })],
    [
      'RequestsRejected',
      300,
      (s) => {
        s.add(METRICS.requests.name, 100);
        s.add(METRICS.rejections.name, 2, { reason: 'queue_full' });
      },
    ],
    [
      'FirstTokenLate',
      300,
      (s) => {
        s.add(`${METRICS.firstToken.name}_bucket`, 90, { le: '1', model_name: 'a' });
        s.add(`${METRICS.firstToken.name}_bucket`, 94, { le: '2.5', model_name: 'a' });
        s.add(`${METRICS.firstToken.name}_bucket`, 100, { le: '5', model_name: 'a' });
        s.add(`${METRICS.firstToken.name}_bucket`, 100, { le: '+Inf', model_name: 'a' });
      },
    ],
  ])('%s fires after %d s and is over when it is over', (id, lasting, each) => {
    const scene = new Scene();
    scene.set(METRICS.backupAge.name, 60);
    scene.run(60);
    expect(scene.firing).toEqual([]);
    scene.run(15, () => each(scene));
    if (lasting > 0) {
      expect(scene.stateOf(id)).toBe('pending');
      scene.run(lasting - 30, () => each(scene));
      expect(scene.stateOf(id)).toBe('pending');
      scene.run(30, () => each(scene));
    }
    expect(scene.firing).toEqual([id]);
    for (const gauge of [
      METRICS.cacheUsage,
      METRICS.queueAge,
      METRICS.memoryUsed,
      METRICS.diskUsed,
      METRICS.backupAge,
    ])
      scene.set(gauge.name, 0);
    scene.set(METRICS.cacheUsage.name, 0, { model_name: 'a' });
    scene.set(METRICS.drift.name, 0, { model_name: 'a', of: 'prompt_length' });
    scene.run(700);
    expect(scene.stateOf(id)).toBe('resolved');
    scene.run(2 * 3600);
    expect(scene.stateOf(id)).toBe('quiet');
  });

  it('know waiting without a token from waiting with one', () => {
    const scene = new Scene();
    scene.set(METRICS.waiting.name, 3, { model_name: 'a' });
    scene.run(300, () => scene.add(METRICS.generationTokens.name, 1, { model_name: 'a' }));
    expect(scene.stateOf('RequestsWaitWithoutTokens')).toBe('quiet');
    scene.run(60);
    expect(scene.stateOf('RequestsWaitWithoutTokens')).not.toBe('firing');
    scene.run(75);
    expect(scene.firing).toEqual(['RequestsWaitWithoutTokens']);
  });

  it('do not fire for what comes and goes', () => {
    const scene = new Scene();
    let high = false;
    scene.run(3600, () => {
      high = !high;
      scene.set(METRICS.queueAge.name, high ? 100 : 0);
    });
    expect(scene.stateOf('QueueOld')).not.toBe('firing');
  });

  it('take quantiles as Prometheus does', () => {
    const q = { kind: 'quantile', name: 'h', q: 0.95, window: 60 } as const;
    const history = new History();
    const bucket = (le: string, value: number): Reading => ({ name: 'h_bucket', labels: { le }, value });
    const look = (at: number, scale: number): void =>
      history.add(
        at,
        sampleOf(
          [
            bucket('1', 50 * scale),
            bucket('2', 90 * scale),
            bucket('4', 100 * scale),
            bucket('+Inf', 100 * scale),
          ],
          [q],
        ),
      );
    look(0, 0);
    look(15_000, 1);
    // 95 is half way between 90 and 100: half way between 2 and 4.
    expect(evaluate(q, history)).toBe(3);
    expect(evaluate({ ...q, q: 0.25 }, history)).toBe(0.5);
  });
});

describe('a history', () => {
  it('stays small over a week and answers for three days', () => {
    const history = new History();
    for (let at = 0; at <= 7 * 86_400_000; at += 60_000) history.add(at, { 'sum n': at / 60_000 });
    expect(history.toJSON().length).toBeLessThanOrEqual(3 * 288 + 2);
    expect(history.increase('sum n', 3 * 86_400)).toBeCloseTo(3 * 1440, -1);
    expect(history.increase('sum n', 3600)).toBe(60);
  });

  it('goes on from what was kept, and takes nothing that is not its own', () => {
    const old = new History();
    for (let at = 0; at <= 3_600_000; at += 300_000) old.add(at, { 'sum n': at });
    const history = new History();
    history.restore(JSON.parse(JSON.stringify(old)));
    history.add(3_900_000, { 'sum n': 3_900_000 });
    expect(history.increase('sum n', 6 * 3600)).toBe(3_900_000);
    for (const junk of [null, 1, 'x', {}, [null, 1, { at: 'x' }]])
      expect(() => new History().restore(junk)).not.toThrow();
  });

  it('forgets what lies ahead when the clock is set back', () => {
    const history = new History();
    history.add(1_000_000, { 'sum n': 1 });
    history.add(500_000, { 'sum n': 2 });
    expect(history.latest('sum n')).toBe(2);
  });
});

const alert = (id: string, more: Partial<AlertState> = {}): AlertState => ({
  ...{ rule: id, severity: 'page', summary: 's', hint: 'h', state: 'firing', since: 0, fired: 0, value: 1 },
  ...more,
});

describe('telling', () => {
  const names = (all: Notification[]): string[] =>
    all.map(({ severity, status, firing, resolved }) =>
      [severity, status, firing.map((a) => a.rule).join('+'), resolved.map((a) => a.rule).join('+')].join(
        ' ',
      ),
    );

  it('waits a moment for others, keeps its distance, repeats what lasts, and says when it is over', () => {
    const notifier = new Notifier({ wait: 30, interval: 300, repeat: 3600 });
    const take = (seconds: number, ...states: AlertState[]): string[] =>
      names(notifier.take(states, [], seconds * SECOND));
    const a = alert('A');
    const b = alert('B');
    expect(take(0, a)).toEqual([]);
    expect(take(15, a, b)).toEqual([]);
    expect(take(30, a, b)).toEqual(['page firing A+B ']);
    const c = alert('C', { fired: 60_000 });
    expect(take(60, a, b, c)).toEqual([]);
    expect(take(330, a, b, c)).toEqual(['page firing A+B+C ']);
    expect(take(345, a, b, c)).toEqual([]);
    expect(take(3930, a, b, c)).toEqual(['page firing A+B+C ']);
    const over = (one: AlertState): AlertState => ({ ...one, state: 'resolved', ended: 4_000_000 });
    expect(take(4000, over(a), b, c)).toEqual([]);
    expect(take(4230, over(a), b, c)).toEqual(['page firing B+C A']);
    expect(take(4530, over(a), over(b), over(c))).toEqual(['page resolved  B+C']);
    expect(take(9000, over(a), over(b), over(c))).toEqual([]);
  });

  it('tells pages and tickets apart, and nothing that ended before it was told', () => {
    const notifier = new Notifier({ wait: 30, interval: 300, repeat: 3600 });
    const ticket = alert('T', { severity: 'ticket' });
    notifier.take([alert('A'), ticket], [], 0);
    expect(names(notifier.take([alert('A'), ticket], [], 30_000))).toEqual([
      'page firing A ',
      'ticket firing T ',
    ]);
    const brief = new Notifier();
    brief.take([alert('A')], [], 0);
    expect(brief.take([{ ...alert('A'), state: 'resolved', ended: 1 }], [], 30_000)).toEqual([]);
  });

  it('keeps silent about what is silenced, until the silence is over', () => {
    const silence: Silence = { id: 's', rule: 'Disk*', until: 100_000, comment: '', by: 'me' };
    const notifier = new Notifier({ wait: 0, interval: 1, repeat: 3600 });
    expect(names(notifier.take([alert('DiskNearlyFull'), alert('A')], [silence], 50_000))).toEqual([
      'page firing A ',
    ]);
    expect(names(notifier.take([alert('DiskNearlyFull'), alert('A')], [silence], 100_000))).toEqual([
      'page firing DiskNearlyFull+A ',
    ]);
  });
});

describe('receivers', () => {
  const firing: Notification = {
    severity: 'page',
    status: 'firing',
    firing: [alert('A\r\nBcc: x@y.z')],
    resolved: [],
  };

  it('get Alertmanager’s form, version 4', () => {
    expect(
      webhookBody({
        ...firing,
        firing: [alert('A')],
        resolved: [alert('B', { state: 'resolved', ended: 5 })],
      }),
    ).toMatchObject({
      ...{ version: '4', status: 'firing', groupLabels: { severity: 'page' } },
      alerts: [
        { status: 'firing', labels: { alertname: 'A', severity: 'page' }, endsAt: '0001-01-01T00:00:00Z' },
        { status: 'resolved', labels: { alertname: 'B' }, endsAt: '1970-01-01T00:00:00.005Z' },
      ],
    });
  });

  it('are called by webhook, again after a failure, and not for what they do not want', async () => {
    const bodies: string[] = [];
    const server = http.createServer(async (request, response) => {
      let body = '';
      for await (const piece of request) body += piece;
      bodies.push(`${request.headers['x-token']} ${body}`);
      response.statusCode = bodies.length === 1 ? 500 : 200;
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    const to: Receiver = { type: 'webhook', url, headers: { 'x-token': 't' }, severities: ['page'] };
    await tell(to, firing, 1);
    expect(bodies).toHaveLength(2);
    expect(bodies[1]).toMatch(/^t \{"version":"4"/);
    await tell(to, { ...firing, severity: 'ticket' }, 1);
    expect(bodies).toHaveLength(2);
    server.close();
    server.closeAllConnections();
    await expect(tell(to, firing, 1)).rejects.toMatchObject({ code: 'receiver_failed' });
  });

  it('get mail over SMTP, with one subject whatever a name holds', async () => {
    let mail = '';
    const server = net.createServer((socket) => {
      let inData = false;
      socket.write('220 test\r\n');
      socket.on('data', (piece) => {
        for (const line of String(piece).split('\r\n')) {
          if (line === '' && !inData) continue;
          if (inData) {
            if (line === '.') {
              inData = false;
              socket.write('250 kept\r\n');
            } else mail += `${line}\n`;
          } else if (/^EHLO/i.test(line)) socket.write('250 test\r\n');
          else if (/^DATA/i.test(line)) {
            inData = true;
            socket.write('354 go on\r\n');
          } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n');
          else socket.write('250 ok\r\n');
        }
      });
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await tell(
      {
        ...{ type: 'email', host: '127.0.0.1', port, secure: false, severities: ['page'] },
        ...{ from: 'inkstone@example.org', to: ['night@example.org'] },
      },
      firing,
      1,
    );
    server.close();
    const head = mail.slice(0, mail.indexOf('\n\n'));
    expect(head).toMatch(/^To: night@example.org$/m);
    expect(head).toMatch(/^Subject: \[PAGE\] Inkstone: A Bcc: x@y.z$/m);
    expect(head).not.toMatch(/^Bcc:/m);
    expect(mail).toContain('Firing');
  });

  it('say what is over in the subject', () =>
    expect(
      emailOf({ severity: 'page', status: 'resolved', firing: [], resolved: [alert('A')] }).subject,
    ).toBe('[RESOLVED] Inkstone: A'));
});

describe('what is exported', () => {
  it('names only metrics that are published', async () => {
    const published = publishedNames();
    for (const { id, when } of rules)
      for (const { value } of when)
        for (const name of namesIn(value)) expect([id, published.has(name)]).toEqual([id, true]);
    const process = /^(process|nodejs)_/;
    for (const file of ['serving', 'operations']) {
      const text = await readFile(
        new URL(`../../../../deploy/grafana/${file}.json`, import.meta.url),
        'utf8',
      );
      const { panels } = JSON.parse(text) as { panels: { title: string; targets: { expr: string }[] }[] };
      let count = 0;
      for (const { title, targets } of panels)
        for (const { expr } of targets)
          for (const [name] of expr.matchAll(/\b(?:inkstone|gen_ai|process|nodejs)[a-z_:0-9]*\b/g)) {
            // Labels of OpenTelemetry begin like its metrics.
            if (/^gen_ai_(token_type|operation_name|request_model|provider_name)$/.test(name)) continue;
            count++;
            expect([title, name, published.has(name) || process.test(name)]).toEqual([title, name, true]);
          }
      expect(count).toBeGreaterThan(10);
    }
  });

  it('is the rule file in deploy/, to the letter', async () => {
    const file = new URL('../../../../deploy/prometheus/inkstone.rules.yml', import.meta.url);
    expect(await readFile(file, 'utf8')).toBe(ruleFile(rules));
  });

  it('is PromQL for each kind of expression', () => {
    const increase: Expression = { kind: 'increase', name: 'a_total', window: 300 };
    expect(
      promql({
        kind: 'divide',
        of: { kind: 'divide', of: increase, by: { ...increase, name: 'b_total' } },
        by: 0.001,
      }),
    ).toBe('sum(increase(a_total[5m])) / sum(increase(b_total[5m])) / 0.001');
    expect(promql({ kind: 'quantile', name: 'h', q: 0.95, window: 3600 })).toBe(
      'histogram_quantile(0.95, sum by (le) (rate(h_bucket[1h])))',
    );
    expect(promqlOf(rule('RequestsWaitWithoutTokens').when)).toBe(
      '(sum(inkstone:num_requests_waiting) > 0) and (sum(increase(inkstone:generation_tokens_total[1m])) == 0)',
    );
  });

  it('has the windows and factors of the Workbook', () => {
    const text = ruleFile(rules);
    for (const [times, long, short] of [
      ['14.4', '1h', '5m'],
      ['6', '6h', '30m'],
      ['1', '3d', '6h'],
    ])
      expect(text).toMatch(new RegExp(`\\[${long}\\].*> ${times}\\) and .*\\[${short}\\].*> ${times}\\)`));
  });
});

describe('drift', () => {
  it('is the population stability index', () => {
    // Siddiqi's formula by hand: (.6−.5)ln(.6/.5) + (.4−.5)ln(.4/.5).
    expect(stabilityIndex({ a: 50, b: 50 }, { a: 60, b: 40 })).toBeCloseTo(
      0.1 * Math.log(1.2) - 0.1 * Math.log(0.8),
      12,
    );
    expect(stabilityIndex({ a: 1 }, {})).toBeNaN();
  });

  it('stays low for the same traffic and rises for longer prompts, of that model alone', () => {
    const drift = new Drift();
    const send = (model: string, count: number, length: (i: number) => number): void => {
      for (let i = 0; i < count; i++) drift.add(model, { prompt: length(i), completion: 20, finish: 'stop' });
    };
    const short = (i: number): number => 5 + ((i * 37) % 100);
    send('a', 500, short);
    send('b', 500, short);
    expect([...drift.indices()]).toEqual([]);
    send('a', 400, short);
    send('b', 400, (i) => 20 * short(i));
    const index = (model: string, of: string): number =>
      [...drift.indices()].find((one) => one.model === model && one.of === of)?.index ?? Number.NaN;
    expect(index('a', 'prompt_length')).toBeLessThan(0.05);
    expect(index('b', 'prompt_length')).toBeGreaterThan(0.25);
    expect(index('b', 'answer_length')).toBeLessThan(0.05);
    drift.forget('b');
    expect(index('b', 'prompt_length')).toBeNaN();
  });
});

describe('alerts.json', () => {
  it('has a default for everything and names what is wrong', () => {
    expect(alertConfig.parse({})).toMatchObject({
      objectives: { availability: 0.999 },
      receivers: [],
      every: 15,
    });
    for (const wrong of [
      { objectives: { availability: 1 } },
      { receivers: [{ type: 'webhook', url: 'file:///etc/passwd' }] },
      { receivers: [{ type: 'email', host: 'x', from: 'no', to: [] }] },
      { unknown: 1 },
    ])
      expect(alertConfig.safeParse(wrong).success).toBe(false);
  });
});

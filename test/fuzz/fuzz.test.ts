/** The short twin of `npm run fuzz`; with INKSTONE_FUZZ_REQUESTS it is the long one. */
import { expect, it } from 'vitest';
import { LetterReplica } from '../../src/serve/testing.ts';
import { wireHome } from '../wire/harness.ts';
import { fuzz } from './fuzz.ts';

const home = wireHome(['letters']);
const requests = Number(process.env.INKSTONE_FUZZ_REQUESTS ?? 1500);
const seed = Number(process.env.INKSTONE_FUZZ_SEED ?? 1);

it(`no request of ${requests} brings the server down, makes it hang or gets a 5xx but 503`, {
  timeout: 3_600_000,
}, async () => {
  const stray: unknown[] = [];
  const onStray = (thrown: unknown): void => void stray.push(thrown);
  process.on('unhandledRejection', onStray);
  const failures: string[] = [];
  // A model that stops by itself: no answer is as long as a number that chance wrote.
  const { server } = await home.start(new LetterReplica('letters', { stopAfter: 12, context: 4096 }), {
    log: (message, details) => failures.push(`${message} ${JSON.stringify(details)}`),
  });
  const report = await fuzz({ address: server.address, requests, seed });
  process.off('unhandledRejection', onStray);
  process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`);
  expect([...report.problems, ...failures.filter((line) => line.startsWith('request failed'))]).toEqual([]);
  expect(stray).toEqual([]);
  // It was no waste: answers and refusals of many kinds.
  expect(report.statuses['200']).toBeGreaterThan(requests / 20);
  expect(report.statuses['400']).toBeGreaterThan(requests / 20);
});

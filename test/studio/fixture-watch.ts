/** Live numbers by a script: what `/api/watch` answers, with silences that last. */
export class FixtureWatch {
  readonly silences: { id: string; rule: string; until: number; comment: string; by: string }[] = [];

  answer(): object {
    const at = 1_763_900_200_000;
    const points = Array.from({ length: 40 }, (_, i) => ({
      at: at - (39 - i) * 15_000,
      running: i % 5,
      waiting: Math.max(0, (i % 7) - 4),
      requestsPerSecond: 1.5,
      tokensPerSecond: i < 5 ? null : 40 + i,
      rejectionsPerSecond: 0,
      firstToken50: i < 10 ? null : 0.2,
      firstToken95: i < 10 ? null : 0.5 + i / 100,
      betweenTokens95: 0.031,
      queueAge: 0,
      memoryUsed: 0.5,
      diskUsed: 0.4,
    }));
    const alert = (rule: string, severity: string, state: string, summary: string) => ({
      ...{ rule, severity, state, summary, hint: 'Look at the log.', since: at - 600_000, value: 1 },
      silenced: this.silences.some((one) => one.rule === rule),
    });
    return {
      ...{ at, every: 15, points },
      queue: { running: 3, waiting: 2, capacity: 64, concurrency: 16, oldest: 1.5 },
      machine: { memoryUsed: 0.512, diskUsed: 0.4, models: 1e9 },
      replicas: [
        {
          model: 'starter',
          state: 'ready',
          progress: 1,
          memory: 412_000_000,
          restarts: 1,
          running: 3,
          waiting: 2,
          cacheUsed: 0.42,
        },
        {
          model: 'sea-letters',
          state: 'starting',
          progress: 0.5,
          memory: null,
          restarts: 0,
          running: 0,
          waiting: 0,
          cacheUsed: null,
        },
      ],
      alerts: [
        alert('QueueOld', 'page', 'firing', 'A request has waited longer than 30 s'),
        alert('CacheNearlyFull', 'ticket', 'pending', 'Over 90 % of the memory for keys and values is used'),
      ],
      silences: this.silences,
      keys: [
        {
          id: 'k1',
          name: 'laptop',
          prefix: 'ink-abcdef',
          expires: null,
          requests: 1234,
          prompt: 5_600_000,
          completion: 780_000,
          cost: 6.38,
          spent: 6.38,
          budget: 10,
          period: 'month',
        },
        {
          id: 'k2',
          name: 'prometheus',
          prefix: 'ink-ghijkl',
          expires: null,
          requests: 0,
          prompt: 0,
          completion: 0,
          cost: 0,
          spent: 0,
          budget: null,
          period: 'total',
        },
      ],
    };
  }
}

/** `inkstone soak`: whether a server under constant load keeps its memory, its handles and its tables. */
import { InkstoneError } from '../../base/errors.ts';
import { makeTemporaryFolder, removeFile } from '../../base/host.ts';
import { z } from '../../base/schema.ts';
import { command } from '../command.ts';
import { soak } from '../soak.ts';

const schema = z.object({
  minutes: z.number().gt(0).max(10_080).default(20).describe('how long; half of it is for warming up'),
  people: z.int().min(1).max(256).default(4).describe('requests under way at once'),
  model: z.string().optional().describe('whom to ask (default: the first there is)'),
  home: z
    .string()
    .optional()
    .describe('folder for all state (default: a temporary one; the shipped model is there in every home)'),
});

export default command({
  name: 'soak',
  summary: 'load a real server for a while and see whether memory, handles or tables grow',
  description:
    'Starts a server of its own and asks without a pause: whole answers, streams, streams that are left half-way, files and kept responses that come and go, under a key of its own. The first half of the time is for warming up: caches fill, and heaps and allocators find their size. In the second half each part of the server (the server itself, its models, an embedded database) is judged for itself: resident memory, what its JavaScript holds after each whole collection (`held`, as `/metrics` tells it), and open handles. A slope is that of Theil and Sen over medians of looks, with its 95 % interval; it counts as growth where the interval lies above nothing, each half of the judged time rises at least half as steeply (a step or what levels off is none), and what it adds is more than three times the noise. A table grows that has more rows when all is over than when it was warm. `growing` names what grows, `flat` says whether nothing does, and is null where too little was seen. A few minutes tell little of memory: heaps grow until they have been collected a few times.',
  schema,
  examples: ['soak --minutes 20 --json', 'soak --minutes 2 --people 8'],
  async run({ minutes, people, model, home }, { signal, progress }) {
    const folder = home ?? (await makeTemporaryFolder('inkstone-soak'));
    try {
      const result = await soak({
        ...{ home: folder, minutes, people, model, signal },
        tell: (text) => progress.show(text),
      });
      progress.end();
      if (result.requests.answered + result.requests.streamed === 0)
        throw new InkstoneError('soak_failed', 'the server answered nothing', { details: { ...result } });
      return result;
    } finally {
      if (home === undefined) await removeFile(folder);
    }
  },
});

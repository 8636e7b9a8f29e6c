import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventData } from './sse.ts';

function stream(parts: Uint8Array[], onCancel = () => {}): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const part = parts[at++];
      if (part === undefined) controller.close();
      else controller.enqueue(part);
    },
    cancel: onCancel,
  });
}

async function all(...texts: string[]): Promise<string[]> {
  const found: string[] = [];
  const bytes = texts.map((text) => new TextEncoder().encode(text));
  for await (const data of eventData(stream(bytes))) found.push(data);
  return found;
}

describe('eventData', () => {
  it('reads events, several data lines, comments and other fields', async () => {
    expect(await all(': hello\nevent: x\nid: 1\ndata: a\ndata: b\n\ndata:c\n\ndata\n\n')).toEqual([
      'a\nb',
      'c',
      '',
    ]);
  });

  it('takes any line ending', async () => {
    expect(await all('data: a\r\n\r\ndata: b\r\rdata: c\n\n')).toEqual(['a', 'b', 'c']);
  });

  it('drops an event that never ended', async () => {
    expect(await all('data: a\n\ndata: half')).toEqual(['a']);
  });

  it('does not care where the bytes are cut', async () => {
    const text = 'data: {"text":"砚台 é 😀"}\r\n\r\n: c\ndata: two\ndata: lines\n\ndata: [DONE]\n\n';
    const bytes = new TextEncoder().encode(text);
    const whole = await all(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
        const places = [0, ...cuts.sort((one, other) => one - other), bytes.length];
        const parts = places.slice(1).map((end, index) => bytes.slice(places[index], end));
        const found: string[] = [];
        for await (const data of eventData(stream(parts))) found.push(data);
        expect(found).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('cancels the stream when it is left early', async () => {
    let cancelled = false;
    const bytes = new TextEncoder().encode('data: a\n\ndata: b\n\n');
    const endless = stream([bytes, bytes, bytes, bytes], () => {
      cancelled = true;
    });
    for await (const data of eventData(endless)) if (data === 'a') break;
    expect(cancelled).toBe(true);
  });
});

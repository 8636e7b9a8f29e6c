/**
 * Server-sent events out of a byte stream, by the WHATWG rules (any line ending, several data lines,
 * comments, characters split between chunks). Does not know what the data mean.
 */

/** Yields the `data` of each event. Ends with the stream; frees the connection when left early. */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      // A lone \r at the end may be the first half of \r\n: wait for the next chunk.
      const held = !done && rest.endsWith('\r') ? 1 : 0;
      const lines = rest.slice(0, rest.length - held).split(/\r\n|\n|\r/);
      rest = (lines.pop() ?? '') + rest.slice(rest.length - held);
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) yield data.join('\n');
          data = [];
        } else if (line === 'data') data.push('');
        else if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

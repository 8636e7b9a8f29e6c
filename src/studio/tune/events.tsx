/** What happened to a tuning job, the newest first, as the wire tells it. */
import { useEffect, useState } from 'preact/hooks';
import { sendForJson } from '../api/client.ts';
import type { TuningEvent } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { isFinal, type Watched } from '../train/jobs.ts';

export function Events({ id, known }: { id: string; known: Watched }) {
  const { t, format } = useTexts();
  const words = t.tune;
  const [events, setEvents] = useState<readonly TuningEvent[]>([]);
  const state = known.job?.state;
  const judged = known.points.filter(({ val_loss }) => val_loss !== undefined).length;
  useEffect(() => {
    let gone = false;
    // They come with each evaluation and with the end; where they fail to come, the chart tells the same.
    sendForJson<{ data: TuningEvent[] }>(`/v1/fine_tuning/jobs/${encodeURIComponent(id)}/events?limit=1000`)
      .then(({ data }) => !gone && setEvents(data))
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, [id, state, judged]);

  const sentence = ({ id: event, message, data }: TuningEvent): string | undefined => {
    if (data?.valid_loss !== undefined)
      return words.happened.validation(format.integer(data.step ?? 0), format.decimal(data.valid_loss, 3));
    if (data?.train_loss !== undefined) return undefined;
    if (event.endsWith('-created')) return words.happened.created;
    if (event.endsWith('-end') && state !== undefined && isFinal(state)) {
      const end = words.happened[state as 'succeeded' | 'cancelled' | 'failed'];
      return state === 'failed' ? `${end} ${message}` : end;
    }
    return message;
  };
  const told = events
    .map((event) => ({ id: event.id, text: sentence(event) }))
    .filter(({ text }) => text !== undefined);
  return (
    <>
      <h2 id="samples-title" class="section-title">
        {words.events}
      </h2>
      {told.length === 0 ? (
        <p class="quiet-note">{words.eventsEmpty}</p>
      ) : (
        <ol class="events">
          {told.map((event) => (
            <li key={event.id}>{event.text}</li>
          ))}
        </ol>
      )}
    </>
  );
}

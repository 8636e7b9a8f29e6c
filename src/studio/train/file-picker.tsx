/** Giving a file, or several pictures as one: drop it, choose it, or take one that was given before. Uploads at once. */
import { useEffect, useState } from 'preact/hooks';
import { type Problem, sendForJson, toProblem } from '../api/client.ts';
import type { FileInfo } from '../api/types.ts';
import { useTexts } from '../i18n/index.ts';
import { CheckMark, Sheet } from '../parts/icons.tsx';
import { ProblemNote } from '../parts/problem.tsx';
import { ProgressBar } from '../parts/progress.tsx';
import { upload } from './jobs.ts';
import { toSend } from './pack.ts';

/** No attribute of the standard, and of all browsers. */
const FOLDER: object = { webkitdirectory: true };

interface Properties {
  label: string;
  help: string;
  /** Endings and types that the browser offers. */
  accept: string;
  file: { id: string; name: string } | undefined;
  wrong: boolean;
  /** Several pictures or a folder of them are taken, too, and packed together. */
  several?: boolean;
  /** Said where there is none, and where it is empty; else what is said of a text. */
  words?: { needed: string; empty: string };
  choose: (file: FileInfo | undefined) => void;
}

export function FilePicker({ label, help, accept, file, wrong, several = false, words, choose }: Properties) {
  const { t, format } = useTexts();
  const [over, setOver] = useState(false);
  const [sending, setSending] = useState<File>();
  const [note, setNote] = useState<string>();
  const [problem, setProblem] = useState<Problem>();
  const [earlier, setEarlier] = useState<readonly FileInfo[]>([]);
  useEffect(() => {
    // Only an offer: where it fails, a file can still be given.
    sendForJson<{ data: FileInfo[] }>('/api/files')
      .then(({ data }) => setEarlier([...data].sort((one, other) => other.created - one.created)))
      .catch(() => {});
  }, []);

  const take = async (given: File | undefined) => {
    if (given === undefined) return;
    setProblem(undefined);
    setNote(undefined);
    choose(undefined);
    if (given.size === 0) return setNote(words?.empty ?? t.train.fileEmpty);
    setSending(given);
    try {
      const sent = await upload(given);
      setEarlier((known) => [sent, ...known.filter((other) => other.id !== sent.id)]);
      choose(sent);
    } catch (thrown) {
      setProblem(toProblem(thrown));
    } finally {
      setSending(undefined);
    }
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    takeAll(event.dataTransfer?.files);
  };
  const message =
    note ?? (wrong && sending === undefined ? (words?.needed ?? t.train.fileNeeded) : undefined);
  const takeAll = (given: FileList | null | undefined) => {
    const files = [...(given ?? [])];
    void take(several ? toSend(files) : files[0]);
  };
  const input = {
    type: 'file',
    'aria-describedby': 'train-file-help',
    'aria-invalid': message !== undefined,
    onChange: (event: Event & { currentTarget: HTMLInputElement }) => {
      takeAll(event.currentTarget.files);
      // The same file may be chosen again after it was changed.
      event.currentTarget.value = '';
    },
  } as const;
  const chosen = earlier.find((other) => other.id === file?.id);
  return (
    <div class="field">
      <span class="field-label" id="train-file-label">
        {label}
      </span>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is extra; the button inside does the same */}
      <div
        class={`drop-area${over ? ' over' : ''}${message === undefined ? '' : ' wrong'}`}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        {file === undefined ? <Sheet /> : <CheckMark />}
        <div class="drop-words" aria-live="polite">
          {sending !== undefined && (
            <>
              <span>
                {t.train.uploading} {sending.name} ({format.bytes(sending.size)})
              </span>
              <ProgressBar value={undefined} label={t.train.uploading} />
            </>
          )}
          {sending === undefined && file !== undefined && (
            <span>
              {t.train.uploaded}: <strong>{file.name}</strong>
              {chosen !== undefined && <> ({format.bytes(chosen.bytes)})</>}
            </span>
          )}
          {sending === undefined && file === undefined && <span>{t.train.drop}</span>}
        </div>
        <label class="button file-button">
          <input
            {...input}
            id="train-file"
            accept={several ? `${accept},image/*` : accept}
            multiple={several}
            aria-labelledby="train-file-label train-file-action"
          />
          <span id="train-file-action">{file === undefined ? t.train.choose : t.train.replace}</span>
        </label>
        {several && (
          <label class="button file-button">
            <input
              {...input}
              id="train-folder"
              {...FOLDER}
              aria-labelledby="train-file-label train-folder-action"
            />
            <span id="train-folder-action">{t.tune.pictures.folder}</span>
          </label>
        )}
      </div>
      <p id="train-file-help" class={message === undefined ? 'help' : 'field-note'}>
        {message ?? help}
      </p>
      {earlier.length > 0 && (
        <div class="earlier-files">
          <label for="train-earlier">{t.train.earlierFiles}</label>
          <select
            id="train-earlier"
            value={file?.id ?? ''}
            onChange={(event) => choose(earlier.find((other) => other.id === event.currentTarget.value))}
          >
            <option value="">{t.train.noEarlierFile}</option>
            {earlier.map((other) => (
              <option key={other.id} value={other.id}>
                {other.name} ({format.bytes(other.bytes)})
              </option>
            ))}
          </select>
        </div>
      )}
      {problem !== undefined && <ProblemNote problem={problem} />}
    </div>
  );
}

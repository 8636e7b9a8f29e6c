/** A button that copies a text and says so. */
import { useEffect, useState } from 'preact/hooks';
import { useTexts } from '../i18n/index.ts';
import { CheckMark, CopyMark } from './icons.tsx';

const SHOWN_MS = 1800;

/** Copies by the clipboard API, or by a selection where the page has no right to it (plain http). */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'visually-hidden';
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

interface Properties {
  text: () => string;
  quiet?: boolean;
  /** Said instead of “Copy”. */
  label?: string;
}

export function CopyButton({ text, quiet = true, label }: Properties) {
  const { t } = useTexts();
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (state !== 'copied') return;
    const timer = setTimeout(() => setState('idle'), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async () => setState((await copyText(text())) ? 'copied' : 'failed');
  return (
    <>
      <button type="button" class={quiet ? 'button quiet' : 'button'} onClick={() => void copy()}>
        {state === 'copied' ? <CheckMark /> : <CopyMark />}
        {state === 'copied' ? t.common.copied : (label ?? t.common.copy)}
      </button>
      <span role="status" class={state === 'failed' ? 'field-note' : 'visually-hidden'}>
        {state === 'copied' ? t.common.copied : state === 'failed' ? t.common.copyFailed : ''}
      </span>
    </>
  );
}

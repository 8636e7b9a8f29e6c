/** One picture large, with what it was made from, its download, and where it can be taken. */

import type { ComponentChildren } from 'preact';
import { addressOf, endingOf, type Made } from '../api/pictures.ts';
import { useTexts } from '../i18n/index.ts';
import { Facts } from '../parts/facts.tsx';
import { DownMark } from '../parts/icons.tsx';
import { fileName } from './settings.ts';

interface Properties {
  picture: Made;
  model: string;
  title: string;
  /** Name and value, beside seed and class. */
  facts?: readonly (readonly [string, string])[];
  /** Begins the id of its heading, where a page has several. */
  prefix?: string;
  children?: ComponentChildren;
}

export function ChosenPicture({
  picture,
  model,
  title,
  facts = [],
  prefix = 'chosen',
  children,
}: Properties) {
  const { t, format } = useTexts();
  const { seed, label, type } = picture;
  const all = [
    [t.pictures.seed, format.seed(seed)],
    ...(label === '' ? [] : [[t.pictures.label, label]]),
    ...facts,
  ];
  return (
    <section class="chosen-picture" aria-labelledby={`${prefix}-title`}>
      <h2 id={`${prefix}-title`} class="sheet-label">
        {title}
      </h2>
      <img src={addressOf(picture)} alt={t.pictures.tile(format.seed(seed), label)} />
      <Facts list={all} look="picture-facts" />
      <div class="actions">
        <a
          class="button"
          href={addressOf(picture)}
          download={fileName(model, `seed${seed}${label === '' ? '' : `-${label}`}`, endingOf(type))}
        >
          <DownMark />
          {t.pictures.download}
        </a>
        {children}
      </div>
    </section>
  );
}

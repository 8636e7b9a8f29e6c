/**
 * What there is to say of pictures that were prepared: what was passed over, labels that are not used, and how many look alike,
 * within the training data and between training and test data. For JSON, people and a card.
 */
import type { Alike } from '../data/image/alike.ts';
import type { ImageSet } from '../data/image/array-file.ts';
import { trainedOn } from '../data/image/leak.ts';

export interface NearDuplicates {
  count: number;
  /** Whether there may be more. */
  at_least: boolean;
  /** Names of the first two. */
  first?: [string, string];
}

/** What counts as alike: docs/protocol-image.md. */
export interface DuplicateReport {
  /** Training pictures that look like an earlier one, `first`. */
  near_duplicates: NearDuplicates;
  /** Test pictures that look like a training picture: that one and the first of them. Where there is a test part. */
  test_near_duplicates?: NearDuplicates;
}

function told({ pairs, complete }: Alike, here: ImageSet, there: ImageSet): NearDuplicates {
  const [pair] = pairs;
  return {
    ...{ count: pairs.length, at_least: !complete },
    ...(pair === undefined ? {} : { first: [here.names[pair[0]] ?? '', there.names[pair[1]] ?? ''] }),
  };
}

export async function duplicatesOf(training: ImageSet, test: ImageSet | undefined): Promise<DuplicateReport> {
  const { alike, alikeComplete } = training.info;
  return {
    near_duplicates: told({ pairs: [...alike], complete: alikeComplete }, training, training),
    ...(test === undefined
      ? {}
      : { test_near_duplicates: told(await trainedOn(training, test), training, test) }),
  };
}

const many = ({ count, at_least }: NearDuplicates, what: string): string =>
  `${at_least ? 'at least ' : ''}${count} ${what}${count === 1 ? '' : 's'}`;
const verb = ({ count }: NearDuplicates): string => (count === 1 ? 'looks' : 'look');

/** What there is to say; nothing where nothing looks alike and all were compared. */
export function duplicateLines({
  near_duplicates: within,
  test_near_duplicates: test,
}: Partial<DuplicateReport>): string[] {
  const isSaid = (one: NearDuplicates | undefined): one is NearDuplicates =>
    one !== undefined && (one.count > 0 || one.at_least);
  return [
    ...(isSaid(within)
      ? [
          `${many(within, 'picture')} ${verb(within)} like an earlier one${within.first === undefined ? '' : `, first ${within.first[1]} like ${within.first[0]}`}`,
        ]
      : []),
    ...(isSaid(test)
      ? [
          `${many(test, 'test picture')} ${verb(test)} like a training picture${test.first === undefined ? '' : `, first number ${test.first[1]} like training picture ${test.first[0]}`}: what the model learned by heart counts there`,
        ]
      : []),
  ];
}

/** @param file where all that was passed over is listed, if that stays */
export function preparedLines({ info: { skipped, unlisted } }: ImageSet, file?: string): string[] {
  const [first] = skipped;
  const passed =
    skipped.length === 1 ? '1 file was passed over:' : `${skipped.length} files were passed over, first`;
  return [
    ...(first === undefined
      ? []
      : [
          `${passed} ${first.name} (${first.problem})${skipped.length === 1 || file === undefined ? '' : `; all are listed in ${file}`}`,
        ]),
    ...(unlisted === undefined
      ? []
      : [
          `${unlisted.table} leaves out ${unlisted.count} ${unlisted.count === 1 ? 'picture' : 'pictures, first'} ${unlisted.first}: no labels are used`,
        ]),
  ];
}

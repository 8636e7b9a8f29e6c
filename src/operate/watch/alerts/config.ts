/** `alerts.json` in the home folder: objectives, receivers, grouping. Made by the operator; all of it has defaults. */
import path from 'node:path';
import { z } from 'zod';
import { InkstoneError } from '../../../base/errors.ts';
import { exists, readText } from '../../../base/host.ts';
import { GROUPING } from './notify.ts';
import { receiver } from './receivers.ts';
import { OBJECTIVES } from './rules.ts';

const positive = z.number().positive();

export const alertConfig = z.strictObject({
  objectives: z
    .strictObject({
      availability: z.number().gt(0).lt(1).default(OBJECTIVES.availability),
      firstToken: positive.default(OBJECTIVES.firstToken),
      queueAge: positive.default(OBJECTIVES.queueAge),
      backupAge: positive.default(OBJECTIVES.backupAge),
      drift: positive.default(OBJECTIVES.drift),
    })
    .default(OBJECTIVES),
  /** Names of rules that are not evaluated. */
  off: z.array(z.string()).default([]),
  /** Seconds between two looks. */
  every: positive.max(300).default(15),
  group: z
    .strictObject({
      wait: z.number().min(0).default(GROUPING.wait),
      interval: positive.default(GROUPING.interval),
      repeat: positive.default(GROUPING.repeat),
    })
    .default(GROUPING),
  receivers: z.array(receiver).default([]),
});
export type AlertConfig = z.infer<typeof alertConfig>;

/** @throws InkstoneError `alert_config_invalid` */
export async function readAlertConfig(home: string): Promise<AlertConfig> {
  const file = path.join(home, 'alerts.json');
  if (!(await exists(file))) return alertConfig.parse({});
  const wrong = (what: string): InkstoneError =>
    new InkstoneError('alert_config_invalid', `${file}: ${what}`, {
      kind: 'usage',
      hint: 'see docs/watching.md',
    });
  let given: unknown;
  try {
    given = JSON.parse(await readText(file));
  } catch (thrown) {
    throw wrong((thrown as Error).message);
  }
  const read = alertConfig.safeParse(given);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw wrong(`${issue?.path.join('.')}: ${issue?.message}`);
}

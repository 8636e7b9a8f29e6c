/** Writes the two files of an evaluation's card. Knows commands' surroundings; measures nothing. */
import path from 'node:path';
import { machine, makeFolder, timestamp, writeFile } from '../base/host.ts';
import type { HostTensors } from '../base/tensor.ts';
import { codeVersion, commitOf } from '../base/version.ts';
import { type EvaluationCard, evaluationMarkdown, fingerprintWeights } from '../evaluate/report.ts';
import { commandLine } from './command-line.ts';
import { freeFolder } from './free-folder.ts';

export type CardFacts = Pick<EvaluationCard, 'data' | 'protocol' | 'results' | 'limits'>;

/** What a card says of a model of any family. */
export type CardModel = Omit<EvaluationCard['model'], 'weights'> & { weights: HostTensors };

/** @returns paths of `card.md` and `card.json` */
export async function writeEvaluationCard(
  model: CardModel,
  facts: CardFacts,
  out?: string,
): Promise<{ card: string; card_json: string }> {
  const folder = out ?? (await freeFolder(`evaluate-${model.name}`));
  const { cpu, cores, platform, architecture, node } = machine();
  const card: EvaluationCard = {
    model: {
      name: model.name,
      family: model.family,
      architecture: model.architecture,
      parameters: model.parameters,
      weights: fingerprintWeights(model.weights),
    },
    ...facts,
    command: commandLine(),
    version: await codeVersion(),
    commit: (await commitOf()) ?? null,
    machine: `${cpu}, ${cores} cores, ${platform} ${architecture}, Node ${node}`,
    created: timestamp(),
  };
  await makeFolder(folder);
  const [markdown, json] = [path.join(folder, 'card.md'), path.join(folder, 'card.json')];
  await writeFile(json, `${JSON.stringify(card, null, 2)}\n`);
  await writeFile(markdown, evaluationMarkdown(card));
  return { card: markdown, card_json: json };
}

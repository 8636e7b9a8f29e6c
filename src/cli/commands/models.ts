/** `inkstone models`: what can be served; folders are added and taken away. */
import { z } from 'zod';
import { InkstoneError } from '../../base/errors.ts';
import { WEIGHT_FORMATS } from '../../nn/quantise.ts';
import { contextOf, isOpen } from '../../operate/model-info.ts';
import { ModelRegistry } from '../../operate/registry.ts';
import { command } from '../command.ts';

const schema = z.object({
  action: z.enum(['list', 'add', 'remove', 'show', 'set']).default('list').describe('What to do'),
  name: z.string().optional().describe('Name of the model'),
  folder: z.string().optional().describe('Folder or GGUF file of the model to add'),
  weights: z.enum(WEIGHT_FORMATS).optional().describe('add, set: how its weights are kept when it is served'),
  home: z.string().optional().describe('Folder for all state (default: .inkstone)'),
});

export default command({
  name: 'models',
  summary: 'List the models that can be served; add or remove folders and GGUF files',
  schema,
  positionals: ['action', 'name', 'folder'],
  examples: [
    'models',
    'models add gpt2 ./checkpoints/gpt2',
    'models add small ./small.gguf',
    'models show starter',
    'models set starter --weights int8',
    'models remove gpt2',
  ],
  async run({ action, name, folder, weights, home }) {
    const registry = await ModelRegistry.open(home);
    const needed = (value: string | undefined, what: string): string => {
      if (value === undefined)
        throw new InkstoneError('argument_missing', `\`models ${action}\` needs ${what}`, {
          kind: 'usage',
          hint: 'see `inkstone models --help`',
        });
      return value;
    };
    if (action === 'add') {
      await registry.register(needed(name, 'a name'), needed(folder, 'a folder'));
      if (weights !== undefined) await registry.setWeights(needed(name, 'a name'), weights);
      return { added: name, folder, ...(weights === undefined ? {} : { weights }) };
    }
    if (action === 'remove') {
      const removed = await registry.unregister(needed(name, 'a name'));
      if (!removed)
        throw new InkstoneError('model_not_found', `${name} was not added by hand`, {
          kind: 'missing',
          hint: 'only added folders are removed; delete a run folder to forget a run',
        });
      return { removed: name };
    }
    if (action === 'set') {
      const id = needed(name, 'a name');
      const format = needed(weights, '--weights') as (typeof WEIGHT_FORMATS)[number];
      await registry.setWeights(id, format);
      return { set: id, weights: format };
    }
    if (action === 'show') {
      const model = await registry.find(needed(name, 'a name'));
      const { id, source, info, folder: place } = model;
      const kept = 'weights' in model ? model.weights : undefined;
      return {
        id,
        source,
        folder: place,
        ...(info.family !== 'image' && isOpen(info)
          ? { engine: info.engine, architecture: info.architecture, context: info.context, chat: info.chat }
          : info.config),
        parameters: info.parameters,
        weights: kept ?? 'float32',
        card: info.card,
      };
    }
    const pictures = await registry.pictures();
    return {
      models: [
        ...(await registry.list()).map(({ id, source, info, folder: place }) => ({
          ...{ id, source, family: 'text', parameters: info.parameters },
          context: contextOf(info),
          folder: place,
        })),
        ...pictures.map(({ id, source, info, folder: place }) => ({
          ...{ id, source, family: 'image', parameters: info.parameters },
          size: info.config.size,
          folder: place,
        })),
      ],
    };
  },
  show(result) {
    const listed = (
      result as {
        models?: {
          id: string;
          source: string;
          parameters: number;
          context?: number;
          size?: number;
          folder: string;
        }[];
      }
    ).models;
    if (listed === undefined)
      return Object.entries(result)
        .map(([key, value]) => `${key}: ${value}`)
        .join('\n');
    if (listed.length === 0) return 'No models yet. Train one: inkstone train text --data my.txt';
    return listed
      .map(
        (m) =>
          `${m.id.padEnd(24)} ${m.source.padEnd(8)} ${(m.parameters / 1e6).toFixed(1).padStart(7)} M  ${m.context === undefined ? `pictures ${String(m.size).padStart(4)}` : `context ${String(m.context).padStart(5)}`}  ${m.folder}`,
      )
      .join('\n');
  },
});

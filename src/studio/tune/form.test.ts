import { describe, expect, it } from 'vitest';
import type { FileCheck } from '../api/types.ts';
import { EMPTY, toRequest, tunedName, wrongFields } from './form.ts';

const talks = { ...EMPTY, base: 'starter', file: { id: 'f1', name: 'talks.jsonl' }, name: 'butler' };
const text = { ...EMPTY, base: 'starter', file: { id: 'f2', name: 'sea.txt' }, name: 'sea' };
const check = (more: Partial<FileCheck>): FileCheck =>
  ({
    kind: 'conversations',
    conversations: 3,
    error_count: 0,
    unknown_characters: [],
    template_missing: [],
    ...more,
  }) as FileCheck;

describe('the form', () => {
  it('names what is wrong, in the order of the page', () => {
    expect(wrongFields(EMPTY, undefined)).toEqual(['file', 'name']);
    expect(wrongFields(talks, check({}))).toEqual([]);
    expect(wrongFields({ ...talks, name: 'my butler', epochs: '0' }, check({}))).toEqual(['name', 'epochs']);
    expect(wrongFields({ ...text, steps: '1.5', batch: '0', rate: '-1', seed: 'x' }, undefined)).toEqual([
      ...['steps', 'batch', 'rate', 'seed'],
    ]);
  });

  it('does not send a file with bad lines, without conversations, or with characters the model lacks', () => {
    expect(wrongFields(talks, check({ error_count: 1 }))).toEqual(['file']);
    expect(wrongFields(talks, check({ conversations: 0 }))).toEqual(['file']);
    expect(wrongFields(text, check({ kind: 'text', unknown_characters: ['墨'] }))).toEqual(['file']);
    expect(wrongFields(talks, check({ template_missing: ['U'] } as never))).toEqual(['file']);
    // In conversations they are only left out.
    expect(wrongFields(talks, check({ unknown_characters: ['墨'] }))).toEqual([]);
  });

  it('becomes a fine-tuning job for conversations', () => {
    expect(toRequest({ ...talks, how: 'adapters', rate: '0.5', seed: '7' })).toEqual({
      path: '/v1/fine_tuning/jobs',
      body: {
        ...{ model: 'starter', training_file: 'f1', suffix: 'butler', seed: 7 },
        method: {
          type: 'supervised',
          supervised: { hyperparameters: { n_epochs: 3, learning_rate_multiplier: 0.5, lora_rank: 8 } },
        },
      },
    });
  });

  it('becomes a training that goes on for plain text', () => {
    expect(toRequest({ ...text, batch: '4', rate: '2' })).toEqual({
      path: '/api/trainings',
      body: { name: 'sea', file: 'f2', from: 'starter', steps: 100, batch_size: 4, learning_rate: 6e-4 },
    });
  });

  it('tells the name in advance', () => {
    expect(tunedName('my/model', 'x')).toBe('ft:my-model:inkstone:x:…');
  });
});

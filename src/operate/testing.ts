/** A model for tests: a tiny GPT-2 of random weights whose tokens are the bytes, by number, and an end of text. */
import path from 'node:path';
import { makeFolder, writeFile } from '../base/host.ts';
import { BpeTokenizer, END_OF_TEXT } from '../data/tokenizer/bpe.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { gpt2Parameters } from '../models/index.ts';
import { initialise } from '../nn/parameters.ts';

export const BYTE_END = 256;

/** Writes it to `folder`. */
export async function writeByteModel(folder: string, context = 512): Promise<void> {
  const tokens = Array.from({ length: BYTE_END + 1 }, (_, id) =>
    id === BYTE_END ? new TextEncoder().encode(END_OF_TEXT) : Uint8Array.of(id),
  );
  const tokenizer = new BpeTokenizer({ tokens, merges: [], endOfText: BYTE_END });
  const model = { layers: 1, heads: 2, width: 16, context, vocabulary: BYTE_END + 1, bias: true };
  await makeFolder(folder);
  const config = { family: 'text', architecture: 'gpt2', model, created: 5 };
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(path.join(folder, 'tokenizer.json'), tokenizer.toJson());
  const weights = initialise(gpt2Parameters(model), 5);
  await writeFile(path.join(folder, 'model.safetensors'), writeSafetensors(weights));
}

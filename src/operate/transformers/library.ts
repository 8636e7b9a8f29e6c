/**
 * The part of transformers.js that is used here, and how it is loaded: it comes with no install, so its types cannot be
 * imported. Only files of this machine are read. Knows no requests.
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { InkstoneError } from '../../base/errors.ts';
import type { OnnxFolder } from '../../models/text/onnx-info.ts';
import { entryOf, type InstallOptions, install } from '../packages/install.ts';

export interface LibraryTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array | Uint16Array;
}

export interface LibraryModel {
  (inputs: Record<string, unknown>): Promise<Record<string, LibraryTensor>>;
  readonly sessions: { model: { inputNames: readonly string[] } };
  dispose(): Promise<unknown>;
}

interface FromFolder {
  from_pretrained(
    name: string,
    options: {
      local_files_only: true;
      device: 'cpu';
      dtype: string;
      subfolder: string;
      session_options: { intraOpNumThreads: number };
    },
  ): Promise<LibraryModel>;
}

interface Library {
  env: { allowRemoteModels: boolean; localModelPath: string; useFSCache?: boolean; logLevel?: number };
  AutoModel: FromFolder;
  AutoModelForCausalLM: FromFolder;
  Tensor: new (type: 'int64', data: BigInt64Array, dims: readonly number[]) => LibraryTensor;
}

export interface OpenedModel {
  run: LibraryModel;
  /** A row of whole numbers as the library wants it: `[1, n]`. */
  row(values: readonly number[]): LibraryTensor;
}

/** Fetches the package where it is missing. @throws InkstoneError `package_unavailable`, `model_invalid` */
export async function openOnnx(
  folder: string,
  { file, precision, reads }: OnnxFolder,
  threads: number,
  options: InstallOptions = {},
): Promise<OpenedModel> {
  const installed = await install('transformers', options);
  const library = (await import(pathToFileURL(await entryOf(installed)).href)) as Library;
  const whole = path.resolve(folder);
  library.env.allowRemoteModels = false;
  library.env.localModelPath = path.dirname(whole);
  try {
    const run = await library[reads ? 'AutoModel' : 'AutoModelForCausalLM'].from_pretrained(
      path.basename(whole),
      {
        local_files_only: true,
        device: 'cpu',
        dtype: precision,
        subfolder: file.startsWith('onnx/') ? 'onnx' : '',
        session_options: { intraOpNumThreads: threads },
      },
    );
    return {
      run,
      row: (values) => new library.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]),
    };
  } catch (cause) {
    throw new InkstoneError(
      'model_invalid',
      `transformers.js does not load ${folder}: ${(cause as Error).message}`,
      {
        kind: 'data',
        hint: 'fetch the files again, or take a model of an architecture that transformers.js knows',
        cause,
      },
    );
  }
}

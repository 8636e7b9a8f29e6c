/**
 * Models by name: the starter that ships with the package, finished or running trainings under the home
 * folder, and folders that were registered. Knows where models are, not how they run.
 */
import path from 'node:path';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, facts, homeFolder, listFiles, packageFolder } from '../base/host.ts';
import { nearest } from '../base/nearest.ts';
import { SharedLook } from '../base/shared-look.ts';
import { describeImageModel, familyOf, type ImageModelInfo } from '../models/image/load.ts';
import { WEIGHT_FORMATS, type WeightFormat } from '../nn/quantise.ts';
import { openStore } from '../store/index.ts';
import { type AnyModelInfo, describeModel, isOpen, refusePickle } from './model-info.ts';

export interface RegisteredModel {
  id: string;
  /** Of a GGUF model the file. */
  folder: string;
  source: 'starter' | 'run' | 'folder';
  info: AnyModelInfo;
  /** How its weights are kept when it is served; undefined where nobody has said. */
  weights?: WeightFormat;
}

export interface RegisteredPictures extends Omit<RegisteredModel, 'info' | 'weights'> {
  info: ImageModelInfo;
}

type Place = Omit<RegisteredModel, 'info' | 'weights'>;

interface ModelRow extends Row {
  folder: string;
}

interface SettingsRow extends Row {
  weights: string;
}

/** Folders that are opened at a time. */
const TOGETHER = 8;

export class ModelRegistry {
  readonly home: string;
  private readonly store: Store;
  /** Each opens every folder: many requests at once for names that are not there would cost as many times all of them. */
  private readonly texts = new SharedLook(() => this.allTexts());
  private readonly images = new SharedLook(() => this.allPictures());

  constructor(home: string, store: Store) {
    this.home = home;
    this.store = store;
  }

  static async open(home: string = homeFolder()): Promise<ModelRegistry> {
    return new ModelRegistry(home, await openStore(home));
  }

  /** Where models may be, the starter first; a name that stands twice counts where it stands first. */
  private async places(): Promise<Place[]> {
    const shipped = path.join(packageFolder, 'models');
    const runs = path.join(this.home, 'runs');
    const rows = await this.store.rows.list<ModelRow>('models');
    return [
      ...(await namesIn(shipped)).map((id) => ({
        id,
        folder: path.join(shipped, id),
        source: 'starter' as const,
      })),
      ...(await namesIn(runs)).map((id) => ({ id, folder: path.join(runs, id), source: 'run' as const })),
      ...rows.map(({ id, folder }) => ({ id, folder, source: 'folder' as const })),
    ];
  }

  /** All that can be served, the starter first. Folders that cannot be read are left out. */
  list(): Promise<readonly RegisteredModel[]> {
    return this.texts.get();
  }

  private async allTexts(): Promise<RegisteredModel[]> {
    const places = await this.places();
    // A run that was given a name of its own stands under that one only.
    const named = new Set(
      places.filter(({ source }) => source === 'folder').map(({ folder }) => path.resolve(folder)),
    );
    return readAll(
      places.filter(({ source, folder }) => source !== 'run' || !named.has(path.resolve(folder))),
      readable,
    );
  }

  /** All that make pictures. */
  pictures(): Promise<readonly RegisteredPictures[]> {
    return this.images.get();
  }

  private async allPictures(): Promise<RegisteredPictures[]> {
    return readAll(await this.places(), readablePictures);
  }

  /** A model of any family. @throws InkstoneError `model_not_found`, with the nearest name */
  async find(id: string): Promise<RegisteredModel | RegisteredPictures> {
    // Asked for with every request: only what has the name is opened.
    for (const place of await this.places()) {
      const model = place.id === id ? await readablePictures(place) : undefined;
      if (model !== undefined) return model;
    }
    return this.get(id);
  }

  /** Whether a name is taken, readable or not. */
  async has(id: string): Promise<boolean> {
    return (await this.places()).some((place) => place.id === id);
  }

  /** @throws InkstoneError `model_not_found`, with the nearest name */
  async get(id: string): Promise<RegisteredModel> {
    for (const place of await this.places()) {
      const model = place.id === id ? await readable(place) : undefined;
      if (model === undefined) continue;
      const weights = await this.weightsOf(id);
      return weights === undefined ? model : { ...model, weights };
    }
    const names = [...(await this.list()), ...(await this.pictures())].map((m) => m.id);
    const close = nearest(id, names);
    throw new InkstoneError('model_not_found', `The model '${id}' does not exist`, {
      kind: 'missing',
      hint: close === undefined ? `there is ${names.join(', ') || 'no model yet'}` : `did you mean ${close}?`,
      details: { model: id, param: 'model' },
    });
  }

  /** Whether a model may be registered under a name. @throws InkstoneError `name_invalid`, `model_exists` */
  async requireFree(id: string): Promise<void> {
    if (!/^[\p{L}\p{N}][\p{L}\p{N}._:/-]{0,95}$/u.test(id) || id.includes('..'))
      throw new InkstoneError('name_invalid', `"${id}" cannot be a model's name`, {
        kind: 'usage',
        hint: 'use letters, digits, dots, dashes, underscores and slashes',
      });
    if ((await this.places()).some((place) => place.id === id && place.source !== 'folder'))
      throw new InkstoneError('model_exists', `there is a model named ${id} already`, {
        kind: 'conflict',
        hint: 'choose another name',
      });
  }

  /** @throws InkstoneError `name_invalid`, `model_exists`, `model_missing`, `model_invalid` */
  async register(id: string, folder: string): Promise<void> {
    await this.requireFree(id);
    const image = (await familyOf(folder)) === 'image';
    const info = await (image ? describeImageModel(folder) : describeModel(folder));
    if (!('engine' in info) && !(await hasWeights(folder)))
      throw new InkstoneError('model_missing', `there are no weights in ${folder}`, {
        kind: 'missing',
        hint: 'a model folder has model.safetensors, a run folder checkpoints',
      });
    await this.store.rows.put<ModelRow>('models', { id, folder: path.resolve(folder) });
  }

  /** Says how a model's weights are kept when it is served. @throws InkstoneError `model_not_found` */
  async setWeights(id: string, weights: WeightFormat): Promise<void> {
    await this.get(id);
    await this.store.rows.put<SettingsRow>('model-settings', { id, weights });
  }

  private async weightsOf(id: string): Promise<WeightFormat | undefined> {
    const row = await this.store.rows.get<SettingsRow>('model-settings', id);
    return WEIGHT_FORMATS.find((format) => format === row?.weights);
  }

  unregister(id: string): Promise<boolean> {
    return this.store.rows.remove('models', id);
  }
}

/** Those that can be read, in their order, each name once: several at a time, for most of it is waiting for the disk. */
async function readAll<M extends { id: string }>(
  places: readonly Place[],
  read: (place: Place) => Promise<M | undefined>,
): Promise<M[]> {
  const found = new Map<string, M>();
  for (let at = 0; at < places.length; at += TOGETHER) {
    const models = await Promise.all(places.slice(at, at + TOGETHER).map(read));
    for (const model of models) if (model !== undefined && !found.has(model.id)) found.set(model.id, model);
  }
  return [...found.values()];
}

async function namesIn(folder: string): Promise<string[]> {
  return (await exists(folder)) ? listFiles(folder) : [];
}

async function readable(place: Place): Promise<RegisteredModel | undefined> {
  try {
    const info = await describeModel(place.folder);
    return isOpen(info) || (await hasWeights(place.folder)) ? { ...place, info } : undefined;
  } catch (thrown) {
    if (!InkstoneError.is(thrown)) throw thrown;
    return undefined;
  }
}

async function readablePictures(place: Place): Promise<RegisteredPictures | undefined> {
  if ((await familyOf(place.folder)) !== 'image' || !(await hasWeights(place.folder))) return undefined;
  try {
    return { ...place, info: await describeImageModel(place.folder) };
  } catch (thrown) {
    if (!InkstoneError.is(thrown)) throw thrown;
    return undefined;
  }
}

/** What a folder with weights has one of: a file, an index of shards, a run's checkpoints. */
const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'checkpoints/best.safetensors',
  'checkpoints/last.safetensors',
];

async function hasWeights(folder: string): Promise<boolean> {
  for (const name of WEIGHTS) {
    if (await exists(path.join(folder, name))) return true;
  }
  return false;
}

/** A folder or a GGUF file as it is, or a registered name. @throws InkstoneError `model_not_found`, `model_pickled` */
export async function findModel(nameOrFolder: string): Promise<{ id: string; folder: string }> {
  if ((await facts(nameOrFolder))?.kind === 'file') {
    refusePickle(nameOrFolder);
    if (/\.gguf$/i.test(nameOrFolder))
      return { id: path.basename(nameOrFolder, path.extname(nameOrFolder)), folder: nameOrFolder };
  }
  if (await exists(path.join(nameOrFolder, 'config.json')))
    return { id: path.basename(path.resolve(nameOrFolder)), folder: nameOrFolder };
  const { id, folder } = await (await ModelRegistry.open()).find(nameOrFolder);
  return { id, folder };
}

/**
 * Models by name: the starter that ships with the package, finished or running trainings under the home
 * folder, and folders that were registered. Knows where models are, not how they run.
 */
import path from 'node:path';
import type { Row, Store } from '../base/contracts/store.ts';
import { InkstoneError } from '../base/errors.ts';
import { exists, homeFolder, listFiles, packageFolder } from '../base/host.ts';
import { nearest } from '../base/nearest.ts';
import { describeTextModel, type TextModelInfo } from '../models/text/load.ts';
import { openFileStore } from '../store/index.ts';

export interface RegisteredModel {
  id: string;
  folder: string;
  source: 'starter' | 'run' | 'folder';
  info: TextModelInfo;
}

interface ModelRow extends Row {
  folder: string;
}

export class ModelRegistry {
  readonly home: string;
  private readonly store: Store;

  constructor(home: string, store: Store) {
    this.home = home;
    this.store = store;
  }

  static async open(home: string = homeFolder()): Promise<ModelRegistry> {
    return new ModelRegistry(home, await openFileStore(path.join(home, 'store')));
  }

  /** All that can be served, the starter first. Folders that cannot be read are left out. */
  async list(): Promise<RegisteredModel[]> {
    const places: { id: string; folder: string; source: RegisteredModel['source'] }[] = [];
    const shipped = path.join(packageFolder, 'models');
    if (await exists(shipped))
      for (const id of await listFiles(shipped))
        places.push({ id, folder: path.join(shipped, id), source: 'starter' });
    const runs = path.join(this.home, 'runs');
    if (await exists(runs))
      for (const id of await listFiles(runs)) places.push({ id, folder: path.join(runs, id), source: 'run' });
    for (const row of await this.store.rows.list<ModelRow>('models'))
      places.push({ id: row.id, folder: row.folder, source: 'folder' });
    const found: RegisteredModel[] = [];
    for (const place of places) {
      if (found.some((m) => m.id === place.id) || !(await hasWeights(place.folder))) continue;
      try {
        found.push({ ...place, info: await describeTextModel(place.folder) });
      } catch (thrown) {
        if (!InkstoneError.is(thrown)) throw thrown;
      }
    }
    return found;
  }

  /** @throws InkstoneError `model_not_found`, with the nearest name */
  async get(id: string): Promise<RegisteredModel> {
    const all = await this.list();
    const found = all.find((m) => m.id === id);
    if (found !== undefined) return found;
    const close = nearest(
      id,
      all.map((m) => m.id),
    );
    throw new InkstoneError('model_not_found', `The model '${id}' does not exist`, {
      kind: 'missing',
      hint:
        close === undefined
          ? `there is ${all.map((m) => m.id).join(', ') || 'no model yet'}`
          : `did you mean ${close}?`,
      details: { model: id },
    });
  }

  async register(id: string, folder: string): Promise<void> {
    await describeTextModel(folder);
    await this.store.rows.put<ModelRow>('models', { id, folder: path.resolve(folder) });
  }

  unregister(id: string): Promise<boolean> {
    return this.store.rows.remove('models', id);
  }
}

async function hasWeights(folder: string): Promise<boolean> {
  for (const name of ['model.safetensors', 'checkpoints/best.safetensors', 'checkpoints/last.safetensors']) {
    if (await exists(path.join(folder, name))) return true;
  }
  return false;
}

/** A folder as it is, or a registered name. @throws InkstoneError `model_not_found` */
export async function findModel(nameOrFolder: string): Promise<{ id: string; folder: string }> {
  if (await exists(path.join(nameOrFolder, 'config.json')))
    return { id: path.basename(path.resolve(nameOrFolder)), folder: nameOrFolder };
  const { id, folder } = await (await ModelRegistry.open()).get(nameOrFolder);
  return { id, folder };
}

/** Which network the scores of pictures are computed on: what a flag says, else what stands beside the data, else plain pixels. */
import path from 'node:path';
import { exists, facts } from '../base/host.ts';
import { type FeatureNetwork, lenetFeatures, pixelFeatures } from '../evaluate/image/features.ts';
import { onnxFeatures } from '../evaluate/image/onnx-features.ts';
import type { Backend } from '../runtime/contract.ts';
import { FEATURES_FILE } from '../train/features-run.ts';

const BESIDE = 'lenet-mnist.safetensors';

/** The network's file: of a run of `train features` the one in it. */
export async function featuresFile(given: string): Promise<string> {
  return (await facts(given))?.kind === 'folder' ? path.join(given, FEATURES_FILE) : given;
}

export async function featureNetwork(
  wanted: string | undefined,
  data: string,
  { size, channels }: { size: number; channels: number },
  backend: Backend,
): Promise<FeatureNetwork> {
  if (wanted === 'pixels') return pixelFeatures();
  if (wanted !== undefined && /\.onnx$/i.test(wanted)) return onnxFeatures(wanted, backend);
  if (wanted !== undefined) return lenetFeatures(await featuresFile(wanted), backend);
  for (const folder of [data, path.dirname(data)]) {
    const file = path.join(folder, BESIDE);
    if (size === 28 && channels === 1 && (await exists(file))) return lenetFeatures(file, backend);
  }
  return pixelFeatures();
}

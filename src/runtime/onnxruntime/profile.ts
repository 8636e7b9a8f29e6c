/** Reads the Chrome trace that ONNX Runtime writes. */
import { listFiles, readText, removeFile } from '../../base/host.ts';
import type { ProfileEvent } from '../contract.ts';

interface TraceEvent {
  cat?: string;
  name?: string;
  ts?: number;
  dur?: number;
  args?: { op_name?: string; output_size?: string };
}

/** Kernel times of the file that starts with `prefix`; the file is removed. */
export async function readProfile(prefix: string): Promise<readonly ProfileEvent[]> {
  const slash = prefix.lastIndexOf('/');
  const folder = slash < 0 ? '.' : prefix.slice(0, slash);
  const start = prefix.slice(slash + 1);
  const events: ProfileEvent[] = [];
  for (const file of (await listFiles(folder)).filter((name) => name.startsWith(start))) {
    const path = `${folder}/${file}`;
    for (const event of JSON.parse(await readText(path)) as TraceEvent[]) {
      const kernel = event.cat === 'Node' && event.name?.endsWith('_kernel_time') === true;
      if (!kernel) continue;
      events.push({
        name: (event.name as string).replace('_kernel_time', ''),
        op: event.args?.op_name ?? '',
        bytes: Number(event.args?.output_size ?? 0),
        start: event.ts ?? 0,
        duration: event.dur ?? 0,
      });
    }
    await removeFile(path);
  }
  return events;
}

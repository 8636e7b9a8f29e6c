/** `inkstone pull`: a model from a hub, an address or a folder, checked and registered. */
import { environment, monotonic } from '../../base/host.ts';
import { bar, bytes } from '../../base/progress.ts';
import { z } from '../../base/schema.ts';
import { pull } from '../../operate/pull/pull.ts';
import { ModelRegistry } from '../../operate/registry.ts';
import { command } from '../command.ts';

const own = { environment: false } as const;

const schema = z.object({
  source: z
    .string()
    .min(1)
    .describe(
      'hf:owner/name, hf:owner/name@revision/file.gguf, an https address of a .gguf file, or a folder',
    ),
  name: z.string().min(1).optional().describe('what to call it here; default: as its source does').meta(own),
  hub: z.string().min(1).default('https://huggingface.co').describe('address of the hub'),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
    .optional()
    .describe('what the file at an address has to be')
    .meta(own),
  home: z.string().optional().describe('folder for all state (default: .inkstone)'),
});

export default command({
  name: 'pull',
  summary: 'fetch a model from a hub, an address or a folder; checked, resumed where it stopped',
  description:
    'Takes safetensors (with configuration and tokenizer), one GGUF file, or ONNX; pickled weights are never fetched. A closed model needs a key in INKSTONE_HUB_TOKEN. The model is registered under its name and can be served at once.',
  schema,
  positionals: ['source'],
  examples: [
    'pull hf:owner/name',
    'pull hf:owner/name@main/model-q8_0.gguf --name small',
    'pull https://example.org/models/small.gguf --sha256 9f86…',
    'pull ./downloads/gpt2 --name gpt2',
  ],
  async run({ source, name, hub, sha256, home }, { progress, signal }) {
    const registry = await ModelRegistry.open(home);
    const begun = monotonic();
    return pull(source, {
      ...{ registry, hub, name, sha256, signal, token: environment('INKSTONE_HUB_TOKEN') },
      onProgress: ({ file, done, total }) => {
        const rate = `${bytes(Math.round(done / Math.max(1e-3, (monotonic() - begun) / 1000)))}/s`;
        const share =
          total === undefined ? '' : `${bar(done / total)} ${Math.floor((100 * done) / total)} % `;
        progress.show(
          `${share}${bytes(done)}${total === undefined ? '' : ` of ${bytes(total)}`}, ${rate}, ${file}`,
        );
      },
    });
  },
  show: ({ name, files, bytes: size, revision, resumed }) =>
    `${name}: ${files.length} files, ${bytes(size)}${resumed > 0 ? ` (${bytes(resumed)} were there)` : ''}${revision === null ? '' : `, revision ${revision.slice(0, 12)}`}\nserve it: inkstone serve --model ${name}`,
});

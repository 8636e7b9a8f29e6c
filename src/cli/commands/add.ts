/** `inkstone add`: fetches an engine that the default install leaves out. */
import { z } from '../../base/schema.ts';
import { install, packageName, packageNames, packagesFolder } from '../../operate/packages/install.ts';
import { command } from '../command.ts';

const schema = z.object({
  engine: z
    .string()
    .min(1)
    .describe(`${packageNames.join(' or ')}: llama for GGUF models, transformers for ONNX models`),
  home: z.string().optional().describe('folder for all state (default: .inkstone)'),
});

export default command({
  name: 'add',
  summary: 'fetch an engine for open checkpoints: llama (GGUF) or transformers (ONNX)',
  description:
    'Engines are also fetched by themselves when a model first needs one. They come from the npm registry in pinned versions, without install scripts, for the CPU, into `packages` in the home folder (or INKSTONE_PACKAGES).',
  schema,
  positionals: ['engine'],
  examples: ['add llama', 'add transformers --json'],
  async run({ engine, home }, { progress, signal }) {
    const { name, title, version, folder } = await install(packageName(engine), {
      folder: packagesFolder(home),
      note: (line) => progress.note(line),
      signal,
    });
    return { engine: name, package: title, version, folder };
  },
  show: ({ package: title, version, folder }) => `${title} ${version} is in ${folder}`,
});

/** How the tests run: in child processes (native sessions need it), a few at a time, against a fresh `dist`. */
import path from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take longest, the longest first: a clone that has never run them cannot know. Begun first, none of them is what
 * everybody waits for in the end; a file that is missing here only comes later.
 */
const LONGEST = [
  'test/studio/page.test.ts',
  'test/chaos/work.test.ts',
  'test/studio/real.test.ts',
  'src/operate/trainings.test.ts',
  'test/bench/image-quality.test.ts',
  'src/train/kill.test.ts',
  'src/train/image-run.test.ts',
  'test/chaos/short.test.ts',
  'src/store/sql/databases.test.ts',
  'test/wire/image-training.test.ts',
  'src/cli/commands/image.test.ts',
  'src/runtime/webgpu.test.ts',
  'test/studio/playground.test.ts',
  'test/wire/fine-tuning.test.ts',
  'test/studio/pictures.test.ts',
  'test/studio/compare.test.ts',
  'test/studio/train.test.ts',
  'test/studio/tune.test.ts',
  'src/serve/picture-tuning.test.ts',
  'src/cli/commands/weights.test.ts',
  'src/models/image/adversarial.test.ts',
  'test/wire/batches.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.indexOf(path.relative(import.meta.dirname, moduleId).replaceAll('\\', '/'));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ['src/**/*.test.{ts,tsx}', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    pool: 'forks',
    // One more than the two cores that must do: a quarter of the time a test waits for processes that it started.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    globalSetup: ['./tools/test-setup.mjs'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A machine with other work is slow; no test is about speed.
    expect: { poll: { timeout: 30_000 } },
    // Engines that tests fetch are kept from run to run.
    env: { INKSTONE_PACKAGES: path.resolve('node_modules/.cache/inkstone-packages') },
    passWithNoTests: true,
  },
});

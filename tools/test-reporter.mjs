/**
 * Counts tests and collects why each skipped one was skipped, into the file named by INKSTONE_TEST_SUMMARY
 * (test.mjs reads it). Runs beside vitest's own reporter.
 */
import { writeFileSync } from 'node:fs';

/** The note of `context.skip(note)`, else what the name says in brackets: `… (needs Chromium)`. */
function reasonOf(test) {
  const note = test.result()?.note ?? test.options?.note;
  if (note) return note;
  for (let at = test; at && at.type !== 'module'; at = at.parent) {
    const inBrackets = /\(([^()]+)\)\s*$/.exec(at.name ?? '');
    if (inBrackets) return inBrackets[1];
  }
  return 'no reason given';
}

export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors, reason) {
    const summary = { passed: 0, failed: 0, skipped: 0, skips: [], reason };
    for (const module of modules) {
      const before = summary.failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') summary.passed++;
        else if (state === 'failed') summary.failed++;
        else {
          summary.skipped++;
          summary.skips.push({
            name: `${module.relativeModuleId ?? module.moduleId} > ${test.fullName}`,
            why: reasonOf(test),
          });
        }
      }
      // A file that does not load, or a hook that failed, has no failed test of its own.
      if (module.state() === 'failed' && summary.failed === before) summary.failed++;
    }
    summary.failed += unhandledErrors.length;
    if (process.env.INKSTONE_TEST_SUMMARY)
      writeFileSync(process.env.INKSTONE_TEST_SUMMARY, JSON.stringify(summary));
  }
}

/**
 * Counts tests and collects why each skipped one was skipped, into the file named by INKSTONE_TEST_SUMMARY
 * (test.mjs reads it). A skip that tells no reason is a failure: nobody would know what was not seen. Runs beside
 * vitest's own reporter.
 */
import { writeFileSync } from 'node:fs';

/** What stands in the last brackets of a name, which may hold brackets themselves. */
function inLastBrackets(name) {
  const text = name.trimEnd();
  if (!text.endsWith(')')) return undefined;
  let depth = 0;
  for (let at = text.length - 1; at >= 0; at--) {
    if (text[at] === ')') depth++;
    else if (text[at] === '(' && --depth === 0) return text.slice(at + 1, -1).trim() || undefined;
  }
  return undefined;
}

/** The note of `context.skip(note)`, else what the name says in brackets: `… (needs Chromium)`; else undefined. */
function reasonOf(test) {
  const note = test.result()?.note ?? test.options?.note;
  if (note) return note;
  for (let at = test; at && at.type !== 'module'; at = at.parent) {
    const why = inLastBrackets(at.name ?? '');
    if (why !== undefined) return why;
  }
  return undefined;
}

export default class SummaryReporter {
  onInit({ config }) {
    // `-t PATTERN` leaves out all others: somebody wanted that.
    this.chosenByName = config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules, unhandledErrors, reason) {
    const summary = { passed: 0, failed: 0, skipped: 0, skips: [], unexplained: [], reason };
    for (const module of modules) {
      const before = summary.failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') summary.passed++;
        else if (state === 'failed') summary.failed++;
        else {
          const name = `${module.relativeModuleId ?? module.moduleId} > ${test.fullName}`;
          const why = reasonOf(test) ?? this.excuse(module);
          if (why === undefined) summary.unexplained.push(name);
          else {
            summary.skipped++;
            summary.skips.push({ name, why });
          }
        }
      }
      // A file that does not load, or a hook that failed, has no failed test of its own.
      if (module.state() === 'failed' && summary.failed === before) summary.failed++;
    }
    summary.failed += unhandledErrors.length + summary.unexplained.length;
    if (process.env.INKSTONE_TEST_SUMMARY)
      writeFileSync(process.env.INKSTONE_TEST_SUMMARY, JSON.stringify(summary));
  }

  /** Why a test without a reason of its own was not run, where that is no fault of its author. */
  excuse(module) {
    if (this.chosenByName) return 'not among those asked for';
    // A hook that failed takes its tests with it, and is counted itself.
    return module.state() === 'failed' ? 'something before it failed' : undefined;
  }
}

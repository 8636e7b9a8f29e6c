/** The rules as Prometheus reads them: a rule file in YAML. Strings are written as JSON, which is YAML. */
import { duration, promqlOf } from './expression.ts';
import type { Rule } from './rules.ts';

export function ruleFile(rules: readonly Rule[]): string {
  const lines = [
    '# Made by `inkstone alerts rules`; a test keeps it equal to what the server evaluates itself.',
    'groups:',
    '  - name: inkstone',
    '    rules:',
  ];
  for (const { id, severity, for: lasting, when, summary, hint } of rules)
    lines.push(
      `      - alert: ${id}`,
      `        expr: ${JSON.stringify(promqlOf(when))}`,
      ...(lasting === 0 ? [] : [`        for: ${duration(lasting)}`]),
      '        labels:',
      `          severity: ${severity}`,
      '        annotations:',
      `          summary: ${JSON.stringify(summary)}`,
      `          description: ${JSON.stringify(hint)}`,
    );
  return `${lines.join('\n')}\n`;
}

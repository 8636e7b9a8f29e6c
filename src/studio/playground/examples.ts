/** Beginnings to try. The starter reads English, so they are English in every language of the page. */

export const EXAMPLES = [
  'It was a dark and stormy evening, and',
  'CHAPTER I\n\nOn the first morning of',
  'Dear Sister,\nI have had your letter',
  '“You are late,” said the old gentleman,',
] as const;

export const FIRST_EXAMPLE = EXAMPLES[0];

/** A beginning as the words of a button. */
export function exampleLabel(text: string): string {
  const line = text.trim().replace(/\s*\n\s*/g, ' ');
  return line.length <= 32 ? line : `${line.slice(0, 30).replace(/\W+\w*$/, '')}…`;
}

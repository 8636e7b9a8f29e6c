/** Texts that must fit a schema or a pattern. */
export { constraintGrammar } from './compile.ts';
export { Constraints } from './constraints.ts';
export { TokenConstraint, TokenGrammar } from './token-constraint.ts';

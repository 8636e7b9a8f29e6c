/** Prompts: templates with typed variables, examples, chat templates, and a registry of versions. */
export * from './chat-template.ts';
export * from './definition.ts';
export * from './difference.ts';
export * from './registry.ts';
export * from './render.ts';
export * from './select.ts';
export * from './similarity.ts';
export * from './template.ts';
export * from './variables.ts';

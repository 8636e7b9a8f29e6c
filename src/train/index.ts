/** Training runs and their folders. */
export * from './run-folder.ts';
export * from './search/index.ts';
export * from './text-run.ts';
export * from './trainer.ts';

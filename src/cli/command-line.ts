/** How a command was called, for what a run, a card or a comparison tells of its making. */
import { commandArguments } from '../base/host.ts';

export const commandLine = (): string => ['inkstone', ...commandArguments()].join(' ');

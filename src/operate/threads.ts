/** How many compute threads a model gets where nobody says. */
import { cpuCount } from '../base/host.ts';

/**
 * Parameters below which one thread decodes as fast as two (1.6 ms a token with the starter's 5.6 M, quiet machine)
 * and twice as fast beside a training: threads that wait for each other suffer most from company.
 */
const SMALL = 8e6;

export const threadsFor = (parameters: number): number => (parameters < SMALL ? 1 : cpuCount());

/** Engines for tests: fetched the way users get them, into a folder that is kept from run to run. For tests only. */
import { InkstoneError } from '../../base/errors.ts';
import { install, type PackageName } from './install.ts';

/** Why an engine is not there; undefined where it is. Fetches it where it can. */
export async function missingEngine(name: PackageName): Promise<string | undefined> {
  try {
    await install(name);
    return undefined;
  } catch (thrown) {
    const error = InkstoneError.from(thrown);
    if (error.code !== 'package_unavailable' && error.code !== 'platform_unsupported') throw thrown;
    return error.message;
  }
}

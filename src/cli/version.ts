/**
 * Which Holdfast this is. The build defines HOLDFAST_VERSION and HOLDFAST_COMMIT (esbuild `define`, each a JSON string
 * literal); run from source they are undefined, and package.json says the version.
 */

import manifest from '../../package.json' with { type: 'json' };

declare const HOLDFAST_VERSION: string | undefined;
declare const HOLDFAST_COMMIT: string | undefined;

export const VERSION: string = typeof HOLDFAST_VERSION === 'string' ? HOLDFAST_VERSION : manifest.version;

/** Abbreviated commit of the build; '' when run from source. */
export const COMMIT: string = typeof HOLDFAST_COMMIT === 'string' ? HOLDFAST_COMMIT : '';

/** One line: `holdfast 0.1.0 (3f2c1ab), Node 24.21.0, linux x64`. */
export function versionText(): string {
  const commit = COMMIT === '' ? 'from source' : COMMIT;
  return `holdfast ${VERSION} (${commit}), Node ${process.versions.node}, ${process.platform} ${process.arch}`;
}

/**
 * The name by which a program was started, for its help text: `rumormill-publisher` as an installed package, and
 * `publisher` for `node dist/clients/publisher.js`.
 */

/** @param path of the script that was started */
export function programName(path: string): string {
  return path.replace(/^.*[\\/]/, '').replace(/\.[cm]?[jt]s$/, '');
}

/** How a value somebody wrote is quoted to people: short, on one line, and without keeping the value itself alive. */

/** Characters of a text that are shown. */
export const EXCERPT_MAX = 60;

/** Total, whatever the value: never walks into it, so depth and size don't matter. */
export function shown(value: unknown): string {
  if (typeof value === 'string') {
    const isLong = value.length > EXCERPT_MAX;
    // JSON.stringify makes a text of its own: a slice alone would keep all of an enormous one in memory.
    return JSON.stringify(isLong ? value.slice(0, EXCERPT_MAX) : value) + (isLong ? '…' : '');
  }
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return 'an object';
}

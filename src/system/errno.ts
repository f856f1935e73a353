/** Names of errno values, as operators know them from strace and man pages. */

import { constants } from 'node:os';

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, value]): [number, string] => [value, name]),
);

/** 'EPERM' for 1 or −1; 'errno 4711' for a number this platform has no name for. */
export function errnoName(errno: number): string {
  const value = Math.abs(errno);
  return NAMES.get(value) ?? `errno ${value}`;
}

/** Which Linux capabilities this process has: the effective set in /proc/self/status (capabilities(7)). */

import { readFileSync } from 'node:fs';

/** linux/capability.h: bit numbers of those that Holdfast asks about. */
export const CAPABILITIES = {
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  SYS_ADMIN: 21,
  SYS_NICE: 23,
} as const;

export type Capability = keyof typeof CAPABILITIES;

/**
 * Those of `wanted` that the process lacks, in that order. In a user namespace a capability may be there and still not be
 * good for the host's network: the kernel's EPERM has the last word.
 */
export function missingCapabilities(
  wanted: readonly Capability[],
  status: string = readFileSync('/proc/self/status', 'utf8'),
): readonly Capability[] {
  const effective = decodeEffective(status);
  return wanted.filter((capability) => ((effective >> BigInt(CAPABILITIES[capability])) & 1n) === 0n);
}

/** The CapEff line of a /proc/PID/status; nothing at all (0) when there is none. */
function decodeEffective(status: string): bigint {
  const digits = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1];
  return digits === undefined ? 0n : BigInt(`0x${digits}`);
}

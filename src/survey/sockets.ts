/**
 * Which ports are taken in this network namespace, and by whom: /proc/net/{tcp,udp}{,6} (proc(5)), and the descriptors of
 * processes as far as they may be looked at.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import type { BoundSocket } from '../doctor/facts.ts';
import { reasonOf } from './files.ts';

/** TCP_LISTEN and TCP_CLOSE (net/tcp_states.h): a listening TCP socket, a UDP socket that is connected to nobody. */
const LISTENING = '0A';
const UNCONNECTED = '07';
const PROCESSES_MAX = 32_768;

interface Entry {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly inode: string;
}

/** Those of `ports`. */
export function readSockets(ports: readonly number[], proc = '/proc'): Fact<readonly BoundSocket[]> {
  const entries: Entry[] = [];
  for (const name of ['tcp', 'tcp6', 'udp', 'udp6'] as const) {
    try {
      entries.push(...parseSockets(readFileSync(`${proc}/net/${name}`, 'latin1'), name));
    } catch (error) {
      // A kernel without IPv6 has no such file.
      if (!name.endsWith('6')) return unknown(`${proc}/net/${name} can't be read: ${reasonOf(error)}`);
    }
  }
  const wanted = entries.filter(({ port }) => ports.includes(port));
  const owners = findOwners(new Set(wanted.map(({ inode }) => inode)), proc);
  return known(wanted.map(({ protocol, port, inode }) => ({ protocol, port, owner: owners.get(inode) })));
}

export function parseSockets(text: string, name: 'tcp' | 'tcp6' | 'udp' | 'udp6'): readonly Entry[] {
  const protocol = name.startsWith('tcp') ? 'tcp' : 'udp';
  const state = protocol === 'tcp' ? LISTENING : UNCONNECTED;
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      const port = /:([0-9A-F]{4})$/.exec(fields[1] ?? '')?.[1];
      return port === undefined || fields[3] !== state
        ? []
        : [{ protocol, port: Number.parseInt(port, 16), inode: fields[9] ?? '' }];
    });
}

function findOwners(inodes: ReadonlySet<string>, proc: string): ReadonlyMap<string, { name: string; pid: number }> {
  const owners = new Map<string, { name: string; pid: number }>();
  if (inodes.size === 0) return owners;
  for (const entry of list(proc).slice(0, PROCESSES_MAX)) {
    if (!/^\d+$/.test(entry)) continue;
    for (const descriptor of list(`${proc}/${entry}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(read(() => readlinkSync(`${proc}/${entry}/fd/${descriptor}`)))?.[1];
      if (inode === undefined || !inodes.has(inode) || owners.has(inode)) continue;
      const name = read(() => readFileSync(`${proc}/${entry}/comm`, 'utf8')).trim();
      owners.set(inode, { name, pid: Number(entry) });
    }
    if (owners.size === inodes.size) break;
  }
  return owners;
}

/** Processes end while they are looked at, and most are not ours to look into. */
function read(get: () => string): string {
  try {
    return get();
  } catch {
    return '';
  }
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Stations on loopback that speak heartbeats over real sockets, for tests; each ends with the test that made it. */

import { expect, onTestFinished } from 'vitest';

import type { Heartbeat, Voter } from '../../../src/leader/view.ts';
import { SILENT_LOG, type LogFields } from '../../../src/observe/log.ts';
import type { InquiryReply, Question } from '../../../src/protocol/heartbeat/inquiry.ts';
import { openHeartbeats, type Heartbeats } from '../../../src/runtime/heartbeats.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { ip } from '../base/values.ts';
import { until } from '../kube/scripted-api.ts';
import { freeUdpPort } from './udp.ts';

export const CLUSTER = '01234567-89ab-cdef-0123-456789abcdef';
export const KEY = new Uint8Array(32).fill(1);
export const KEY_2 = new Uint8Array(32).fill(2);
export const BEAT = {
  epoch: 1,
  hears: 3,
  supports: undefined,
  term: 4,
  isApiWorking: true,
  isEligible: true,
  isDraining: false,
  isHolding: false,
  isLeading: false,
  isProvisional: false,
  misses: [],
  intervalMs: 100,
  priority: 100,
};

/** A datagram that a busy machine has kept waiting for longer than this is dropped as old. */
export const SILENT_AFTER_MS = 10_000;
/** Two show each node that the other hears it; more only where one was dropped as old. */
const ROUNDS_MIN = 2;
const ROUNDS_MAX = 5;

export interface Station {
  readonly name: string;
  readonly port: number;
  readonly beats: Heartbeats;
  readonly heard: Heartbeat[];
  readonly drops: string[];
  readonly lines: LogFields[];
  /** What it was asked. */
  readonly asked: Question[];
  /** Milliseconds added to its clock. */
  later: number;
}

export interface StationOptions {
  readonly port?: number;
  readonly key?: Uint8Array;
  readonly cluster?: string;
  readonly isOnLink?: boolean;
  readonly silentAfterMs?: number;
  /** Without it nobody is answered. */
  readonly answer?: (question: Question) => Promise<InquiryReply>;
}

export async function station(name: string, options: StationOptions = {}): Promise<Station> {
  const { answer } = options;
  const port = options.port ?? (await freeUdpPort());
  const [heard, drops, lines]: [Heartbeat[], string[], LogFields[]] = [[], [], []];
  const asked: Question[] = [];
  const ask = (question: Question): Promise<InquiryReply> => {
    asked.push(question);
    return answer?.(question) ?? Promise.reject(new Error('nobody is answered'));
  };
  const beats = openHeartbeats({
    netfd: loadNetfd(),
    self: name,
    port,
    silentAfterMs: options.silentAfterMs ?? SILENT_AFTER_MS,
    log: { ...SILENT_LOG, warn: (_msg, fields) => void lines.push(fields ?? {}) },
    onHeartbeat: (heartbeat) => heard.push(heartbeat),
    onDrop: (reason) => drops.push(reason),
    ownPrefixes: () => (options.isOnLink === true ? [{ ip: ip('127.0.0.1'), length: 8 }] : []),
    ...(answer === undefined ? {} : { answer: ask }),
    now: () => performance.now() + made.later,
  });
  onTestFinished(() => beats.close());
  const made: Station = { name, port, beats, heard, drops, lines, asked, later: 0 };
  beats.setKeys([options.key ?? KEY]);
  beats.setClusterId(options.cluster ?? CLUSTER);
  return made;
}

export function voter(of: Station, addresses: readonly string[] = ['127.0.0.1'], port = of.port): Voter {
  return { name: of.name, addresses, port };
}

/** `from` sends to `to`, directly or to another port, and everything on its way arrives. */
export async function beat(from: Station, to: Station, port?: number): Promise<void> {
  const before = to.drops.length + to.heard.length;
  from.beats.send([voter(to, ['127.0.0.1'], port)], BEAT);
  if (port === undefined) await until(() => to.drops.length + to.heard.length > before, 'an arrival');
}

/** Both have proved themselves to each other, and nothing of that is left in their lists. */
export async function introduce(a: Station, b: Station): Promise<void> {
  const hears = (one: Station, other: Station): boolean => one.heard.some(({ sender }) => sender === other.name);
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    if (round >= ROUNDS_MIN && hears(a, b) && hears(b, a)) break;
    await beat(a, b);
    await beat(b, a);
  }
  expect([hears(a, b), hears(b, a)]).toEqual([true, true]);
  for (const one of [a, b]) for (const list of [one.heard, one.drops, one.lines]) list.length = 0;
}

/**
 * Asks the network whether anybody answers for some addresses, without claiming them: probes of RFC 5227 §2.1.1 and of
 * RFC 4862 §5.4.2, three for each address, a few at a time. Changes no neighbour's cache.
 */

import { setTimeout as pause } from 'node:timers/promises';
import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import type { ProbeReport } from '../doctor/facts.ts';
import type { ProbeTarget } from '../doctor/probe-plan.ts';
import { neighborFilter } from '../protocol/bpf/neighbor-filter.ts';
import type { Netfd } from '../system/netfd.ts';
import { openPacketSocket, type PacketSocket } from '../system/packet-socket.ts';
import { interpretFrame, probeFrame } from '../vip/wire.ts';

/** PROBE_NUM of RFC 5227 §1.1. */
const PROBE_COUNT = 3;
/** Frames sent together, and the pause after them: 2,000 a second, which no switch's storm control minds. */
const BURST = 4;
const BURST_PAUSE_MS = 2;
const ROUND_PAUSE_MS = 200;
/** After the last round; machines that save power take their time. */
const LAST_PAUSE_MS = 1000;

type Answer = ProbeReport['answers'][number];

export async function probeWire(netfd: Netfd, targets: readonly ProbeTarget[]): Promise<Fact<ProbeReport>> {
  const results = await Promise.all(targets.map((target) => probeInterface(netfd, target)));
  const refused = results.find((result) => typeof result === 'string');
  if (refused !== undefined && results.every((result) => typeof result === 'string')) {
    return unknown(`no probe could be sent: ${refused}`, 'Run this as root, or in the container of Holdfast.');
  }
  const failures: string[] = [];
  const asked: ProbeReport['asked'][number][] = [];
  const answers: Answer[] = [];
  for (const [index, result] of results.entries()) {
    const target = targets[index];
    if (target === undefined) continue;
    if (typeof result === 'string') {
      failures.push(`${target.link.name}: ${result}`);
    } else {
      asked.push(...target.addresses);
      answers.push(...result);
    }
  }
  return known({ asked, answers, failures });
}

/** What answered, or why nothing could be asked. */
async function probeInterface(netfd: Netfd, { link, addresses }: ProbeTarget): Promise<readonly Answer[] | string> {
  const { mac } = link;
  if (mac === undefined) return 'it has no MAC';
  const asked = new Set(addresses.map(({ text }) => text));
  const answers = new Map<string, Answer>();
  let failure: string | undefined;
  const onFrame = (frame: Uint8Array): void => {
    const heard = interpretFrame(frame);
    if (!heard.ok || heard.value.kind !== 'uses' || heard.value.mac.text === mac.text) return;
    const { ip, mac: sender } = heard.value;
    if (!asked.has(ip.text) || answers.has(ip.text)) return;
    answers.set(ip.text, { ip, mac: sender.text, interfaceName: link.name });
  };
  try {
    const filter = neighborFilter({
      ipv4: addresses.filter(({ family }) => family === 'ipv4'),
      ipv6: addresses.filter(({ family }) => family === 'ipv6'),
      ownMac: mac,
    });
    const socket = openPacketSocket(netfd, {
      ifindex: link.index,
      filter,
      // Answers come to this machine or to all nodes.
      groups: [],
      onFrame,
      onError: (error) => {
        failure = error.message;
      },
    });
    try {
      await ask(socket, mac, () => addresses.filter(({ text }) => !answers.has(text)));
    } finally {
      socket.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return failure ?? [...answers.values()];
}

/** All rounds; whoever has answered is not asked again. */
async function ask(socket: PacketSocket, mac: Mac, left: () => readonly Ip[]): Promise<void> {
  for (let round = 0; round < PROBE_COUNT; round += 1) {
    for (const [index, ip] of left().entries()) {
      socket.send(probeFrame(mac, ip));
      if (index % BURST === BURST - 1) await pause(BURST_PAUSE_MS);
    }
    await pause(round === PROBE_COUNT - 1 ? LAST_PAUSE_MS : ROUND_PAUSE_MS);
  }
}

/**
 * What this node can say about an address: what it holds of it, or who answers for it on the wire. Asked by its own
 * `holdfast explain`, and by the nodes that hear it; of no addresses but those this cluster gives or holds, and no more often
 * than QUESTIONS_PER_SECOND.
 */

import { inShards } from '../agent/services/shards.ts';
import { vipLink, type AgentRules, type AgentState } from '../agent/state.ts';
import type { Ip } from '../base/ip.ts';
import type { Link } from '../protocol/netlink/records.ts';
import type { HeldReply, InquiryReply, Question } from '../protocol/heartbeat/inquiry.ts';
import type { VipState } from '../vip/vip-state.ts';
import { askingFrom, otherMacsOf, type AskingPlace } from './asking-place.ts';

export interface WitnessOptions {
  readonly rules: AgentRules;
  /** undefined: before the first turn. */
  readonly state: () => AgentState | undefined;
  readonly isKubeProxyHealthy: () => boolean | undefined;
  /** Never rejects. */
  readonly askWire: (place: AskingPlace, ip: Ip) => Promise<InquiryReply>;
  /** Monotonic clock, ms. Default performance.now. */
  readonly now?: () => number;
}

/** Never rejects. */
export type Witness = (question: Question) => Promise<InquiryReply>;

/** Each takes a socket for up to 0.7 s, and three small frames. */
export const QUESTIONS_PER_SECOND = 20;

export function openWitness(options: WitnessOptions): Witness {
  const { rules } = options;
  const now = options.now ?? ((): number => performance.now());
  let [left, filledAt] = [QUESTIONS_PER_SECOND, now()];
  const mayAsk = (): boolean => {
    const at = now();
    left = Math.min(QUESTIONS_PER_SECOND, left + ((at - filledAt) / 1000) * QUESTIONS_PER_SECOND);
    filledAt = at;
    if (left < 1) return false;
    left -= 1;
    return true;
  };
  return (question) => {
    const { subject, address } = question;
    const state = options.state();
    if (state === undefined) return say({ kind: 'unaskable', reason: 'not-ready', interfaceName: '' });
    const known = knownOf(state, address);
    if (known === undefined) return say({ kind: 'refused', reason: 'not-ours' });
    const held = heldBy(known, state, options.isKubeProxyHealthy(), now());
    // Who has it would only ask itself.
    if (held !== undefined && (subject === 'holding' || known.vip?.isPresent === true)) return say(held);
    if (subject === 'holding') return say({ kind: 'not-held' });
    const { addressProtocol } = rules;
    const from = askingFrom(state.kernel, address, { interfaceName: known.interfaceName, addressProtocol });
    if (!from.ok) return say({ kind: 'unaskable', reason: from.reason, interfaceName: from.interfaceName });
    if (!mayAsk()) return say({ kind: 'refused', reason: 'busy' });
    return options.askWire(from.place, address);
  };
}

function say(reply: InquiryReply): Promise<InquiryReply> {
  return Promise.resolve(reply);
}

interface KnownAddress {
  /** undefined: this node has nothing to do with it. */
  readonly vip: VipState | undefined;
  readonly link: Link | undefined;
  /** Where this node would answer for it. */
  readonly interfaceName: string | undefined;
}

/** undefined: no address that this cluster gives or holds. */
function knownOf(state: AgentState, address: Ip): KnownAddress | undefined {
  const entry = inShards(state.services.entries, address.text);
  if (entry !== undefined) {
    const link = entry.ifindex === undefined ? undefined : state.kernel?.links.get(entry.ifindex);
    return { vip: entry.vip, link, interfaceName: entry.duty.interfaceName };
  }
  const vip = [...state.vips.values()].find(({ prefix }) => prefix.ip.text === address.text);
  if (vip === undefined) return undefined;
  const link = vipLink(state);
  return { vip, link, interfaceName: link?.name };
}

function heldBy(
  { vip, link }: KnownAddress,
  { kernel }: AgentState,
  isKubeProxyHealthy: boolean | undefined,
  now: number,
): HeldReply | undefined {
  if (vip === undefined || (vip.phase === 'idle' && !vip.isPresent)) return undefined;
  const { lastAnnouncedAt } = vip;
  return {
    kind: 'held',
    phase: vip.phase,
    interfaceName: link?.name ?? '',
    mac: link?.mac,
    sinceSeconds: Math.round((now - vip.since) / 1000),
    announcements: vip.announcements,
    lastAnnouncedSecondsAgo: lastAnnouncedAt === undefined ? undefined : Math.round((now - lastAnnouncedAt) / 1000),
    rival: vip.rival?.isReported === true ? vip.rival.mac : undefined,
    isKubeProxyHealthy,
    otherMacs: kernel === undefined ? [] : otherMacsOf(kernel, link?.mac),
  };
}

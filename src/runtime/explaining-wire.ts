/**
 * What the nodes say about an address (testimony.ts) as steps of an explanation: what its owner holds and has announced, and
 * who answered each node that asked on the wire; the same for programs. Pure.
 */

import type { AddressExplanation, AskedExplanation, ExplanationStep } from '../observe/explain.ts';
import { durationText } from '../observe/duration-text.ts';
import type { HeldReply, InquiryReply, UnaskableReason, WireReply } from '../protocol/heartbeat/inquiry.ts';
import { bad, good, unsure, wrong } from './explanation-steps.ts';
import type { Inquired, UnansweredReason } from './inquiries.ts';
import type { Testimony } from './testimony.ts';

const UNANSWERED: Readonly<Record<UnansweredReason, string>> = {
  'not-ready': 'this node has no heartbeat key yet',
  unheard: 'it is not heard by heartbeats',
  unable: 'it runs a version of Holdfast that cannot be asked',
  'no-answer': 'it did not answer in time',
};

const UNASKABLE: Readonly<Record<UnaskableReason, string>> = {
  'no-subnet': 'it has no interface in the subnet of the address',
  'no-carrier': 'its interface is down or has no carrier',
  'no-source': 'its interface has no address of that family to ask from',
  'no-socket': 'its kernel did not let it send',
  'not-ready': 'it has only just started',
};

/** Interface, MAC, announcements: what only the owner's process knows. */
export function holdingSteps(testimony: Testimony): readonly ExplanationStep[] {
  const { address, owner, holding } = testimony;
  if (owner === undefined || holding === undefined) return [];
  const elsewhere = `Run \`holdfast explain address ${address.text}\` on ${owner}.`;
  if (!holding.ok) {
    const why = UNANSWERED[holding.reason];
    return [unsure('holding', `${owner} cannot be asked what it holds: ${why}`, elsewhere)];
  }
  const { reply } = holding;
  if (reply.kind === 'not-held') {
    return [bad('holding', `${owner} does not hold ${address.text} yet`, `Look at \`holdfast status\` on ${owner}.`)];
  }
  if (reply.kind !== 'held') return [unsure('holding', `${owner} says nothing of it: ${whyNot(reply)}`, elsewhere)];
  return heldSteps(testimony, owner, reply);
}

function heldSteps(testimony: Testimony, owner: string, held: HeldReply): readonly ExplanationStep[] {
  const { phase, interfaceName, mac, sinceSeconds, announcements, lastAnnouncedSecondsAgo: last, rival } = held;
  const on = interfaceName === '' ? 'no interface' : interfaceName;
  const by = mac === undefined ? '' : ` (${mac.text})`;
  const told =
    last === undefined ? 'never announced' : `announced ${announcements} times, last ${secondsText(last)} ago`;
  const words = `${owner}: ${phase} on ${on}${by} for ${secondsText(sinceSeconds)}, ${told}`;
  const isWell = phase === 'holding' && last !== undefined;
  const main = isWell ? good('holding', words) : bad('holding', words, `Look at \`holdfast status\` on ${owner}.`);
  return rival === undefined ? [main] : [main, rivalStep(testimony, owner, rival.text)];
}

/** Another that the owner heard since it has the address: now, or, where the others hear the owner only, some time ago. */
function rivalStep(testimony: Testimony, owner: string, mac: string): ExplanationStep {
  const { address, asked } = testimony;
  const names = nodesByMac(testimony);
  const node = names.get(mac);
  const words = `${owner} has heard ${mac}${node === undefined ? '' : ` (${node})`} answer for ${address.text} too`;
  const answers = asked.flatMap(({ says }) => (says.ok && says.reply.kind === 'wire' ? says.reply.heard : []));
  const isPast = answers.length > 0 && answers.every((each) => names.get(each.mac.text) === owner);
  const next = 'Where it comes back, look for that machine.';
  if (isPast) return unsure('holding', `${words}; nobody who asked hears that now`, next);
  const context = { mac, address: address.text, node: node ?? '' };
  return wrong(
    'holding',
    words,
    node === undefined ? 'ADDRESS_ANSWERED_ELSEWHERE' : 'ADDRESS_ANSWERED_BY_NODE',
    context,
  );
}

/** One for each node that asked, or one that says why nobody could. */
export function wireSteps(testimony: Testimony): readonly ExplanationStep[] {
  const { address, owner, asked, unasked } = testimony;
  if (asked.length === 0) {
    const { family, text } = address;
    const command = family === 'ipv4' ? `arping -c 3 -I INTERFACE ${text}` : `ndisc6 ${text} INTERFACE`;
    const next = `Ask from another machine of the segment: \`${command}\`.`;
    return [unsure('wire', `nobody but its owner could ask for ${address.text} on the wire: ${unasked}`, next)];
  }
  const names = nodesByMac(testimony);
  return asked.map(({ node, says }) => {
    if (!says.ok) return unsure('wire', `${node} could not be asked: ${UNANSWERED[says.reason]}`, '');
    const { reply } = says;
    if (reply.kind === 'held') {
      const words = `${node} did not ask, since it has the address itself (${reply.phase})`;
      return owner === undefined ? bad('wire', words, '') : unsure('wire', words, 'Ask again: it may be moving.');
    }
    if (reply.kind !== 'wire') return unsure('wire', `${node} could not ask: ${whyNot(reply)}`, '');
    return answerStep(testimony, node, reply, names);
  });
}

function answerStep(
  { address, owner, holding }: Testimony,
  node: string,
  { interfaceName, listenedMs, heard }: WireReply,
  names: ReadonlyMap<string, string>,
): ExplanationStep {
  const asked = `asked from ${node} on ${interfaceName}: `;
  const context = { address: address.text, interface: interfaceName, node: owner ?? '' };
  if (heard.length === 0 && isOnLoopback(holding)) {
    const next =
      'Look for its route instead: on loopback an address is reached by routing, not by ARP or neighbour discovery.';
    return unsure('wire', `${asked}nobody answered for ${address.text}, which ${owner ?? ''} holds on lo`, next);
  }
  if (heard.length === 0) {
    const words = `${asked}nobody answered for ${address.text} in ${listenedMs} ms`;
    return owner === undefined
      ? good('wire', `${words}, and nobody should`)
      : wrong('wire', words, 'ADDRESS_UNANSWERED', context);
  }
  const ownMac = ownerMac(holding);
  const texts = heard.map(({ mac, afterMicros }) => {
    const name = names.get(mac.text);
    const way = name === owner && mac.text !== ownMac ? ', by another of its interfaces' : '';
    return `${mac.text}${name === undefined ? '' : ` (${name}${way})`} in ${milliseconds(afterMicros)} ms`;
  });
  const words = `${asked}${address.text} answered by ${texts.join(' and by ')}`;
  const other = heard.find(({ mac }) => owner === undefined || names.get(mac.text) !== owner)?.mac.text;
  if (other === undefined) return good('wire', words);
  if (ownMac === undefined && owner !== undefined && heard.length === 1) {
    const next = `Compare it with \`ip link show\` on ${owner}.`;
    return unsure('wire', `${words}; whether that is ${owner} is not known here`, next);
  }
  const culprit = names.get(other);
  return culprit === undefined
    ? wrong('wire', `${words}: answered by another machine`, 'ADDRESS_ANSWERED_ELSEWHERE', { ...context, mac: other })
    : wrong('wire', `${words}: ${culprit} should not`, 'ADDRESS_ANSWERED_BY_NODE', { ...context, node: culprit });
}

/** For programs: what the steps say in words. */
export function addressExplanation(testimony: Testimony): AddressExplanation {
  const { address, owner, holding, asked, unasked } = testimony;
  const held = holding?.ok === true && holding.reply.kind === 'held' ? holding.reply : undefined;
  const names = nodesByMac(testimony);
  return {
    address: address.text,
    owner,
    holding:
      held === undefined
        ? undefined
        : {
            state: held.phase,
            interface: held.interfaceName,
            mac: held.mac?.text,
            sinceSeconds: held.sinceSeconds,
            announcements: held.announcements,
            lastAnnouncedSecondsAgo: held.lastAnnouncedSecondsAgo,
            conflict: held.rival?.text,
            isKubeProxyHealthy: held.isKubeProxyHealthy,
          },
    asked: asked.map(({ node, says }) => ({ node, ...askedExplanation(says, names) })),
    unasked: unasked === '' ? undefined : unasked,
  };
}

function askedExplanation(says: Inquired, names: ReadonlyMap<string, string>): Omit<AskedExplanation, 'node'> {
  const none = { interface: undefined, listenedMs: undefined, answers: [] };
  if (!says.ok) return { ...none, outcome: 'unasked', reason: UNANSWERED[says.reason] };
  const { reply } = says;
  if (reply.kind !== 'wire') return { ...none, outcome: 'unasked', reason: whyNot(reply) };
  return {
    outcome: reply.heard.length > 0 ? 'answered' : 'silent',
    reason: undefined,
    interface: reply.interfaceName,
    listenedMs: reply.listenedMs,
    answers: reply.heard.map(({ mac, afterMicros }) => ({
      mac: mac.text,
      node: names.get(mac.text),
      afterMs: afterMicros / 1000,
    })),
  };
}

/** Whether kube-proxy on the owner is well, as the owner says; undefined: it didn't say, or can't see it. */
export function kubeProxySaid({ holding }: Testimony): boolean | undefined {
  return holding?.ok === true && holding.reply.kind === 'held' ? holding.reply.isKubeProxyHealthy : undefined;
}

function whyNot(reply: InquiryReply): string {
  switch (reply.kind) {
    case 'held':
      return `it has the address itself (${reply.phase})`;
    case 'not-held':
    case 'wire':
      return 'it does not hold the address';
    case 'unaskable':
      return `${UNASKABLE[reply.reason]}${reply.interfaceName === '' ? '' : ` (${reply.interfaceName})`}`;
    case 'refused':
      return reply.reason === 'busy'
        ? 'it is being asked too much: ask again in a second'
        : 'it does not know the address';
  }
}

/** The machines of this cluster that are known by MAC, with all their interfaces: the owner, and who asked. */
function nodesByMac({ owner, holding, asked }: Testimony): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const { node, says } of asked) {
    if (!says.ok || says.reply.kind !== 'wire') continue;
    for (const { text } of [...says.reply.otherMacs, says.reply.mac]) names.set(text, node);
  }
  if (owner === undefined || holding?.ok !== true || holding.reply.kind !== 'held') return names;
  for (const { text } of holding.reply.otherMacs) names.set(text, owner);
  const mac = ownerMac(holding);
  if (mac !== undefined) names.set(mac, owner);
  return names;
}

/** There nobody is meant to answer on the wire. */
function isOnLoopback(holding: Inquired | undefined): boolean {
  return holding?.ok === true && holding.reply.kind === 'held' && holding.reply.interfaceName === 'lo';
}

function ownerMac(holding: Inquired | undefined): string | undefined {
  return holding?.ok === true && holding.reply.kind === 'held' ? holding.reply.mac?.text : undefined;
}

function milliseconds(micros: number): string {
  return micros < 10_000 ? (micros / 1000).toFixed(1) : String(Math.round(micros / 1000));
}

function secondsText(seconds: number): string {
  return seconds === 0 ? 'less than a second' : durationText(seconds * 1000);
}

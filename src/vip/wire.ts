/**
 * How an address is asked for and announced on the wire, whatever its family: ARP for IPv4 (RFC 826, RFC 5227), neighbor
 * discovery for IPv6 (RFC 4861, RFC 4862). The only place where the families part.
 */

import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { ok, type Decoded } from '../base/outcome.ts';
import { ARP_REPLY, decodeArpFrame, type ArpReason } from '../protocol/arp/arp.ts';
import { arpProbeFrame, arpRequestFrame, gratuitousArpFrame } from '../protocol/arp/frames.ts';
import { decodeNdpFrame, type NdpReason } from '../protocol/ndp/ndp.ts';
import {
  duplicateAddressProbeFrame,
  neighborSolicitationFrame,
  unsolicitedAdvertisementFrame,
} from '../protocol/ndp/frames.ts';

/** What a frame says about an address: its sender uses it, asks whether anybody does (a probe), or merely looks for it. */
export interface Heard {
  readonly kind: 'uses' | 'probes' | 'looks-for';
  readonly ip: Ip;
  readonly mac: Mac;
}

/** The question that whoever has the address must answer, asked without claiming it. */
export function probeFrame(mac: Mac, ip: Ip): Uint8Array {
  return ip.family === 'ipv4' ? arpProbeFrame({ mac, ip }) : duplicateAddressProbeFrame({ mac, target: ip });
}

/**
 * What any host sends that wants to reach the address: from an address of its own, so that whoever has it answers that host
 * and nobody sees a claim or a probe.
 */
export function requestFrame(mac: Mac, source: Ip, target: Ip): Uint8Array {
  return target.family === 'ipv4'
    ? arpRequestFrame({ mac, source, target })
    : neighborSolicitationFrame({ mac, source, target });
}

/** One announcement: both ARP forms, since some neighbours learn from one only; one advertisement for IPv6. */
export function announcementFrames(mac: Mac, ip: Ip): readonly Uint8Array[] {
  return ip.family === 'ipv4'
    ? [gratuitousArpFrame({ form: 'request', mac, ip }), gratuitousArpFrame({ form: 'reply', mac, ip })]
    : [unsolicitedAdvertisementFrame({ mac, target: ip })];
}

/** What a received frame means; the reason when it is neither ARP nor neighbor discovery, or malformed. */
export function interpretFrame(frame: Uint8Array): Decoded<Heard, ArpReason | NdpReason> {
  const arp = decodeArpFrame(frame);
  if (arp.ok) {
    // RFC 5227 §2.4: any packet with the address as its sender is a use of it, request and reply alike.
    const { senderIp, senderMac, targetIp } = arp.value;
    const isProbe = senderIp.bytes.every((octet) => octet === 0);
    return ok(
      isProbe ? { kind: 'probes', ip: targetIp, mac: senderMac } : { kind: 'uses', ip: senderIp, mac: senderMac },
    );
  }
  if (arp.reason !== 'not-arp') return arp;
  const ndp = decodeNdpFrame(frame);
  if (!ndp.ok) return ndp;
  const { message, source, sourceMac } = ndp.value;
  if (message.kind === 'advertisement') {
    return ok({ kind: 'uses', ip: message.target, mac: message.targetMac ?? sourceMac });
  }
  const isProbe = source.bytes.every((octet) => octet === 0);
  return ok({ kind: isProbe ? 'probes' : 'looks-for', ip: message.target, mac: message.sourceMac ?? sourceMac });
}

/**
 * The MAC that answers requestFrame: an ARP reply to `source` (RFC 826), a solicited advertisement to it (RFC 4861 §7.2.4).
 * undefined: the frame is something else. What is announced unasked is no answer: it comes whether or not questions arrive.
 */
export function answeringMac(frame: Uint8Array, source: Ip, target: Ip): Mac | undefined {
  if (target.family === 'ipv4') {
    const arp = decodeArpFrame(frame);
    if (!arp.ok || arp.value.operation !== ARP_REPLY) return undefined;
    const { senderIp, senderMac, targetIp } = arp.value;
    return senderIp.text === target.text && targetIp.text === source.text ? senderMac : undefined;
  }
  const ndp = decodeNdpFrame(frame);
  if (!ndp.ok || ndp.value.message.kind !== 'advertisement') return undefined;
  const { message, destination, sourceMac } = ndp.value;
  const isAnswer = message.isSolicited && message.target.text === target.text && destination.text === source.text;
  return isAnswer ? (message.targetMac ?? sourceMac) : undefined;
}

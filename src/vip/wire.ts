/**
 * How an address is asked for and announced on the wire, whatever its family: ARP for IPv4 (RFC 826, RFC 5227), neighbor
 * discovery for IPv6 (RFC 4861, RFC 4862). The only place where the families part.
 */

import type { Ip } from '../base/ip.ts';
import type { Mac } from '../base/mac.ts';
import { ok, type Decoded } from '../base/outcome.ts';
import { decodeArpFrame, type ArpReason } from '../protocol/arp/arp.ts';
import { arpProbeFrame, gratuitousArpFrame } from '../protocol/arp/frames.ts';
import { decodeNdpFrame, type NdpReason } from '../protocol/ndp/ndp.ts';
import { duplicateAddressProbeFrame, unsolicitedAdvertisementFrame } from '../protocol/ndp/frames.ts';

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

/**
 * The ARP frames that Holdfast sends, whole: gratuitous ARP as kube-vip and switches know it, and the probe and
 * announcement of RFC 5227, and the plain request. Answering ARP requests is the kernel's work.
 */

import { assert } from '../../base/assert.ts';
import { ipFromBytes, type Ip } from '../../base/ip.ts';
import { MAC_BROADCAST, MAC_ZERO, type Mac } from '../../base/mac.ts';
import { ETHERNET_HEADER_LENGTH } from '../ethernet/ethernet.ts';
import { ARP_PACKET_LENGTH, ARP_REPLY, ARP_REQUEST, type ArpPacket } from './arp.ts';

const FRAME_LENGTH = ETHERNET_HEADER_LENGTH + ARP_PACKET_LENGTH;
/** EtherType, ar$hrd, ar$pro, ar$hln and ar$pln (RFC 826): the same in every frame. */
const FIXED = Uint8Array.of(0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4);

const UNSPECIFIED: Ip = ipFromBytes(new Uint8Array(4));

/**
 * Gratuitous ARP: "mac has ip", unasked. Hosts differ in which form they take up, so both exist. As kube-vip sends them:
 * the target's hardware address is the sender's own in a reply and all ones in a request (kube-vip pkg/vip/arp.go).
 * `to` addresses one neighbor instead of all; a filter that eats broadcasts lets that through.
 */
export function gratuitousArpFrame(options: {
  readonly form: 'request' | 'reply';
  readonly mac: Mac;
  readonly ip: Ip;
  readonly to?: Mac;
}): Uint8Array {
  const { form, mac, ip, to = MAC_BROADCAST } = options;
  return arpFrame(to, {
    operation: form === 'request' ? ARP_REQUEST : ARP_REPLY,
    senderMac: mac,
    senderIp: ip,
    targetMac: form === 'request' ? MAC_BROADCAST : mac,
    targetIp: ip,
  });
}

/**
 * "Does anybody use ip?", asked without claiming it: sender address zero, target hardware address zero
 * (RFC 5227 §2.1.1), so that nobody's cache changes. `to` asks one machine only.
 */
export function arpProbeFrame(options: { readonly mac: Mac; readonly ip: Ip; readonly to?: Mac }): Uint8Array {
  const { mac, ip, to = MAC_BROADCAST } = options;
  return arpFrame(to, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderIp: UNSPECIFIED,
    targetMac: MAC_ZERO,
    targetIp: ip,
  });
}

/** "Who has target? Tell source, at mac" (RFC 826): asked as any host asks that wants to reach it. */
export function arpRequestFrame(options: { readonly mac: Mac; readonly source: Ip; readonly target: Ip }): Uint8Array {
  const { mac, source, target } = options;
  return arpFrame(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderIp: source,
    targetMac: MAC_ZERO,
    targetIp: target,
  });
}

/** "I use ip now": the probe with the sender address filled in (RFC 5227 §2.3). */
export function arpAnnouncement(options: { readonly mac: Mac; readonly ip: Ip }): Uint8Array {
  const { mac, ip } = options;
  return arpFrame(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderIp: ip,
    targetMac: MAC_ZERO,
    targetIp: ip,
  });
}

/** Written at one go: thousands of addresses are announced at once, and each is a frame of its own. */
function arpFrame(destination: Mac, packet: ArpPacket): Uint8Array {
  const { operation, senderMac, senderIp, targetMac, targetIp } = packet;
  assert(senderIp.family === 'ipv4' && targetIp.family === 'ipv4', 'ARP is about IPv4 addresses');
  const frame = new Uint8Array(FRAME_LENGTH);
  frame.set(destination.bytes, 0);
  frame.set(senderMac.bytes, 6);
  frame.set(FIXED, 12);
  frame[21] = operation;
  frame.set(senderMac.bytes, 22);
  frame.set(senderIp.bytes, 28);
  frame.set(targetMac.bytes, 32);
  frame.set(targetIp.bytes, 38);
  return frame;
}

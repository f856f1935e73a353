/**
 * A machine outside that claims somebody's address: a gratuitous ARP reply, or an unsolicited neighbour advertisement with
 * the override flag, from the lab's client. Written out by hand, apart from the product's codecs (RFC 826, RFC 4861 §4.4).
 */

import { parseIp } from '../../src/base/ip.ts';
import { checksum, linkLayerAddress } from './capture.ts';
import type { Lab } from './lab.ts';
import { expectNoErrno, inNamespace, netfd } from './namespace.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;

export function claimFromOutside(lab: Lab, address: string): void {
  const mac = Buffer.from(lab.client.mac.replaceAll(':', ''), 'hex');
  const ip = parseIp(address);
  if (!ip.ok) throw new Error(`${address} is no address`);
  const bytes = Buffer.from(ip.value.bytes);
  const frame = bytes.length === 4 ? gratuitousReply(mac, bytes) : advertisement(mac, bytes);
  const { fd, ifindex } = inNamespace(lab.client.namespace, () => ({
    fd: netfd().socket(AF_PACKET, SOCK_RAW, 0),
    ifindex: netfd().interfaceIndex('eth0'),
  }));
  expectNoErrno(fd, 'packet socket');
  netfd().send(fd, frame, linkLayerAddress(ifindex));
  netfd().close(fd);
}

function gratuitousReply(mac: Buffer, ip: Buffer): Buffer {
  const ethernet = Buffer.concat([Buffer.alloc(6, 0xff), mac, Buffer.from([0x08, 0x06])]);
  return Buffer.concat([ethernet, Buffer.from('0001080006040002', 'hex'), mac, ip, Buffer.alloc(6, 0xff), ip]);
}

/** To all nodes of the link, with the target's link-layer address. */
function advertisement(mac: Buffer, target: Buffer): Buffer {
  const allNodes = Buffer.from('ff020000000000000000000000000001', 'hex');
  const head = Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]);
  const body = Buffer.concat([head, target, Buffer.from([2, 1]), mac]);
  body.writeUInt16BE(
    checksum(Buffer.concat([target, allNodes, Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]), body])),
    2,
  );
  const header = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, body.length, 58, 255]), target, allNodes]);
  return Buffer.concat([Buffer.from('333300000001', 'hex'), mac, Buffer.from([0x86, 0xdd]), header, body]);
}

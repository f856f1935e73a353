/**
 * What the native addon does that takes privileges: packet sockets, and joining a network namespace.
 */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { loadNetfd } from '../../src/system/native-addon.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETHERTYPE_EXPERIMENTAL = 0x88b5; // IEEE 802, Local Experimental Ethertype 1
const ENETDOWN = -100;
const namespace = `hf-a-netfd-${process.pid}`;
const netfd = loadNetfd();

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

beforeAll(() => {
  ip('netns', 'add', namespace);
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const there = openSync(`/run/netns/${namespace}`, 'r');
  expect(netfd.setns(there)).toBe(0);
  closeSync(there);
  return () => {
    netfd.setns(home);
    closeSync(home);
  };
});

afterAll(() => ip('netns', 'delete', namespace));

/** struct sockaddr_ll: family, protocol (network order), ifindex. */
function linkLayerAddress(ifindex: number, protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, ifindex, true);
  return address;
}

it('joins a namespace, and sees a link in it go down on a watched packet socket', async () => {
  ip('-n', namespace, 'link', 'add', 'veth0', 'address', '02:00:00:00:00:01', 'type', 'veth', 'peer', 'name', 'veth1');
  ip('-n', namespace, 'link', 'set', 'veth0', 'up');
  ip('-n', namespace, 'link', 'set', 'veth1', 'up');
  const left = netfd.socket(AF_PACKET, SOCK_RAW, 0);
  const right = netfd.socket(AF_PACKET, SOCK_RAW, 0);
  const network = (name: string) => linkLayerAddress(netfd.interfaceIndex(name), ETHERTYPE_EXPERIMENTAL);
  expect(netfd.bind(left, network('veth0'))).toBe(0);
  expect(netfd.bind(right, network('veth1'))).toBe(0);

  const frame = new Uint8Array(60);
  frame.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 42]);
  const received = await new Promise((resolve) => {
    netfd.watch(right, () => resolve(netfd.receive(right, 1514)));
    expect(netfd.send(left, frame)).toBe(60);
  });
  expect(received).toMatchObject({ data: frame, flags: 0 });

  netfd.unwatch(right);
  const failure = new Promise((resolve) => {
    netfd.watch(right, () => resolve(netfd.receive(right, 1514)));
  });
  ip('-n', namespace, 'link', 'set', 'veth1', 'down');
  expect(await failure).toBe(ENETDOWN);
  expect(netfd.close(left)).toBe(0);
  expect(netfd.close(right)).toBe(0);
});

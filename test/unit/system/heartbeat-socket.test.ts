import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';

import type { Ip } from '../../../src/base/ip.ts';
import { onLinkFilter } from '../../../src/protocol/bpf/hop-limit-filter.ts';
import {
  heartbeatTarget,
  openHeartbeatSocket,
  type HeartbeatSocket,
  type ReceivedDatagram,
} from '../../../src/system/heartbeat-socket.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { hex } from '../../vectors/neighbor/vectors.ts';
import { ip } from '../base/values.ts';
import { until } from '../kube/scripted-api.ts';
import { freeUdpPort } from '../runtime/udp.ts';

const netfd = loadNetfd();
const LOOPBACK: readonly Ip[] = [ip('127.0.0.1'), ip('::1')];
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close();
});

interface Opened {
  readonly socket: HeartbeatSocket;
  readonly port: number;
  readonly got: ReceivedDatagram[];
}

async function open(wallClock?: () => number): Promise<Opened> {
  const port = await freeUdpPort();
  const got: ReceivedDatagram[] = [];
  const socket = openHeartbeatSocket(netfd, {
    port,
    capacity: 64,
    onDatagram: (datagram) => got.push(datagram),
    ...(wallClock === undefined ? {} : { wallClock }),
  });
  closers.push(() => socket.close());
  return { socket, port, got };
}

/** A foreign sender with a TTL of its own. */
async function sender(address: Ip, ttl: number): Promise<Socket> {
  const socket = createSocket(address.family === 'ipv4' ? 'udp4' : 'udp6');
  socket.bind(0, address.text);
  await once(socket, 'listening');
  socket.setTTL(ttl);
  closers.push(() => socket.close());
  return socket;
}

describe('the heartbeat sockets', () => {
  it.each(LOOPBACK)('carry octets over $family', async (address) => {
    const [left, right] = [await open(), await open()];
    expect(left.socket.families).toEqual(['ipv4', 'ipv6']);
    expect(left.socket.send(Uint8Array.of(1, 2, 3), heartbeatTarget(address, right.port))).toBe(true);
    await until(() => right.got.length === 1, 'a datagram');
    expect(right.got[0]).toMatchObject({ data: Uint8Array.of(1, 2, 3), family: address.family });
    expect(right.got[0]?.from()).toEqual(address);
    expect(right.got[0]?.waitedMs).toBeLessThan(1000);
    expect(left.socket.counters()).toMatchObject({ sent: 1, received: 0 });
    expect(right.socket.counters()).toMatchObject({ sent: 0, received: 1, dropped: 0 });
  });

  it.each(LOOPBACK)(
    'send with a TTL of 255, and while peers are on the link take nothing else ($family)',
    async (address) => {
      const [left, right] = [await open(), await open()];
      const [near, far] = [await sender(address, 255), await sender(address, 254)];
      right.socket.setOnLink(true);
      far.send('far', right.port, address.text);
      near.send('near', right.port, address.text);
      left.socket.send(Uint8Array.of(7), heartbeatTarget(address, right.port));
      await until(() => right.got.length === 2, 'both near ones');
      expect(right.got.map((one) => Buffer.from(one.data).toString()).sort()).toEqual(['\x07', 'near']);
      await until(() => right.socket.counters().dropped === 1, 'a drop in the kernel');
      right.socket.setOnLink(false);
      far.send('far', right.port, address.text);
      await until(() => right.got.length === 3, 'the far one');
    },
  );

  it('cut what is longer than wanted one octet behind that', async () => {
    const { got, port } = await open();
    (await sender(ip('127.0.0.1'), 255)).send(Buffer.alloc(1000), port, '127.0.0.1');
    await until(() => got.length === 1, 'a datagram');
    expect(got[0]?.data.length).toBe(65);
  });

  it('say how long a datagram waited', async () => {
    const { got, port } = await open(() => Date.now() + 5000);
    const far = await sender(ip('127.0.0.1'), 255);
    far.send('x', port, '127.0.0.1');
    await until(() => got.length === 1, 'a datagram');
    expect(got[0]?.waitedMs).toBeGreaterThanOrEqual(4999);
    expect(got[0]?.waitedMs).toBeLessThan(6000);
  });

  it('count what the kernel refuses to send, and throw nothing', async () => {
    const { socket } = await open();
    expect(socket.send(Uint8Array.of(1), heartbeatTarget(ip('255.255.255.255'), 9))).toBe(false);
    expect(socket.counters().sendFailures).toEqual({ EACCES: 1 });
  });

  it('name the setting when the port is taken', async () => {
    const { port } = await open();
    expect(() => openHeartbeatSocket(netfd, { port, capacity: 64, onDatagram: () => undefined })).toThrow(
      expect.objectContaining({
        code: 'PORT_IN_USE',
        message: expect.stringContaining('vip_heartbeat_port') as string,
      }),
    );
  });
});

describe('the filter by hop limit', () => {
  it('is these instructions (linux/filter.h: SKF_NET_OFF is -0x100000)', () => {
    const rest = '15000001ff000000 0600000000000400 0600000000000000';
    expect(onLinkFilter('ipv4')).toEqual(hex(`300000000800f0ff ${rest}`));
    expect(onLinkFilter('ipv6')).toEqual(hex(`300000000700f0ff ${rest}`));
  });
});

/** sock_diag against what `ss -K` and a kernel said to each other (test/vectors/netlink/sock-diag.json). */

import { describe, expect, test } from 'vitest';

import { parseIp, type Ip } from '../../../../src/base/ip.ts';
import { decodeAcknowledgement } from '../../../../src/protocol/netlink/ack.ts';
import { decodeMessages, type NetlinkMessage } from '../../../../src/protocol/netlink/message.ts';
import {
  CONDITIONS_MAX,
  CONNECTION_STATES,
  decodeSocket,
  encodeSocketDestroy,
  encodeSocketDump,
  SOCK_DIAG_BY_FAMILY,
  TCP_ESTABLISHED,
  type Endpoint,
  type SocketFamily,
  type TcpSocket,
} from '../../../../src/protocol/netlink/sock-diag.ts';
import { readVectors } from '../../../vectors/netlink/vectors.ts';

const { vectors } = readVectors('sock-diag');
const V4 = ip('10.9.0.50');
const V6 = ip('fd99::50');
const TIME_WAIT = 6;
const LISTEN = 10;
const SYN_RECV = 3;

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

function datagrams(name: string): readonly Uint8Array[] {
  const found = vectors.get(name);
  if (found === undefined) throw new Error(name);
  return found;
}

function messages(name: string): readonly NetlinkMessage[] {
  return datagrams(name).flatMap((datagram) => {
    const decoded = decodeMessages(datagram);
    if (!decoded.ok) throw new Error(decoded.reason);
    return decoded.value;
  });
}

function sockets(name: string): readonly TcpSocket[] {
  return messages(name)
    .filter(({ type }) => type === SOCK_DIAG_BY_FAMILY)
    .flatMap(({ payload }) => {
      const socket = decodeSocket(payload);
      if (!socket.ok) throw new Error(socket.reason);
      return socket.value === undefined ? [] : [socket.value];
    });
}

/** From the sequence number on: what precedes it is compared by its parts. `ss` sets idiag_ext, which asks for more. */
function request(bytes: Uint8Array): { readonly header: string; readonly body: string } {
  const hex = Buffer.from(bytes).toString('hex');
  return { header: hex.slice(0, 16), body: hex.slice(32) };
}

function text({ address, port }: Endpoint): string {
  return `${address.length === 4 ? address.join('.') : Buffer.from(address).toString('hex')} ${port}`;
}

test('fourteen vectors of ss were found', () => {
  expect([...vectors.keys()].length).toBe(14);
});

describe('a dump of the sockets of an address', () => {
  test.each([
    ['ipv4 address, AF_INET dump', 'AF_INET', V4],
    ['ipv4 address, AF_INET6 dump', 'AF_INET6', V4],
    ['ipv6 address, AF_INET6 dump', 'AF_INET6', V6],
  ] as const)('%s: what `ss src A or dst A` asks', (name, family, address) => {
    // `ss` leaves out SYN_RECV, too.
    const states = CONNECTION_STATES.filter((state) => state !== SYN_RECV);
    const encoded = encodeSocketDump(123_456, { family, states: [0, ...states], addresses: [address] });
    expect(request(encoded)).toEqual(request(datagrams(name)[0] ?? new Uint8Array()));
  });

  test('is of connections, not of what listens or is over', () => {
    expect(CONNECTION_STATES).not.toContain(LISTEN);
    expect(CONNECTION_STATES).not.toContain(TIME_WAIT);
  });

  test('of two addresses is accepted by any of four conditions, tried one after another', () => {
    const encoded = encodeSocketDump(1, { family: 'AF_INET6', states: [TCP_ESTABLISHED], addresses: [V4, V6] });
    const program = Buffer.from(encoded.subarray(16 + 56 + 4)).toString('hex');
    const v4 = '02200000ffffffff0a090032';
    const v6 = '0a800000fffffffffd990000000000000000000000000050';
    const [jump4, jump6] = ['01041400', '01042000'];
    const conditions = [`07101400${v4}`, jump4, `08101400${v4}`, jump6, `071c2000${v6}`, jump6, `081c2000${v6}`];
    expect(program).toBe(conditions.join(''));
  });

  test(`of more than ${CONDITIONS_MAX} addresses is of all sockets`, () => {
    const many = (count: number): Uint8Array => {
      const addresses = Array.from({ length: count }, (_, index) => ip(`10.0.${index >> 8}.${index & 255}`));
      return encodeSocketDump(1, { family: 'AF_INET', states: [TCP_ESTABLISHED], addresses });
    };
    // Conditions of 16 octets, two an address, and a jump of four between each two of them.
    expect(many(CONDITIONS_MAX).length).toBe(16 + 56 + 4 + CONDITIONS_MAX * 2 * 16 + (CONDITIONS_MAX * 2 - 1) * 4);
    expect(many(CONDITIONS_MAX + 1).length).toBe(16 + 56);
    expect(many(0).length).toBe(16 + 56);
  });
});

describe('a socket of a dump', () => {
  test('IPv4', () => {
    const found = sockets('ipv4 address, AF_INET dump answer');
    expect(found.map(({ family, state, local, remote }) => [family, state, text(local), text(remote)])).toEqual([
      ['AF_INET', TCP_ESTABLISHED, '10.9.0.50 40001', '10.9.0.50 6443'],
      ['AF_INET', TCP_ESTABLISHED, '10.9.0.1 40003', '10.9.0.50 6443'],
    ]);
  });

  test('IPv4 in IPv6: its addresses are those that the other end has', () => {
    const found = sockets('ipv4 address, AF_INET6 dump answer');
    expect(found.map(({ family, local, remote }) => [family, text(local), text(remote)])).toEqual([
      ['AF_INET6', '10.9.0.50 6443', '10.9.0.50 40002'],
      ['AF_INET6', '10.9.0.50 40002', '10.9.0.50 6443'],
    ]);
  });

  test('IPv6', () => {
    const at = (host: string): string => `fd99${host.padStart(28, '0')}`;
    const found = sockets('ipv6 address, AF_INET6 dump answer');
    expect(found.map(({ local, remote }) => [text(local), text(remote)])).toEqual([
      [`${at('50')} 6443`, `${at('1')} 40005`],
      [`${at('50')} 40004`, `${at('50')} 6443`],
      [`${at('50')} 6443`, `${at('50')} 40004`],
      [`${at('1')} 40005`, `${at('50')} 6443`],
    ]);
  });

  test.each(['ipv4 address, AF_INET', 'ipv4 address, AF_INET6', 'ipv6 address, AF_INET6'])(
    '%s: is ended as ss -K ends it',
    (name) => {
      const destroyed = datagrams(`${name} destroy`).map(request);
      const found = sockets(`${name} dump answer`);
      expect(destroyed.length).toBeGreaterThan(0);
      expect(found.map((socket) => request(encodeSocketDestroy(1, socket)))).toEqual(destroyed);
    },
  );

  test('whose datagram is used again stays what it was', () => {
    const [datagram = new Uint8Array()] = datagrams('ipv4 address, AF_INET dump answer');
    const copy = datagram.slice();
    const decoded = decodeMessages(copy);
    const socket = decoded.ok ? decodeSocket(decoded.value[0]?.payload ?? new Uint8Array()) : undefined;
    copy.fill(0xee);
    expect(socket).toEqual({ ok: true, value: sockets('ipv4 address, AF_INET dump answer')[0] });
  });

  test('cut short anywhere is refused; one of another family is skipped', () => {
    const [record] = messages('ipv6 address, AF_INET6 dump answer');
    const payload = record?.payload ?? new Uint8Array();
    for (let length = 0; length < 72; length += 1) {
      expect(decodeSocket(payload.subarray(0, length))).toEqual({ ok: false, reason: 'socket-truncated', offset: 0 });
    }
    expect(decodeSocket(payload.subarray(0, 72))).toMatchObject({ ok: true, value: { family: 'AF_INET6' } });
    expect(decodeSocket(Uint8Array.from(payload).fill(1, 0, 1))).toEqual({ ok: true, value: undefined });
  });
});

test('the other end of a connection that was reset is answered ENOENT', () => {
  const errnos = messages('ipv6 address, AF_INET6 destroy answer').map((message) => {
    const answer = decodeAcknowledgement(message);
    return answer.ok ? answer.value.errno : answer.reason;
  });
  expect(errnos).toEqual([0, 0, 2, 2]);
});

test('families', () => {
  const families: readonly SocketFamily[] = ['AF_INET', 'AF_INET6'];
  expect(families.map((family) => encodeSocketDump(1, { family, states: [], addresses: [] })[16])).toEqual([2, 10]);
});

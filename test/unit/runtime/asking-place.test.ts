import { describe, expect, it } from 'vitest';

import { viewOfSnapshot } from '../../../src/agent/kernel-view.ts';
import type { KernelView } from '../../../src/agent/state.ts';
import type { InterfaceAddress, Link } from '../../../src/protocol/netlink/records.ts';
import { askingFrom, otherMacsOf } from '../../../src/runtime/asking-place.ts';
import { ip, mac } from '../base/values.ts';

const OURS = 0x48;
const FOREVER = Number.POSITIVE_INFINITY;

function link(index: number, name: string, change: Partial<Link> = {}): Link {
  return {
    index,
    name,
    hardwareType: 1,
    mac: mac(`02:00:00:00:00:${String(index).padStart(2, '0')}`),
    mtu: 1500,
    isUp: true,
    hasCarrier: true,
    operState: 6,
    linkKind: undefined,
    master: undefined,
    ...change,
  };
}

function address(ifindex: number, text: string, length: number, change: Partial<InterfaceAddress> = {}) {
  return {
    ifindex,
    prefix: { ip: ip(text), length },
    scope: 0,
    flags: 0,
    protocol: undefined,
    validSeconds: FOREVER,
    preferredSeconds: FOREVER,
    ...change,
  };
}

const LINKS = [
  { ...link(1, 'lo'), hardwareType: 772, mac: mac('00:00:00:00:00:00') },
  link(2, 'eth0'),
  link(3, 'eth1'),
];
const ADDRESSES = [
  address(1, '127.0.0.1', 8),
  address(2, '192.0.2.11', 24),
  address(2, 'fe80::2', 64),
  address(2, '2001:db8::11', 64),
  address(3, '198.51.100.11', 24),
  // Ours, on its way out, and still being checked: none of them is anybody's to ask from.
  address(2, '192.0.2.50', 24, { protocol: OURS }),
  address(2, '192.0.2.51', 24, { preferredSeconds: 0 }),
  address(3, '2001:db8:1::11', 64, { flags: 0x40 }),
];

function view(links: readonly Link[] = LINKS, addresses: readonly InterfaceAddress[] = ADDRESSES): KernelView {
  return viewOfSnapshot({ links, addresses, defaultRoutes: [] });
}

/** `interface source`, or why not. */
function from(target: string, interfaceName?: string, kernel: KernelView | undefined = view()): string {
  const found = askingFrom(kernel, ip(target), { interfaceName, addressProtocol: OURS });
  return found.ok
    ? `${found.place.interfaceName} ${found.place.source.text} ${found.place.mac.text}`
    : `${found.reason} ${found.interfaceName}`.trim();
}

describe('the place to ask the wire from', () => {
  it('is the interface whose subnet holds the address, and its address there', () => {
    expect(from('192.0.2.60')).toBe('eth0 192.0.2.11 02:00:00:00:00:02');
    expect(from('198.51.100.60')).toBe('eth1 198.51.100.11 02:00:00:00:00:03');
    expect(from('2001:db8::60')).toBe('eth0 2001:db8::11 02:00:00:00:00:02');
  });

  it('is the closest subnet of several, and one that can send before one that cannot', () => {
    const both = [...ADDRESSES, address(3, '192.0.2.12', 28)];
    expect(from('192.0.2.5', undefined, view(LINKS, both))).toBe('eth1 192.0.2.12 02:00:00:00:00:03');
    const dark = [LINKS[0] ?? link(1, 'lo'), link(2, 'eth0'), link(3, 'eth1', { hasCarrier: false })];
    expect(from('192.0.2.5', undefined, view(dark, both))).toBe('eth0 192.0.2.11 02:00:00:00:00:02');
  });

  it('is the interface that is named, even where no subnet of it holds the address', () => {
    expect(from('192.0.2.60', 'eth1')).toBe('eth1 198.51.100.11 02:00:00:00:00:03');
    expect(from('203.0.113.7', 'eth0')).toBe('eth0 192.0.2.11 02:00:00:00:00:02');
    expect(from('2001:db8:9::1', 'eth0')).toBe('eth0 2001:db8::11 02:00:00:00:00:02');
  });

  it.each([
    ['no interface holds it', '203.0.113.7', undefined, 'no-subnet'],
    ['the interface named is not there', '203.0.113.7', 'eth9', 'no-subnet'],
    ['only loopback does', '127.0.0.9', undefined, 'no-subnet'],
    ['the interface named has no address of that family', '2001:db8:1::60', 'eth1', 'no-source eth1'],
  ] as const)('is nowhere when %s', (_, target, name, reason) => {
    expect(from(target, name)).toBe(reason);
  });

  it('is nowhere without carrier, which is told with the interface, and before the kernel was read', () => {
    const dark = [link(2, 'eth0', { hasCarrier: false })];
    expect(from('192.0.2.60', undefined, view(dark, ADDRESSES))).toBe('no-carrier eth0');
    expect(from('192.0.2.60', undefined, view([link(2, 'eth0', { isUp: false })], ADDRESSES))).toBe('no-carrier eth0');
    const found = askingFrom(undefined, ip('192.0.2.60'), { interfaceName: undefined, addressProtocol: OURS });
    expect(found).toMatchObject({ ok: false, reason: 'not-ready' });
  });

  it('is never the address itself, nor a host address that holds nothing but itself', () => {
    const own = [...ADDRESSES, address(3, '203.0.113.7', 32)];
    expect(from('203.0.113.7', undefined, view(LINKS, own))).toBe('no-subnet');
    expect(from('192.0.2.11')).toBe('no-subnet');
  });
});

it("a node's other MACs are those of interfaces that may be on the same segment, each once, and not too many", () => {
  const [, eth0, eth1] = LINKS;
  if (eth0 === undefined || eth1 === undefined) throw new Error('links');
  const more = [
    ...LINKS,
    link(4, 'veth1', { linkKind: 'veth' }),
    link(5, 'kube-ipvs0', { linkKind: 'dummy' }),
    link(6, 'vlan7', { mac: eth1.mac }),
  ];
  expect(otherMacsOf(view(more), eth0.mac).map(({ text }) => text)).toEqual(['02:00:00:00:00:03']);
  expect(otherMacsOf(view(more), undefined).length).toBe(2);
  const many = Array.from({ length: 30 }, (_, index) =>
    link(10 + index, `eth${index}`, { mac: mac(`02:00:00:00:01:${10 + index}`) }),
  );
  expect(otherMacsOf(view(many), undefined).length).toBe(8);
});

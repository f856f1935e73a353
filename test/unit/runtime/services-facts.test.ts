/** What a node publishes of itself for Services: the text, what the kernel makes of it, and when it changes. */

import { describe, expect, it } from 'vitest';

import { assert } from '../../../src/base/assert.ts';
import { macOf } from '../../sim/kernel.ts';
import { parseIp, type Ip } from '../../../src/base/ip.ts';
import type { InterfaceAddress, KernelSnapshot, Link } from '../../../src/protocol/netlink/records.ts';
import { keepOwnFacts } from '../../../src/runtime/services/own-facts.ts';
import {
  decodeFacts,
  encodeFacts,
  INTERFACES_MAX,
  ownFacts,
  PREFIXES_MAX,
} from '../../../src/runtime/services/published-facts.ts';

const OURS = 0x68;

function ip(text: string): Ip {
  const parsed = parseIp(text);
  assert(parsed.ok, text);
  return parsed.value;
}

function link(index: number, name: string, rest: Partial<Link> = {}): Link {
  return {
    index,
    name,
    hardwareType: 1,
    mac: undefined,
    mtu: 1500,
    isUp: true,
    hasCarrier: true,
    operState: 6,
    linkKind: undefined,
    master: undefined,
    ...rest,
  };
}

function address(
  ifindex: number,
  text: string,
  length: number,
  rest: Partial<InterfaceAddress> = {},
): InterfaceAddress {
  return {
    ifindex,
    prefix: { ip: ip(text), length },
    scope: 0,
    flags: 0,
    protocol: undefined,
    validSeconds: Infinity,
    preferredSeconds: Infinity,
    ...rest,
  };
}

const SNAPSHOT: KernelSnapshot = {
  links: [
    link(1, 'lo', { hardwareType: 772 }),
    link(2, 'eth0', { mac: macOf('02:00:00:00:00:0b') }),
    link(3, 'eth1', { hasCarrier: false }),
    link(4, 'veth1a2b', { linkKind: 'veth' }),
    link(5, 'eno1', { master: 6 }),
  ],
  addresses: [
    address(1, '127.0.0.1', 8, { scope: 254 }),
    address(2, '192.0.2.11', 24),
    address(2, '192.0.2.50', 32, { protocol: OURS, preferredSeconds: 0 }),
    address(2, '192.0.2.60', 32, { preferredSeconds: 0 }),
    address(2, '2001:db8::11', 64),
    address(2, '2001:db8::a:b:c:d', 64, { flags: 1 }),
    address(2, 'fe80::1', 64, { scope: 253 }),
  ],
  defaultRoutes: [
    { family: 'ipv4', destination: undefined, gateway: ip('192.0.2.1'), ifindex: 2, metric: 0, table: 254 },
  ],
};
const FACTS = ownFacts(SNAPSHOT, { addressProtocol: OURS, isKubeProxyHealthy: true });
const TEXT =
  '{"version":1,"interfaces":[{"name":"eth0","carrier":true,"mac":"02:00:00:00:00:0b",' +
  '"prefixes":["192.0.2.11/24","2001:db8::11/64"]},{"name":"eth1","carrier":false,"prefixes":[]}],"gateways":["192.0.2.1"],"kubeProxy":true}';

describe('the text', () => {
  it('says interfaces with ordinary addresses, gateways and kube-proxy; no virtual, temporary or link-local address', () => {
    expect(encodeFacts(FACTS)).toBe(TEXT);
    expect(decodeFacts(TEXT)).toEqual(FACTS);
  });

  it('leaves out what is not known', () => {
    const text = encodeFacts({ interfaces: [], gateways: [], isKubeProxyHealthy: undefined });
    expect(text).toBe('{"version":1,"interfaces":[],"gateways":[]}');
    expect(decodeFacts(text)?.isKubeProxyHealthy).toBeUndefined();
  });

  it.each([
    ['no JSON', '{'],
    ['another version', TEXT.replace('"version":1', '"version":2')],
    ['no list', '{"version":1,"interfaces":{},"gateways":[]}'],
    ['a name that no interface has', TEXT.replace('"eth0"', '"a-name-too-long-for-it"')],
    ['a prefix that is none', TEXT.replace('192.0.2.11/24', '192.0.2.11/33')],
    ['an address without length', TEXT.replace('192.0.2.11/24', '192.0.2.11')],
    ['a MAC that is none', TEXT.replace('02:00:00:00:00:0b', '02:00:00:00:00')],
    ['a carrier in words', TEXT.replace('"carrier":true', '"carrier":"yes"')],
    ['a kube-proxy in words', TEXT.replace('"kubeProxy":true', '"kubeProxy":"yes"')],
    ['a gateway that is none', TEXT.replace('"192.0.2.1"', '"gateway"')],
    [
      'too many interfaces',
      JSON.stringify({
        version: 1,
        gateways: [],
        interfaces: Array.from({ length: INTERFACES_MAX + 1 }, () => ({ name: 'a', carrier: true, prefixes: [] })),
      }),
    ],
    [
      'too many prefixes',
      JSON.stringify({
        version: 1,
        gateways: [],
        interfaces: [{ name: 'a', carrier: true, prefixes: Array(PREFIXES_MAX + 1).fill('10.0.0.1/8') }],
      }),
    ],
  ])('is not believed with %s', (_, text) => {
    expect(decodeFacts(text)).toBeUndefined();
  });

  it('cut anywhere is not believed', () => {
    for (let length = 0; length < TEXT.length; length += 1) expect(decodeFacts(TEXT.slice(0, length))).toBeUndefined();
  });
});

describe('what changes', () => {
  function keeper(): { readonly told: string[]; readonly facts: ReturnType<typeof keepOwnFacts> } {
    const told: string[] = [];
    const facts = keepOwnFacts({
      dump: () => SNAPSHOT,
      addressProtocol: OURS,
      onChange: (_, text) => told.push(text),
      carrierSettlesMs: 60,
    });
    return { told, facts };
  }

  it('lost carrier is told at once, carrier that is back after it has stayed', async () => {
    const { told, facts } = keeper();
    facts.kernelChanged({ kind: 'link', link: link(2, 'eth0', { hasCarrier: false }) });
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('"name":"eth0","carrier":false');
    const backAt = performance.now();
    facts.kernelChanged({ kind: 'link', link: link(2, 'eth0') });
    await expect.poll(() => told.length).toBe(2);
    expect(performance.now() - backAt).toBeGreaterThanOrEqual(60);
    expect(told[1]).toContain('"name":"eth0","carrier":true');
    facts.close();
  });

  it('addresses of ours, and their renewals, are no news', async () => {
    const { told, facts } = keeper();
    for (let host = 1; host < 200; host += 1) {
      const own = address(2, `198.51.100.${host}`, 32, { protocol: OURS, preferredSeconds: 0 });
      facts.kernelChanged({ kind: 'address', address: own });
      facts.kernelChanged({ kind: 'address-gone', address: own });
    }
    facts.kernelChanged({ kind: 'address', address: address(3, '198.51.100.1', 24) });
    await expect.poll(() => told.length).toBe(1);
    expect(told[0]).toContain('"name":"eth1","carrier":false,"prefixes":["198.51.100.1/24"]');
    facts.close();
  });

  it('kube-proxy is', () => {
    const { told, facts } = keeper();
    facts.kubeProxyChanged(false);
    facts.kubeProxyChanged(false);
    expect(told).toEqual([expect.stringContaining('"kubeProxy":false')]);
    facts.close();
  });
});

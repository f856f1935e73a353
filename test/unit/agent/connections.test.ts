/** Connections are ended of addresses that have left, when the kernel has said so, and of no others. */

import { describe, expect, it } from 'vitest';
import type { Effect } from '../../../src/agent/effect.ts';
import { ADDRESS_PROTOCOL, ETH0, ETH1, ipOf, prefixOf } from '../../sim/kernel.ts';
import { record } from '../leader/script.ts';
import { DUAL, NodeScript, VIP4, VIP6 } from './script.ts';
import { dutyOf, manyDuties, S4, ServiceScript } from './services-script.ts';

const FOREVER = Number.POSITIVE_INFINITY;

/** All that was ended since the start, which is at 0. */
function ended(script: NodeScript): readonly string[] {
  const since = script.effects('connections.end').filter(({ at, cause }) => at > 0 && cause === 'left');
  return since.flatMap(({ addresses }) => addresses.map(({ text }) => text));
}

function endedBy(effects: readonly Effect[], cause: 'left' | 'arrived' = 'left'): readonly string[] {
  return effects.flatMap((effect) =>
    effect.kind === 'connections.end' && effect.cause === cause ? effect.addresses.map(({ text }) => text) : [],
  );
}

describe('a VIP of the control plane', () => {
  it('ends its connections when it was withdrawn, after the kernel reported it gone', () => {
    const script = new NodeScript(DUAL).hold();
    expect(ended(script)).toEqual([]);
    script.isKernelObeying = false;
    expect(endedBy(script.observe(500, record('b', '900')))).toEqual([]);
    expect(script.holds(VIP4)).toBe(true);
    expect(endedBy(script.outside(510, (kernel) => kernel.deleteAll(ipOf(VIP4))))).toEqual([VIP4]);
    expect(endedBy(script.outside(520, (kernel) => kernel.deleteAll(ipOf(VIP6))))).toEqual([VIP6]);
  });

  it('ends them when its lifetime ran out', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    const end = script.state.election.renewedAt + script.rules.election.renewDeadlineMs;
    script.until(end + 1);
    expect(ended(script)).toEqual([]);
    const [held] = script.kernel.find(ipOf(VIP4));
    if (held === undefined) throw new Error('nothing is held');
    const effects = script.at(end + 5000, {
      kind: 'kernel.changed',
      change: { kind: 'address-gone', address: held.address },
    });
    expect(endedBy(effects)).toEqual([VIP4]);
  });

  it('ends them on a kernel that reports no marks: by having held it, or by the shape of a leftover', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    script.observe(500, record('b', '900'));
    const [held] = script.kernel.find(ipOf(VIP4));
    if (held === undefined) throw new Error('nothing is held');
    const plain = { ...held.address, protocol: undefined, preferredSeconds: FOREVER };
    const gone = { kind: 'kernel.changed', change: { kind: 'address-gone', address: plain } } as const;
    expect(endedBy(script.at(510, gone))).toEqual([VIP4]);
    const leftover = { ...plain, ifindex: ETH1, preferredSeconds: 0 };
    script.at(520, { kind: 'kernel.changed', change: { kind: 'address', address: leftover } });
    const removed = script.at(530, { kind: 'kernel.changed', change: { kind: 'address-gone', address: leftover } });
    expect(endedBy(removed)).toEqual([VIP4]);
    const ordinary = { ...plain, ifindex: ETH1 };
    script.at(540, { kind: 'kernel.changed', change: { kind: 'address', address: ordinary } });
    expect(
      endedBy(script.at(550, { kind: 'kernel.changed', change: { kind: 'address-gone', address: ordinary } })),
    ).toEqual([]);
  });

  it('keeps them when somebody deletes it and it is put back at once', () => {
    const script = new NodeScript().hold();
    script.outside(500, (kernel) => kernel.deleteAll(ipOf(VIP4)));
    expect(script.holds()).toBe(true);
    expect(ended(script)).toEqual([]);
  });

  it('keeps them while another interface has the address', () => {
    const script = new NodeScript().hold();
    script.outside(450, (kernel) =>
      kernel.add({
        ifindex: ETH1,
        prefix: prefixOf(`${VIP4}/32`),
        validSeconds: FOREVER,
        preferredSeconds: FOREVER,
        isOrdinary: true,
      }),
    );
    script.observe(500, record('b', '900'));
    expect(script.kernel.find(ipOf(VIP4)).map(({ address }) => address.ifindex)).toEqual([ETH1]);
    expect(ended(script)).toEqual([]);
  });

  it('ends them when its interface is removed', () => {
    const script = new NodeScript().hold();
    const effects = script.at(500, {
      kind: 'kernel.changed',
      change: { kind: 'link-gone', index: ETH0, name: 'eth0' },
    });
    expect(endedBy(effects)).toEqual([VIP4]);
  });

  it('ends them when notifications were lost and a dump shows that it is gone', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    script.observe(500, record('b', '900'));
    const snapshot = script.kernel.snapshot();
    const gone = { ...snapshot, addresses: snapshot.addresses.filter(({ prefix }) => prefix.ip.text !== VIP4) };
    expect(endedBy(script.at(510, { kind: 'kernel.dumped', snapshot }))).toEqual([]);
    expect(endedBy(script.at(520, { kind: 'kernel.dumped', snapshot: gone }))).toEqual([VIP4]);
  });

  it('of a former configuration, found at start, ends them when it is removed', () => {
    const script = new NodeScript();
    const prefix = prefixOf('192.0.2.99/32');
    script.kernel.add({ ifindex: ETH0, prefix, validSeconds: 30, protocol: ADDRESS_PROTOCOL });
    script.start(1);
    script.observe(2, record('b', '900'));
    expect(script.holds('192.0.2.99')).toBe(false);
    expect(ended(script)).toEqual([VIP4, '192.0.2.99']);
  });
});

describe('a VIP of the control plane that comes', () => {
  it('ends connections to its former holder, when the kernel has reported it here', () => {
    const script = new NodeScript(DUAL).hold();
    const arrived = script.effects('connections.end').filter(({ cause }) => cause === 'arrived');
    expect(arrived.flatMap(({ addresses }) => addresses.map(({ text }) => text)).toSorted()).toEqual([VIP4, VIP6]);
    const adds = script.effects('address.add');
    expect(arrived[0]?.at).toBeGreaterThanOrEqual(adds[0]?.at ?? Number.NaN);
    script.serve(3000);
    expect(script.effects('connections.end').filter(({ cause }) => cause === 'arrived').length).toBe(arrived.length);
  });

  it('is no address of a Service: kube-proxy leads those everywhere', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a', 'b', 'c'])]);
    node.go(1000);
    expect(node.holds(S4)).toBe(true);
    expect(node.effects('connections.end')).toEqual([]);
  });
});

describe('at the first look', () => {
  it('a VIP that isn’t here may have left while nobody ran: its connections are ended', () => {
    const script = new NodeScript(DUAL);
    script.kernel.add({ ifindex: ETH0, prefix: prefixOf(`${VIP6}/128`), validSeconds: 3, protocol: ADDRESS_PROTOCOL });
    expect(endedBy(script.start())).toEqual([VIP4]);
    expect(endedBy(script.at(1, { kind: 'kernel.dumped', snapshot: script.kernel.snapshot() }))).toEqual([]);
  });

  it('one that another interface has is here', () => {
    const script = new NodeScript();
    const prefix = prefixOf(`${VIP4}/24`);
    const ordinary = { validSeconds: FOREVER, preferredSeconds: FOREVER, isOrdinary: true };
    script.kernel.add({ ifindex: ETH1, prefix, ...ordinary });
    expect(endedBy(script.start())).toEqual([]);
  });
});

it('leaves connections of the node’s other addresses alone when these go', () => {
  const script = new NodeScript();
  const prefix = prefixOf('192.0.2.7/24');
  const other = prefixOf('192.0.2.8/32');
  const ordinary = { ifindex: ETH0, validSeconds: FOREVER, isOrdinary: true };
  script.kernel.add({ ...ordinary, prefix, preferredSeconds: FOREVER });
  script.kernel.add({ ...ordinary, prefix: other, preferredSeconds: 0 });
  script.hold();
  script.outside(500, (kernel) => kernel.deleteAll(ipOf('192.0.2.7')));
  script.outside(510, (kernel) => kernel.deleteAll(ipOf('192.0.2.8')));
  const change = {
    kind: 'address-gone',
    address: {
      ifindex: ETH0,
      prefix,
      scope: 0,
      flags: 0,
      protocol: undefined,
      validSeconds: FOREVER,
      preferredSeconds: FOREVER,
    },
  } as const;
  script.at(520, { kind: 'kernel.changed', change });
  expect(ended(script)).toEqual([]);
});

describe('addresses of Services', () => {
  it('end their connections when they leave, all of a bundle in one effect', () => {
    const node = new ServiceScript().ready();
    const duties = manyDuties(3, ['a', 'b', 'c']);
    node.duty(600, duties);
    node.go(2000);
    node.isKernelObeying = false;
    node.duty(2100, []);
    const changes = duties.flatMap(({ prefix }) =>
      node.kernel.find(prefix.ip).map(({ address }) => ({ kind: 'address-gone', address }) as const),
    );
    expect(changes.length).toBe(3);
    expect(ended(node)).toEqual([]);
    const effects = node.at(2101, { kind: 'kernel.changes', changes });
    expect(effects.filter(({ kind }) => kind === 'connections.end').length).toBe(1);
    expect(endedBy(effects)).toEqual(duties.map(({ prefix }) => prefix.ip.text));
  });

  it('keep them when somebody deletes one and it is put back', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a', 'b', 'c'])]);
    node.go(1000);
    node.outside(1001, (kernel) => kernel.deleteAll(ipOf(S4)));
    expect(node.holds(S4)).toBe(true);
    expect(ended(node)).toEqual([]);
  });

  it('end them on a kernel that reports no marks', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['b', 'c', 'a'])]);
    node.go(1000);
    const address = { ifindex: ETH0, prefix: prefixOf(`${S4}/32`), scope: 0, flags: 0, protocol: undefined };
    const leftover = { ...address, validSeconds: 30, preferredSeconds: 0 };
    const gone = { kind: 'kernel.changed', change: { kind: 'address-gone', address: leftover } } as const;
    expect(endedBy(node.at(1010, gone))).toEqual([S4]);
  });

  it('end them when they leave in a dump, and when their link is removed', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a', 'b', 'c'])]);
    node.go(1000);
    node.isKernelObeying = false;
    node.duty(1100, []);
    const snapshot = node.kernel.snapshot();
    const addresses = snapshot.addresses.filter(({ prefix }) => prefix.ip.text !== S4);
    expect(endedBy(node.at(1101, { kind: 'kernel.dumped', snapshot: { ...snapshot, addresses } }))).toEqual([S4]);
    node.at(1102, { kind: 'kernel.dumped', snapshot });
    const change = { kind: 'link-gone', index: ETH0, name: 'eth0' } as const;
    expect(endedBy(node.at(1103, { kind: 'kernel.changed', change }))).toEqual([S4]);
  });
});

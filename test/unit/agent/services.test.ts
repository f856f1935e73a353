/** A node's share of Service addresses: who owns what, and what this node does about it. */

import { describe, expect, it } from 'vitest';
import { ownerOfAddress } from '../../../src/agent/services/read.ts';
import { ADDRESS_PROTOCOL, ETH0, ETH1, ipOf, link, macOf, prefixOf } from '../../sim/kernel.ts';
import { NODE_MAC, RULES } from './script.ts';
import { dutyOf, manyDuties, OTHER_MAC, S4, S6, ServiceScript } from './services-script.ts';

const IP4 = ipOf(S4);

/** Ready, and answering for these as their owner. */
function holding(addresses: readonly string[] = [S4], order: readonly string[] = ['a', 'b', 'c']): ServiceScript {
  const node = new ServiceScript().ready();
  node.duty(
    600,
    addresses.map((address) => dutyOf(address, order)),
  );
  node.go(1000);
  for (const address of addresses) expect(node.phase(address)).toBe('holding');
  return node;
}

describe.each([S4, S6])('an address this node is first in order for (%s)', (address) => {
  it('is asked for on the wire three times, put up with a lifetime, announced', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(address, ['a', 'b', 'c'])]);
    node.go(1000);
    expect(node.probes(address)).toEqual([600, 640, 680]);
    expect(node.effects('address.add')[0]).toMatchObject({ at: 720, ifindex: ETH0, validSeconds: 3, scope: 'global' });
    expect(node.effects('address.add')[0]?.prefix.length).toBe(address === S4 ? 32 : 128);
    expect(node.announcements(address)[0]).toBe(720);
    expect(node.phase(address)).toBe('holding');
    expect(node.effects('capture.set').at(-1)).toMatchObject({ ifindex: ETH0, addresses: [{ text: address }] });
  });

  it('is waited for while another machine answers, and claimed when that ends', () => {
    const vip = { ...RULES.vip, conflictTimeoutMs: 5000 };
    const node = new ServiceScript(['a', 'b', 'c'], { vip }).ready();
    node.duty(600, [dutyOf(address, ['a', 'b'])]);
    node.answer(8000, address);
    expect(node.phase(address)).toBe('conflict');
    expect(node.holds(address)).toBe(false);
    node.go(9000);
    expect(node.phase(address)).toBe('holding');
  });

  it('is put back when somebody deletes it', () => {
    const node = holding([address]);
    node.outside(1000, (kernel) => kernel.deleteAll(ipOf(address)));
    expect(node.holds(address)).toBe(true);
    expect(node.state.counters['serviceRestores']).toBe(1);
  });

  it('is withdrawn when it leaves the duty', () => {
    const node = holding([address]);
    node.duty(1100, []);
    expect(node.holds(address)).toBe(false);
    expect(node.entry(address)).toBeUndefined();
    node.go(2500);
    expect(node.effects('capture.set').at(-1)).toMatchObject({ addresses: [] });
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'removed', count: 1, isComplete: true });
  });
});

describe('the owner', () => {
  it('is the first in order; others do nothing', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['b', 'a'])]);
    node.go(3000);
    expect(ownerOfAddress(node.state, S4)).toBe('b');
    expect(node.probes(S4)).toEqual([]);
    expect(node.phase(S4)).toBeUndefined();
  });

  it('is the next when a majority misses the first, and not before', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['c', 'a'])]);
    node.go(1000);
    node.beating.delete('c');
    node.missed.add('c');
    node.go(1250);
    expect(node.probes(S4)).toEqual([]);
    node.go(1350);
    expect(ownerOfAddress(node.state, S4)).toBe('a');
    node.go(1600);
    expect(node.phase(S4)).toBe('holding');
    expect(node.moves()).toEqual([{ kind: 'gained', cause: 'node-lost', other: 'c', count: 1, isComplete: true }]);
  });

  it('stays the first while only this node misses it', () => {
    const node = new ServiceScript(['a', 'b', 'c', 'd', 'e']).ready();
    node.duty(600, [dutyOf(S4, ['c', 'a'])]);
    node.beating.delete('c');
    node.says.set('b', { hears: 0b11111 }).set('d', { hears: 0b11111 }).set('e', { hears: 0b11111 });
    node.go(4000);
    expect(ownerOfAddress(node.state, S4)).toBe('c');
  });

  it('is this node no more when the order says so: it drops without waiting', () => {
    const node = holding();
    node.duty(1100, [dutyOf(S4, ['b', 'a'])]);
    expect(node.holds(S4)).toBe(false);
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'reordered', other: 'b', count: 1 });
  });

  it('is nobody for a tentative address', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a'], { isTentative: true })]);
    node.go(2000);
    expect(ownerOfAddress(node.state, S4)).toBeUndefined();
    expect(node.holds(S4)).toBe(false);
  });

  it.each([
    ['two voters, the leader misses the other', ['a', 'b'], 'a', 'a'],
    ['two voters, another misses the leader', ['a', 'b'], 'b', 'b'],
  ] as const)('%s', (_name, voters, holder, owner) => {
    const node = new ServiceScript(voters);
    node.holder = holder;
    node.start();
    if (holder === 'a') {
      node.observe(1, undefined);
      node.serve(400);
    }
    node.renew();
    node.go(500);
    node.duty(600, [dutyOf(S4, ['b', 'a'])]);
    node.go(1000);
    expect(ownerOfAddress(node.state, S4)).toBe('b');
    node.beating.delete('b');
    if (holder === 'a') node.serve(1600);
    else node.go(1600);
    expect(ownerOfAddress(node.state, S4)).toBe(owner);
  });
});

describe('a draining node', () => {
  it('answers on until the next owner is heard, then drops', () => {
    const node = holding();
    node.at(1100, { kind: 'drain', isDraining: true, source: 'operator' });
    expect(ownerOfAddress(node.state, S4)).toBe('b');
    node.go(1300);
    expect(node.holds(S4)).toBe(true);
    const before = node.announcements(S4).length;
    node.use(1310, S4);
    expect(node.holds(S4)).toBe(false);
    expect(node.announcements(S4).length, 'neither announced nor defended').toBe(before);
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'node-draining', other: 'b', isComplete: true });
  });

  it('waits for the next owner no longer than a second', () => {
    const node = holding();
    node.at(1100, { kind: 'drain', isDraining: true, source: 'operator' });
    node.go(2050);
    expect(node.holds(S4)).toBe(true);
    node.go(2150);
    expect(node.holds(S4)).toBe(false);
  });

  it('keeps what nobody else may have', () => {
    const node = holding([S4], ['a']);
    node.at(1100, { kind: 'drain', isDraining: true, source: 'operator' });
    node.go(5000);
    expect(node.phase(S4)).toBe('holding');
  });

  it('is heard by the next owner, which claims at once and bears with its answers', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['b', 'a'])]);
    node.go(6000);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    expect(node.probes(S4)).toEqual([]);
    expect(node.phase(S4)).toBe('holding');
    expect(node.announcements(S4).length).toBeGreaterThan(0);
    node.use(6050, S4);
    expect(node.phase(S4)).toBe('holding');
    expect(node.logs()).not.toContain('service address conflict');
    node.go(6400);
    expect(node.moves()).toEqual([{ kind: 'gained', cause: 'node-draining', other: 'b', count: 1, isComplete: true }]);
  });

  it('is succeeded at once also when the order names the next owner before its word is heard', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['b', 'a'])]);
    node.go(6000);
    node.duty(6010, [dutyOf(S4, ['a'])]);
    node.use(6015, S4);
    expect(node.phase(S4)).toBe('conflict');
    node.says.set('b', { isDraining: true });
    node.until(6020);
    node.beat('b');
    expect(node.phase(S4)).toBe('holding');
  });

  it('is not taken at its word before the kernel of who had the address before has forgotten it', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['c', 'b', 'a'])]);
    node.go(6000);
    node.beating.delete('c');
    node.missed.add('c');
    node.answer(7500, S4);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    expect(ownerOfAddress(node.state, S4)).toBe('a');
    node.answer(8000, S4);
    expect(node.phase(S4), "c's kernel answers still, and b never had it").toBe('conflict');
  });

  it('is taken at its word soon after it was given the address, which nobody had before', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S6, ['b', 'a'])]);
    node.duty(900, [dutyOf(S4, ['b', 'a']), dutyOf(S6, ['b', 'a'])]);
    node.go(1200);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    expect(node.phase(S4)).toBe('holding');
    expect(node.probes(S4)).toEqual([]);
    expect(node.phase(S6), 'which somebody may have had before this process was there').not.toBe('holding');
  });

  it('that was given it by another node in between is not', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S6, ['b', 'a'])]);
    node.duty(900, [dutyOf(S4, ['c', 'b', 'a']), dutyOf(S6, ['b', 'a'])]);
    node.go(1000);
    node.duty(1000, [dutyOf(S4, ['b', 'a']), dutyOf(S6, ['b', 'a'])]);
    node.go(1200);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    expect(ownerOfAddress(node.state, S4)).toBe('a');
    expect(node.phase(S4)).not.toBe('holding');
  });

  it('that falls silent on its way out does not become the owner again, nor when it leaves the voter set', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['b', 'a'])]);
    node.go(1000);
    node.says.set('b', { isDraining: true });
    node.beat('b');
    node.beating.delete('b');
    for (let at = 1100; at <= 2500; at += 50) {
      node.go(at);
      expect(ownerOfAddress(node.state, S4), `at ${at}`).toBe('a');
    }
    const voters = ['a', 'c'].map((name) => ({ name, addresses: ['192.0.2.1'], port: 6460 }));
    const annotations = { 'holdfast.io/voters': JSON.stringify({ epoch: 2, voters }) };
    const lease = node.state.election.observed?.lease;
    if (lease === undefined) throw new Error('no Lease');
    node.observe(2600, { ...lease, resourceVersion: '2000', renewTime: 'later', holder: 'c', annotations });
    expect(ownerOfAddress(node.state, S4)).toBe('a');
  });
});

describe('a stopping node', () => {
  it('gives everything away, what nobody else may have included, and ends when the kernel has none of it', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a', 'b']), dutyOf(S6, ['a'])]);
    node.go(1000);
    node.at(1100, { kind: 'shutdown' });
    expect(node.holds(S6)).toBe(false);
    expect(node.holds(S4)).toBe(true);
    node.until(1115);
    expect(node.effects('heartbeat.send').at(-1)?.beat.isDraining).toBe(true);
    expect(node.state.lifecycle).toBe('stopping');
    node.use(1150, S4);
    expect(node.holds(S4)).toBe(false);
    expect(node.state.lifecycle).toBe('stopped');
  });
});

describe('standing', () => {
  it('ends a second after the majority was last heard: everything is dropped', () => {
    const node = holding([S4, S6]);
    node.beating.clear();
    node.go(2250);
    expect(node.holds(S4)).toBe(true);
    node.go(2450);
    expect(node.holds(S4)).toBe(false);
    expect(node.holds(S6)).toBe(false);
    expect(node.state.services.liveness.hasStanding).toBe(false);
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'standing-lost', count: 2, isComplete: true });
  });

  it('does not return by voters heard one after the other', () => {
    const node = new ServiceScript(['a', 'b', 'c', 'd']).ready();
    node.duty(600, [dutyOf(S4, ['a'])]);
    node.go(1000);
    node.beating.clear();
    node.go(3000);
    expect(node.holds(S4)).toBe(false);
    node.beat('b');
    node.go(3350);
    node.beat('c');
    node.go(3500);
    expect(node.state.services.liveness.hasStanding).toBe(false);
    expect(node.probes(S4)).toHaveLength(3);
  });

  it('returns with the majority', () => {
    const node = holding();
    node.beating.clear();
    node.go(3000);
    node.beating.add('b').add('c');
    node.go(3500);
    expect(node.phase(S4)).toBe('holding');
    expect(node.moves().at(-1)).toMatchObject({ cause: 'regained' });
  });

  it('ends a second after a majority says that it does not hear this node, which hears them all', () => {
    const node = holding();
    node.missed.add('a');
    for (const name of ['b', 'c']) node.says.set(name, { hears: 0b110 });
    node.go(2050);
    expect(node.holds(S4)).toBe(true);
    node.go(2200);
    expect(node.holds(S4)).toBe(false);
    for (const name of ['b', 'c']) node.says.set(name, { hears: 0b111 });
    node.go(2600);
    expect(node.phase(S4)).toBe('holding');
  });

  it('that returns before the kernel has let go of an address asks the wire like anybody', () => {
    const node = holding();
    node.isKernelObeying = false;
    node.beating.clear();
    node.go(2500);
    expect(node.phase(S4)).toBe('withdrawing');
    node.beating.add('b').add('c');
    node.go(2900);
    expect(node.phase(S4)).toBe('withdrawing');
    const before = node.probes(S4).length;
    node.isKernelObeying = true;
    node.outside(2900, (kernel) => kernel.deleteAll(IP4));
    node.go(3200);
    expect(node.probes(S4).length - before).toBe(3);
    expect(node.phase(S4)).toBe('holding');
  });

  it('announces anew when somebody has missed this node for a moment', () => {
    const node = holding();
    node.go(8000);
    const before = node.announcements(S4).length;
    node.beat('b', { hears: 0b110 });
    node.go(8110);
    expect(node.announcements(S4).length).toBeGreaterThan(before);
    expect(node.phase(S4)).toBe('holding');
  });

  it('outlives the API: heartbeats of a majority are enough, and a lost node is replaced all the same', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a', 'c']), dutyOf(S6, ['c', 'a'])]);
    node.isApiUp = false;
    for (const name of ['b', 'c']) node.says.set(name, { isApiWorking: false });
    node.go(60_000);
    expect(node.phase(S4)).toBe('holding');
    node.beating.delete('c');
    node.missed.add('c');
    node.go(60_900);
    expect(node.phase(S6)).toBe('holding');
  });

  it('with two voters needs the Lease renewed, or the other heard while the API is away', () => {
    const node = new ServiceScript(['a', 'b']).ready();
    node.duty(600, [dutyOf(S4, ['a', 'b'])]);
    node.go(2000);
    expect(node.phase(S4)).toBe('holding');
    node.isApiUp = false;
    node.says.set('b', { isApiWorking: false });
    node.go(30_000);
    expect(node.phase(S4)).toBe('holding');
    node.beating.clear();
    node.go(31_000);
    expect(node.holds(S4)).toBe(false);
  });

  it('without spreading is the election: only the leader answers, wherever it is in order', () => {
    const node = new ServiceScript(['a']);
    node.holder = 'a';
    node.start();
    node.observe(1, undefined);
    node.duty(10, [dutyOf(S4, ['b', 'a']), dutyOf(S6, ['b'])], false);
    node.serve(600);
    expect(node.state.election.phase).toBe('leading');
    expect(node.phase(S4)).toBe('holding');
    expect(node.phase(S6)).toBeUndefined();
    node.fail(node.state.election.pending === undefined ? node.deadline : node.now, 'unreachable');
    node.until(8000);
    expect(node.state.election.phase).toBe('following');
    expect(node.holds(S4)).toBe(false);
  });
});

describe('an interface', () => {
  it('without carrier loses what is on it, and has it back with it', () => {
    const node = holding();
    node.outside(1100, (kernel) => kernel.setLink(ETH0, { hasCarrier: false }));
    expect(node.holds(S4)).toBe(false);
    expect(node.moves().at(-1)).toMatchObject({ kind: 'lost', cause: 'interface-lost' });
    node.outside(1500, (kernel) => kernel.setLink(ETH0, { hasCarrier: true }));
    node.go(2000);
    expect(node.phase(S4)).toBe('holding');
  });

  it('that appears later is used then', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a'], { interfaceName: 'eth1' })]);
    node.go(2000);
    expect(node.phase(S4)).toBeUndefined();
    node.outside(2000, (kernel) => kernel.addLink(link(ETH1, 'eth1', NODE_MAC)));
    node.go(2300);
    expect(node.effects('address.add').at(-1)).toMatchObject({ ifindex: ETH1 });
    expect(node.phase(S4)).toBe('holding');
  });

  it('that changes is left before the other is used', () => {
    const node = new ServiceScript();
    node.kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
    node.ready();
    node.duty(600, [dutyOf(S4, ['a'])]);
    node.go(1000);
    node.duty(1100, [dutyOf(S4, ['a'], { interfaceName: 'eth1' })]);
    expect(node.kernel.find(IP4)).toEqual([]);
    node.go(1400);
    expect(node.kernel.find(IP4).map(({ address }) => address.ifindex)).toEqual([ETH1]);
    expect(node.effects('capture.set').at(-1)).toMatchObject({ ifindex: ETH1, addresses: [{ text: S4 }] });
  });

  it('that is gone takes its addresses with it', () => {
    const node = new ServiceScript();
    node.kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
    node.ready();
    node.duty(600, [dutyOf(S4, ['a'], { interfaceName: 'eth1' })]);
    node.go(1000);
    node.outside(1100, (kernel) => kernel.removeLink(ETH1));
    node.go(3000);
    expect(node.phase(S4)).toBeUndefined();
    expect(node.state.services.counts).toEqual({ own: 0, held: 0, involved: 0 });
  });
});

describe('at start', () => {
  function restarted(order: readonly string[]): ServiceScript {
    const node = new ServiceScript();
    for (const address of [S4, S6]) {
      const prefix = prefixOf(address === S4 ? `${S4}/32` : `${S6}/128`);
      node.kernel.add({ ifindex: ETH0, prefix, validSeconds: 3, protocol: ADDRESS_PROTOCOL });
    }
    node.ready();
    expect(node.holds(S4), 'nothing is touched before the duty').toBe(true);
    node.duty(600, [dutyOf(S4, order)]);
    return node;
  }

  it('adopts what is still its own, without asking and without a gap', () => {
    const node = restarted(['a', 'b']);
    expect(node.phase(S4)).toBe('holding');
    expect(node.probes(S4)).toEqual([]);
    expect(node.effects('address.delete').map(({ prefix }) => prefix.ip.text)).toEqual([S6]);
    expect(node.moves()).toEqual([{ kind: 'gained', cause: 'adopted', other: undefined, count: 1, isComplete: true }]);
  });

  it("removes what is another's now, and what is not in the duty", () => {
    const node = restarted(['b', 'a']);
    expect(node.holds(S4)).toBe(false);
    expect(node.holds(S6)).toBe(false);
  });

  it('keeps what was found while it is not known yet whether it may answer', () => {
    const node = new ServiceScript(['a', 'b', 'c']);
    node.kernel.add({ ifindex: ETH0, prefix: prefixOf(`${S4}/32`), validSeconds: 3, protocol: ADDRESS_PROTOCOL });
    node.beating.clear();
    node.start();
    node.renew();
    node.go(2500);
    node.duty(2500, [dutyOf(S4, ['a', 'b'])]);
    expect(node.state.services.liveness.hasStanding).toBe(false);
    node.go(2900);
    expect(node.holds(S4)).toBe(true);
    node.beating.add('b').add('c');
    node.go(3500);
    expect(node.phase(S4)).toBe('holding');
    expect(node.probes(S4)).toEqual([]);
  });

  it('looks again for what the kernel would not delete', () => {
    const node = new ServiceScript();
    node.kernel.add({ ifindex: ETH0, prefix: prefixOf(`${S6}/128`), validSeconds: 3, protocol: ADDRESS_PROTOCOL });
    node.ready();
    node.isKernelObeying = false;
    node.duty(600, [dutyOf(S4, ['b'])]);
    node.go(900);
    node.isKernelObeying = true;
    node.go(1700);
    expect(node.holds(S6)).toBe(false);
  });
});

describe('an ordinary address of the node', () => {
  it('is never taken for that of a Service, nor touched', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf('192.0.2.1', ['a'])]);
    node.go(3000);
    expect(node.phase('192.0.2.1')).toBeUndefined();
    expect(node.effects('address.add')).toEqual([]);
    expect(node.effects('address.delete')).toEqual([]);
    expect([...node.state.services.used]).toEqual(['192.0.2.1']);
  });

  it('on a dummy interface is kube-proxy’s, and does not count', () => {
    const node = new ServiceScript();
    node.kernel.addLink({ ...link(9, 'kube-ipvs0', NODE_MAC), linkKind: 'dummy', hasCarrier: false });
    const forever = Number.POSITIVE_INFINITY;
    node.kernel.add({ ifindex: 9, prefix: prefixOf(`${S4}/32`), validSeconds: forever, preferredSeconds: forever });
    node.ready();
    node.duty(600, [dutyOf(S4, ['a'])]);
    node.go(1000);
    expect(node.phase(S4)).toBe('holding');
    node.duty(1100, []);
    expect(node.kernel.find(IP4)).toHaveLength(1);
  });
});

describe('a tentative address', () => {
  it('is asked for and found silent; given to this node soon after, it is claimed without asking again', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a'], { isTentative: true })]);
    node.go(800);
    expect(node.state.services.inquiries.get(S4)).toEqual({ kind: 'silent', at: 720 });
    expect(node.probes(S4)).toHaveLength(3);
    node.duty(900, [dutyOf(S4, ['a'])]);
    expect(node.phase(S4)).toBe('holding');
    expect(node.probes(S4)).toHaveLength(3);
    expect(node.state.services.inquiries.size).toBe(0);
  });

  it('is asked for anew when that was long ago', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, ['a'], { isTentative: true })]);
    node.go(5000);
    node.duty(5000, [dutyOf(S4, ['a'])]);
    expect(node.phase(S4)).toBe('probing');
  });

  it('that answers is named with its MAC', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, [], { isTentative: true })]);
    node.use(630, S4);
    expect(node.state.services.inquiries.get(S4)).toEqual({ kind: 'used', at: 630, mac: OTHER_MAC.text });
    node.go(2000);
    expect(node.probes(S4)).toHaveLength(1);
    node.duty(2000, []);
    expect(node.state.services.inquiries.size).toBe(0);
  });

  it('cannot be asked for without an interface, until there is one', () => {
    const node = new ServiceScript().ready();
    node.duty(600, [dutyOf(S4, [], { isTentative: true, interfaceName: 'eth1' })]);
    expect(node.state.services.inquiries.get(S4)?.kind).toBe('unaskable');
    node.outside(1000, (kernel) => kernel.addLink(link(ETH1, 'eth1', NODE_MAC)));
    node.go(1500);
    expect(node.state.services.inquiries.get(S4)?.kind).toBe('silent');
  });
});

describe('a stranger', () => {
  it('with many addresses of ours is told once, and defended against as configured', () => {
    const node = holding([S4, S6]);
    node.use(1100, S4);
    node.use(1110, S6);
    expect(node.logs().filter((msg) => msg === 'service address conflict')).toHaveLength(1);
    expect(node.state.services.rivals.get(OTHER_MAC.text)).toMatchObject({ isReported: true });
    expect(node.state.counters['serviceDefences']).toBe(2);
    expect(node.phase(S4)).toBe('holding');
  });

  it('is our own other interface: no stranger', () => {
    const node = holding();
    node.use(1100, S4, NODE_MAC);
    expect(node.state.services.rivals.size).toBe(0);
  });
});

describe('another node that believes an address to be its own', () => {
  const LOWER = macOf('02:00:00:00:00:00');

  it('keeps it where its MAC comes first, until it answers no more', () => {
    const node = holding([S4, S6]);
    node.fellows = new Set([LOWER.text]);
    node.duty(
      node.now,
      [S4, S6].map((address) => dutyOf(address, ['a', 'b', 'c'])),
    );
    node.use(1100, S4, LOWER);
    expect(node.holds(S4)).toBe(false);
    expect(node.holds(S6)).toBe(true);
    expect(node.logs(), 'nobody has to look for a machine').not.toContain('service address conflict');
    node.answer(4000, S4, LOWER);
    expect(node.holds(S4)).toBe(false);
    node.go(6000);
    expect(node.holds(S4)).toBe(true);
  });

  it('is defended against where our MAC does', () => {
    const node = holding([S4]);
    node.fellows = new Set([OTHER_MAC.text]);
    node.duty(node.now, [dutyOf(S4, ['a', 'b', 'c'])]);
    node.use(1100, S4, OTHER_MAC);
    expect(node.holds(S4)).toBe(true);
    expect(node.state.counters['serviceDefences']).toBe(1);
  });
});

describe('a refusal of the kernel', () => {
  it('is told once for all addresses, and tried again', () => {
    const node = new ServiceScript().ready();
    node.isKernelObeying = false;
    node.duty(600, manyDuties(50, ['a']));
    node.go(800);
    for (const { prefix } of node.effects('address.add')) {
      const refusal = { effect: 'address.add', ifindex: ETH0, code: 'NETLINK_FAILED', message: 'EPERM' } as const;
      node.at(800, { kind: 'effect.failed', address: prefix.ip.text, ...refusal });
    }
    expect(node.logs().filter((msg) => msg === 'the kernel refused a request')).toHaveLength(1);
    node.isKernelObeying = true;
    node.go(2200);
    expect(node.state.services.counts.held).toBe(50);
  });
});

describe('with a control-plane VIP', () => {
  it('frames of both are listened for on one interface, and neither disturbs the other', () => {
    const node = new ServiceScript(['a'], { sources: [{ kind: 'ip', ip: ipOf('192.0.2.10'), prefixLength: 32 }] });
    node.holder = 'a';
    node.start();
    node.observe(1, undefined);
    node.duty(10, [dutyOf(S4, ['a']), dutyOf('192.0.2.10', ['a'])]);
    node.serve(1000);
    expect(node.holds('192.0.2.10')).toBe(true);
    expect(node.phase(S4)).toBe('holding');
    expect(node.phase('192.0.2.10'), 'the control plane comes first').toBeUndefined();
    const listened = node
      .effects('capture.set')
      .at(-1)
      ?.addresses.map(({ text }) => text);
    expect(listened).toEqual(['192.0.2.10', S4]);
    node.duty(1100, []);
    expect(node.holds('192.0.2.10')).toBe(true);
  });
});

describe('a leader of Services only', () => {
  it('is eligible, leads, renews, and is heard as the holder', () => {
    const node = new ServiceScript(['a', 'b', 'c']);
    node.holder = 'a';
    node.start();
    node.at(5, { kind: 'member.registered', isOk: true, message: '' });
    node.at(6, {
      kind: 'members.observed',
      members: ['a', 'b', 'c'].map((name) => ({ name, addresses: ['192.0.2.9'], port: 6460, isLeaving: false })),
    });
    node.observe(10, undefined);
    node.serve(5000);
    expect(node.state.election.phase).toBe('leading');
    expect(node.effects('lease.update').length).toBeGreaterThan(2);
    const { beat } = node.effects('heartbeat.send').at(-1) ?? {};
    expect(beat).toMatchObject({ isEligible: true, isHolding: true, isLeading: true });
    expect(node.state.moves.at(-1)).toMatchObject({ kind: 'gained', isComplete: true });
  });

  it('is deposed quickly when a majority misses it: there is no wire to ask', () => {
    const node = new ServiceScript().ready();
    node.beating.delete('b');
    node.missed.add('b');
    node.says.set('c', { supports: 0 });
    const from = node.log.length;
    node.go(1100);
    const claims = node.log.slice(from).filter(({ effect }) => effect.kind === 'lease.update');
    expect(claims[0]?.effect).toMatchObject({ lease: { holder: 'a' } });
    expect(claims[0]?.at).toBeLessThan(950);
  });
});

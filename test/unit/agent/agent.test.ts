import { describe, expect, it } from 'vitest';
import type { AgentRules } from '../../../src/agent/state.ts';
import { SHUTDOWN_DEADLINE_MS, WITHDRAW_PATIENCE_MS } from '../../../src/agent/step.ts';
import { WITHDRAWN_ANNOTATION } from '../../../src/leader/lease-write.ts';
import { gratuitousArpFrame } from '../../../src/protocol/arp/frames.ts';
import { unsolicitedAdvertisementFrame } from '../../../src/protocol/ndp/frames.ts';
import { ADDRESS_PROTOCOL, ETH0, ETH1, ipOf, link, LOOPBACK, macOf, prefixOf } from '../../sim/kernel.ts';
import { record } from '../leader/script.ts';
import { DUAL, kinds, NodeScript, NODE_MAC, VIP4, VIP6 } from './script.ts';

const STRANGER = macOf('02:00:00:00:00:99');
const STRANGER_FRAME = gratuitousArpFrame({ form: 'reply', mac: STRANGER, ip: ipOf(VIP4) });
const CONSENT = { [WITHDRAWN_ANNOTATION]: 'b/3' };

function named(families: 'first' | 'ipv4' | 'ipv6' | 'dual' = 'first'): Partial<AgentRules> {
  return { sources: [{ kind: 'name', name: 'api.example', families, prefixLengths: { ipv4: 32, ipv6: 128 } }] };
}

describe('gaining the address', () => {
  it('goes from Lease to probe to kernel to announcement, in that order', () => {
    const script = new NodeScript().hold();
    const order = script.log
      .map(({ effect }) => (effect.kind === 'frame.send' ? effect.purpose : effect.kind))
      .filter((kind) => kind !== 'log' && kind !== 'event.record' && kind !== 'lease.update');
    expect(order.slice(0, 8)).toEqual([
      'connections.end',
      'lease.create',
      'capture.set',
      'probe',
      'probe',
      'probe',
      'address.add',
      'announce',
    ]);
  });

  it('listens on the wire before it probes', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, undefined);
    script.until(20);
    expect(kinds(script.accept(25))).toEqual(['capture.set', 'frame.send']);
  });

  it('announces IPv4 in both ARP forms and IPv6 by an advertisement', () => {
    const script = new NodeScript(DUAL).hold();
    const announced = script.effects('frame.send').filter((effect) => effect.purpose === 'announce');
    expect(announced.filter((effect) => effect.address.text === VIP4).length % 2).toBe(0);
    expect(announced.some((effect) => effect.address.text === VIP6)).toBe(true);
    expect([script.holds(VIP4), script.holds(VIP6)]).toEqual([true, true]);
  });

  it('tells once both addresses are up how long it took, as log and Event', () => {
    const script = new NodeScript(DUAL).hold();
    expect(script.logs()).toEqual(['lease acquired', 'virtual ip held']);
    expect(script.effects('event.record').map((effect) => effect.reason)).toEqual(['VirtualIPGained']);
    expect(script.state.moves).toMatchObject([{ kind: 'gained', cause: 'lease-free', isComplete: true }]);
  });

  it('claims at once with consent, and uses the consent once', () => {
    const script = new NodeScript({ ...named(), nameRefreshMs: 1000 });
    script.start();
    script.at(1, { kind: 'name.resolved', name: 'api.example', addresses: [ipOf(VIP4)] });
    script.observe(2, record('', '7', { annotations: CONSENT }));
    script.until(30);
    expect(kinds(script.accept(35))).toContain('address.add');
    const other = ipOf('192.0.2.11');
    const effects = script.at(1100, { kind: 'name.resolved', name: 'api.example', addresses: [other] });
    expect(kinds(effects)).not.toContain('address.add');
    expect(effects).toContainEqual(expect.objectContaining({ kind: 'frame.send', purpose: 'probe', address: other }));
  });

  it('says nothing while it merely goes on holding', () => {
    const script = new NodeScript().hold();
    const told = script.logs().length;
    script.serve(60_000);
    expect(script.logs()).toHaveLength(told);
  });
});

describe('a follower', () => {
  it('is idle: no capture, no frames, no calls while another renews', () => {
    const script = new NodeScript();
    expect(kinds(script.start())).toEqual(['connections.end']);
    for (let at = 0; at < 60_000; at += 1000) script.observe(at, record('b', String(100 + at)));
    expect(script.log.length).toBe(1);
  });

  it('takes over when the Lease expires, having asked the wire shortly before', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, record('b', '7'));
    script.serve(5400);
    expect(script.holds()).toBe(true);
    const sent = script.log.map(({ effect }) => effect);
    const probes = sent.filter((effect) => effect.kind === 'frame.send' && effect.purpose === 'probe');
    expect(probes.length).toBeGreaterThanOrEqual(3);
    expect(sent.findIndex((effect) => effect.kind === 'lease.update')).toBeGreaterThan(
      sent.findIndex((effect) => effect === probes[2]),
    );
    expect(script.state.moves).toMatchObject([{ cause: 'lease-expired', from: 'b', to: 'a' }]);
  });
});

describe('losing tenure', () => {
  it('deletes the address in the step in which tenure ends, before any call to the API', () => {
    const script = new NodeScript().hold();
    const end = script.state.election.renewedAt + script.rules.election.renewDeadlineMs;
    script.until(end - 1);
    expect(script.holds()).toBe(true);
    const effects = script.until(end).map(({ effect }) => effect);
    expect(kinds(effects)[0]).toBe('address.delete');
    expect(script.holds()).toBe(false);
  });

  it('deletes the address when the Lease names another', () => {
    const script = new NodeScript().hold();
    expect(kinds(script.observe(500, record('b', '900')))).toEqual([
      'address.delete',
      'capture.set',
      'connections.end',
    ]);
    expect(script.state.moves.at(-1)).toMatchObject({ kind: 'lost', cause: 'lease-taken', to: 'b' });
  });

  it('lets no lifetime reach beyond the lease duration less what the kernel may be late', () => {
    const script = new NodeScript().hold();
    script.serve(2500);
    const renewedAt = script.state.election.renewedAt;
    script.until(20_000);
    for (const add of script.effects('address.add').filter((effect) => effect.at > renewedAt)) {
      expect(add.at + add.validSeconds * 1000).toBeLessThanOrEqual(renewedAt + 5000 - 1000);
    }
  });

  it('deletes the address first of all when thawed long after', () => {
    const script = new NodeScript().hold();
    script.serve(1200);
    Object.defineProperty(script, 'deadline', { get: () => Number.POSITIVE_INFINITY, configurable: true });
    const effects = script.at(30_000, { kind: 'tick' }).filter((effect) => effect.kind !== 'log');
    Reflect.deleteProperty(script, 'deadline');
    expect(effects[0]?.kind).toBe('address.delete');
  });

  it('deletes the address when the clocks jumped beyond the tenure (a paused machine)', () => {
    const script = new NodeScript().hold();
    expect(kinds(script.at(500, { kind: 'clock.jumped', byMs: 10_000 }))[0]).toBe('address.delete');
  });

  it('shortens the kernel lifetime at once when the clocks jumped within the tenure', () => {
    const script = new NodeScript().hold();
    script.serve(1100);
    const effects = script.at(1100, { kind: 'clock.jumped', byMs: 1500 });
    const limit = script.state.election.renewedAt + 4000;
    const add = effects.find((effect) => effect.kind === 'address.add');
    expect(add).toBeDefined();
    if (add?.kind === 'address.add') expect(1100 + add.validSeconds * 1000).toBeLessThanOrEqual(limit);
  });
});

describe('shutdown', () => {
  it('deletes the address, waits for the kernel to confirm, and only then releases the Lease', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    expect(kinds(script.at(600, { kind: 'shutdown' }))).toEqual(['address.delete']);
    script.until(800);
    const effects = script.outside(800, (kernel) => kernel.deleteAll(ipOf(VIP4)));
    expect(kinds(effects)).toContain('lease.update');
    expect(script.call()).toMatchObject({ lease: { holder: '', annotations: { [WITHDRAWN_ANNOTATION]: 'a/0' } } });
    expect(kinds(script.accept(805))).toEqual(['exit']);
    expect(script.state.lifecycle).toBe('stopped');
    expect(script.deadline).toBe(Number.POSITIVE_INFINITY);
  });

  it('releases without consent when the kernel does not confirm within its patience', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    script.at(600, { kind: 'shutdown' });
    expect(kinds(script.until(600 + WITHDRAW_PATIENCE_MS).map(({ effect }) => effect))).toContain('lease.update');
    expect(script.call()).toMatchObject({ lease: { holder: '' } });
    expect(JSON.stringify(script.call())).not.toContain(WITHDRAWN_ANNOTATION);
  });

  it('says nothing of consent where a stranger answers, held against him or not', () => {
    const disputed = new NodeScript().hold();
    disputed.at(500, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    disputed.at(600, { kind: 'shutdown' });
    expect(disputed.call()).toMatchObject({ lease: { holder: '' } });
    expect(JSON.stringify(disputed.call())).not.toContain(WITHDRAWN_ANNOTATION);

    const refused = new NodeScript();
    refused.start();
    refused.observe(0, undefined);
    refused.until(20);
    refused.accept(25);
    refused.at(30, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    refused.at(60, { kind: 'shutdown' });
    expect(refused.call()).toMatchObject({ lease: { holder: '' } });
    expect(JSON.stringify(refused.call())).not.toContain(WITHDRAWN_ANNOTATION);
  });

  it('says nothing of consent where it had only begun to ask the wire', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, undefined);
    script.until(20);
    script.accept(25);
    script.at(60, { kind: 'shutdown' });
    expect(JSON.stringify(script.call())).not.toContain(WITHDRAWN_ANNOTATION);
  });

  it('ends in any case, the API or the kernel silent', () => {
    const script = new NodeScript().hold();
    script.isKernelObeying = false;
    script.at(600, { kind: 'shutdown' });
    script.until(600 + SHUTDOWN_DEADLINE_MS);
    expect(script.effects('exit')).toHaveLength(1);
  });

  it('ends at once where nothing is held', () => {
    const script = new NodeScript();
    script.start();
    script.observe(1, record('b', '7'));
    expect(kinds(script.at(100, { kind: 'shutdown' }))).toEqual(['exit']);
  });

  it('gives back a Lease that is won while stopping, without holding the address', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, undefined);
    script.until(20);
    expect(kinds(script.at(21, { kind: 'shutdown' }))).toEqual([]);
    expect(kinds(script.accept(30))).toEqual(['lease.update']);
    expect(script.call()).toMatchObject({ lease: { holder: '' } });
    expect(kinds(script.accept(40))).toEqual(['exit']);
    expect(script.effects('address.add')).toEqual([]);
  });

  it('does nothing after its end', () => {
    const script = new NodeScript();
    script.start();
    script.at(100, { kind: 'shutdown' });
    expect(script.observe(200, undefined)).toEqual([]);
  });
});

describe('a process that starts', () => {
  const leftover = { ifindex: ETH0, prefix: prefixOf(`${VIP4}/32`), validSeconds: 3, protocol: ADDRESS_PROTOCOL };

  it('adopts the address it still has the Lease for: never removed, renewed and announced', () => {
    const script = new NodeScript();
    script.kernel.add(leftover);
    script.start();
    script.observe(5, record('a', '7'));
    script.accept(10);
    expect(script.effects('address.delete')).toEqual([]);
    expect(script.effects('frame.send').map((effect) => effect.purpose)).not.toContain('probe');
    expect(script.effects('frame.send').map((effect) => effect.purpose)).toContain('announce');
    expect(script.vip().phase).toBe('holding');
  });

  it('leaves the address while it does not know whose the Lease is: its lifetime bounds that', () => {
    const script = new NodeScript();
    script.kernel.add(leftover);
    script.start();
    script.until(2500);
    expect(script.effects('address.delete')).toEqual([]);
  });

  it('removes the address when the Lease is another’s, before anything else', () => {
    const script = new NodeScript();
    script.kernel.add(leftover);
    script.start();
    expect(kinds(script.observe(5, record('b', '7'))).filter((kind) => kind !== 'capture.set')).toEqual([
      'address.delete',
      'connections.end',
    ]);
    expect(script.holds()).toBe(false);
  });

  it('removes at once what kube-vip left behind without a lifetime, its mark unknown', () => {
    const script = new NodeScript();
    script.kernel.add({ ...leftover, validSeconds: Number.POSITIVE_INFINITY, protocol: undefined });
    expect(kinds(script.start())).toContain('address.delete');
    expect(script.holds()).toBe(false);
  });

  it('removes its own leftover of another interface at once, and a strange one when it has decided', () => {
    const script = new NodeScript();
    script.kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
    script.kernel.add({ ...leftover, ifindex: ETH1 });
    script.kernel.add({ ...leftover, ifindex: LOOPBACK, protocol: undefined, validSeconds: Number.POSITIVE_INFINITY });
    expect(script.start()).toContainEqual(expect.objectContaining({ kind: 'address.delete', ifindex: ETH1 }));
    expect(script.effects('address.delete').filter((effect) => effect.ifindex === LOOPBACK)).toEqual([]);
    script.observe(1, record('b', '7'));
    expect(script.holds()).toBe(false);
  });

  it('removes a strange leftover of another prefix length too', () => {
    const script = new NodeScript();
    script.kernel.add({ ...leftover, prefix: prefixOf(`${VIP4}/24`), protocol: undefined });
    script.hold();
    expect(script.kernel.find(ipOf(VIP4)).map((held) => held.address.prefix.length)).toEqual([32]);
  });

  it('never touches an ordinary address of the node, and says that it is in the way', () => {
    const script = new NodeScript();
    script.kernel.add({
      ...leftover,
      protocol: undefined,
      validSeconds: Number.POSITIVE_INFINITY,
      preferredSeconds: Number.POSITIVE_INFINITY,
      isOrdinary: true,
    });
    script.start();
    script.observe(1, undefined);
    script.until(60_000);
    expect(script.holds()).toBe(true);
    expect(script.effects('address.delete')).toEqual([]);
    expect(script.effects('lease.create')).toEqual([]);
    expect(script.effects('log').map((effect) => effect.fields['code'])).toEqual(['ADDRESS_IN_USE_HERE']);
  });

  it('leaves other addresses of the node alone', () => {
    const script = new NodeScript();
    script.kernel.add({
      ifindex: ETH0,
      prefix: prefixOf('192.0.2.1/24'),
      validSeconds: Number.POSITIVE_INFINITY,
      preferredSeconds: Number.POSITIVE_INFINITY,
      isOrdinary: true,
    });
    script.hold();
    script.at(1000, { kind: 'shutdown' });
    script.serve(1100);
    expect(script.kernel.has(ipOf('192.0.2.1'))).toBe(true);
  });

  it('adopts both families', () => {
    const script = new NodeScript(DUAL);
    script.kernel.add(leftover);
    script.kernel.add({ ...leftover, prefix: prefixOf(`${VIP6}/128`) });
    script.start();
    script.observe(5, record('a', '7'));
    script.accept(10);
    expect(script.effects('address.delete')).toEqual([]);
    expect([script.vip(VIP4).phase, script.vip(VIP6).phase]).toEqual(['holding', 'holding']);
  });
});

describe('what the kernel reports', () => {
  it('puts an address back that somebody deletes', () => {
    const script = new NodeScript().hold();
    expect(kinds(script.outside(1000, (kernel) => kernel.deleteAll(ipOf(VIP4))))[0]).toBe('address.add');
    expect(script.holds()).toBe(true);
    expect(script.logs()).toContain('address was removed by somebody and is put back');
  });

  it('puts one family back without touching the other', () => {
    const script = new NodeScript(DUAL).hold();
    const effects = script.outside(1000, (kernel) => kernel.deleteAll(ipOf(VIP6)));
    const adds = effects.filter((effect) => effect.kind === 'address.add');
    expect(adds).toMatchObject([{ prefix: { ip: { text: VIP6 } } }]);
    expect([script.holds(VIP4), script.holds(VIP6)]).toEqual([true, true]);
  });

  it('finds out by a dump what lost notifications hid', () => {
    const script = new NodeScript().hold();
    const snapshot = script.kernel.snapshot();
    const effects = script.at(1000, { kind: 'kernel.dumped', snapshot: { ...snapshot, addresses: [] } });
    expect(kinds(effects)).toContain('address.add');
  });

  it('treats an address that somebody replaced while it is held as still its own', () => {
    const script = new NodeScript().hold();
    script.outside(1000, (kernel) =>
      kernel.add({ ifindex: ETH0, prefix: prefixOf(`${VIP4}/32`), validSeconds: 999, preferredSeconds: 999 }),
    );
    expect(script.state.election.isResigning).toBe(false);
    script.at(1500, { kind: 'shutdown' });
    expect(script.holds()).toBe(false);
  });

  it('withdraws before it releases when the carrier is lost', () => {
    const script = new NodeScript().hold();
    const effects = kinds(script.outside(1000, (kernel) => kernel.setLink(ETH0, { hasCarrier: false })));
    expect(effects.indexOf('address.delete')).toBeGreaterThanOrEqual(0);
    expect(effects.indexOf('address.delete')).toBeLessThan(effects.indexOf('lease.update'));
    expect(script.call()).toMatchObject({ lease: { holder: '' } });
    expect(script.state.moves.at(-1)).toMatchObject({ kind: 'released', cause: 'carrier-lost' });
  });

  it('does not contend while the link is down, and does again when it is back', () => {
    const script = new NodeScript().hold();
    script.outside(1000, (kernel) => kernel.setLink(ETH0, { isUp: false, hasCarrier: false }));
    script.serve(10_000);
    expect(script.state.election.phase).toBe('following');
    script.outside(10_000, (kernel) => kernel.setLink(ETH0, { isUp: true, hasCarrier: true }));
    script.serve(11_500);
    expect(script.holds()).toBe(true);
  });

  it('releases when its interface disappears, without claiming that somebody removed the address', () => {
    const script = new NodeScript().hold();
    script.outside(1000, (kernel) => kernel.removeLink(ETH0));
    script.serve(2500);
    expect(script.call()).toMatchObject({ lease: { holder: '' } });
    expect(script.state.election.phase).toBe('following');
    expect(script.logs()).not.toContain('address was removed by somebody and is put back');
    expect(script.log.findLast(({ effect }) => effect.kind === 'lease.update')?.at).toBeLessThan(1100);
  });

  it('waits for an interface that does not exist yet, and says what exists', () => {
    const script = new NodeScript();
    script.kernel.removeLink(ETH0);
    script.start();
    script.observe(0, undefined);
    script.until(60_000);
    const [told, ...more] = script.effects('log');
    expect(told?.fields['code']).toBe('INTERFACE_MISSING');
    expect(more).toEqual([]);
    script.outside(60_000, (kernel) => kernel.addLink(link(7, 'eth0', NODE_MAC)));
    script.serve(60_400);
    expect(script.effects('address.add')).toMatchObject([{ ifindex: 7 }]);
    expect(script.logs()).toContain('problem is gone');
  });

  it('finds the interface by the default route with the lowest metric', () => {
    const { interfaceName: _, ...rest } = new NodeScript().rules;
    const script = new NodeScript({ ...rest, interfaceName: undefined });
    script.kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
    const route = { family: 'ipv4' as const, destination: undefined, gateway: undefined, table: 254 };
    script.kernel.setRoutes([
      { ...route, ifindex: ETH0, metric: 200 },
      { ...route, ifindex: ETH1, metric: 100 },
    ]);
    script.hold();
    expect(script.effects('address.add')[0]).toMatchObject({ ifindex: ETH1 });
  });

  it('stays on its interface when the default route moves', () => {
    const script = new NodeScript({ interfaceName: undefined }).hold();
    script.outside(1000, (kernel) => {
      kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
      kernel.setRoutes([
        { family: 'ipv4', destination: undefined, gateway: undefined, ifindex: ETH1, metric: 1, table: 254 },
      ]);
    });
    script.serve(3000);
    expect(script.kernel.find(ipOf(VIP4)).map((held) => held.address.ifindex)).toEqual([ETH0]);
  });

  it('announces again when a port of its bond takes over', () => {
    const script = new NodeScript().hold();
    script.serve(9000);
    const port = { ...link(9, 'port1', macOf('02:00:00:00:01:09')), master: ETH0 };
    const effects = script.at(9000, { kind: 'kernel.changed', change: { kind: 'link', link: port } });
    expect(effects).toContainEqual(expect.objectContaining({ kind: 'frame.send', purpose: 'announce' }));
  });

  it('holds on loopback without a frame', () => {
    const script = new NodeScript({ interfaceName: 'lo' }).hold();
    expect(script.effects('frame.send')).toEqual([]);
    expect(script.effects('address.add')[0]).toMatchObject({ ifindex: LOOPBACK, scope: 'host' });
  });

  it('tries again when the kernel refuses the address', () => {
    const script = new NodeScript();
    script.isKernelObeying = false;
    script.start();
    script.observe(1, record('', '7', { annotations: CONSENT }));
    script.until(30);
    script.accept(35);
    const refused = {
      effect: 'address.add',
      ifindex: ETH0,
      address: VIP4,
      code: 'NETLINK_FAILED',
      message: 'EPERM',
    } as const;
    script.at(36, { kind: 'effect.failed', ...refused });
    script.isKernelObeying = true;
    script.serve(1100);
    expect(script.effects('address.add').map(({ at }) => at)).toEqual([35, 1036]);
    expect(script.vip().phase).toBe('holding');
  });
});

describe('somebody else answers', () => {
  it('is waited for while claiming, whoever’s MAC it is', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, undefined);
    script.until(20);
    script.accept(25);
    script.at(30, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    script.until(130);
    expect(script.effects('address.add')).toEqual([]);
    expect(script.logs()).toContain('address is still answered by another machine');
  });

  it('does not count when it is this node itself, on another interface of the segment', () => {
    const script = new NodeScript();
    script.kernel.addLink(link(ETH1, 'eth1', macOf('02:00:00:00:01:01')));
    script.start();
    script.observe(0, undefined);
    script.until(20);
    script.accept(25);
    const own = gratuitousArpFrame({ form: 'reply', mac: macOf('02:00:00:00:01:01'), ip: ipOf(VIP4) });
    script.at(30, { kind: 'frame.received', ifindex: ETH0, frame: own });
    script.serve(400);
    expect(script.vip().phase).toBe('holding');
  });

  it('is defended against while holding, and told with its MAC, an Event and what to do', () => {
    const script = new NodeScript().hold();
    const effects = script.at(1000, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    expect(effects).toContainEqual(expect.objectContaining({ kind: 'frame.send', purpose: 'defend' }));
    const told = script.effects('event.record').find((effect) => effect.reason === 'VirtualIPConflict');
    expect(told?.message).toContain(STRANGER.text);
    expect(script.effects('log').at(-1)?.fields['remedy']).toContain(STRANGER.text);
  });

  it('is a matter of that address alone', () => {
    const script = new NodeScript(DUAL).hold();
    const frame = unsolicitedAdvertisementFrame({ mac: STRANGER, target: ipOf(VIP6) });
    const effects = script.at(1000, { kind: 'frame.received', ifindex: ETH0, frame });
    const defences = effects.filter((effect) => effect.kind === 'frame.send');
    expect(defences.map((effect) => effect.address.text)).toEqual([VIP6]);
  });

  it('changes nothing as a frame that cannot be read, or of another interface', () => {
    const script = new NodeScript().hold();
    expect(script.at(1000, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME.subarray(0, 20) })).toEqual(
      [],
    );
    expect(script.at(1000, { kind: 'frame.received', ifindex: ETH1, frame: STRANGER_FRAME })).toEqual([]);
  });

  it('ends with policy "yield" in giving the address up at the second conflict, and saying so as a problem', () => {
    const { vip } = new NodeScript().rules;
    const script = new NodeScript({ vip: { ...vip, conflictPolicy: 'yield' } }).hold();
    script.at(1000, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    script.at(1500, { kind: 'frame.received', ifindex: ETH0, frame: STRANGER_FRAME });
    expect(script.holds()).toBe(false);
    expect([...script.state.problems.keys()]).toEqual([`ADDRESS_CONFLICT ${VIP4}`]);
  });
});

describe('a DNS name', () => {
  it('is resolved at once and again at its interval, with one question at a time', () => {
    const script = new NodeScript(named());
    script.start();
    expect(script.effects('name.resolve')).toHaveLength(1);
    script.until(100_000);
    expect(script.effects('name.resolve')).toHaveLength(1);
    script.at(100_000, { kind: 'name.resolved', name: 'api.example', addresses: [ipOf(VIP4)] });
    script.until(130_000);
    expect(script.effects('name.resolve').map(({ at }) => at)).toEqual([0, 130_000]);
  });

  it('keeps the node from contending until it is known', () => {
    const script = new NodeScript(named());
    script.start();
    script.observe(0, undefined);
    script.until(10_000);
    expect(script.effects('lease.create')).toEqual([]);
  });

  it('moves to another address when the name does: the old one goes, the new one is probed', () => {
    const script = new NodeScript(named());
    script.start();
    script.at(1, { kind: 'name.resolved', name: 'api.example', addresses: [ipOf(VIP4)] });
    script.observe(2, undefined);
    script.serve(400);
    script.at(1000, { kind: 'name.resolved', name: 'api.example', addresses: [ipOf('192.0.2.77')] });
    script.serve(1400);
    expect([script.holds(), script.holds('192.0.2.77')]).toEqual([false, true]);
    expect([...script.state.vips.keys()]).toEqual(['192.0.2.77']);
    expect(script.state.election.phase).toBe('leading');
  });

  it('keeps what it had when it no longer resolves, and says so once', () => {
    const script = new NodeScript(named());
    script.start();
    script.at(1, { kind: 'name.resolved', name: 'api.example', addresses: [ipOf(VIP4)] });
    script.observe(2, undefined);
    script.serve(400);
    script.at(1000, { kind: 'name.failed', name: 'api.example', message: 'EAI_AGAIN' });
    script.serve(3100);
    script.at(3100, { kind: 'name.failed', name: 'api.example', message: 'EAI_AGAIN' });
    expect(script.holds()).toBe(true);
    expect(script.effects('log').filter((effect) => effect.fields['code'] === 'NAME_UNRESOLVED')).toHaveLength(1);
  });

  it('gives one address of each family where both are asked for', () => {
    const script = new NodeScript(named('dual'));
    script.start();
    const addresses = [ipOf(VIP6), ipOf('2001:db8::11'), ipOf(VIP4), ipOf('192.0.2.11')];
    script.at(1, { kind: 'name.resolved', name: 'api.example', addresses });
    expect([...script.state.vips.keys()]).toEqual([VIP4, VIP6]);
  });
});

describe('what is told', () => {
  it('leaves an API that refuses to the room that speaks to it', () => {
    const script = new NodeScript();
    script.start();
    script.observe(0, record('', '7'));
    script.until(30);
    script.fail(40, 'forbidden');
    expect(script.effects('log').filter((effect) => effect.level === 'error')).toEqual([]);
  });

  it('names what the kernel refuses with its remedy, once a minute however often it repeats', () => {
    const script = new NodeScript().hold();
    const refused = {
      kind: 'effect.failed',
      effect: 'frame.send',
      ifindex: ETH0,
      address: VIP4,
      code: 'FRAME_SEND_FAILED',
      message: 'ENETDOWN',
    } as const;
    const told = (): number =>
      script.effects('log').filter((effect) => effect.msg === 'the kernel refused a request').length;
    script.at(500, refused);
    script.at(600, refused);
    expect(told()).toBe(1);
    expect(script.effects('log').at(-1)?.fields).toMatchObject({ code: 'FRAME_SEND_FAILED', reason: 'ENETDOWN' });
    script.serve(60_500);
    script.at(60_500, refused);
    expect(told()).toBe(2);
  });

  it('keeps the last 64 moves', () => {
    const script = new NodeScript().hold();
    for (let round = 1; round <= 80; round += 1) {
      const at = script.now;
      script.outside(at + 10, (kernel) => kernel.setLink(ETH0, { hasCarrier: false }));
      script.serve(at + 100);
      script.outside(at + 100, (kernel) => kernel.setLink(ETH0, { hasCarrier: true }));
      script.serve(at + 1600);
    }
    expect(script.state.moves).toHaveLength(64);
  });
});

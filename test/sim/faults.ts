/**
 * What can go wrong, each fault with the chance of its kind, its beginning and its end. A fault is chosen, begun and ended
 * by the world's dice; all have ended before the calm at the end of a run.
 */

import { ETH0, LOOPBACK, prefixOf } from './kernel.ts';
import type { ApiFault } from './api.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

export interface Begun {
  readonly text: string;
  /** How long it lasts, ms; 0: over at once. */
  readonly forMs: number;
  readonly end: () => void;
}

type Begin = (world: World, node: SimNode) => Begun | undefined;

/** A refused delete is tried again after a second; a process that has to end leaves the address to its lifetime. */
const DELETE_AGAIN_MS = 4500;

const nothing = (): void => {};

/** Weight and beginning of each; `node` is drawn for it, the holder more often than others. */
export const FAULTS: Readonly<Record<string, readonly [weight: number, begin: Begin]>> = {
  crash: [5, crash],
  terminate: [4, terminate],
  leave: [2, leave],
  freeze: [5, freeze],
  'freeze-between': [2, freezeBetween],
  pause: [3, pause],
  'power-loss': [3, powerLoss],
  'cable-cut': [4, cableCut],
  'link-down': [1, linkDown],
  'link-gone': [1, linkGone],
  partition: [4, partition],
  'one-way': [3, oneWay],
  isolated: [3, isolated],
  'bad-segment': [4, badSegment],
  'api-away': [4, (world) => apiFault(world, undefined, { kind: 'unreachable' }, 15_000)],
  'api-silent': [2, (world) => apiFault(world, undefined, { kind: 'silent' }, 15_000)],
  'api-deaf': [2, (world) => apiFault(world, undefined, { kind: 'deaf' }, 8000)],
  'api-slow': [
    3,
    (world) => apiFault(world, undefined, { kind: 'slow', lowMs: 50, highMs: world.dice.between(200, 6000) }, 15_000),
  ],
  'api-errors': [2, apiErrors],
  'node-api-away': [4, (world, node) => apiFault(world, node, { kind: 'unreachable' }, 15_000)],
  'node-api-silent': [3, (world, node) => apiFault(world, node, { kind: 'silent' }, 15_000)],
  'node-api-deaf': [3, (world, node) => apiFault(world, node, { kind: 'deaf' }, 8000)],
  'node-api-slow': [3, (world, node) => apiFault(world, node, { kind: 'slow', lowMs: 100, highMs: 5000 }, 15_000)],
  'local-api-ill': [4, localApiIll],
  drained: [3, drained],
  'watch-late': [
    3,
    (world, node) => apiFault(world, node, { kind: 'lag', ms: world.dice.between(100, 20_000) }, 20_000),
  ],
  'watch-broken': [3, watchBroken],
  'lease-deleted': [1, leaseDeleted],
  'lease-touched': [2, leaseTouched],
  stranger: [6, stranger],
  'address-deleted': [3, addressDeleted],
  'address-refused': [1, (world, node) => refuse(world, node, 'address.add')],
  'delete-refused': [4, (world, node) => refuse(world, node, 'address.delete')],
  'netlink-overrun': [2, netlinkOverrun],
  leftover: [2, leftover],
  'clock-step': [1, clockStep],
  'name-changed': [5, nameChanged],
};

function crash(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined) return undefined;
  node.crash();
  world.stops();
  const forMs = world.dice.lasting(100, 15_000);
  return { text: `${node.name} crashes, restarted after ${Math.round(forMs)} ms`, forMs, end: () => node.start() };
}

function terminate(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined) return undefined;
  node.terminate();
  const forMs = 3500 + world.dice.lasting(0, 10_000);
  return { text: `${node.name} is told to stop`, forMs, end: () => node.start() };
}

/** Taken out of the cluster in order, whatever else goes on; back later, as a new member. */
function leave(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined || world.nodes.length < 2) return undefined;
  node.terminate();
  world.api.forget(node.name);
  const forMs = 3500 + world.dice.lasting(0, 10_000);
  return { text: `${node.name} leaves the cluster`, forMs, end: () => node.start() };
}

function freeze(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined || node.process.isFrozen) return undefined;
  node.freeze();
  world.stops();
  return { text: `${node.name}'s process is frozen`, forMs: world.dice.lasting(100, 20_000), end: () => node.thaw() };
}

/** Stopped between deciding and the system call: what was decided is done after the thaw, and undone in the next turn. */
function freezeBetween(world: World, node: SimNode): Begun | undefined {
  const { process } = node;
  if (process === undefined || process.isFrozen) return undefined;
  const forMs = world.dice.lasting(100, 15_000);
  const kind = world.dice.pick(['address.add', 'address.delete', 'lease.update', 'frame.send'] as const);
  process.freezeBefore = { kind, forMs };
  return {
    text: `${node.name}'s process will freeze before ${kind}`,
    forMs: 5000,
    end: () => {
      process.freezeBefore = undefined;
    },
  };
}

function pause(world: World, node: SimNode): Begun | undefined {
  if (!node.isPowered || node.isPaused) return undefined;
  node.pause();
  const forMs = 300 + world.dice.lasting(0, 20_000);
  return {
    text: `${node.name}'s machine is paused`,
    forMs,
    end: () => {
      if (node.isPaused) world.resumes(node);
      node.resume();
    },
  };
}

function powerLoss(world: World, node: SimNode): Begun | undefined {
  if (!node.isPowered) return undefined;
  node.powerOff();
  return {
    text: `${node.name} loses power`,
    forMs: 3000 + world.dice.lasting(0, 15_000),
    end: () => {
      node.powerOn();
      node.start();
    },
  };
}

function cableCut(world: World, node: SimNode): Begun | undefined {
  if (node.kernel.links.get(ETH0)?.hasCarrier !== true) return undefined;
  node.kernel.setLink(ETH0, { hasCarrier: false, operState: 2 });
  return {
    text: `${node.name}'s cable is cut`,
    forMs: world.dice.lasting(5, 12_000),
    end: () => node.kernel.setLink(ETH0, { hasCarrier: true, operState: 6 }),
  };
}

function linkDown(world: World, node: SimNode): Begun | undefined {
  if (node.kernel.links.get(ETH0)?.isUp !== true) return undefined;
  node.kernel.setLink(ETH0, { isUp: false });
  return {
    text: `${node.name}'s interface is set down`,
    forMs: world.dice.lasting(50, 8000),
    end: () => node.kernel.setLink(ETH0, { isUp: true }),
  };
}

function linkGone(world: World, node: SimNode): Begun | undefined {
  const before = node.kernel.links.get(ETH0);
  if (before === undefined) return undefined;
  node.kernel.removeLink(ETH0);
  const end = (): void => {
    if (!node.kernel.links.has(ETH0)) node.kernel.addLink({ ...before, isUp: true, hasCarrier: true });
  };
  return { text: `${node.name}'s interface disappears`, forMs: world.dice.lasting(200, 8000), end };
}

function partition(world: World): Begun | undefined {
  const { lan, dice } = world;
  const side = new Map(lan.hosts.map((host) => [host, dice.chance(0.5)]));
  const ends: (() => void)[] = [];
  for (const a of lan.hosts) for (const b of lan.hosts) if (side.get(a) !== side.get(b)) ends.push(lan.cut(a, b));
  if (ends.length === 0) return undefined;
  const names = world.nodes.filter((node) => side.get(node) === true).map((node) => node.name);
  return {
    text: `the segment splits: ${names.join(', ') || 'nobody'} apart`,
    forMs: dice.lasting(200, 20_000),
    end: () => ends.forEach((end) => end()),
  };
}

function oneWay(world: World, node: SimNode): Begun | undefined {
  const others = world.lan.hosts.filter((host) => host !== node);
  if (others.length === 0) return undefined;
  const other = world.dice.pick(others);
  const isOut = world.dice.chance(0.5);
  const end = isOut ? world.lan.cut(node, other) : world.lan.cut(other, node);
  const text = isOut
    ? `${other.mac.text} no longer hears ${node.name}`
    : `${node.name} no longer hears ${other.mac.text}`;
  return { text, forMs: world.dice.lasting(200, 20_000), end };
}

function isolated(world: World, node: SimNode): Begun {
  const { lan, dice } = world;
  const ends = lan.hosts.filter((host) => host !== node).flatMap((host) => [lan.cut(host, node), lan.cut(node, host)]);
  if (dice.chance(0.5)) ends.push(world.api.begin({ kind: dice.pick(['unreachable', 'silent'] as const) }, node.id));
  return {
    text: `${node.name} is alone (a switch port)`,
    forMs: dice.lasting(200, 20_000),
    end: () => ends.forEach((end) => end()),
  };
}

function badSegment(world: World): Begun {
  const { lan, dice } = world;
  const before = { loss: lan.lossProbability, double: lan.doubleProbability, delay: lan.delayMaxMs };
  lan.lossProbability = dice.skewed(0, 0.7);
  lan.doubleProbability = dice.skewed(0, 0.3);
  lan.delayMaxMs = dice.skewed(1, 150);
  const text = `frames: ${Math.round(lan.lossProbability * 100)} % lost, up to ${Math.round(lan.delayMaxMs)} ms late`;
  const end = (): void => {
    lan.lossProbability = before.loss;
    lan.doubleProbability = before.double;
    lan.delayMaxMs = before.delay;
  };
  return { text, forMs: dice.lasting(500, 20_000), end };
}

function apiFault(world: World, node: SimNode | undefined, fault: ApiFault, longestMs: number): Begun {
  const who = node === undefined ? 'everybody' : node.name;
  return {
    text: `API ${fault.kind} for ${who}`,
    forMs: world.dice.lasting(100, longestMs),
    end: world.api.begin(fault, node?.id),
  };
}

function apiErrors(world: World, node: SimNode): Begun {
  const failure = world.dice.pick(['server-error', 'throttled', 'forbidden', 'unauthorized', 'invalid'] as const);
  const fault: ApiFault = { kind: 'error', failure, probability: world.dice.pick([0.3, 0.7, 1]) };
  return apiFault(world, world.dice.chance(0.5) ? node : undefined, fault, 12_000);
}

/** The API server on the node itself fails; the node's calls go to those of others. */
function localApiIll(world: World, node: SimNode): Begun | undefined {
  if (node.isApiIll) return undefined;
  node.isApiIll = true;
  const end = (): void => {
    node.isApiIll = false;
  };
  return { text: `${node.name}'s own API server fails`, forMs: world.dice.lasting(500, 15_000), end };
}

/** `holdfast drain`, and taken back. */
function drained(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined) return undefined;
  const tell = (isDraining: boolean): void => node.inject({ kind: 'drain', isDraining, source: 'operator' });
  tell(true);
  return { text: `${node.name} is drained`, forMs: world.dice.lasting(200, 12_000), end: () => tell(false) };
}

function watchBroken(world: World, node: SimNode): Begun {
  world.api.breakWatch(node.id);
  return { text: `${node.name}'s watch breaks`, forMs: 0, end: nothing };
}

function leaseDeleted(world: World): Begun | undefined {
  if (world.api.lease === undefined) return undefined;
  world.watchman.excuseLease();
  world.api.deleteLease();
  return { text: 'somebody deletes the Lease', forMs: 0, end: nothing };
}

function leaseTouched(world: World): Begun {
  world.api.touchLease();
  return { text: 'somebody labels the Lease', forMs: 0, end: nothing };
}

function stranger(world: World): Begun {
  const ip = world.dice.pick(world.targets);
  const end = world.addStranger(ip);
  return { text: `a stranger uses ${ip.text}`, forMs: world.dice.lasting(100, 15_000), end };
}

function addressDeleted(world: World, node: SimNode): Begun | undefined {
  const ip = world.dice.pick(world.targets);
  if (!node.kernel.has(ip)) return undefined;
  node.kernel.deleteAll(ip);
  world.watchman.expectRestored(node, ip);
  return { text: `somebody deletes ${ip.text} on ${node.name}`, forMs: 0, end: nothing };
}

function refuse(world: World, node: SimNode, effect: 'address.add' | 'address.delete'): Begun | undefined {
  if (node.refuses.size > 0) return undefined;
  node.refuses = new Set([effect]);
  const end = (): void => {
    node.refuses = new Set();
  };
  const forMs = world.dice.lasting(50, 6000);
  if (effect === 'address.delete') world.watchman.excuse(forMs + DELETE_AGAIN_MS);
  return { text: `${node.name}'s kernel refuses ${effect}`, forMs, end };
}

function netlinkOverrun(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined || node.process.isDeafToKernel) return undefined;
  return {
    text: `${node.name} loses notifications of its kernel`,
    forMs: world.dice.lasting(10, 3000),
    end: node.loseNotifications(),
  };
}

/** What a crashed kube-vip or an older version left, found by a process that starts. */
function leftover(world: World, node: SimNode): Begun | undefined {
  if (!node.isPowered || node.isPaused || world.vips.length === 0) return undefined;
  const ip = world.dice.pick(world.vips);
  if (!world.isNamed(ip) || node.kernel.has(ip)) return undefined;
  node.crash();
  const length = ip.family === 'ipv4' ? world.dice.pick([32, 24]) : 128;
  const ifindex = world.dice.pick([ETH0, LOOPBACK]);
  node.kernel.add({ ifindex, prefix: prefixOf(`${ip.text}/${length}`), validSeconds: Number.POSITIVE_INFINITY });
  const forMs = world.dice.lasting(100, 8000);
  return { text: `kube-vip crashed on ${node.name} and left ${ip.text}/${length}`, forMs, end: () => node.start() };
}

function clockStep(world: World, node: SimNode): Begun | undefined {
  if (node.process === undefined) return undefined;
  const byMs = world.dice.between(250, 8000);
  node.inject({ kind: 'clock.jumped', byMs });
  return { text: `${node.name}'s wall clock is set ahead by ${Math.round(byMs)} ms`, forMs: 0, end: nothing };
}

function nameChanged(world: World): Begun | undefined {
  return world.changeName();
}

/** What kind of cluster a seed is: size, families, timing, base conditions. Everything else is rolled while it runs. */

import type { AddressSource, AgentRules } from '../../src/agent/state.ts';
import type { Dice } from './dice.ts';
import { ADDRESS_PROTOCOL, ipOf } from './kernel.ts';

export interface Profile {
  readonly nodeCount: number;
  readonly rules: AgentRules;
  readonly apiDeadlineMs: number;
  readonly faultCount: number;
  /** Few kinds at a time meet each other more often than all do: a seed draws from one to this many. */
  readonly faultKinds: number;
  /** Faults begin from 2 s until here; then everything is mended and the cluster comes to rest, ms. */
  readonly faultsUntil: number;
  readonly until: number;
  readonly lossProbability: number;
  /** Nodes that speak no heartbeats, though the others do: an older version, kube-vip in the middle of a migration. */
  readonly mutes: readonly number[];
  /** Nodes that join only after this, ms, by their number. */
  readonly joins: ReadonlyMap<number, number>;
}

export const VIP4 = '192.0.2.200';
export const VIP4_OTHER = '192.0.2.201';
export const VIP6 = '2001:db8::200';
export const NAME = 'api.example';

/** Lease duration, renew deadline, retry period: kube-vip's documented ones, client-go's, and the shortest allowed. */
const TIMINGS = [
  [5000, 3000, 1000],
  [5000, 3000, 1000],
  [5000, 3000, 1000],
  [15_000, 10_000, 2000],
  [3000, 2000, 1000],
  [4000, 2500, 700],
] as const;

export function rollProfile(dice: Dice): Profile {
  const [leaseDurationMs, renewDeadlineMs, retryPeriodMs] = dice.pick(TIMINGS);
  const faultsUntil = dice.between(8000, 30_000) + leaseDurationMs;
  const rules: AgentRules = {
    node: '',
    leaseNamespace: 'kube-system',
    leaseName: 'plndr-cp-lock',
    election: {
      identity: '',
      incarnation: '',
      leaseDurationMs,
      renewDeadlineMs,
      retryPeriodMs,
      annotations: {},
      claimPatienceMs: 100,
    },
    vip: {
      lifetimeSeconds: dice.pick([3, 3, 3, 2, 5]),
      probeCount: 3,
      probeIntervalMs: 40,
      refreshIntervalMs: 3000,
      conflictTimeoutMs: dice.pick([30_000, 5000]),
      conflictPolicy: dice.pick(['defend', 'defend', 'yield']),
    },
    sources: rollSources(dice),
    interfaceName: dice.chance(0.8) ? 'eth0' : undefined,
    allowInterfaceNotUp: false,
    loopbackGlobalScope: false,
    nameRefreshMs: 5000,
    heartbeat: {
      isEnabled: dice.chance(0.7),
      intervalMs: 100,
      multiplier: 3,
      port: 6460,
      priority: 100,
      isPreempting: dice.chance(0.15),
    },
    apiHealth: { rise: 3, fall: 2 },
    addressProtocol: ADDRESS_PROTOCOL,
  };
  return {
    nodeCount: dice.chance(0.01) ? dice.whole(6, 9) : dice.pick([1, 2, 2, 3, 3, 3, 3, 3, 4, 5]),
    rules,
    apiDeadlineMs: Math.min(2000, renewDeadlineMs / 2),
    faultCount: dice.whole(1, 10),
    faultKinds: dice.pick([2, 3, 4, 6, 40]),
    faultsUntil,
    until: faultsUntil + leaseDurationMs + 9000,
    lossProbability: dice.chance(0.2) ? dice.skewed(0, 0.1) : 0,
    mutes: [],
    joins: new Map(),
  };
}

/** How many seeds have nodes without heartbeats among others, and nodes that join while faults are under way. */
const MUTE_SHARE = 0.1;
const JOIN_SHARE = 0.2;

/** The same cluster, where not all nodes are alike: drawn apart, so that what else a seed plays stays as it was. */
export function withStragglers(profile: Profile, dice: Dice): Profile {
  const { nodeCount, faultsUntil } = profile;
  const ids = Array.from({ length: nodeCount }, (_, id) => id);
  const isMixed = profile.rules.heartbeat.isEnabled && nodeCount > 1 && dice.chance(MUTE_SHARE);
  const mutes = isMixed ? ids.filter(() => dice.chance(0.4)).slice(0, nodeCount - 1) : [];
  const late =
    nodeCount > 1 && dice.chance(JOIN_SHARE) ? ids.filter(() => dice.chance(0.3)).slice(0, nodeCount - 1) : [];
  return { ...profile, mutes, joins: new Map(late.map((id) => [id, dice.between(2000, faultsUntil)])) };
}

/** The same cluster with Services: mostly nodes enough for a majority, often without a control-plane VIP. */
export function withServices(profile: Profile, dice: Dice): Profile {
  const { rules } = profile;
  const hasName = rules.sources.some(({ kind }) => kind === 'name');
  const sources = hasName || dice.chance(0.5) ? [] : rules.sources;
  const nodeCount = dice.pick([3, 3, 3, 4, 5]);
  // As in a cluster of a dozen nodes, at the price of six: some live without a vote.
  const votersMax = dice.chance(0.4) ? 3 : undefined;
  return {
    ...profile,
    nodeCount: votersMax === undefined ? nodeCount : dice.pick([4, 5, 6]),
    rules: {
      ...rules,
      sources,
      interfaceName: 'eth0',
      services: { isEnabled: true },
      heartbeat: { ...rules.heartbeat, isEnabled: true, votersMax },
    },
  };
}

function rollSources(dice: Dice): readonly AddressSource[] {
  const ipv4: AddressSource = { kind: 'ip', ip: ipOf(VIP4), prefixLength: 32 };
  const ipv6: AddressSource = { kind: 'ip', ip: ipOf(VIP6), prefixLength: 128 };
  const roll = dice.next();
  if (roll < 0.5) return [ipv4];
  if (roll < 0.65) return [ipv6];
  if (roll < 0.88) return [ipv4, ipv6];
  return [{ kind: 'name', name: NAME, families: 'first', prefixLengths: { ipv4: 32, ipv6: 128 } }];
}

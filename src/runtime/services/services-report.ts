/** The view of Services and the agent's share of them as the status report shows it. Made on demand. */

import type { AgentState } from '../../agent/state.ts';
import {
  ADDRESSES_SHOWN_MAX,
  type PoolStatus,
  type ServiceAddressStatus,
  type ServiceMoveStatus,
  type ServicesStatus,
} from '../../observe/services-model.ts';
import type { Ip } from '../../base/ip.ts';
import type { ObjectProblem, Pool, ServiceAddress } from '../../services/model.ts';
import { poolSize } from '../../services/pools/pool.ts';
import type { ServicesView } from './view.ts';

export function servicesStatus(view: ServicesView, state: AgentState, node: string): ServicesStatus {
  const { plan, owners, holdings, isLeading } = view;
  const now = performance.now();
  const { services } = state;
  const allocated = plan?.allocations ?? [];
  const served = allocated.filter(({ addresses }) => addresses.some(({ text }) => owners.has(text))).length;
  const waiting = view.services.filter(({ isLoadBalancer, ingress }) => isLoadBalancer && ingress.length === 0);
  const foreign = new Set((plan?.foreign ?? []).map(({ service }) => service.key));
  const ownerships = [...owners.values()];
  return {
    isSynced: view.isSynced,
    isCurrent: view.isCurrent,
    isAllocating: isLeading,
    hasStanding: services.liveness.hasStanding,
    served,
    pending: waiting.filter(({ key }) => !foreign.has(key)).length,
    addresses: owners.size,
    owned: ownerships.filter((ownership) => ownership.node === node).length,
    held: [...holdings.values()].filter(({ phase }) => phase === 'holding').length,
    dark: ownerships.filter((ownership) => ownership.node === undefined).length,
    pools: poolStatus(plan?.pools ?? [], plan?.addresses ?? []),
    here: [...holdings.values()].slice(0, ADDRESSES_SHOWN_MAX).map((holding): ServiceAddressStatus => ({
      address: holding.address,
      state: holding.phase,
      sinceMs: Math.round(now - holding.since),
      interface: holding.interfaceName,
      announcements: holding.announcements,
      lastAnnouncedAgoMs: holding.lastAnnouncedAt === undefined ? undefined : Math.round(now - holding.lastAnnouncedAt),
      conflict: holding.rival,
      services: owners.get(holding.address)?.services ?? [],
    })),
    moves: services.moves.map(({ at, kind, cause, other, count, timings }): ServiceMoveStatus => ({
      at: new Date(Date.now() - (now - at)).toISOString(),
      kind,
      cause,
      other,
      count,
      timings: Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [phase, Math.round(ms * 10) / 10])),
    })),
    configProblems: countProblems(view.problems),
    writesWaiting: view.pendingWrites,
  };
}

function poolStatus(pools: readonly Pool[], addresses: readonly ServiceAddress[]): readonly PoolStatus[] {
  const used = new Map<string, number>();
  for (const { address, pool } of addresses) {
    if (pool !== undefined) used.set(keyOf(pool, address), (used.get(keyOf(pool, address)) ?? 0) + 1);
  }
  return pools.flatMap((pool) => {
    const size = poolSize(pool);
    return (['ipv4', 'ipv6'] as const)
      .filter((family) => size[family] > 0n)
      .map((family) => ({
        name: pool.name,
        family,
        size: String(size[family]),
        used: used.get(`${pool.name} ${family}`) ?? 0,
        isClosed: pool.isClosed,
      }));
  });
}

function keyOf({ name }: Pool, { family }: Ip): string {
  return `${name} ${family}`;
}

function countProblems(problems: readonly ObjectProblem[]): ServicesStatus['configProblems'] {
  const counts = new Map<string, { code: string; kind: string; count: number }>();
  for (const { code, object } of problems) {
    const key = `${object.kind} ${code}`;
    const counted = counts.get(key);
    if (counted === undefined) counts.set(key, { code, kind: object.kind, count: 1 });
    else counted.count += 1;
  }
  return [...counts.values()];
}

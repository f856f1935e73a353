/** The agent's rules out of the configuration, and what only a running process knows: its incarnation. */

import type { AgentRules } from '../agent/state.ts';
import type { Config } from '../config/config.ts';
import { HOLDFAST_ADDRESS_PROTOCOL, HOLDFAST_SERVICES_PROTOCOL } from '../protocol/netlink/constants.ts';

/**
 * A CAS on a healthy API takes milliseconds; an etcd that has lost its leader takes a second to find another. Who claims
 * after this has a majority behind it and a silent wire before it, and asks the API all the same.
 */
const CLAIM_PATIENCE_MS = 100;

/** Two processes on one node, one for each, don't take each other's addresses for leftovers. */
function addressProtocolOf({ vip, services }: Pick<Config, 'vip' | 'services'>): number {
  return vip.sources.length === 0 && services !== undefined ? HOLDFAST_SERVICES_PROTOCOL : HOLDFAST_ADDRESS_PROTOCOL;
}

/** `isHeartbeating`: whether this process takes part in heartbeats, which takes more than the configuration. */
export function rulesOfConfig(config: Config, incarnation: string, isHeartbeating: boolean): AgentRules {
  const { election, vip, heartbeat, apiHealth } = config;
  return {
    node: config.nodeName,
    leaseNamespace: election.namespace,
    leaseName: election.leaseName,
    election: {
      identity: election.identity,
      incarnation,
      leaseDurationMs: election.leaseDurationMs,
      renewDeadlineMs: election.renewDeadlineMs,
      retryPeriodMs: election.retryPeriodMs,
      annotations: election.annotations,
      claimPatienceMs: CLAIM_PATIENCE_MS,
    },
    vip: {
      lifetimeSeconds: vip.lifetimeSeconds,
      probeCount: vip.probeCount,
      probeIntervalMs: vip.probeIntervalMs,
      refreshIntervalMs: vip.refreshIntervalMs,
      conflictTimeoutMs: vip.conflictTimeoutMs,
      conflictPolicy: vip.conflictPolicy,
    },
    sources: vip.sources,
    interfaceName: vip.interfaceName,
    allowInterfaceNotUp: vip.allowInterfaceNotUp,
    loopbackGlobalScope: vip.loopbackGlobalScope,
    nameRefreshMs: vip.nameRefreshMs,
    // Field by field: the keys are nothing for the core, nor for a recorded run.
    heartbeat: {
      isEnabled: isHeartbeating,
      intervalMs: heartbeat.intervalMs,
      multiplier: heartbeat.multiplier,
      port: heartbeat.port,
      priority: heartbeat.priority,
      isPreempting: heartbeat.isPreempting,
    },
    apiHealth: { rise: apiHealth.rise, fall: apiHealth.fall },
    addressProtocol: addressProtocolOf(config),
    ...(config.services === undefined ? {} : { services: { isEnabled: true } }),
  };
}

/** The agent's rules out of the configuration, and what only a running process knows: its incarnation. */

import type { AgentRules } from '../agent/state.ts';
import type { Config } from '../config/config.ts';
import { HOLDFAST_ADDRESS_PROTOCOL } from '../protocol/netlink/constants.ts';

export function rulesOfConfig(config: Config, incarnation: string): AgentRules {
  const { election, vip } = config;
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
    addressProtocol: HOLDFAST_ADDRESS_PROTOCOL,
  };
}

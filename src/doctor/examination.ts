/**
 * All checks, and one examination: facts in, findings out, worst first. A check that throws is a bug of ours, but one bad
 * object must not hide the other findings: it is told as INTERNAL_ERROR.
 */

import type { ErrorCode } from '../base/errors.ts';
import type { Check } from './check.ts';
import {
  checkApi,
  checkClock,
  checkExclusion,
  checkLeases,
  checkNodeAddresses,
  checkRights,
} from './checks/cluster.ts';
import { checkAdminFiles, checkCertificates, checkKubeconfigs, checkVipSubnets } from './checks/control-plane.ts';
import { checkForwarding, checkIpv6 } from './checks/stack.ts';
import { checkServicesPending, checkServicesSilent } from './checks/services.ts';
import {
  checkKeepalived,
  checkMetallbWebhook,
  checkOldMetallb,
  checkOtherLoadBalancers,
} from './checks/controllers.ts';
import { checkHeartbeats, checkRunning, checkRunningProblems } from './checks/daemon.ts';
import {
  checkCarrier,
  checkEthernet,
  checkInterfaceThere,
  checkInterfaceUp,
  checkMtu,
  checkPortOfMaster,
  checkWireless,
} from './checks/interface.ts';
import { checkKubeProxy, checkStrictArp } from './checks/kube-proxy.ts';
import { checkCapabilities, checkPorts, checkPortSecurity, checkReversePath } from './checks/machine.ts';
import { checkManifestOnce, checkManifestThere, checkManifestValid, checkSettings } from './checks/manifest.ts';
import {
  checkAdvertised,
  checkForeignAnswers,
  checkPoolConflicts,
  checkPoolReservations,
  checkPoolsReadable,
  checkPoolsThere,
  checkPoolSubnets,
} from './checks/pools.ts';
import type { Facts } from './facts.ts';
import { failing, type Finding, type Level } from './finding.ts';
import { subjectOf, type Subject } from './subject.ts';

export const CHECKS: readonly Check[] = [
  { code: 'CONFIG_VALUE_INVALID', run: checkSettings },
  { code: 'MANIFEST_MISSING', run: checkManifestThere },
  { code: 'MANIFEST_INVALID', run: checkManifestValid },
  { code: 'MANIFEST_DUPLICATE', run: checkManifestOnce },
  { code: 'NOT_RUNNING', run: checkRunning },
  { code: 'RUNNING_PROBLEM', run: checkRunningProblems },
  { code: 'HEARTBEATS_UNHEARD', run: checkHeartbeats },
  { code: 'CAPABILITY_MISSING', run: checkCapabilities },
  { code: 'PORT_IN_USE', run: checkPorts },
  { code: 'INTERFACE_MISSING', run: checkInterfaceThere },
  { code: 'INTERFACE_DOWN', run: checkInterfaceUp },
  { code: 'NODE_NO_CARRIER', run: checkCarrier },
  { code: 'INTERFACE_UNSUITABLE', run: checkEthernet },
  { code: 'INTERFACE_IS_PORT', run: checkPortOfMaster },
  { code: 'INTERFACE_WIRELESS', run: checkWireless },
  { code: 'INTERFACE_MTU', run: checkMtu },
  { code: 'IPV6_DISABLED', run: checkIpv6 },
  { code: 'REVERSE_PATH_FILTER', run: checkReversePath },
  { code: 'FORWARDING_OFF', run: checkForwarding },
  { code: 'STRICT_ARP_OFF', run: checkStrictArp },
  { code: 'NODE_KUBE_PROXY', run: checkKubeProxy },
  { code: 'PORT_SECURITY', run: checkPortSecurity },
  { code: 'API_UNREACHABLE', run: checkApi },
  { code: 'API_FORBIDDEN', run: checkRights },
  { code: 'CLOCK_SKEW', run: checkClock },
  { code: 'VIP_OUTSIDE_SUBNETS', run: checkVipSubnets },
  { code: 'CERTIFICATE_LACKS_VIP', run: checkCertificates },
  { code: 'KUBECONFIG_BYPASSES_VIP', run: checkKubeconfigs },
  { code: 'SUPER_ADMIN_CONF', run: checkAdminFiles },
  { code: 'NODE_ADDRESS_IS_VIP', run: checkNodeAddresses },
  { code: 'LEASES_DIFFER', run: checkLeases },
  { code: 'KEEPALIVED_HOLDS_VIP', run: checkKeepalived },
  { code: 'OTHER_LOAD_BALANCER', run: checkOtherLoadBalancers },
  { code: 'METALLB_CONFIG_IGNORED', run: checkOldMetallb },
  { code: 'METALLB_WEBHOOK_LEFT', run: checkMetallbWebhook },
  { code: 'NODES_ALL_EXCLUDED', run: checkExclusion },
  { code: 'POOL_MISSING', run: checkPoolsThere },
  { code: 'POOL_INVALID', run: checkPoolsReadable },
  { code: 'POOL_CONFLICT', run: checkPoolConflicts },
  { code: 'POOL_RESERVED', run: checkPoolReservations },
  { code: 'POOL_OUTSIDE_SUBNETS', run: checkPoolSubnets },
  { code: 'NO_ADVERTISEMENT', run: checkAdvertised },
  { code: 'ADDRESS_QUARANTINED', run: checkForeignAnswers },
  { code: 'SERVICE_PENDING', run: checkServicesPending },
  { code: 'SERVICE_SILENT', run: checkServicesSilent },
];

const RANK: Readonly<Record<Level, number>> = { error: 0, warning: 1, unknown: 2, ok: 3 };

/** `only`: checks and findings of these codes; empty: all. */
export function examine(facts: Facts, only: readonly ErrorCode[] = []): readonly Finding[] {
  const subject = subjectOf(facts);
  const findings = CHECKS.flatMap((check) => {
    const found = runCheck(check, subject);
    return only.length === 0 || only.includes(check.code) ? found : found.filter(({ code }) => only.includes(code));
  });
  return findings.toSorted((a, b) => RANK[a.level] - RANK[b.level]);
}

function runCheck({ code, run }: Check, subject: Subject): readonly Finding[] {
  try {
    return run(subject);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [failing('INTERNAL_ERROR', `the check ${code} failed: ${reason}`)];
  }
}

/** Something is wrong, rather than unknown. */
export function isWrong({ level }: Finding): boolean {
  return level === 'error' || level === 'warning';
}

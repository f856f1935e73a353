/**
 * Names that look like settings and are none. kube-vip ignores them in silence; here each gets a warning with the nearest
 * right name. Names that wrong documents spread are known by heart, the rest goes by edit distance.
 */

import { finding, type Finding } from './finding.ts';
import { OPTIONS, type NamedOption } from './schema.ts';

/** Wrong names seen in kube-vip's documents, old versions and issues, and what was meant. */
const KNOWN_WRONG_NAMES: Readonly<Record<string, string>> = {
  annotations: 'annotation',
  enableUPNP: 'enable_upnp',
  vip_cidr: 'vip_subnet',
  vip_startasleader: 'vip_startleader',
  lb_backendport: 'port',
  vip_localpeer: 'vip_nodename',
  bgp_peer_address: 'bgp_peeraddress',
  bgp_peer_as: 'bgp_peeras',
  bgp_peer_pass: 'bgp_peerpass',
  bgp_router_id: 'bgp_routerid',
  bgp_holdtime: 'bgp_hold_time',
  lease_duration: 'vip_leaseduration',
  renew_deadline: 'vip_renewdeadline',
  retry_period: 'vip_retryperiod',
  k8s_config_path: 'k8s_config_file',
  kubeconfig: 'k8s_config_file',
};

/** A name that begins so is meant for us. */
const PREFIXES = [
  'vip_',
  'svc_',
  'bgp_',
  'lb_',
  'cp_',
  'dhcp_',
  'dns_',
  'egress_',
  'zebra_',
  'mpbgp_',
  'k8s_config',
  'control_plane_health_',
];

/** What the kubelet puts into every container for a Service (docker links form). */
const SERVICE_LINK =
  /^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)$/;

/** Longer names are not compared: an environment may hold anything. */
const NAME_LENGTH_MAX = 80;

/** Every name the environment may use, aliases included. */
export function environmentNames(options: readonly NamedOption[] = OPTIONS): readonly string[] {
  return options
    .filter((option) => option.isFlagOnly !== true)
    .flatMap((option) => [option.name, ...(option.aliases ?? [])]);
}

/** Warnings for names in `env` that are set, unknown, and look as if they were meant for us; in order of name. */
export function checkNames(env: Readonly<Record<string, string | undefined>>): readonly Finding[] {
  const known = new Set(environmentNames());
  const found: Finding[] = [];
  for (const name of Object.keys(env).sort()) {
    if ((env[name] ?? '') === '' || known.has(name) || name.length > NAME_LENGTH_MAX || SERVICE_LINK.test(name)) {
      continue;
    }
    const nearest = nearestName(name, [...known]);
    if (nearest !== undefined && isMeantForUs(name, nearest)) {
      found.push(
        finding('CONFIG_NAME_MISSPELLED', name, `${name} is not a setting and has no effect; ${nearest} is one`, {
          nearest,
        }),
      );
    } else if (hasOurPrefix(name)) {
      found.push(finding('CONFIG_NAME_UNKNOWN', name, `${name} is not a setting and has no effect`));
    }
  }
  return found;
}

/** The name in `known` that `name` most likely stands for; undefined when none is near. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wrong = KNOWN_WRONG_NAMES[name] ?? KNOWN_WRONG_NAMES[name.toLowerCase()];
  if (wrong !== undefined && known.includes(wrong)) return wrong;
  const plain = flatten(name);
  let best: string | undefined;
  let bestDistance = distanceMax(plain) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, flatten(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Damerau-Levenshtein distance in its restricted form (optimal string alignment): insertions, deletions, substitutions
 * and transpositions of neighbours, each part edited once. O(a × b).
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let best = Math.min((last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + cost);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}

function hasOurPrefix(name: string): boolean {
  const lower = name.toLowerCase();
  return PREFIXES.some((prefix) => lower.startsWith(prefix));
}

/**
 * A near miss counts when the name has one of our prefixes or is a near miss of a name with an underscore; single words
 * (`address`, `port`) only in lower case and but for one letter, for PORT and ADDRESS belong to other programs.
 */
function isMeantForUs(name: string, nearest: string): boolean {
  if (hasOurPrefix(name) || KNOWN_WRONG_NAMES[name] === nearest) return true;
  if (nearest.includes('_') && name.includes('_')) {
    return flatten(name) === flatten(nearest) || name === name.toLowerCase();
  }
  return nearest.length >= 6 && name === name.toLowerCase() && editDistance(name, nearest) === 1;
}

function flatten(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, '');
}

function distanceMax(plain: string): number {
  return plain.length <= 7 ? 1 : plain.length <= 12 ? 2 : 3;
}

/**
 * kube-proxy of this node: well, and in nobody's way. In IPVS mode it puts the address of every Service on kube-ipvs0 of every
 * node, and Linux answers ARP requests for an address on any interface: without strictARP (arp_ignore 1, arp_announce 2) all
 * nodes answer at once. The kernel takes the larger of `all` and the interface's own value
 * (Documentation/networking/ip-sysctl.rst).
 */

import { asObject, asText, type JsonObject } from '../../base/json.ts';
import { derive, known, unknown, unknownOf, type Fact, type Unknown } from '../fact.ts';
import type { MachineFacts } from '../facts.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { IPVS_INTERFACE, type Subject } from '../subject.ts';

const CODE = 'STRICT_ARP_OFF';
const HTTP_OK = 200;
const ARP_IGNORE_MIN = 1;
const ARP_ANNOUNCE_MIN = 2;

export function checkStrictArp({ facts, interfaces }: Subject): readonly Finding[] {
  const { cluster, machine } = facts;
  const mode = derive(cluster.kubeProxy, (config) => modeOf(config));
  const device = derive(machine.kernel, ({ links }) => links.some(({ name }) => name === IPVS_INTERFACE));
  const isIpvsHere = device.isKnown && device.value;
  if (!isIpvsHere && mode.isKnown && mode.value !== 'ipvs') {
    const text = mode.value === undefined ? 'there is no kube-proxy' : `kube-proxy is in mode ${mode.value}`;
    return conclude(CODE, {
      wrong: [],
      unknown: unknownOf(device),
      fine: `${text}: only IPVS answers for every address`,
    });
  }
  const names = interfaces.isKnown ? interfaces.value.links.map(({ name }) => name) : [];
  const wrong: Finding[] = [];
  const missing: Unknown[] = [...unknownOf(mode, device, interfaces)];
  const isStrict = cluster.kubeProxy.isKnown ? isStrictArp(cluster.kubeProxy.value) : undefined;
  if (isStrict === false && mode.isKnown && mode.value === 'ipvs') {
    wrong.push(failing(CODE, 'the ConfigMap kube-proxy has mode: ipvs and not ipvs.strictARP: true'));
  }
  for (const name of isIpvsHere ? names : []) {
    const ignore = effective(machine, name, 'arp_ignore');
    const announce = effective(machine, name, 'arp_announce');
    missing.push(...unknownOf(ignore, announce));
    if (!ignore.isKnown || !announce.isKnown) continue;
    if (ignore.value >= ARP_IGNORE_MIN && announce.value >= ARP_ANNOUNCE_MIN) continue;
    const values = `arp_ignore ${ignore.value} and arp_announce ${announce.value} on ${name}, and there is ${IPVS_INTERFACE}`;
    // With strictARP asked for, only this node's kube-proxy is behind.
    wrong.push(isStrict === true ? warning(CODE, `${values}, though strictARP is set`) : failing(CODE, values));
  }
  const fineText = isIpvsHere
    ? `kube-proxy is in mode ipvs, with arp_ignore and arp_announce set on ${names.join(', ')}`
    : `kube-proxy is to be in mode ipvs with strictARP, and has not made ${IPVS_INTERFACE} here`;
  return conclude(CODE, { wrong, unknown: missing, fine: fineText });
}

/** Packets for a Service reach a node whose kube-proxy is ill, and go nowhere from there. */
export function checkKubeProxy({ facts, isServing }: Subject): readonly Finding[] {
  const code = 'NODE_KUBE_PROXY';
  const health = facts.machine.kubeProxyHealth;
  const config = facts.cluster.kubeProxy;
  if (!isServing) return [fine(code, 'svc_enable is off')];
  if (!health.isKnown) return [unsure(code, health)];
  if (health.value === HTTP_OK) return [fine(code, 'its health check answers')];
  const seen =
    health.value === undefined
      ? 'nobody listens on its port of health checks'
      : `its health check has status ${health.value}`;
  if (health.value !== undefined) return [failing(code, seen)];
  if (!config.isKnown) {
    return [
      unsure(code, { ...config, why: `${seen}; whether there should be a kube-proxy is not known: ${config.why}` }),
    ];
  }
  return [config.value === undefined ? fine(code, 'there is no kube-proxy') : failing(code, seen)];
}

/** undefined: no kube-proxy. An empty mode is iptables on Linux (KubeProxyConfiguration). */
function modeOf(config: JsonObject | undefined): string | undefined {
  return config === undefined ? undefined : (asText(config['mode']) ?? 'iptables');
}

function isStrictArp(config: JsonObject | undefined): boolean | undefined {
  return config === undefined ? undefined : asObject(config['ipvs'])?.['strictARP'] === true;
}

/** The larger of `all` and the interface's own, as the kernel has it for arp_ignore, arp_announce and rp_filter. */
export function effective({ sysctls }: MachineFacts, interfaceName: string, name: string): Fact<number> {
  const all = sysctls[`net/ipv4/conf/all/${name}`] ?? unknown(`net.ipv4.conf.all.${name} was not read`);
  const own = sysctls[`net/ipv4/conf/${interfaceName}/${name}`] ?? unknown(`${name} of ${interfaceName} was not read`);
  if (!all.isKnown) return all;
  return own.isKnown ? known(Math.max(all.value, own.value)) : own;
}

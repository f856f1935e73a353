/** The environment of the container, and where its probes go: the part of a manifest that the settings decide. */

import type { V1EnvVar } from '@kubernetes/client-node';
import type { Values } from '../resolve.ts';
import { OPTIONS, type OptionName } from '../schema.ts';
import { parseListen } from '../value.ts';

/** Shown even at their defaults: what a reader of the manifest looks for. */
const ESSENTIAL: ReadonlySet<OptionName> = new Set<OptionName>(['cp_enable', 'vip_arp', 'address', 'vip_interface']);

/** Written otherwise or meaningless in a manifest. */
const LEFT_OUT: ReadonlySet<OptionName> = new Set<OptionName>(['vip_nodename', 'vip_address', 'config_file']);

/** Listening on these means every address of the node, 127.0.0.1 among them. */
const WILDCARD_HOSTS = ['', '0.0.0.0', '::', '*'];

/**
 * Where a generated manifest has its probes go unless it is told otherwise: a port that is nobody else's. On
 * prometheus_server's default, which is kube-vip's too, the kubelet would ask kube-vip while both run on a node. Next to
 * those of the Kubernetes components (10248 to 10260) and below what Linux gives out by itself
 * (net.ipv4.ip_local_port_range).
 */
export const PROBE_PORT = 10_264;

export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
}

/** What one process has and a second on the same node can't: for the one that serves Services beside the control plane's. */
export const SECOND = {
  prometheus_server: ':2113',
  health_check_port: String(PROBE_PORT + 1),
  vip_heartbeat_port: '6461',
  vip_status_socket: '@holdfast-services',
} as const satisfies Partial<Record<OptionName, string>>;

/**
 * The settings a manifest is made from: those given, and a port for the probes. A process for Services alone gets ports of
 * its own, so that it may run where a static pod holds the control plane's address.
 */
export function manifestValues(values: Values): Values {
  const isSecond = values.cp_enable.value !== 'true' && values.svc_enable.value === 'true';
  const wanted: Readonly<Partial<Record<OptionName, string>>> = isSecond
    ? SECOND
    : { health_check_port: String(PROBE_PORT) };
  const made: Record<OptionName, Values[OptionName]> = { ...values };
  for (const option of OPTIONS) {
    const value = wanted[option.name];
    if (value !== undefined && values[option.name].source === 'default') made[option.name] = { value, source: 'flag' };
  }
  return made;
}

/** Settings that differ from their defaults and the essential ones, in the order of the table, then the node name. */
export function manifestEnvironment(values: Values): V1EnvVar[] {
  const variables: V1EnvVar[] = [];
  for (const option of OPTIONS) {
    if (option.isFlagOnly === true || LEFT_OUT.has(option.name)) continue;
    const { value, source } = option.name === 'address' ? addressOf(values) : values[option.name];
    const isSet = source !== 'default' && value !== option.default;
    const isShown = ESSENTIAL.has(option.name) ? value !== '' : isSet;
    if (isShown && (value !== '' || option.keepsEmptyFrom?.includes('env') === true)) {
      variables.push({ name: option.name, value });
    }
  }
  variables.push({ name: 'vip_nodename', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } });
  return variables;
}

/** Flags for what the environment cannot say: metrics switched off. */
export function manifestArguments(values: Values): string[] {
  const { value, source } = values.prometheus_server;
  return value === '' && source === 'flag' ? ['manager', '--prometheusHTTPServer='] : ['manager'];
}

/** Where the kubelet asks for /livez and /readyz; undefined when neither a health port nor metrics are on. */
export function probeTarget(values: Values): ProbeTarget | undefined {
  const healthPort = Number(values.health_check_port.value);
  if (healthPort > 0) return { host: '127.0.0.1', port: healthPort };
  const listen = parseListen(values.prometheus_server.value);
  if (listen === undefined) return undefined;
  return { host: WILDCARD_HOSTS.includes(listen.host) ? '127.0.0.1' : listen.host, port: listen.port };
}

function addressOf(values: Values): Values['address'] {
  return values.address.value === '' ? values.vip_address : values.address;
}

/** Rules that involve more than one setting, or more than the form of one. Each adds to the findings, none stops. */

import { finding, type Findings } from './finding.ts';
import { OPTIONS, type OptionName } from './schema.ts';
import type { Resolved, Values } from './resolve.ts';
import { durationMs, parseHttpUrl } from './value.ts';

/** Kernel lifetimes are whole seconds and are renewed at a third: a shorter Lease leaves no room for both. */
const LEASE_DURATION_MIN_SECONDS = 3;
/** client-go leaderelection's JitterFactor. */
const JITTER_FACTOR = 1.2;
/** 255 bytes of an nft name less `kube_vip_` and `_v4` (kube-vip pkg/kubevip/config_validation.go). */
const INSTANCE_NAME_MAX = 243;
/** sun_path less its end (unix(7)). */
const SOCKET_PATH_MAX = 107;
/** Privileged ports need a capability the pod does not have. */
const HEALTH_PORT_MIN = 1024;
/** 16 characters of base64 or hex are 64 bits or more: beyond guessing. */
const HEARTBEAT_KEY_MIN = 16;
const INTERFACE_NAME_MAX = 15; // IFNAMSIZ - 1, linux/if.h

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Modes other than ARP, with what kube-vip calls them. */
const OTHER_MODES: readonly OptionName[] = ['bgp_enable', 'vip_routingtable', 'vip_wireguard'];

/** While one of these cannot be read, nothing is said about what is left to do. */
const MODE_SETTINGS: readonly OptionName[] = [
  'vip_arp',
  ...OTHER_MODES,
  'cp_enable',
  'svc_enable',
  'leaderElectionType',
];

/** A warning for each setting that is understood, not done, and not at its default. */
export function warnUnsupported(values: Values, findings: Findings): void {
  for (const option of OPTIONS) {
    const { value, source } = values[option.name];
    if (option.unsupported === undefined || source === 'default' || value === option.default) continue;
    if (option.name === 'dhcp_mode' && value === values.dns_mode.value) continue; // kube-vip's generator writes it so
    const shown = option.isSecret === true ? 'is set' : `is "${value}"`;
    const message = `${option.name} ${shown}, which has no effect: ${option.unsupported}`;
    findings.warnings.push(finding('CONFIG_NOT_SUPPORTED', option.name, message));
  }
}

/** Whether ARP is (taken to be) the mode. Says so when it is assumed; nothing left to do is a problem. */
export function checkMode({ values, refused }: Resolved, findings: Findings): boolean {
  if (MODE_SETTINGS.some((name) => refused.has(name))) return false;
  const isOn = (name: OptionName): boolean => values[name].value === 'true';
  const nothing = (name: string, message: string, expected: string): false => {
    findings.problems.push(finding('CONFIG_NOTHING_TO_DO', name, message, { expected }));
    return false;
  };
  if (values.leaderElectionType.value === 'etcd') {
    return nothing(
      'leaderElectionType',
      'an election on etcd is not supported; the election is held on a Kubernetes Lease',
      '--leaderElectionType=kubernetes, or leave it out',
    );
  }
  if (!isOn('cp_enable') && !isOn('svc_enable')) {
    const message = 'neither cp_enable nor svc_enable is on: there is no address to hold';
    return nothing('cp_enable', message, 'cp_enable=true (--controlplane) or svc_enable=true (--services)');
  }
  if (isOn('vip_arp')) return true;
  const others = OTHER_MODES.filter(isOn);
  if (others.length > 0) {
    return nothing(
      others[0] ?? '',
      `the only mode chosen is ${others.join(', ')}, which is not supported yet`,
      'vip_arp=true (--arp) and remove the other mode',
    );
  }
  if (values.vip_arp.source !== 'default') {
    return nothing('vip_arp', 'vip_arp is off and no other mode is on', 'vip_arp=true (--arp)');
  }
  const message = 'no mode is chosen (vip_arp, bgp_enable, vip_routingtable, vip_wireguard); ARP is assumed';
  findings.warnings.push(finding('CONFIG_ASSUMED', 'vip_arp', message, { expected: 'vip_arp=true' }));
  return true;
}

/** Says what is set about Services, or about the control plane, and isn't looked at. */
export function warnUnused(values: Values, findings: Findings): void {
  const unused = (name: OptionName, why: string, expected: string): void => {
    findings.warnings.push(finding('CONFIG_UNUSED', name, `${name} has no effect: ${why}`, { expected }));
  };
  if (values.svc_enable.value !== 'true') {
    for (const option of OPTIONS) {
      const { value, source } = values[option.name];
      const isSet = source !== 'default' && value !== option.default;
      if (option.section !== 'services' || option.unsupported !== undefined || !isSet) continue;
      unused(option.name, 'svc_enable is off', 'svc_enable to true (--services)');
    }
    return;
  }
  const { cp_enable: controlPlane, svc_leasename: own, vip_leasename: shared } = values;
  if (controlPlane.value === 'true') {
    // kube-vip's generator writes the default of svc_leasename beside every vip_leasename.
    const differs = own.value !== 'plndr-svcs-lock' && own.value !== shared.value;
    if (differs) {
      unused('svc_leasename', `one election, on ${shared.value}, serves both`, `vip_leasename to ${own.value}`);
    }
    return;
  }
  for (const name of ['address', 'vip_address'] as const) {
    if (values[name].value !== '') unused(name, 'cp_enable is off', 'cp_enable to true (--controlplane)');
  }
}

/** Refuses times with which two holders, or a holder that never manages to renew, would be possible. */
export function checkLeaseTimes({ values, refused }: Resolved, findings: Findings): void {
  const names: readonly OptionName[] = ['vip_leaseduration', 'vip_renewdeadline', 'vip_retryperiod'];
  if (names.some((name) => refused.has(name))) return;
  const lease = Number(values.vip_leaseduration.value);
  const renew = Number(values.vip_renewdeadline.value);
  const retry = Number(values.vip_retryperiod.value);
  const refuse = (name: OptionName, message: string): void => {
    findings.problems.push(finding('CONFIG_LEASE_TIMES', name, message));
  };
  if (lease < LEASE_DURATION_MIN_SECONDS) {
    refuse(
      'vip_leaseduration',
      `vip_leaseduration ${lease} s is less than ${LEASE_DURATION_MIN_SECONDS} s: the kernel counts lifetimes of addresses in whole seconds`,
    );
  }
  if (renew >= lease) {
    refuse(
      'vip_renewdeadline',
      `vip_renewdeadline ${renew} s is not below vip_leaseduration ${lease} s: the address would still be held when others may take it`,
    );
  }
  if (renew <= JITTER_FACTOR * retry) {
    refuse(
      'vip_retryperiod',
      `vip_renewdeadline ${renew} s is not above ${JITTER_FACTOR} times vip_retryperiod ${retry} s: one late renewal would lose the address`,
    );
  }
  const lifetimeMs = durationMs(values.vip_address_lifetime.value);
  if (lifetimeMs % 1_000 !== 0) {
    const message = `vip_address_lifetime ${lifetimeMs} ms: the kernel counts lifetimes of addresses in whole seconds`;
    findings.problems.push(
      finding('CONFIG_VALUE_INVALID', 'vip_address_lifetime', message, { expected: 'a whole number of seconds' }),
    );
  } else if (lifetimeMs > lease * 1_000 && lease >= LEASE_DURATION_MIN_SECONDS) {
    refuse(
      'vip_address_lifetime',
      `vip_address_lifetime ${lifetimeMs / 1_000} s is above vip_leaseduration ${lease} s: a crashed holder would keep the address after others may take it`,
    );
  }
}

/** Refuses heartbeats that nobody could rely on: a guessable key, or a silence noticed later than the Lease's end. */
export function checkHeartbeat({ values, refused }: Resolved, findings: Findings): void {
  if (values.vip_heartbeat.value !== 'true') return;
  const need = (name: OptionName, isFine: boolean, message: string, expected: string): void => {
    if (!isFine && !refused.has(name)) {
      findings.problems.push(finding('CONFIG_VALUE_INVALID', name, message, { expected }));
    }
  };
  const keys = heartbeatKeys(values.vip_heartbeat_key.value);
  need(
    'vip_heartbeat_key',
    keys.every((key) => key.length >= HEARTBEAT_KEY_MIN),
    `vip_heartbeat_key: a key is shorter than ${HEARTBEAT_KEY_MIN} characters`,
    'the text that `openssl rand -hex 32` prints',
  );
  need(
    'vip_nodename',
    !/\P{ASCII}/u.test(values.vip_nodename.value),
    'vip_nodename: heartbeats carry names of printable ASCII only',
    'the name of the Node, or vip_heartbeat to false',
  );
  const silentMs = durationMs(values.vip_heartbeat_interval.value) * Number(values.vip_heartbeat_multiplier.value);
  const renewMs = Number(values.vip_renewdeadline.value) * 1_000;
  need(
    'vip_heartbeat_interval',
    silentMs < renewMs,
    `vip_heartbeat_interval times vip_heartbeat_multiplier is ${silentMs} ms, not below vip_renewdeadline ${renewMs} ms: heartbeats would notice nothing that the Lease doesn't`,
    'a shorter time, such as 100ms',
  );
}

/** The keys of `vip_heartbeat_key`: texts separated by commas. */
export function heartbeatKeys(text: string): readonly string[] {
  return text
    .split(',')
    .map((key) => key.trim())
    .filter((key) => key !== '');
}

/** Forms of single settings that a pattern of the table cannot say. */
export function checkForms(values: Values, findings: Findings): void {
  const need = (name: OptionName, isFine: boolean, expected: string): void => {
    if (isFine) return;
    const message = `${name}: ${JSON.stringify(values[name].value)} is not ${expected}`;
    findings.problems.push(finding('CONFIG_VALUE_INVALID', name, message, { expected }));
  };
  const text = (name: OptionName): string => values[name].value;
  const healthPort = Number(text('health_check_port'));
  need(
    'health_check_port',
    healthPort === 0 || healthPort >= HEALTH_PORT_MIN,
    `0 or a port from ${HEALTH_PORT_MIN} to 65535`,
  );
  need(
    'instance_name',
    new RegExp(`^[A-Za-z0-9._-]{0,${INSTANCE_NAME_MAX}}$`).test(text('instance_name')),
    `at most ${INSTANCE_NAME_MAX} of A-Z a-z 0-9 . _ -`,
  );
  const socket = text('vip_status_socket');
  need(
    'vip_status_socket',
    /^(@[^\0/]+|\/[^\0]+)$/.test(socket) && utf8Length(socket) <= SOCKET_PATH_MAX,
    `an absolute path or @name, at most ${SOCKET_PATH_MAX} octets`,
  );
  need('k8s_config_file', text('k8s_config_file').startsWith('/'), 'an absolute path');
  need('cp_namespace', DNS_LABEL.test(text('cp_namespace')), 'the name of a namespace');
  for (const name of ['vip_leasename', 'svc_leasename'] as const) {
    const expected = 'the name of a Lease (lower case letters, digits, - and .), or namespace/name';
    need(name, isLeaseName(text(name)), expected);
  }
  for (const name of ['svc_namespace', 'svc_configmap_namespace'] as const) {
    need(name, text(name) === '' || DNS_LABEL.test(text(name)), 'the name of a namespace');
  }
  need('svc_configmap', DNS_SUBDOMAIN.test(text('svc_configmap')), 'the name of a ConfigMap');
  need(
    'vip_nodename',
    /^[^\s\p{Cc}]{1,253}$/u.test(text('vip_nodename')),
    'a name without spaces, different on each node',
  );
  for (const name of ['vip_interface', 'vip_servicesinterface'] as const) {
    need(
      name,
      text(name) === '' || (/^[^\s/:]+$/.test(text(name)) && text(name).length <= INTERFACE_NAME_MAX),
      `the name of a network interface (at most ${INTERFACE_NAME_MAX} characters)`,
    );
  }
  const endpoint = text('kubernetes_addr');
  need(
    'kubernetes_addr',
    endpoint === '' || parseEndpoint(endpoint, 6443) !== undefined,
    'an endpoint such as https://10.0.0.5:6443',
  );
  if (text('bgp_sourceif') !== '' && text('bgp_sourceip') !== '') {
    const message = 'bgp_sourceif and bgp_sourceip are both set';
    findings.problems.push(
      finding('CONFIG_CONFLICT', 'bgp_sourceif', message, { names: 'bgp_sourceif, bgp_sourceip' }),
    );
  }
}

function isLeaseName(text: string): boolean {
  const [name = '', namespace, ...rest] = text.split('/').reverse();
  return DNS_SUBDOMAIN.test(name) && (namespace === undefined || DNS_LABEL.test(namespace)) && rest.length === 0;
}

/** `https://host:port` of what kubernetes_addr says, `port` where it names none; undefined when it is no endpoint. */
export function parseEndpoint(text: string, port: number): string | undefined {
  const url = parseHttpUrl(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  if (url === undefined || url.username !== '' || url.search !== '' || url.hash !== '') return undefined;
  if (url.pathname !== '/' && url.pathname !== '') return undefined;
  const explicit = /:(\d+)\/?$/.exec(text)?.[1];
  return `${url.protocol}//${url.hostname}:${url.port === '' ? (explicit ?? port) : url.port}`;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

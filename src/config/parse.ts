/**
 * From flags, environment and file to the effective configuration, or to every problem at once. Pure: what the machine
 * has to say (host name, namespace of the service account, text of the file) comes in as input.
 */

import { formatSubnet, parseAddresses, parseSubnet, toVipSources } from './addresses.ts';
import { formatBgpPeers, parseBgpPeers, BFD_DEFAULT, type BgpPeer } from './bgp-peers.ts';
import {
  checkForms,
  checkHeartbeat,
  checkLeaseTimes,
  checkMode,
  heartbeatKeys,
  parseEndpoint,
  warnUnsupported,
  warnUnused,
} from './check.ts';
import type {
  ApiConfig,
  ApiHealthConfig,
  Config,
  ConflictPolicy,
  ElectionConfig,
  HeartbeatConfig,
  NameFamilies,
  ObserveConfig,
  ServicesConfig,
  VipConfig,
  VipSource,
} from './config.ts';
import { electionLease } from './election-lease.ts';
import { parseFile, type ConfigFile } from './file.ts';
import { finding, type Finding, type Findings } from './finding.ts';
import { checkNames } from './name.ts';
import { resolveValues, type Value, type Values } from './resolve.ts';
import type { OptionName } from './schema.ts';
import { durationMs, logLevelOf, parseStringMap } from './value.ts';

/** pkg/arp/arp.go of kube-vip: below the first, the second is used. */
const ARP_RATE_MIN_MS = 500;
const ARP_RATE_FALLBACK_MS = 3_000;

/** vip_servicesinterface of kube-vip. */
const AUTO_INTERFACE = 'auto';

export interface ConfigInput {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Long flag (as in the table, without dashes) → value; a bare boolean flag is "true". */
  readonly flags: Readonly<Record<string, string>>;
  /** The file configFilePath() names, or why it cannot be read. */
  readonly file?: ConfigFile | { readonly path: string; readonly error: string } | undefined;
  readonly facts: {
    readonly hostname: string;
    /** Namespace of the mounted service account; undefined outside of one. */
    readonly inClusterNamespace?: string | undefined;
  };
}

export interface ParsedConfig {
  /** Undefined exactly when there are problems. */
  readonly config: Config | undefined;
  /** Effective value and source of every setting, secrets in clear: see maskValues. */
  readonly values: Values;
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Peers of bgp_peers, of the file's bgpConfig.peers, or the single peer; passwords in clear: see maskPeers. */
  readonly bgpPeers: readonly BgpPeer[];
}

/** Path of the configuration file to read, by flag or environment; undefined when none is named. */
export function configFilePath(input: Pick<ConfigInput, 'env' | 'flags'>): string | undefined {
  return [input.flags['config-file'], input.env['config_file']].find((path) => path !== undefined && path !== '');
}

export function parseConfig(input: ConfigInput): ParsedConfig {
  const findings: Findings = { problems: [], warnings: [] };
  const fileContent = readFile(input.file, findings);
  const given = resolveValues({ flags: input.flags, env: input.env, file: fileContent.values }, findings);
  const values = derive(given.values, input, findings);
  const derived = { values, refused: given.refused };

  const isArp = checkMode(derived, findings);
  const { sources, subnet } = readAddresses(values, findings);
  checkLeaseTimes(derived, findings);
  checkHeartbeat(derived, findings);
  checkForms(values, findings);
  const bgpPeers = readPeers(values, fileContent.peers, findings);
  warnUnsupported(given.values, findings);
  warnUnused(values, findings);
  findings.warnings.push(...checkNames(input.env));

  const effective: Values = {
    ...values,
    vip_arp: isArp ? { ...values.vip_arp, value: 'true' } : values.vip_arp,
    vip_subnet: { ...values.vip_subnet, value: subnet },
    bgp_peers:
      values.bgp_peers.value === '' && fileContent.peers !== undefined
        ? { value: formatBgpPeers(bgpPeers), source: 'file' }
        : values.bgp_peers,
  };
  const config = findings.problems.length === 0 ? buildConfig(effective, sources) : undefined;
  return { config, values: effective, ...findings, bgpPeers };
}

function readFile(file: ConfigInput['file'], findings: Findings): ReturnType<typeof parseFile> {
  if (file === undefined) return { values: new Map(), peers: undefined };
  if ('text' in file) return parseFile(file, findings);
  const message = `${file.path} cannot be read: ${file.error}`;
  findings.problems.push(finding('CONFIG_FILE_UNREADABLE', 'config_file', message, { path: file.path }));
  return { values: new Map(), peers: undefined };
}

/** Settings whose value depends on others or on the machine. The source stays that of what was given. */
function derive(values: Values, input: ConfigInput, findings: Findings): Values {
  const adjusted: Partial<Record<OptionName, Value>> = {};
  const adjust = (name: OptionName, value: string, message: string): void => {
    adjusted[name] = { ...values[name], value };
    if (values[name].source !== 'default') {
      findings.warnings.push(finding('CONFIG_VALUE_ADJUSTED', name, message, { expected: value }));
    }
  };

  if (values.vip_nodename.value === '') {
    adjusted.vip_nodename = { value: input.facts.hostname.toLowerCase(), source: 'default' };
  }
  const namespace = input.facts.inClusterNamespace;
  if (namespace !== undefined && namespace !== '' && namespace !== values.cp_namespace.value) {
    adjust(
      'cp_namespace',
      namespace,
      `cp_namespace is "${values.cp_namespace.value}", but in a pod with a service account the Lease is in the namespace of the pod, "${namespace}", as with kube-vip; vip_leasename=namespace/name overrides both`,
    );
  }
  const rateMs = Number(values.vip_arpRate.value);
  if (rateMs < ARP_RATE_MIN_MS) {
    adjust(
      'vip_arpRate',
      String(ARP_RATE_FALLBACK_MS),
      `vip_arpRate ${rateMs} ms is below ${ARP_RATE_MIN_MS} ms; ${ARP_RATE_FALLBACK_MS} ms is used, as kube-vip does`,
    );
  }
  const halfRenewMs = Number(values.vip_renewdeadline.value) * 500;
  if (durationMs(values.vip_api_timeout.value) > halfRenewMs) {
    adjust(
      'vip_api_timeout',
      `${halfRenewMs}ms`,
      `vip_api_timeout ${values.vip_api_timeout.value} is above half of vip_renewdeadline; ${halfRenewMs} ms is used, so that a failed renewal can be tried again`,
    );
  }
  return { ...values, ...adjusted };
}

function readAddresses(
  values: Values,
  findings: Findings,
): { readonly sources: readonly VipSource[]; readonly subnet: string } {
  if (values.vip_address.value !== '') {
    const used =
      values.address.value === ''
        ? 'it is used, and vip_subnet is not needed for it here'
        : '`address` is set too and wins';
    findings.warnings.push(
      finding('CONFIG_DEPRECATED', 'vip_address', `vip_address is the old name of \`address\`; ${used}`, {
        instead: 'address',
      }),
    );
  }
  const name = values.address.value === '' && values.vip_address.value !== '' ? 'vip_address' : 'address';
  const before = findings.problems.length;
  const entries = parseAddresses(name, values[name].value, findings);
  if (entries.length === 0 && findings.problems.length === before && values.cp_enable.value === 'true') {
    findings.problems.push(
      finding('CONFIG_ADDRESS_MISSING', 'address', 'cp_enable is on, but `address` names no virtual IP'),
    );
  }
  const lengths = parseSubnet(values.vip_subnet.value, entries, findings);
  // The choice was checked against the row's words when the value was resolved.
  const families = values.dns_mode.value as NameFamilies;
  const sources = toVipSources(name, entries, lengths, families, findings);
  return { sources, subnet: entries.length === 0 ? values.vip_subnet.value : formatSubnet(entries, lengths) };
}

function readPeers(values: Values, filePeers: readonly BgpPeer[] | undefined, findings: Findings): readonly BgpPeer[] {
  if (values.bgp_peers.value !== '') {
    const peers = parseBgpPeers(values.bgp_peers.value);
    if (peers.ok) return peers.value;
    findings.problems.push(finding('CONFIG_BGP_PEERS_INVALID', 'bgp_peers', `bgp_peers: ${peers.reason}`));
    return [];
  }
  if (filePeers !== undefined) return filePeers;
  if (values.bgp_peeraddress.value === '') return [];
  return [
    {
      address: values.bgp_peeraddress.value,
      interface: '',
      as: Number(values.bgp_peeras.value),
      password: values.bgp_peerpass.value,
      multihop: values.bgp_multihop.value === 'true',
      port: 179, // RFC 4271 §8.2.1
      mpbgpNexthop: '',
      mpbgpIpv4: '',
      mpbgpIpv6: '',
      bfd: BFD_DEFAULT,
    },
  ];
}

function buildConfig(values: Values, sources: readonly VipSource[]): Config {
  return {
    nodeName: values.vip_nodename.value,
    isControlPlane: values.cp_enable.value === 'true',
    election: buildElection(values),
    vip: buildVip(values, values.cp_enable.value === 'true' ? sources : []),
    services: values.svc_enable.value === 'true' ? buildServices(values) : undefined,
    api: buildApi(values),
    heartbeat: buildHeartbeat(values),
    apiHealth: buildApiHealth(values),
    observe: buildObserve(values),
  };
}

function buildElection(values: Values): ElectionConfig {
  const { namespace = values.cp_namespace.value, name } = electionLease(values);
  return {
    namespace,
    leaseName: name,
    identity: values.vip_nodename.value,
    leaseDurationMs: Number(values.vip_leaseduration.value) * 1_000,
    renewDeadlineMs: Number(values.vip_renewdeadline.value) * 1_000,
    retryPeriodMs: Number(values.vip_retryperiod.value) * 1_000,
    annotations: parseStringMap(values.vip_leaseannotations.value) ?? {},
  };
}

function buildVip(values: Values, sources: readonly VipSource[]): VipConfig {
  return {
    sources,
    interfaceName: values.vip_interface.value === '' ? undefined : values.vip_interface.value,
    allowInterfaceNotUp: values.vip_allow_interface_not_up.value === 'true',
    loopbackGlobalScope: values.vip_interfaceloglobal.value === 'true',
    refreshIntervalMs: Number(values.vip_arpRate.value),
    lifetimeSeconds: durationMs(values.vip_address_lifetime.value) / 1_000,
    probeCount: Number(values.vip_probe_count.value),
    probeIntervalMs: durationMs(values.vip_probe_interval.value),
    conflictTimeoutMs: durationMs(values.vip_conflict_timeout.value),
    conflictPolicy: values.vip_conflict_policy.value as ConflictPolicy, // checked against the row's words
    nameRefreshMs: durationMs(values.vip_dns_refresh.value),
  };
}

function buildServices(values: Values): ServicesConfig {
  const isOn = (name: OptionName): boolean => values[name].value === 'true';
  const { svc_configmap_namespace: namespace, vip_servicesinterface: own, vip_interface: shared } = values;
  const interfaceName = own.value === '' ? shared.value : own.value;
  return {
    isSpread: isOn('svc_election'),
    namespace: values.svc_namespace.value,
    interfaceName: interfaceName === '' || interfaceName === AUTO_INTERFACE ? undefined : interfaceName,
    className: values.lb_class_name.value,
    isClassLegacy: isOn('lb_class_legacy_handling'),
    isClassOnly: isOn('lb_class_only'),
    ignoresExcludeLabel: isOn('svc_ignore_exclude_label'),
    pools: values.svc_pools.value,
    rebalancePerMinute: Number(values.svc_rebalance.value),
    configMap: {
      namespace: namespace.value === '' ? values.cp_namespace.value : namespace.value,
      name: values.svc_configmap.value,
    },
  };
}

function buildApi(values: Values): ApiConfig {
  const port = Number(values.port.value);
  return {
    kubeconfigPath: values.k8s_config_file.value,
    isKubeconfigExplicit: values.k8s_config_file.source !== 'default',
    endpointOverride:
      values.kubernetes_addr.value === '' ? undefined : parseEndpoint(values.kubernetes_addr.value, port),
    port,
    timeoutMs: durationMs(values.vip_api_timeout.value),
  };
}

function buildHeartbeat(values: Values): HeartbeatConfig {
  return {
    isEnabled: values.vip_heartbeat.value === 'true',
    intervalMs: durationMs(values.vip_heartbeat_interval.value),
    multiplier: Number(values.vip_heartbeat_multiplier.value),
    port: Number(values.vip_heartbeat_port.value),
    keys: heartbeatKeys(values.vip_heartbeat_key.value),
    priority: Number(values.vip_priority.value),
    isPreempting: values.vip_preempt.value === 'true',
  };
}

function buildApiHealth(values: Values): ApiHealthConfig {
  return {
    intervalMs: durationMs(values.vip_api_health_interval.value),
    rise: Number(values.vip_api_health_rise.value),
    fall: Number(values.vip_api_health_fall.value),
  };
}

function buildObserve(values: Values): ObserveConfig {
  return {
    logLevel: logLevelOf(values.vip_loglevel.value),
    logFormat: values.log_format.value as ObserveConfig['logFormat'], // checked against the row's words
    metricsAddress: values.prometheus_server.value === '' ? undefined : values.prometheus_server.value,
    healthPort: Number(values.health_check_port.value),
    statusSocket: values.vip_status_socket.value,
  };
}

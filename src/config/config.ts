/**
 * The effective configuration: what every other room reads. Made only by `parse.ts` from the schema table; immutable, in
 * base units (milliseconds, octets), with every default already applied. Variables that are accepted but not supported
 * yet do not appear here: parsing names them in a warning.
 */

import type { Ip } from '../base/ip.ts';

/** Which families of a DNS name are used: the first answer, one family, or both (kube-vip's `dns_mode`). */
export type NameFamilies = 'first' | 'ipv4' | 'ipv6' | 'dual';

/** One entry of `address`: a literal IP, or a DNS name resolved at start and refreshed. */
export type VipSource =
  | { readonly kind: 'ip'; readonly ip: Ip; readonly prefixLength: number }
  | {
      readonly kind: 'name';
      readonly name: string;
      readonly families: NameFamilies;
      readonly prefixLengths: { readonly ipv4: number; readonly ipv6: number };
    };

/** What to do when a stranger keeps answering for the VIP. */
export type ConflictPolicy = 'defend' | 'yield';

export interface ElectionConfig {
  readonly namespace: string;
  readonly leaseName: string;
  /** Lease identity: `vip_nodename`. */
  readonly identity: string;
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface VipConfig {
  readonly sources: readonly VipSource[];
  /** Interface name; undefined = the interface of the default route (IPv4's, else IPv6's). */
  readonly interfaceName: string | undefined;
  readonly allowInterfaceNotUp: boolean;
  /** On `lo`: scope global instead of host. */
  readonly loopbackGlobalScope: boolean;
  /** Gratuitous refresh interval while holding (`vip_arpRate`), ms. */
  readonly refreshIntervalMs: number;
  /** Kernel lifetime put on a held address, whole seconds (`vip_address_lifetime`, default 3). */
  readonly lifetimeSeconds: number;
  /** Wire probes before a claim (`vip_probe_count`, default 3) and their spacing (`vip_probe_interval`, default 40 ms). */
  readonly probeCount: number;
  readonly probeIntervalMs: number;
  /** How long a stranger may answer before `conflictPolicy` applies (`vip_conflict_timeout`, default 30 s), ms. */
  readonly conflictTimeoutMs: number;
  readonly conflictPolicy: ConflictPolicy;
  /** How often DNS names are resolved anew (`vip_dns_refresh`, default 30 s), ms. */
  readonly nameRefreshMs: number;
}

export interface ApiConfig {
  /** `k8s_config_file`: kubeconfig path; default /etc/kubernetes/admin.conf. */
  readonly kubeconfigPath: string;
  /** Whether k8s_config_file was set by the user rather than defaulted. */
  readonly isKubeconfigExplicit: boolean;
  /** `kubernetes_addr`: endpoint that overrides every other, e.g. https://10.0.0.5:6443. */
  readonly endpointOverride: string | undefined;
  /** `port`: the API server's port on this node. */
  readonly port: number;
  /** Deadline of one API call (`vip_api_timeout`, default 2 s but never above half of the renew deadline), ms. */
  readonly timeoutMs: number;
}

export interface HeartbeatConfig {
  readonly isEnabled: boolean;
  readonly intervalMs: number;
  /** Heartbeats missed until a candidate counts as silent. */
  readonly multiplier: number;
  /** UDP. */
  readonly port: number;
  /** `vip_heartbeat_key`: texts, the first is sent, all are accepted; empty = the Secret. */
  readonly keys: readonly string[];
  /** 0–255; the higher is the preferred successor. */
  readonly priority: number;
  readonly isPreempting: boolean;
}

/** Checks of the API server of this node. */
export interface ApiHealthConfig {
  readonly intervalMs: number;
  /** Answers in a row after which it counts as well, or as ill. */
  readonly rise: number;
  readonly fall: number;
}

/** Services of type LoadBalancer. Holds everything `ServiceRules` of services/model.ts asks for. */
export interface ServicesConfig {
  /** `svc_election`: addresses spread over the nodes; false: the election's leader answers for all. */
  readonly isSpread: boolean;
  /** `svc_namespace`; '' = all. */
  readonly namespace: string;
  /** Where their addresses go unless something says otherwise; undefined: the interface whose subnet holds the address. */
  readonly interfaceName: string | undefined;
  /** `lb_class_name`; may be ''. */
  readonly className: string;
  /** Services without a class are ours as well, unless isClassOnly. */
  readonly isClassLegacy: boolean;
  readonly isClassOnly: boolean;
  /** `svc_ignore_exclude_label`. */
  readonly ignoresExcludeLabel: boolean;
  /** `svc_pools` as written: services/pools reads it. */
  readonly pools: string;
  /** Addresses moved a minute, at most; 0 = none. */
  readonly rebalancePerMinute: number;
  /** kube-vip's ConfigMap of pools. */
  readonly configMap: { readonly namespace: string; readonly name: string };
}

export interface ObserveConfig {
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** `log_format`: JSON lines, readable text, or text exactly when stdout is a terminal. */
  readonly logFormat: 'auto' | 'json' | 'pretty';
  /** `host:port` or `:port` of /metrics; undefined = off. */
  readonly metricsAddress: string | undefined;
  /** Port of /healthz, /livez and /readyz (`health_check_port`); 0 = served on the metrics address only. */
  readonly healthPort: number;
  /** Status socket: a path, or `@name` for an abstract socket of this network namespace (`vip_status_socket`). */
  readonly statusSocket: string;
}

export interface Config {
  readonly nodeName: string;
  readonly isControlPlane: boolean;
  /** On vip_leasename or, for Services alone, on svc_leasename. */
  readonly election: ElectionConfig;
  /** Without sources where only Services are served; its times are for their addresses as well. */
  readonly vip: VipConfig;
  /** undefined: Services are left alone. */
  readonly services: ServicesConfig | undefined;
  readonly api: ApiConfig;
  readonly heartbeat: HeartbeatConfig;
  readonly apiHealth: ApiHealthConfig;
  readonly observe: ObserveConfig;
}

/**
 * What the doctor knows of a machine and its cluster: plain values that src/survey gathers and tests write down. Objects of
 * Kubernetes are as the API server sent them, to be decoded (and not believed) by whoever looks at them.
 */

import type { Ip } from '../base/ip.ts';
import type { JsonObject } from '../base/json.ts';
import type { ParsedConfig } from '../config/parse.ts';
import type { StatusReport } from '../observe/status-model.ts';
import type { KernelSnapshot } from '../protocol/netlink/records.ts';
import type { Fact } from './fact.ts';

export interface Facts {
  readonly settings: Settings;
  readonly machine: MachineFacts;
  readonly files: FileFacts;
  readonly cluster: ClusterFacts;
  /** What the running Holdfast of this node says. */
  readonly status: Fact<StatusReport>;
  /** Certificates that API servers show: the local one, then at each virtual IP. */
  readonly certificates: readonly ServedCertificate[];
  readonly probe: Fact<ProbeReport>;
}

export interface Settings {
  readonly parsed: ParsedConfig;
  /** False: nothing was found, and these are the defaults. */
  readonly isGiven: boolean;
  /** Where they were found, in words. */
  readonly from: string;
}

export interface MachineFacts {
  readonly kernel: Fact<KernelSnapshot>;
  /** By name with slashes: net/ipv4/conf/all/rp_filter. */
  readonly sysctls: Readonly<Record<string, Fact<number>>>;
  /** By interface. */
  readonly devices: Readonly<Record<string, Fact<Device>>>;
  readonly hardware: Fact<Hardware>;
  /** Capabilities a manager needs and this command doesn't have, without CAP_. */
  readonly missingCapabilities: Fact<readonly string[]>;
  readonly sockets: Fact<readonly BoundSocket[]>;
  /** What kube-proxy's health check here says: an HTTP status; undefined: nobody listens. */
  readonly kubeProxyHealth: Fact<number | undefined>;
}

export interface Device {
  readonly isWireless: boolean;
  /** Of the kernel, when it says. */
  readonly driver: string | undefined;
}

/** DMI of the firmware; '' what it doesn't say. */
export interface Hardware {
  readonly vendor: string;
  readonly product: string;
  readonly assetTag: string;
}

/** A bound UDP socket, or a listening TCP one. */
export interface BoundSocket {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** Program and process id; undefined when that may not be seen. */
  readonly owner: { readonly name: string; readonly pid: number } | undefined;
}

export interface FileFacts {
  readonly kubeconfigs: readonly KubeconfigFile[];
  /** Static pods that could hold addresses, and files that can't be read as such. */
  readonly manifests: Fact<Manifests>;
  /** Of keepalived; undefined: there is none. */
  readonly keepalived: Fact<{ readonly path: string; readonly text: string } | undefined>;
}

export interface KubeconfigFile {
  readonly path: string;
  readonly state: 'absent' | 'empty' | 'folder' | 'unreadable' | 'invalid' | 'read';
  /** https://host:port, when read. */
  readonly server: string | undefined;
  /** Why it can't be read. */
  readonly why: string;
}

export interface Manifests {
  readonly folder: string;
  readonly pods: readonly StaticPodFile[];
  readonly unreadable: readonly { readonly path: string; readonly why: string }[];
}

export interface StaticPodFile {
  readonly path: string;
  readonly raw: JsonObject;
}

export interface ServedCertificate {
  /** host:port as dialled. */
  readonly at: string;
  /** Of which virtual IP it is asked; undefined: of all, at the local server. */
  readonly vip: string | undefined;
  /** Names and addresses of the certificate, as texts; addresses canonical. */
  readonly names: Fact<readonly string[]>;
}

export interface ClusterFacts {
  /** The endpoint that answered. */
  readonly api: Fact<string>;
  readonly clock: Fact<ClockOffset>;
  readonly nodes: Fact<readonly JsonObject[]>;
  readonly services: Fact<readonly JsonObject[]>;
  /** Of this node. */
  readonly pods: Fact<readonly JsonObject[]>;
  readonly daemonSets: Fact<readonly JsonObject[]>;
  /** Of kube-system and of the election's namespace. */
  readonly leases: Fact<readonly JsonObject[]>;
  /** KubeProxyConfiguration; undefined: there is no ConfigMap of it. */
  readonly kubeProxy: Fact<JsonObject | undefined>;
  /** data of kube-system/cilium-config; undefined: there is none. */
  readonly ciliumConfig: Fact<Readonly<Record<string, string>> | undefined>;
  /** data of metallb-system/config; undefined: there is none. */
  readonly metallbConfig: Fact<Readonly<Record<string, string>> | undefined>;
  /** ValidatingWebhookConfiguration of MetalLB; undefined: there is none. */
  readonly metallbWebhook: Fact<JsonObject | undefined>;
  /** kube-vip's ConfigMap of pools; undefined: there is none. */
  readonly kubeVipPools: Fact<JsonObject | undefined>;
  /** Pools and advertisements of MetalLB and Cilium; a kind that isn't served has none. */
  readonly custom: Readonly<Record<CustomKind, Fact<readonly JsonObject[]>>>;
  readonly rights: Fact<readonly Right[]>;
}

export const CUSTOM_KINDS = [
  'IPAddressPool',
  'L2Advertisement',
  'BGPAdvertisement',
  'CiliumLoadBalancerIPPool',
  'CiliumL2AnnouncementPolicy',
] as const;

export type CustomKind = (typeof CUSTOM_KINDS)[number];

export interface ClockOffset {
  /** This node's wall clock less the API server's, ms. */
  readonly offsetMs: number;
  /** How wrong that may be, ms. */
  readonly toleranceMs: number;
  readonly endpoint: string;
}

/** Something Holdfast does at the API, and whether these credentials may. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** '' = any. */
  readonly name: string;
  /** '' = of the cluster. */
  readonly namespace: string;
  readonly isAllowed: Fact<boolean>;
}

/** What was asked on the wire, and who answered. */
export interface ProbeReport {
  readonly asked: readonly Ip[];
  readonly answers: readonly { readonly ip: Ip; readonly mac: string; readonly interfaceName: string }[];
  /** Interfaces that could not be asked through, and why. */
  readonly failures: readonly string[];
}

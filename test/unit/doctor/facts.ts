/** A sound control-plane node that also serves Services, of which a test says only what is otherwise. */

import type { JsonObject } from '../../../src/base/json.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { examine } from '../../../src/doctor/examination.ts';
import { known, unknown, type Fact, type Unknown } from '../../../src/doctor/fact.ts';
import type { CUSTOM_KINDS } from '../../../src/doctor/facts.ts';
import { type ClusterFacts, type Facts, type FileFacts, type MachineFacts } from '../../../src/doctor/facts.ts';
import type { Finding } from '../../../src/doctor/finding.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import type { InterfaceAddress, KernelSnapshot, Link } from '../../../src/protocol/netlink/records.ts';
import { ip, mac } from '../base/values.ts';
import { sampleReport } from '../observe/sample-report.ts';
import { prefix } from '../services/owner-facts.ts';

export const VIP = '192.0.2.10';
export const ENV: Readonly<Record<string, string>> = {
  vip_arp: 'true',
  cp_enable: 'true',
  address: VIP,
  svc_enable: 'true',
  svc_pools: '192.0.2.200-192.0.2.203',
  vip_nodename: 'n1',
};
export const NO: Unknown = unknown('nobody looked', 'Look.');

export function link(name: string, given: Partial<Link> = {}): Link {
  return {
    index: 2,
    name,
    hardwareType: 1,
    mac: mac('3c:ec:ef:00:00:01'),
    mtu: 1500,
    isUp: true,
    hasCarrier: true,
    operState: 6,
    linkKind: undefined,
    master: undefined,
    ...given,
  };
}

export function address(text: string, ifindex = 2, validSeconds = Infinity): InterfaceAddress {
  return {
    ifindex,
    prefix: prefix(text),
    scope: 0,
    flags: 0x80,
    protocol: undefined,
    validSeconds,
    preferredSeconds: validSeconds,
  };
}

export function kernel(given: Partial<KernelSnapshot> = {}): Fact<KernelSnapshot> {
  return known({
    links: [link('eth0')],
    addresses: [address('192.0.2.1/24')],
    defaultRoutes: [
      { family: 'ipv4', destination: undefined, gateway: ip('192.0.2.254'), ifindex: 2, metric: 100, table: 254 },
    ],
    ...given,
  });
}

/** `{all: {arp_ignore: 0}, eth0: …}` by name of the kernel. */
export function sysctls(values: Readonly<Record<string, Readonly<Record<string, number>>>>): MachineFacts['sysctls'] {
  const entries = Object.entries(values).flatMap(([name, settings]) =>
    Object.entries(settings).map(([setting, value]) => [`net/ipv4/conf/${name}/${setting}`, known(value)] as const),
  );
  return Object.fromEntries(entries);
}

export function node(
  name: string,
  addresses: readonly string[],
  labels: Readonly<Record<string, string>> = {},
): JsonObject {
  return {
    metadata: { name, labels },
    status: { addresses: addresses.map((each) => ({ type: 'InternalIP', address: each })) },
  };
}

export function service(name: string, addresses: readonly string[] = []): JsonObject {
  return {
    metadata: { namespace: 'a', name, uid: name },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.7', ports: [{ port: 80 }] },
    status: { loadBalancer: { ingress: addresses.map((each) => ({ ip: each })) } },
  };
}

export function pod(env: Readonly<Record<string, string>>, given: JsonObject = {}, name = 'holdfast'): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'kube-system' },
    spec: {
      hostNetwork: true,
      containers: [
        {
          name,
          image: `ghcr.io/x/${name}:v1`,
          args: ['manager'],
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
          ...given,
        },
      ],
    },
  };
}

export const STACK: MachineFacts['sysctls'] = {
  'net/ipv4/ip_forward': known(1),
  'net/ipv6/conf/all/forwarding': known(1),
  'net/ipv6/conf/eth0/disable_ipv6': known(0),
};
const NORMAL = { arp_ignore: 0, arp_announce: 0, rp_filter: 0 };

export interface Given {
  readonly env?: Readonly<Record<string, string>>;
  readonly isGiven?: boolean;
  readonly machine?: Partial<MachineFacts>;
  readonly files?: Partial<FileFacts>;
  readonly cluster?: Partial<ClusterFacts>;
  readonly facts?: Partial<Facts>;
}

export function facts(given: Given = {}): Facts {
  const parsed = parseConfig({ env: given.env ?? ENV, flags: {}, facts: { hostname: 'n1' } });
  return {
    settings: { parsed, isGiven: given.isGiven ?? true, from: 'environment' },
    machine: {
      kernel: kernel(),
      sysctls: { ...sysctls({ all: NORMAL, eth0: NORMAL }), ...STACK },
      devices: { eth0: known({ isWireless: false, driver: 'ixgbe' }) },
      hardware: known({ vendor: 'Supermicro', product: 'X11', assetTag: '' }),
      missingCapabilities: known([]),
      sockets: known([]),
      kubeProxyHealth: known(200),
      ...given.machine,
    },
    files: {
      kubeconfigs: [
        { path: '/k/admin.conf', state: 'read', server: `https://${VIP}:6443`, why: '' },
        { path: '/k/super-admin.conf', state: 'absent', server: undefined, why: '' },
        { path: '/k/kubelet.conf', state: 'read', server: `https://${VIP}:6443`, why: '' },
      ],
      manifests: known({ folder: '/m', pods: [{ path: '/m/holdfast.yaml', raw: pod(ENV) }], unreadable: [] }),
      keepalived: known(undefined),
      ...given.files,
    },
    cluster: {
      api: known('https://127.0.0.1:6443'),
      clock: known({ offsetMs: 100, toleranceMs: 500, endpoint: 'https://127.0.0.1:6443' }),
      nodes: known([node('n1', ['192.0.2.1']), node('n2', ['192.0.2.2'])]),
      services: known([service('web', ['192.0.2.200'])]),
      pods: known([]),
      daemonSets: known([]),
      leases: known([]),
      kubeProxy: known({ mode: 'iptables', clusterCIDR: '10.244.0.0/16' }),
      ciliumConfig: known(undefined),
      metallbConfig: known(undefined),
      metallbWebhook: known(undefined),
      kubeVipPools: known(undefined),
      custom: custom(() => known([])),
      rights: known([]),
      ...given.cluster,
    },
    status: known(sampleReport({ problems: [] })),
    certificates: [{ at: '127.0.0.1:6443', vip: undefined, names: known(['kubernetes', VIP]) }],
    probe: known({ asked: [ip('192.0.2.201')], answers: [], failures: [] }),
    ...given.facts,
  };
}

export function custom(
  make: (kind: (typeof CUSTOM_KINDS)[number]) => Fact<readonly JsonObject[]>,
): ClusterFacts['custom'] {
  return {
    IPAddressPool: make('IPAddressPool'),
    L2Advertisement: make('L2Advertisement'),
    BGPAdvertisement: make('BGPAdvertisement'),
    CiliumLoadBalancerIPPool: make('CiliumLoadBalancerIPPool'),
    CiliumL2AnnouncementPolicy: make('CiliumL2AnnouncementPolicy'),
  };
}

/** Nothing at all is known but the settings. */
export function blind(given: Given = {}): Facts {
  const nothing = custom(() => NO);
  return facts({
    ...given,
    machine: {
      kernel: NO,
      sysctls: {},
      devices: {},
      hardware: NO,
      missingCapabilities: NO,
      sockets: NO,
      kubeProxyHealth: NO,
    },
    files: { kubeconfigs: [], manifests: NO, keepalived: NO },
    cluster: {
      api: NO,
      clock: NO,
      nodes: NO,
      services: NO,
      pods: NO,
      daemonSets: NO,
      leases: NO,
      kubeProxy: NO,
      ciliumConfig: NO,
      metallbConfig: NO,
      metallbWebhook: NO,
      kubeVipPools: NO,
      custom: nothing,
      rights: NO,
    },
    facts: { status: NO, certificates: [], probe: NO },
  });
}

/** The findings of one check as "level: evidence". */
export function found(code: ErrorCode, given: Given = {}): readonly string[] {
  return findings(code, given).map(({ level, evidence }) => `${level}: ${evidence}`);
}

export function findings(code: ErrorCode, given: Given = {}): readonly Finding[] {
  return examine(facts(given), [code]);
}

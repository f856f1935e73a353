/** The cluster as the API shows it to these credentials. Each list that may not be read is a fact of its own that isn't known. */

import { asObject, asText, asTextMap, metadataText, type JsonObject } from '../base/json.ts';
import { electionLease } from '../config/election-lease.ts';
import type { ParsedConfig } from '../config/parse.ts';
import { derive, known, unknown, type Fact } from '../doctor/fact.ts';
import { CUSTOM_KINDS, type ClusterFacts, type CustomKind } from '../doctor/facts.ts';
import type { ApiClient } from '../kube/client.ts';
import { discover, type WantedResource } from '../kube/discovery.ts';
import { askApi, type Api } from './api.ts';
import { parseText } from './files.ts';
import { surveyRights } from './rights.ts';

const CORE = '/api/v1';
const DISCOVERY_DEADLINE_MS = 5000;
/** Where kube-proxy's, Cilium's and kube-vip's objects are. */
const SYSTEM = 'kube-system';
const METALLB_WEBHOOK =
  '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/metallb-webhook-configuration';

const CUSTOM: Readonly<Record<CustomKind, WantedResource>> = {
  IPAddressPool: { resource: 'ipaddresspools', groupVersions: ['metallb.io/v1beta1'] },
  L2Advertisement: { resource: 'l2advertisements', groupVersions: ['metallb.io/v1beta1'] },
  BGPAdvertisement: { resource: 'bgpadvertisements', groupVersions: ['metallb.io/v1beta1'] },
  CiliumLoadBalancerIPPool: {
    resource: 'ciliumloadbalancerippools',
    groupVersions: ['cilium.io/v2', 'cilium.io/v2alpha1'],
  },
  CiliumL2AnnouncementPolicy: {
    resource: 'ciliuml2announcementpolicies',
    groupVersions: ['cilium.io/v2alpha1', 'cilium.io/v2'],
  },
};

export interface ClusterOptions {
  readonly client: ApiClient;
  readonly parsed: ParsedConfig;
  /** Default Date.now. */
  readonly wallClock?: () => number;
}

export async function surveyCluster({ client, parsed, wallClock = Date.now }: ClusterOptions): Promise<ClusterFacts> {
  const { values } = parsed;
  const api = askApi(client);
  // The first question alone: where nobody answers it is the only one.
  const nodes = await api.list(`${CORE}/nodes`);
  const node = values.vip_nodename.value;
  const poolsIn = values.svc_configmap_namespace.value || values.cp_namespace.value;
  const [
    services,
    pods,
    daemonSets,
    leases,
    kubeProxy,
    ciliumConfig,
    metallbConfig,
    metallbWebhook,
    kubeVipPools,
    custom,
    rights,
  ] = await Promise.all([
    api.list(`${CORE}/services`),
    podsOf(api, nodes, node),
    api.list('/apis/apps/v1/daemonsets'),
    leasesOf(api, parsed),
    api.get(configMap(SYSTEM, 'kube-proxy')),
    api.get(configMap(SYSTEM, 'cilium-config')),
    api.get(configMap('metallb-system', 'config')),
    api.get(METALLB_WEBHOOK),
    api.get(configMap(poolsIn, values.svc_configmap.value)),
    surveyCustom(api, client),
    surveyRights(api, values),
  ]);
  const clock = await api.clock(wallClock);
  return {
    api: api.endpoint,
    clock,
    nodes,
    services,
    pods,
    daemonSets,
    leases,
    kubeProxy: readKubeProxy(kubeProxy),
    ciliumConfig: derive(ciliumConfig, dataOf),
    metallbConfig: derive(metallbConfig, dataOf),
    metallbWebhook,
    kubeVipPools,
    custom,
    rights,
  };
}

/** What is known of a cluster that can't be asked. */
export function unknownCluster(why: string, remedy: string): ClusterFacts {
  const no = unknown(why, remedy);
  return {
    api: no,
    clock: no,
    nodes: no,
    services: no,
    pods: no,
    daemonSets: no,
    leases: no,
    kubeProxy: no,
    ciliumConfig: no,
    metallbConfig: no,
    metallbWebhook: no,
    kubeVipPools: no,
    custom: everyKind(() => no),
    rights: no,
  };
}

function configMap(namespace: string, name: string): string {
  return `${CORE}/namespaces/${encodeURIComponent(namespace)}/configmaps/${encodeURIComponent(name)}`;
}

function dataOf(raw: JsonObject | undefined): Readonly<Record<string, string>> | undefined {
  return raw === undefined ? undefined : asTextMap(raw['data']);
}

/** Of this node; under a name that no Node has, there are none to be seen, which means nothing. */
async function podsOf(
  api: Api,
  nodes: Fact<readonly JsonObject[]>,
  node: string,
): Promise<Fact<readonly JsonObject[]>> {
  if (nodes.isKnown && !nodes.value.some((raw) => metadataText(raw, 'name') === node)) {
    return unknown(
      `there is no Node ${node}, so its Pods can't be asked for`,
      'Set vip_nodename to the name of this Node.',
    );
  }
  return api.list(`${CORE}/pods`, { fieldSelector: `spec.nodeName=${node}` });
}

async function leasesOf(api: Api, { values }: ParsedConfig): Promise<Fact<readonly JsonObject[]>> {
  const { namespace = values.cp_namespace.value } = electionLease(values);
  const lists = await Promise.all(
    [...new Set([SYSTEM, namespace])].map((each) =>
      api.list(`/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(each)}/leases`),
    ),
  );
  return lists.find((list) => !list.isKnown) ?? known(lists.flatMap((list) => (list.isKnown ? list.value : [])));
}

async function surveyCustom(api: Api, client: ApiClient): Promise<ClusterFacts['custom']> {
  if (!api.endpoint.isKnown) {
    const { endpoint } = api;
    return everyKind(() => endpoint);
  }
  const found = await discover({ client, wanted: Object.values(CUSTOM), deadlineMs: DISCOVERY_DEADLINE_MS });
  if (!found.ok) {
    const no = unknown(`which custom resources there are can't be asked: ${found.message}`);
    return everyKind(() => no);
  }
  const lists = await Promise.all(
    CUSTOM_KINDS.map(async (kind): Promise<readonly [CustomKind, Fact<readonly JsonObject[]>]> => {
      const groupVersion = found.served.get(CUSTOM[kind].resource);
      return [
        kind,
        groupVersion === undefined ? known([]) : await api.list(`/apis/${groupVersion}/${CUSTOM[kind].resource}`),
      ];
    }),
  );
  const byKind = new Map(lists);
  return everyKind((kind) => byKind.get(kind) ?? known([]));
}

function everyKind(make: (kind: CustomKind) => Fact<readonly JsonObject[]>): ClusterFacts['custom'] {
  return {
    IPAddressPool: make('IPAddressPool'),
    L2Advertisement: make('L2Advertisement'),
    BGPAdvertisement: make('BGPAdvertisement'),
    CiliumLoadBalancerIPPool: make('CiliumLoadBalancerIPPool'),
    CiliumL2AnnouncementPolicy: make('CiliumL2AnnouncementPolicy'),
  };
}

/** kubeadm writes it under config.conf. */
function readKubeProxy(raw: Fact<JsonObject | undefined>): ClusterFacts['kubeProxy'] {
  if (!raw.isKnown || raw.value === undefined) return raw;
  const text = asText(asObject(raw.value['data'])?.['config.conf']);
  if (text === undefined) return unknown('the ConfigMap kube-proxy has no config.conf');
  const parsed = parseText(text);
  const [config] = typeof parsed === 'string' ? [] : parsed;
  if (config !== undefined) return known(config);
  return unknown(
    `config.conf of the ConfigMap kube-proxy can't be read: ${typeof parsed === 'string' ? parsed : 'it is empty'}`,
  );
}

/**
 * Other programs that give addresses to Services or answer for them: K3s' ServiceLB, MetalLB, kube-vip, Cilium, PureLB,
 * OpenELB, LoxiLB; or that hold our virtual IP: kube-vip, keepalived. Found by DaemonSets of the cluster, Pods of this
 * node, Leases, and the configurations of Cilium and keepalived.
 */

import { parseIp } from '../../base/ip.ts';
import { asArray, asObject, asText, isObject, type JsonObject } from '../../base/json.ts';
import { electionLease } from '../../config/election-lease.ts';
import { unknownOf, valueOr } from '../fact.ts';
import { conclude, failing, fine, unsure, warning, type Finding, type Outcome } from '../finding.ts';
import { readVipPod } from '../static-pod.ts';
import { isOn, type Subject } from '../subject.ts';

const CODE = 'OTHER_LOAD_BALANCER';

interface Kind {
  readonly name: string;
  readonly image: RegExp;
}

const KINDS: readonly Kind[] = [
  { name: "K3s' ServiceLB", image: /klipper-lb/ },
  { name: 'MetalLB', image: /metallb[/-](speaker|controller)|\/metallb-(speaker|controller)/ },
  { name: 'PureLB', image: /purelb\/(lbnodeagent|allocator)/ },
  { name: 'OpenELB', image: /openelb/ },
  { name: 'LoxiLB', image: /loxilb/ },
];

/** `svclb-traefik-1a2b3c4d`, as K3s calls the DaemonSet of a Service and its Pods. */
const SERVICE_LB = /^svclb-/;

const SHOWN_MAX = 4;
/** kube-vip's vip_leasename. */
const KUBE_VIP_LEASE = 'plndr-cp-lock';

export function checkOtherLoadBalancers(subject: Subject): readonly Finding[] {
  const { facts, isServing } = subject;
  const { cluster } = facts;
  const found = new Map<string, string[]>();
  const note = (name: string, where: string): void => {
    found.set(name, [...(found.get(name) ?? []), where]);
  };
  for (const raw of valueOr(cluster.daemonSets, [])) {
    const kind = kindOf(raw, templateOf(raw));
    if (kind !== undefined) note(kind, `DaemonSet ${keyOf(raw)}`);
  }
  for (const raw of valueOr(cluster.pods, [])) {
    const kind = kindOf(raw, raw);
    if (kind !== undefined && !hasOwner(raw, 'DaemonSet')) note(kind, `Pod ${keyOf(raw)}`);
  }
  for (const where of ciliumOf(subject)) note('Cilium', where);
  const texts = [...found].map(([name, places]) => {
    const more = places.length > SHOWN_MAX ? ` and ${places.length - SHOWN_MAX} more` : '';
    return `${name} (${places.slice(0, SHOWN_MAX).join(', ')}${more})`;
  });
  const unread = unknownOf(cluster.daemonSets, cluster.pods, cluster.ciliumConfig, cluster.leases);
  if (!isServing) {
    const what =
      texts.length === 0 ? 'svc_enable is off' : `svc_enable is off: Services are left to ${texts.join(', ')}`;
    return [fine(CODE, what)];
  }
  const tell = isOn(facts, 'lb_class_only') || !facts.settings.isGiven ? warning : failing;
  return conclude(CODE, {
    wrong: [...found.keys()].map((name, index) =>
      tell(CODE, `${texts[index] ?? name} serves Services too`, { what: name }),
    ),
    unknown: unread,
    fine: 'no other load balancer is found among DaemonSets, the Pods of this node, and Leases',
  });
}

function kindOf(object: JsonObject, pod: JsonObject): string | undefined {
  const name = asText(asObject(object['metadata'])?.['name']) ?? '';
  if (SERVICE_LB.test(name)) return "K3s' ServiceLB";
  const images = imagesOf(pod);
  const kind = KINDS.find(({ image }) => images.some((text) => image.test(text)));
  if (kind !== undefined) return kind.name;
  const vip = readVipPod(pod);
  // kube-vip beside Holdfast on one Lease is how one changes over; with Services both would give addresses.
  return vip !== undefined && !vip.isHoldfast && vip.env['svc_enable'] === 'true' ? 'kube-vip' : undefined;
}

function templateOf(daemonSet: JsonObject): JsonObject {
  return asObject(asObject(daemonSet['spec'])?.['template']) ?? {};
}

function imagesOf(pod: JsonObject): readonly string[] {
  const containers = asArray(asObject(pod['spec'])?.['containers']);
  return containers.filter(isObject).flatMap(({ image }) => asText(image) ?? []);
}

function keyOf(raw: JsonObject): string {
  const metadata = asObject(raw['metadata']);
  return `${asText(metadata?.['namespace']) ?? ''}/${asText(metadata?.['name']) ?? '?'}`;
}

function hasOwner(raw: JsonObject, kind: string): boolean {
  return asArray(asObject(raw['metadata'])?.['ownerReferences']).some((each) => asObject(each)?.['kind'] === kind);
}

/** Its L2 announcements (config and Leases), and its LB IPAM, which is on unless switched off and needs pools. */
function ciliumOf({ facts }: Subject): readonly string[] {
  const { ciliumConfig, custom, leases } = facts.cluster;
  const config = valueOr(ciliumConfig, undefined);
  const places: string[] = [];
  if (config?.['enable-l2-announcements'] === 'true') {
    places.push('enable-l2-announcements in ConfigMap kube-system/cilium-config');
  }
  const pools = valueOr(custom.CiliumLoadBalancerIPPool, []).length;
  if (config !== undefined && config['enable-lb-ipam'] !== 'false' && pools > 0) {
    places.push(`LB IPAM with ${pools} CiliumLoadBalancerIPPools`);
  }
  const announced = valueOr(leases, []).filter((raw) => keyOf(raw).includes('/cilium-l2announce-')).length;
  if (announced > 0) places.push(`${announced} Leases cilium-l2announce-…`);
  return places;
}

/** A kube-vip for the same address has to stand for the same Lease: LEASES_DIFFER. */
export function kubeVipLeases({ facts, vips }: Subject): Pick<Outcome, 'wrong' | 'unknown'> {
  const { pods, daemonSets } = facts.cluster;
  const own = electionLease(facts.settings.parsed.values).name;
  const templates = valueOr(daemonSets, []).map((each) => ({ ...each, spec: templateOf(each)['spec'] }));
  const wrong = [...valueOr(pods, []), ...templates].flatMap((raw): readonly Finding[] => {
    const pod = readVipPod(raw);
    if (pod === undefined || pod.isHoldfast || pod.env['cp_enable'] !== 'true') return [];
    const addresses = (pod.env['address'] ?? pod.env['vip_address'] ?? '').split(',').map((entry) => entry.trim());
    const shared = vips.ips.find(({ text }) => addresses.includes(text));
    const lease = pod.env['vip_leasename'] ?? KUBE_VIP_LEASE;
    if (shared === undefined || lease === own) return [];
    const evidence = `kube-vip (${keyOf(raw)}) holds ${shared.text} by the Lease ${lease}, and this node would by ${own}`;
    return [failing('LEASES_DIFFER', evidence, { lease })];
  });
  return { wrong, unknown: unknownOf(pods, daemonSets) };
}

/** Two programs that hold one address, each by its own rules. A commented line is none. */
export function checkKeepalived({ facts, vips }: Subject): readonly Finding[] {
  const code = 'KEEPALIVED_HOLDS_VIP';
  const { keepalived } = facts.files;
  if (!keepalived.isKnown) return [unsure(code, keepalived)];
  if (keepalived.value === undefined) return [fine(code, 'there is no configuration of keepalived here')];
  const { path, text } = keepalived.value;
  const words = text.split('\n').flatMap((line) => line.replace(/[!#].*/, '').split(/\s+/));
  const addresses = new Set(
    words.flatMap((word) => {
      const parsed = parseIp(word.replace(/\/\d+$/, ''));
      return parsed.ok ? [parsed.value.text] : [];
    }),
  );
  const shared = vips.ips.filter((ip) => addresses.has(ip.text));
  return conclude(code, {
    wrong: shared.map(({ text: address }) => failing(code, `${path} has ${address}`, { address, path })),
    unknown: [],
    fine: `${path} has none of the virtual IPs`,
  });
}

export function checkOldMetallb({ facts }: Subject): readonly Finding[] {
  const code = 'METALLB_CONFIG_IGNORED';
  const { metallbConfig } = facts.cluster;
  const object = 'ConfigMap metallb-system/config';
  const isOld = metallbConfig.isKnown && metallbConfig.value?.['config'] !== undefined;
  return conclude(code, {
    wrong: isOld ? [warning(code, `${object} has a key config, as MetalLB had it before 0.13`, { object })] : [],
    unknown: unknownOf(metallbConfig),
    fine: `there is no ${object} with address pools`,
  });
}

/** Who removes MetalLB and keeps its pools keeps, with its manifests half deleted, a webhook that nobody serves. */
export function checkMetallbWebhook({ facts }: Subject): readonly Finding[] {
  const code = 'METALLB_WEBHOOK_LEFT';
  const { metallbWebhook, daemonSets } = facts.cluster;
  const raw = valueOr(metallbWebhook, undefined);
  if (metallbWebhook.isKnown && raw === undefined) return [fine(code, 'MetalLB has no webhook here')];
  const object = asText(asObject(raw?.['metadata'])?.['name']) ?? '';
  const speakers = valueOr(daemonSets, []).filter((each) => kindOf(each, templateOf(each)) === 'MetalLB');
  const refuses = asArray(raw?.['webhooks']).some((each) => asObject(each)?.['failurePolicy'] === 'Fail');
  const isLeft = daemonSets.isKnown && refuses && speakers.length === 0;
  const evidence = `the ValidatingWebhookConfiguration ${object} has failurePolicy Fail, and no DaemonSet is MetalLB's`;
  return conclude(code, {
    wrong: isLeft ? [warning(code, evidence, { object })] : [],
    unknown: unknownOf(metallbWebhook, daemonSets),
    fine: `the webhook ${object} refuses nothing by itself, or MetalLB is there`,
  });
}

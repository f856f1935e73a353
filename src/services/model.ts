/**
 * The nouns of Services: what of Kubernetes' objects matters here, decoded; where addresses come from (pools); who may
 * answer for them (advertisements, candidates, owners); and the outcomes, each with a reason. Plain data: decoding is
 * `objects/`, parsing of pools `pools/`, deciding `request.ts`, `ipam/`, `advertisement.ts`, `candidate.ts`, `owner.ts`.
 *
 *   objects ─▶ request ─▶ allocation ─▶ address ─▶ advertisement ─▶ candidates ─▶ owner
 *   (hostile)  (what is   (pools, one   (all its   (where it may    (who could,   (who does)
 *               asked)     at a time)    Services)  be answered)     and why not)
 */

import type { ErrorCode, ErrorContext } from '../base/errors.ts';
import type { Family, Ip, Prefix } from '../base/ip.ts';

/** A Kubernetes object as people name it. `key` is namespace/name, or name for what belongs to no namespace. */
export interface ObjectRef {
  readonly kind: string;
  readonly key: string;
}

/** Something wrong with an object: told on it, in a metric, by `plan` and by `doctor`; blocks no other object. */
export interface ObjectProblem {
  readonly object: ObjectRef;
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

/** An object decoded as far as it could be: what is unusable in it is left out and named. */
export interface Decoding<T> {
  /** undefined: nothing of it can be used. */
  readonly value: T | undefined;
  /** Nothing in it is wrong, it just wants nothing: what the object said before is over. */
  readonly isVoid?: true;
  readonly problems: readonly ObjectProblem[];
}

export type Labels = Readonly<Record<string, string>>;

/** LabelSelector of Kubernetes. No requirement at all matches everything. */
export interface LabelSelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values: readonly string[];
  }[];
}

export type TrafficPolicy = 'Cluster' | 'Local';
export type FamilyPolicy = 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';

export interface ServicePort {
  readonly name: string;
  /** TCP, UDP or SCTP. */
  readonly protocol: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
}

export interface ServiceObject {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** creationTimestamp to the second in UTC (RFC 3339 sorts as text), '' when absent. */
  readonly createdAt: string;
  readonly isBeingDeleted: boolean;
  readonly isLoadBalancer: boolean;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly loadBalancerClass: string | undefined;
  /** spec.loadBalancerIP as written; undefined when absent or ''. */
  readonly loadBalancerIp: string | undefined;
  readonly clusterIps: readonly Ip[];
  /** spec.clusterIP is None. Absent: false. */
  readonly isHeadless?: boolean;
  /** In the order asked for; empty when the object has none (then clusterIps tell). */
  readonly families: readonly Family[];
  readonly familyPolicy: FamilyPolicy | undefined;
  readonly ports: readonly ServicePort[];
  /** True: there are more than could be looked at, so that it can share an address with nobody. Absent: false. */
  readonly hasMorePorts?: boolean;
  readonly trafficPolicy: TrafficPolicy;
  readonly selector: Labels;
  /** status.loadBalancer.ingress: IPs that could be parsed, in order. */
  readonly ingress: readonly Ip[];
  /** It also holds hostnames, or IPs that can't be parsed. */
  readonly hasForeignIngress: boolean;
  /** status.conditions as they are, for patches that must keep those of others. */
  readonly conditions: readonly Condition[];
}

/** metav1.Condition. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

export interface NodeObject {
  readonly name: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  /** InternalIP and ExternalIP addresses that could be parsed. */
  readonly addresses: readonly Ip[];
  readonly podCidrs: readonly Prefix[];
  /** Condition Ready, unless it is there and isn't True. Excludes nothing: the kubelet's word is no word on the network. */
  readonly isReady: boolean;
  /** Condition NetworkUnavailable=True. */
  readonly isNetworkUnavailable: boolean;
  /** spec.unschedulable. */
  readonly isCordoned: boolean;
  /** Taint node.kubernetes.io/out-of-service. */
  readonly isOutOfService: boolean;
}

export interface NamespaceObject {
  readonly name: string;
  readonly labels: Labels;
}

/** discovery.k8s.io/v1 EndpointSlice; `service` is namespace/name from its label. */
export interface EndpointSliceObject {
  readonly key: string;
  readonly service: string;
  readonly family: Family | undefined;
  readonly endpoints: readonly {
    readonly node: string | undefined;
    /** Ready (absent counts as true) or serving: it can answer (metallb: both count). */
    readonly canServe: boolean;
  }[];
}

/** First and last address, inclusive, of one family. */
export interface AddressRange {
  readonly first: Ip;
  readonly last: Ip;
}

export type PoolOrigin = 'environment' | 'kube-vip' | 'metallb' | 'cilium';

/** Which Services a pool, or an advertisement, is for. All parts that are given must match; within a part one is enough. */
export interface ServiceScope {
  /** Exact names; undefined: no such restriction. */
  readonly namespaces: readonly string[] | undefined;
  /** Namespaces that have something of their own instead (kube-vip: cidr-<ns> shadows cidr-global). */
  readonly exceptNamespaces: readonly string[];
  /** By labels of the namespace; ORed with `namespaces` where both are given (MetalLB). */
  readonly namespaceSelectors: readonly LabelSelector[];
  /** By labels of the Service; ORed. Cilium's pseudo labels io.kubernetes.service.{namespace,name} are understood. */
  readonly serviceSelectors: readonly LabelSelector[];
}

export const EVERY_SERVICE: ServiceScope = {
  namespaces: undefined,
  exceptNamespaces: [],
  namespaceSelectors: [],
  serviceSelectors: [],
};

export interface Pool {
  /** Unique over all origins, as told to people: `svc_pools`, `kubevip/cidr-global`, `metallb/lan`, `cilium/blue`. */
  readonly name: string;
  /** How a Service asks for it: the object's own name (`lan`), or the ConfigMap's key. */
  readonly shortName: string;
  readonly origin: PoolOrigin;
  readonly object: ObjectRef | undefined;
  /** Labels of the object, for advertisements that select pools by label. */
  readonly labels: Labels;
  /** As given: searched in this order ('descending': from the last address of the last range). Never overlapping within a pool. */
  readonly ranges: readonly AddressRange[];
  readonly order: 'ascending' | 'descending';
  /** False: only for who asks for the pool or an address of it. */
  readonly isAutoAssigned: boolean;
  /** True: keeps what it gave, gives nothing new (Cilium `disabled`, an error in it, a conflict with another). */
  readonly isClosed: boolean;
  /** Why it is closed, to whom it gives nothing. */
  readonly closure?: PoolClosure;
  /** 1 is first; 0 is after all others (MetalLB). */
  readonly priority: number;
  /** IPv4 addresses ending in .0 or .255 are not given (MetalLB avoidBuggyIPs, kube-vip always). */
  readonly avoidsBuggy: boolean;
  readonly scope: ServiceScope;
  /**
   * Who may share an address of the pool: 'by-key' needs the same sharing key (MetalLB, Cilium); 'by-ports' is kube-vip's
   * allow-share: anybody with other ports.
   */
  readonly sharing: 'by-key' | 'by-ports';
  /** kube-vip's interface-<ns>: where its addresses go unless the Service says otherwise. */
  readonly interfaceName: string | undefined;
  /** kube-vip's 0.0.0.0/32: addresses come from DHCP (not supported yet; said so). */
  readonly isDhcp: boolean;
  /** Needs an advertisement to be answered for (MetalLB, Cilium); else it is answered for wherever it fits. */
  readonly needsAdvertisement: boolean;
  /** Its advertisements may still be to come: until then what is answered for stays so (pools/settling.ts). Absent: false. */
  readonly isSettling?: boolean;
  /**
   * What differs for Services of a namespace, since kube-vip looks up interface-<ns> and allow-share-<ns> apart from the
   * addresses. Read with `poolTerms` (pools/terms.ts), never by itself.
   */
  readonly perNamespace?: Readonly<Record<string, PoolTerms>>;
  /** creationTimestamp of the object; absent where there is none. */
  readonly createdAt?: string;
}

export type PoolClosure = Omit<Reason, 'pool'>;

/** How addresses of a pool are held by Services of one namespace. */
export interface PoolTerms {
  readonly sharing: 'by-key' | 'by-ports';
  readonly interfaceName: string | undefined;
}

export interface PreferredNodes {
  /** 1–100, summed over what matches. */
  readonly weight: number;
  readonly selector: LabelSelector;
}

/** L2Advertisement or BGPAdvertisement (MetalLB), CiliumL2AnnouncementPolicy. */
export interface Advertisement {
  readonly name: string;
  readonly object: ObjectRef;
  readonly origin: 'metallb' | 'cilium';
  readonly protocol: 'l2' | 'bgp';
  /** Names (shortName) and label selectors of pools, ORed; both empty: all pools of its origin. */
  readonly poolNames: readonly string[];
  readonly poolSelectors: readonly LabelSelector[];
  /** ORed; empty: all nodes. */
  readonly nodeSelectors: readonly LabelSelector[];
  readonly serviceSelectors: readonly LabelSelector[];
  /** Exact names (MetalLB); empty with no patterns: any interface. */
  readonly interfaceNames: readonly string[];
  /** Regular expressions (Cilium), all of them readable; matched with `matchesInterface` (pools/interface-pattern.ts). */
  readonly interfacePatterns: readonly string[];
  readonly preferredNodes: readonly PreferredNodes[];
  /** Of a BGPAdvertisement. */
  readonly bgp?: BgpTerms;
  /** creationTimestamp of the object; absent where there is none. */
  readonly createdAt?: string;
}

/** What a BGPAdvertisement asks of the announcement. */
export interface BgpTerms {
  /** 1–32; 32 unless set. */
  readonly aggregationLength: number;
  /** 1–128; 128 unless set. */
  readonly aggregationLengthV6: number;
  readonly localPreference: number;
  /** How often our own AS goes before the path once more, 0–10; 0 unless set (MetalLB 0.16). */
  readonly pathPrepends: number;
  /** As written: a:b, large:a:b:c, or the alias of a Community. */
  readonly communities: readonly string[];
  /** Names of BGPPeers; empty: all. */
  readonly peers: readonly string[];
}

/** Addresses never given: why, in words that name the owner. */
export interface Reservation {
  readonly range: AddressRange;
  /** node, gateway, network, broadcast, control-plane, cluster-ip, pod-cidr, … as a sentence part: "the address of node n1". */
  readonly reason: string;
}

/** An address somebody outside answers for. */
export interface Quarantine {
  readonly address: Ip;
  readonly mac: string;
}

/** How Services are chosen; from the configuration. */
export interface ServiceRules {
  /** kube-vip's lb_class_name; '' answers to Services without a class. */
  readonly className: string;
  /** lb_class_legacy_handling: Services without a class are ours as well (unless isClassOnly). */
  readonly isClassLegacy: boolean;
  readonly isClassOnly: boolean;
  /** svc_namespace; '' = all. */
  readonly namespace: string;
  /** svc_election: addresses spread over the nodes; false: the election's leader answers for all. */
  readonly isSpread: boolean;
  /** svc_election=false, but who leads comes after the plan, in which isSpread is true: a leader may keep what another had. */
  readonly isLed?: boolean;
  /** The exclude-from-external-load-balancers label is ignored. */
  readonly ignoresExcludeLabel: boolean;
}

/** Why something isn't: one pool's reason, or the Service's own ('' = no pool in particular). */
export interface Reason {
  readonly pool: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** What fills the blanks of the code's remedy. */
  readonly context?: ErrorContext;
}

/** A Service as asked for, of those that are ours. */
export interface ServiceRequest {
  readonly service: ServiceObject;
  /** Families wanted, in order; the first is required always, the second as `isDualRequired` says. */
  readonly families: readonly Family[];
  readonly isDualRequired: boolean;
  /** Addresses asked for, in order; empty: any. */
  readonly addresses: readonly Ip[];
  /** Where they were asked for: an annotation's name, or spec.loadBalancerIP; '' = nowhere. */
  readonly addressesFrom: string;
  /** A pool asked for by shortName; undefined: any. */
  readonly pool: string | undefined;
  /** '' = shares with nobody. */
  readonly sharingKey: string;
  /** Namespaces besides its own it consents to share with; ['*'] = any. */
  readonly sharingNamespaces: readonly string[];
  /** May share although the Pods behind differ (Cilium's sharing-permit-different-pods). */
  readonly sharesDifferentPods: boolean;
  /** Interface asked for by annotation; 'auto' or undefined: whose subnet holds the address. */
  readonly interfaceName: string | undefined;
  /** kube-vip's serviceVLAN, e.g. eth0.200. */
  readonly vlan: string | undefined;
  /** Answered for even when it has no endpoint (kube-vip's allow-reconcile-without-endpoints; Cluster only). */
  readonly allowsNoEndpoints: boolean;
}

/** What became of one Service. */
export type RequestOutcome =
  | { readonly kind: 'request'; readonly request: ServiceRequest; readonly warnings: readonly Reason[] }
  /** Ours, but what it asks for makes no sense: it keeps what it has, and gets nothing new. */
  | {
      readonly kind: 'refused';
      readonly service: ServiceObject;
      /** What of it can be read: on these terms it keeps what it has. */
      readonly request: ServiceRequest;
      readonly reasons: readonly Reason[];
      readonly warnings: readonly Reason[];
    }
  /** None of our business: no load balancer, another class, ignored. */
  | { readonly kind: 'foreign'; readonly service: ServiceObject; readonly code: ErrorCode; readonly message: string };

export interface Allocation {
  readonly service: ServiceObject;
  readonly request: ServiceRequest;
  readonly addresses: readonly Ip[];
  /** Pool.name; of several, that of the first address. '' when an address is kept that no pool holds any more. */
  readonly pool: string;
  readonly from: 'kept' | 'requested' | 'pool';
  /** Served, but not wholly: a family missing, an address kept against a new wish, … */
  readonly shortcomings: readonly Reason[];
}

export interface PendingService {
  readonly service: ServiceObject;
  readonly reasons: readonly Reason[];
}

export interface AllocationResult {
  /** In order of creation, then key. */
  readonly allocations: readonly Allocation[];
  readonly pending: readonly PendingService[];
  readonly problems: readonly ObjectProblem[];
}

/** One address and everything on it; the unit that has an owner, so that Services that share never split. */
export interface ServiceAddress {
  readonly address: Ip;
  /** The pool it is of; undefined when none holds it any more. */
  readonly pool: Pool | undefined;
  readonly allocations: readonly Allocation[];
}

/** One interface of a node as the node itself published it. */
export interface NodeInterface {
  readonly name: string;
  /** Its ordinary addresses with their prefix lengths. */
  readonly prefixes: readonly Prefix[];
  readonly hasCarrier: boolean;
  /** As `Mac.text`; undefined: it has none, or the node doesn't say. */
  readonly mac?: string | undefined;
}

/** What is known of a node besides its Node object. undefined members: not known, which excludes nothing. */
export interface NodeFacts {
  readonly node: NodeObject;
  readonly interfaces: readonly NodeInterface[] | undefined;
  readonly isKubeProxyHealthy: boolean | undefined;
  /** Ordered by an operator, or leaving. */
  readonly isDraining: boolean;
  /** Holdfast runs there and is heard or renewed in time; undefined offline. */
  readonly hasStanding: boolean | undefined;
  /** Relative share of addresses; 1 unless set (annotation holdfast.io/weight, 0–100; 0 = none). */
  readonly weight: number;
}

export interface Candidate {
  readonly node: string;
  readonly isEligible: boolean;
  /** '' when eligible, else why not (a code of CANDIDATE_CODES in candidate.ts). */
  readonly code: ErrorCode | '';
  /** In words, also when eligible: what makes it so. */
  readonly reason: string;
  /** The interface it would answer on; undefined when not known or not eligible. */
  readonly interfaceName: string | undefined;
  /** Sum of the weights of preferences that match. */
  readonly preference: number;
}

export interface Ownership {
  readonly address: Ip;
  readonly services: readonly string[];
  /** undefined: nobody. */
  readonly node: string | undefined;
  /** Best first: eligible ones in the order they would follow one another, then the others by name. */
  readonly candidates: readonly Candidate[];
  /** When nobody: why. */
  readonly reasons: readonly Reason[];
  /** When somebody: why this node and not another, in words that begin with "it". */
  readonly why?: string;
}

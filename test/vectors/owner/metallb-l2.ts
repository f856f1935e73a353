/**
 * Who announces an address, as MetalLB decides it (v0.16.1, speaker/layer2_controller.go and its test file: consistent
 * election, preferred nodes, failover, UsableNodes, ClusterPolicy): cases 32 and 34 to 37 of our reference tables. Orders
 * come from the first eight octets of sha256(node + "#" + address), computed with coreutils' sha256sum. Where Holdfast
 * differs on purpose (it is sticky), `sticky` says what it does instead.
 */

export interface ElectionVector {
  readonly case: number;
  readonly name: string;
  readonly address: string;
  /** Node → what is said of it; in no particular order. */
  readonly nodes: Readonly<
    Record<
      string,
      {
        readonly preference?: number;
        readonly isExcluded?: true;
        readonly isNetworkUnavailable?: true;
        readonly isGone?: true;
      }
    >
  >;
  readonly ignoresExcludeLabel?: true;
  /** Who had it before. */
  readonly assigned?: string;
  /** Those that may announce, first first, as MetalLB has it; empty: nobody. */
  readonly order: readonly string[];
  /** The owner while the former one stays. */
  readonly sticky?: string;
}

const EDGES = { 'edge-a': { preference: 100 }, 'edge-b': { preference: 100 }, 'worker-a': {} };

export const ELECTIONS: readonly ElectionVector[] = [
  {
    case: 32,
    name: 'three nodes, first address',
    address: '10.0.0.1',
    nodes: { 'node-a': {}, 'node-b': {}, 'node-c': {} },
    order: ['node-b', 'node-a', 'node-c'],
  },
  {
    case: 32,
    name: 'three nodes, second address',
    address: '10.0.0.2',
    nodes: { 'node-c': {}, 'node-a': {}, 'node-b': {} },
    order: ['node-b', 'node-c', 'node-a'],
  },
  {
    case: 32,
    name: 'a preferred node is before the hash',
    address: '10.20.30.1',
    nodes: { 'worker-b': {}, 'worker-a': {}, 'edge-b': {}, 'edge-a': { preference: 100 } },
    order: ['edge-a', 'edge-b', 'worker-a', 'worker-b'],
  },
  {
    case: 34,
    name: 'two nodes are preferred alike',
    address: '10.20.30.1',
    nodes: EDGES,
    order: ['edge-b', 'edge-a', 'worker-a'],
  },
  {
    case: 34,
    name: 'the first of them is lost',
    address: '10.20.30.1',
    nodes: { ...EDGES, 'edge-b': { preference: 100, isGone: true } },
    assigned: 'edge-b',
    order: ['edge-a', 'worker-a'],
    sticky: 'edge-a',
  },
  {
    case: 34,
    name: 'the first of them returns',
    address: '10.20.30.1',
    nodes: EDGES,
    assigned: 'edge-a',
    order: ['edge-b', 'edge-a', 'worker-a'],
    sticky: 'edge-a',
  },
  {
    case: 34,
    name: 'both are lost',
    address: '10.20.30.1',
    nodes: {
      'edge-a': { preference: 100, isGone: true },
      'edge-b': { preference: 100, isGone: true },
      'worker-a': {},
    },
    assigned: 'edge-a',
    order: ['worker-a'],
    sticky: 'worker-a',
  },
  {
    case: 36,
    name: 'the winner is excluded by label',
    address: '10.0.0.1',
    nodes: { 'node-a': {}, 'node-b': { isExcluded: true }, 'node-c': {} },
    order: ['node-a', 'node-c'],
  },
  {
    case: 36,
    name: 'the winner has no network',
    address: '10.0.0.1',
    nodes: { 'node-a': {}, 'node-b': { isNetworkUnavailable: true }, 'node-c': {} },
    order: ['node-a', 'node-c'],
  },
  {
    case: 36,
    name: 'all are excluded',
    address: '10.0.0.1',
    nodes: { 'node-a': { isExcluded: true }, 'node-b': { isExcluded: true }, 'node-c': { isExcluded: true } },
    order: [],
  },
  {
    case: 36,
    name: 'all are excluded, and the label is ignored',
    address: '10.0.0.1',
    nodes: { 'node-a': { isExcluded: true }, 'node-b': { isExcluded: true }, 'node-c': { isExcluded: true } },
    ignoresExcludeLabel: true,
    order: ['node-b', 'node-a', 'node-c'],
  },
];

/** externalTrafficPolicy: Local; one endpoint, one advertisement that selects one of two nodes. */
export interface LocalVector {
  readonly case: number;
  readonly name: string;
  readonly endpointOn: string;
  readonly advertisedOn: string;
  readonly owner: string | undefined;
}

export const LOCALS: readonly LocalVector[] = [
  {
    case: 35,
    name: 'endpoint and advertisement on different nodes',
    endpointOn: 'iris1',
    advertisedOn: 'iris2',
    owner: undefined,
  },
  {
    case: 35,
    name: 'endpoint and advertisement on the same node',
    endpointOn: 'iris1',
    advertisedOn: 'iris1',
    owner: 'iris1',
  },
];

/** An endpoint's conditions, and whether it counts. */
export interface EndpointVector {
  readonly case: number;
  readonly conditions: { readonly ready?: boolean | null; readonly serving?: boolean | null };
  readonly counts: boolean;
}

export const ENDPOINTS: readonly EndpointVector[] = [
  { case: 37, conditions: { ready: false, serving: true }, counts: true },
  { case: 37, conditions: { ready: true, serving: false }, counts: true },
  { case: 37, conditions: { ready: false, serving: false }, counts: false },
  { case: 37, conditions: {}, counts: true },
  { case: 37, conditions: { ready: null }, counts: true },
];

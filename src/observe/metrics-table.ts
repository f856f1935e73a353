/**
 * Every metric there is, as data: the registry (metrics.ts) and docs/metrics.md (metrics-doc.ts) are both made from this
 * table, so none can exist in one of them only. Names: holdfast_<subsystem>_<noun>_<unit>[_total], base units. Labels are
 * bounded by the configuration or by closed lists in the code, never by what the network sends.
 */

export interface MetricEntry {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram, in the metric's unit. */
  readonly buckets?: readonly number[];
}

/** From the goal for a planned handover to a Lease of kube-vip's longest default running out. */
const MOVE_BUCKETS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 2, 3.5, 5, 8.5, 15, 30];
const REQUEST_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5];
/** Below: unnoticed; heartbeats at 100 ms suffer from 0.1 on; from 5 on /livez fails. */
const LOOP_BUCKETS = [0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1, 5];

export const METRICS = {
  holdfast_build_info: {
    type: 'gauge',
    help: 'Constant 1; the labels say what runs.',
    labels: ['version', 'node_version'],
  },
  holdfast_node_role: {
    type: 'gauge',
    help: '1 for the role this node has now: starting, follower, leader or stopping; 0 for the others.',
    labels: ['role'],
  },
  holdfast_node_ready: {
    type: 'gauge',
    help: 'What /readyz says, check by check: 1 passed, 0 failed.',
    labels: ['check'],
  },
  holdfast_node_problem: {
    type: 'gauge',
    help: '1 for each problem present now, by its error code.',
    labels: ['code'],
  },
  holdfast_leader_tenure_seconds: {
    type: 'gauge',
    help: 'Time until this node must give up the addresses unless it renews; 0 when it may not hold them.',
    labels: ['lease'],
  },
  holdfast_leader_lease_transitions: {
    type: 'gauge',
    help: 'spec.leaseTransitions of the election Lease as last observed.',
    labels: ['lease'],
  },
  holdfast_leader_lease_age_seconds: {
    type: 'gauge',
    help: 'Time since this node saw the Lease change.',
    labels: ['lease'],
  },
  holdfast_leader_moves_total: {
    type: 'counter',
    help: 'Moves of the addresses as this node lived them: gained, adopted, lost, released, observed; by cause.',
    labels: ['kind', 'cause'],
  },
  holdfast_leader_move_duration_seconds: {
    type: 'histogram',
    help: 'Time from the start of a move until each of its phases was reached.',
    labels: ['kind', 'phase'],
    buckets: MOVE_BUCKETS,
  },
  holdfast_vip_address_held: {
    type: 'gauge',
    help: '1 while this node answers for the address.',
    labels: ['address', 'interface'],
  },
  holdfast_vip_address_conflict: {
    type: 'gauge',
    help: '1 while somebody else is known to answer for the address.',
    labels: ['address'],
  },
  holdfast_vip_announcements_total: {
    type: 'counter',
    help: 'Announcements sent: gratuitous ARP, unsolicited neighbor advertisements.',
    labels: ['address'],
  },
  holdfast_vip_probes_total: {
    type: 'counter',
    help: 'Wire probes sent before a claim (RFC 5227, RFC 4862).',
    labels: ['address'],
  },
  holdfast_vip_defences_total: {
    type: 'counter',
    help: 'Announcements sent to defend a held address (RFC 5227 section 2.4).',
    labels: ['address'],
  },
  holdfast_vip_operations_total: {
    type: 'counter',
    help: 'Requests to the kernel: add includes each renewal of the lifetime.',
    labels: ['address', 'operation'],
  },
  holdfast_vip_failures_total: {
    type: 'counter',
    help: 'Requests that the kernel refused, by error code.',
    labels: ['effect', 'code'],
  },
  holdfast_vip_connections_ended_total: {
    type: 'counter',
    help: 'TCP connections of this node that were ended because their address had moved; each of two ends here counts.',
    labels: ['address'],
  },
  holdfast_vip_drops_total: {
    type: 'counter',
    help: 'Received frames and messages that were dropped, by reason.',
    labels: ['protocol', 'reason'],
  },
  holdfast_services_count: {
    type: 'gauge',
    help: 'LoadBalancer Services that are ours: served, or pending (without an address).',
    labels: ['state'],
  },
  holdfast_services_addresses: {
    type: 'gauge',
    help: 'Addresses of Services: all; dark (nobody may answer); owned by this node; held by it.',
    labels: ['state'],
  },
  holdfast_services_pool_addresses: {
    type: 'gauge',
    help: 'Addresses of a pool: size, used, free (what is reserved counts as free).',
    labels: ['pool', 'family', 'state'],
  },
  holdfast_services_config_problems: {
    type: 'gauge',
    help: 'What is wrong with objects that decide about Services, by kind of object and error code.',
    labels: ['kind', 'code'],
  },
  holdfast_services_plan_duration_seconds: {
    type: 'histogram',
    help: 'How long it took to work out who gets which address and who answers for it.',
    labels: [],
    buckets: LOOP_BUCKETS,
  },
  holdfast_services_moves_total: {
    type: 'counter',
    help: 'Addresses of Services that this node gained or lost, by cause.',
    labels: ['kind', 'cause'],
  },
  holdfast_kube_requests_total: {
    type: 'counter',
    help: 'API requests by outcome: ok or the kind of failure.',
    labels: ['verb', 'resource', 'outcome'],
  },
  holdfast_kube_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from sending an API request to its outcome; watches are not in it.',
    labels: ['verb', 'resource'],
    buckets: REQUEST_BUCKETS,
  },
  holdfast_kube_watch_restarts_total: {
    type: 'counter',
    help: 'Watches that ended and were opened again, by reason.',
    labels: ['resource', 'reason'],
  },
  holdfast_kube_api_reachable: {
    type: 'gauge',
    help: '1 while the API answers this node.',
    labels: [],
  },
  holdfast_agent_events_total: {
    type: 'counter',
    help: 'Events delivered to the core.',
    labels: ['kind'],
  },
  holdfast_agent_effects_total: {
    type: 'counter',
    help: 'Effects that the core asked for.',
    labels: ['kind'],
  },
  holdfast_loop_lateness_seconds: {
    type: 'histogram',
    help: 'How late the main loop met the deadlines it set itself.',
    labels: [],
    buckets: LOOP_BUCKETS,
  },
  holdfast_clock_jumps_total: {
    type: 'counter',
    help: 'Times the clocks moved apart: suspend, a paused virtual machine, or wall time set.',
    labels: [],
  },
  holdfast_log_lines_dropped_total: {
    type: 'counter',
    help: 'Log lines dropped because nobody read them.',
    labels: [],
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'Start of the process, seconds since the Unix epoch.',
    labels: [],
  },
  process_cpu_seconds_total: {
    type: 'counter',
    help: 'CPU time used by the process, user and system.',
    labels: [],
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory, including mapped pages of the executable file.',
    labels: [],
  },
  kube_vip_build_info: {
    type: 'gauge',
    help: "kube-vip's name: constant 1; the version is Holdfast's.",
    labels: ['version', 'build', 'node'],
  },
  kube_vip_is_leader: {
    type: 'gauge',
    help: "kube-vip's name: 1 while this node holds the Lease and may hold the addresses, 0 otherwise.",
    labels: ['node', 'lease_name'],
  },
  kube_vip_leader_election_transitions_total: {
    type: 'counter',
    help: "kube-vip's name: times this node became the leader; the sum over the nodes is the number of changes.",
    labels: ['lease_name'],
  },
  kube_vip_vip_addresses: {
    type: 'gauge',
    help: "kube-vip's name: addresses held now, by interface and family.",
    labels: ['interface', 'family'],
  },
} as const satisfies Record<string, MetricEntry>;

export type MetricName = keyof typeof METRICS;

/**
 * The Prometheus metrics. The runtime feeds what happens (events, effects, moves, requests); what *is* (role, tenure,
 * addresses) is taken from the status report when somebody scrapes. An idle node spends nothing on them, and there are
 * no timers.
 */

import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import type { Effect } from '../agent/effect.ts';
import type { AgentEvent } from '../agent/event.ts';
import { assert } from '../base/assert.ts';
import { checkReady } from './health.ts';
import { METRICS, type MetricEntry, type MetricName } from './metrics-table.ts';
import type { Role, StatusReport } from './status-model.ts';

export interface MetricsOptions {
  readonly version: string;
  readonly node: string;
  readonly leaseName: string;
  /** State at the moment of a scrape. */
  readonly report: () => StatusReport;
  readonly droppedLogLines: () => number;
  /** How an address is called in labels: those of Services, of which there are thousands, share one. Default: as it is. */
  readonly addressLabel?: (address: string) => string;
}

export interface RequestOutcome {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';
  /** Plural, as in the URL: leases, events. */
  readonly resource: string;
  /** 'ok' or an ApiFailureKind. */
  readonly outcome: string;
  readonly durationMs: number;
}

export interface Metrics {
  observeEvent(event: AgentEvent): void;
  observeEffect(effect: Effect): void;
  /** A move that is complete: kind, cause, and the milliseconds after its start at which each phase was reached. */
  observeMove(move: { kind: string; cause: string; timings: Readonly<Record<string, number>> }): void;
  observeRequest(outcome: RequestOutcome): void;
  observeWatchRestart(resource: string, reason: string): void;
  /** Frames or messages that decoding refused; default one. */
  observeDrop(protocol: string, reason: string, count?: number): void;
  /** Connections that an address left behind on this node were ended. */
  observeConnectionsEnded(address: string, count: number): void;
  /** A turn of the main loop that came `lateMs` after the deadline it was meant for. */
  observeTurn(lateMs: number): void;
  /** Addresses of Services that this node gained or lost. */
  observeServiceMove(move: { readonly kind: string; readonly cause: string; readonly count: number }): void;
  /** A plan for Services took so long. */
  observePlan(durationMs: number): void;
  /** The text of /metrics. */
  scrape(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Opens a registry of its own: two in one process (tests) don't meet. */
export function openMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const set = createAll(registry);
  setConstants(set, options);
  const { addressLabel = (address: string): string => address } = options;
  const lateness = set.histogram('holdfast_loop_lateness_seconds');
  /** Turns in time that the histogram doesn't know of yet: nearly all are. */
  let punctual = 0;
  const handOverPunctual = (): void => {
    for (; punctual > 0; punctual -= 1) lateness.observe(0);
  };
  const events = openTally(set.counter('holdfast_agent_events_total'));
  const effects = openTally(set.counter('holdfast_agent_effects_total'));
  const operations = openOperations(set);
  return {
    observeEvent: (event) => {
      events.count(event.kind);
      observeEvent(set, event);
    },
    observeEffect: (effect) => {
      effects.count(effect.kind);
      observeEffect(operations, effect, addressLabel);
    },
    observeMove: (move) => observeMove(set, options.leaseName, move),
    observeRequest: ({ verb, resource, outcome, durationMs }) => {
      set.counter('holdfast_kube_requests_total').inc({ verb, resource, outcome });
      if (verb === 'watch') return; // lasts as long as it can: not a duration to compare
      set.histogram('holdfast_kube_request_duration_seconds').observe({ verb, resource }, durationMs / 1000);
    },
    observeWatchRestart: (resource, reason) =>
      set.counter('holdfast_kube_watch_restarts_total').inc({ resource, reason }),
    observeDrop: (protocol, reason, count = 1) =>
      set.counter('holdfast_vip_drops_total').inc({ protocol, reason }, count),
    observeConnectionsEnded: (address, count) =>
      set.counter('holdfast_vip_connections_ended_total').inc({ address: addressLabel(address) }, count),
    observeTurn: (lateMs) => {
      if (lateMs > 0) lateness.observe(lateMs / 1000);
      else punctual += 1;
      if (punctual >= PUNCTUAL_MAX) handOverPunctual();
    },
    observeServiceMove: ({ kind, cause, count }) =>
      set.counter('holdfast_services_moves_total').inc({ kind, cause }, count),
    observePlan: (durationMs) => set.histogram('holdfast_services_plan_duration_seconds').observe(durationMs / 1000),
    scrape: async () => {
      handOverPunctual();
      events.handOver();
      effects.handOver();
      operations.forEach((tally) => tally.handOver());
      setState(set, options, options.report());
      setProcess(set, options);
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

/** What happens many times a second is counted here, and handed to the registry when somebody asks. */
interface Tally {
  count(kind: string): void;
  handOver(): void;
}

function openTally(counter: Counter, labels = (kind: string): Readonly<Record<string, string>> => ({ kind })): Tally {
  const counts = new Map<string, number>();
  return {
    count: (kind) => void counts.set(kind, (counts.get(kind) ?? 0) + 1),
    handOver: () => {
      for (const [kind, count] of counts) counter.inc(labels(kind), count);
      counts.clear();
    },
  };
}

/** Metrics by the names of the table, each of the type it has there. */
interface MetricSet {
  counter(name: NamesOf<'counter'>): Counter;
  gauge(name: NamesOf<'gauge'>): Gauge;
  histogram(name: NamesOf<'histogram'>): Histogram;
}

type NamesOf<Type extends MetricEntry['type']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[MetricName];

/** Turns counted apart at most; a histogram takes them in one by one. */
const PUNCTUAL_MAX = 1000;

const ROLES: readonly Role[] = ['starting', 'follower', 'leader', 'stopping'];

function createAll(registry: Registry): MetricSet {
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const registers = [registry];
  for (const [name, entry] of Object.entries<MetricEntry>(METRICS)) {
    const shape = { name, help: entry.help, labelNames: [...entry.labels], registers };
    if (entry.type === 'counter') counters.set(name, new Counter(shape));
    else if (entry.type === 'gauge') gauges.set(name, new Gauge(shape));
    else histograms.set(name, new Histogram({ ...shape, buckets: [...(entry.buckets ?? [])] }));
  }
  return {
    counter: (name) => found(counters, name),
    gauge: (name) => found(gauges, name),
    histogram: (name) => found(histograms, name),
  };
}

function found<Metric>(metrics: ReadonlyMap<string, Metric>, name: string): Metric {
  const metric = metrics.get(name);
  assert(metric !== undefined, `metric ${name} was created from the table`);
  return metric;
}

function setConstants(set: MetricSet, options: MetricsOptions): void {
  const { version, node, leaseName } = options;
  set.gauge('holdfast_build_info').set({ version, node_version: process.versions.node }, 1);
  set.gauge('kube_vip_build_info').set({ version, build: 'holdfast', node }, 1);
  set.gauge('process_start_time_seconds').set(Math.round(Date.now() - performance.now()) / 1000);
  // present from the start, so that a rate over the first change is right
  set.counter('kube_vip_leader_election_transitions_total').inc({ lease_name: leaseName }, 0);
}

function observeEvent(set: MetricSet, event: AgentEvent): void {
  if (event.kind === 'clock.jumped') set.counter('holdfast_clock_jumps_total').inc();
  if (event.kind === 'effect.failed') {
    set.counter('holdfast_vip_failures_total').inc({ effect: event.effect, code: event.code });
  }
}

type Operations = ReadonlyMap<'add' | 'delete' | 'announce' | 'probe' | 'defend', Tally>;

function openOperations(set: MetricSet): Operations {
  const counted = (operation: 'add' | 'delete'): Tally =>
    openTally(set.counter('holdfast_vip_operations_total'), (address) => ({ address, operation }));
  const sent = (purpose: keyof typeof FRAME_METRICS): Tally =>
    openTally(set.counter(FRAME_METRICS[purpose]), (address) => ({ address }));
  return new Map([
    ['add', counted('add')],
    ['delete', counted('delete')],
    ['announce', sent('announce')],
    ['probe', sent('probe')],
    ['defend', sent('defend')],
  ]);
}

function observeEffect(operations: Operations, effect: Effect, label: (address: string) => string): void {
  if (effect.kind === 'address.add') operations.get('add')?.count(label(effect.prefix.ip.text));
  else if (effect.kind === 'address.delete') operations.get('delete')?.count(label(effect.prefix.ip.text));
  else if (effect.kind === 'frame.send') operations.get(effect.purpose)?.count(label(effect.address.text));
}

const FRAME_METRICS = {
  announce: 'holdfast_vip_announcements_total',
  probe: 'holdfast_vip_probes_total',
  defend: 'holdfast_vip_defences_total',
} as const;

function observeMove(
  set: MetricSet,
  leaseName: string,
  move: { kind: string; cause: string; timings: Readonly<Record<string, number>> },
): void {
  const { kind, cause, timings } = move;
  set.counter('holdfast_leader_moves_total').inc({ kind, cause });
  if (kind === 'gained') set.counter('kube_vip_leader_election_transitions_total').inc({ lease_name: leaseName });
  const durations = set.histogram('holdfast_leader_move_duration_seconds');
  for (const [phase, ms] of Object.entries(timings)) durations.observe({ kind, phase }, ms / 1000);
}

function setState(set: MetricSet, options: MetricsOptions, report: StatusReport): void {
  const lease = `${report.lease.namespace}/${report.lease.name}`;
  for (const role of ROLES) set.gauge('holdfast_node_role').set({ role }, claim(report.role === role));
  for (const { name, isOk } of checkReady(report)) set.gauge('holdfast_node_ready').set({ check: name }, claim(isOk));
  set.gauge('holdfast_node_problem').reset();
  for (const { code } of report.problems) set.gauge('holdfast_node_problem').set({ code }, 1);
  set.gauge('holdfast_kube_api_reachable').set(claim(report.api.isReachable));
  set.gauge('holdfast_leader_tenure_seconds').set({ lease }, report.tenure.isHeld ? report.tenure.leftMs / 1000 : 0);
  const { transitions, observedAgoMs } = report.lease;
  if (transitions !== undefined) set.gauge('holdfast_leader_lease_transitions').set({ lease }, transitions);
  if (observedAgoMs !== undefined) set.gauge('holdfast_leader_lease_age_seconds').set({ lease }, observedAgoMs / 1000);
  set
    .gauge('kube_vip_is_leader')
    .set(
      { node: options.node, lease_name: options.leaseName },
      claim(report.role === 'leader' && report.tenure.isHeld),
    );
  setAddresses(set, report);
  setServices(set, report.services);
}

function setAddresses(set: MetricSet, report: StatusReport): void {
  const held = set.gauge('holdfast_vip_address_held');
  const conflict = set.gauge('holdfast_vip_address_conflict');
  const byFamily = set.gauge('kube_vip_vip_addresses');
  // a DNS name's address may have gone: its series ends instead of lying
  for (const gauge of [held, conflict, byFamily]) gauge.reset();
  const link = report.interface?.name ?? '';
  for (const { address, state, conflict: rival } of report.addresses) {
    const text = address.replace(/\/\d+$/, '');
    const family = text.includes(':') ? 'ipv6' : 'ipv4';
    const isHeld = state === 'holding';
    held.set({ address: text, interface: link }, claim(isHeld));
    conflict.set({ address: text }, claim(rival !== undefined));
    byFamily.inc({ interface: link, family }, claim(isHeld));
  }
}

/** Present only where Services are served: a series each of pools and of problems, which the cluster's objects bound. */
function setServices(set: MetricSet, services: StatusReport['services']): void {
  if (services === undefined) return;
  const counts = { served: services.served, pending: services.pending };
  for (const [state, count] of Object.entries(counts)) set.gauge('holdfast_services_count').set({ state }, count);
  const addresses = { owned: services.owned, held: services.held, dark: services.dark, all: services.addresses };
  for (const [state, count] of Object.entries(addresses)) {
    set.gauge('holdfast_services_addresses').set({ state }, count);
  }
  const pools = set.gauge('holdfast_services_pool_addresses');
  pools.reset();
  for (const { name: pool, family, size, used } of services.pools) {
    const total = Number(size);
    pools.set({ pool, family, state: 'size' }, total);
    pools.set({ pool, family, state: 'used' }, used);
    pools.set({ pool, family, state: 'free' }, Math.max(0, total - used));
  }
  const problems = set.gauge('holdfast_services_config_problems');
  problems.reset();
  for (const { kind, code, count } of services.configProblems) problems.set({ kind, code }, count);
}

function setProcess(set: MetricSet, options: MetricsOptions): void {
  const { user, system } = process.cpuUsage();
  raiseTo(set.counter('process_cpu_seconds_total'), (user + system) / 1e6);
  raiseTo(set.counter('holdfast_log_lines_dropped_total'), options.droppedLogLines());
  set.gauge('process_resident_memory_bytes').set(process.memoryUsage.rss());
}

/** For a total that is counted elsewhere. */
function raiseTo(counter: Counter, total: number): void {
  counter.reset();
  counter.inc(total);
}

function claim(is: boolean): number {
  return is ? 1 : 0;
}

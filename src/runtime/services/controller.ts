/**
 * Services in the running process: what the API shows becomes a plan, the plan becomes the agent's duty, and what is
 * decided and done is written back. Changes are gathered, and worked through in runs (rhythm.ts), each in slices: what a
 * run decides by is as it was when it began, but for who leads, which is asked again before anything follows from it.
 *
 *   objects, members, kernel ──▶ plan ──▶ duty ──▶ agent ──▶ who lives, what is held, what the wire answered
 *                                  │                                  │
 *                                  └──────── settled owners ◀─────────┘──▶ record, status, Events (by whom it is for)
 *
 * Of what is written, each Service is looked at only when something about it is new.
 */

import { assess } from '../../agent/assessment.ts';
import type { AgentEvent } from '../../agent/event.ts';
import type { AgentRules, AgentState } from '../../agent/state.ts';
import { indexInSteps } from '../../base/steps.ts';
import { monotonic } from '../../base/time.ts';
import type { Ip } from '../../base/ip.ts';
import type { Config, ServicesConfig } from '../../config/config.ts';
import type { ApiClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/event-recorder.ts';
import type { RegisteredMember } from '../../kube/members.ts';
import { watchServiceObjects, type ObjectWatch, type WatchedKind } from '../../kube/object-watch.ts';
import { openOwnersRecord } from '../../kube/owners-record.ts';
import { openStatusWriter, type StatusWriter } from '../../kube/status-writer.ts';
import { tenureBasis } from '../../leader/tenure.ts';
import { logFunction, type Log } from '../../observe/log.ts';
import type { KernelChange, KernelSnapshot } from '../../protocol/netlink/records.ts';
import type { EndpointIndex } from '../../services/endpoints.ts';
import type { ServiceDuty } from '../../services/duty.ts';
import type { ServiceObject } from '../../services/model.ts';
import type { Plan } from '../../services/plan.ts';
import { parseSvcPools } from '../../services/pools/environment.ts';
import type { Breath } from '../../kube/breath.ts';
import { DutyMaker } from './duty-of-plan.ts';
import { Giving, type Given } from './giving.ts';
import { openKubeProxyProbe, type KubeProxyProbe } from './kube-proxy-probe.ts';
import { NodeBook } from './node-book.ts';
import { ALL_KINDS, OBJECT_DECODERS, ObjectBook, uidOf, type ObjectDecodings } from './object-book.ts';
import { keepOwnFacts, type OwnFactsKeeper } from './own-facts.ts';
import { keepOwners, type OwnersKeeper } from './owners-keeper.ts';
import { Planning } from './planning.ts';
import { Recording } from './recording.ts';
import { Rhythm } from './rhythm.ts';
import { settlementInSteps, type Settlement } from './settle.ts';
import { Teller } from './teller.ts';
import {
  confirmedInSteps,
  EMPTY_VIEW,
  heldOf,
  HoldingsBook,
  strangersOf,
  tentativeOf,
  type ServicesView,
} from './view.ts';
import { Writing, type Round } from './writing.ts';

export interface ServicesOptions {
  readonly config: Config & { readonly services: ServicesConfig };
  readonly client: ApiClient;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Log;
  readonly rules: AgentRules;
  readonly isHeartbeating: boolean;
  readonly dump: () => KernelSnapshot;
  readonly dispatch: (event: AgentEvent) => void;
  /** Addresses of the control plane, as known now; the same value while they are the same. */
  readonly vips: () => readonly Ip[];
  /** This node's facts are to be registered with it. */
  readonly onFacts: (text: string) => void;
  readonly onPlanned: (durationMs: number) => void;
}

/** Who has just begun to lead looks first: the former leader's last writes must have come by. */
const GIVING_GRACE_MS = 1_000;
/** A process that has just started waits for its peers to register, lest it take everything. */
const START_GRACE_MS = 3_000;
/** What can't be read (rights, an API that is away) isn't waited for longer than this. */
const UNKNOWN_MAX_MS = 10_000;

const NOBODY: readonly string[] = [];

interface PlannedParts {
  readonly plan: Plan;
  readonly services: readonly ServiceObject[];
  readonly isLeading: boolean;
  readonly isGiving: boolean;
  readonly now: number;
}

export class ServicesController {
  view: ServicesView;
  readonly #options: ServicesOptions;
  readonly #objects: ObjectWatch<ObjectDecodings>;
  readonly #book: ObjectBook;
  readonly #nodes = new NodeBook();
  readonly #planning: Planning;
  readonly #duty = new DutyMaker();
  readonly #giving = new Giving();
  readonly #owners: OwnersKeeper;
  readonly #writer: StatusWriter;
  readonly #writing: Writing;
  readonly #teller: Teller;
  readonly #ownFacts: OwnFactsKeeper;
  readonly #proxyProbe: KubeProxyProbe;
  readonly #startedAt = performance.now();
  #kinds: Set<WatchedKind> = new Set(ALL_KINDS);
  #members: readonly RegisteredMember[] | undefined;
  #state: AgentState | undefined;
  #leadingSince: number | undefined;
  readonly #recording = new Recording(performance.now());
  readonly #rhythm = new Rhythm((breath) => this.#run(breath));
  #dispatched: ServiceDuty | undefined;
  readonly #holdings = new HoldingsBook();
  #withAddress: { readonly of: readonly ServiceObject[]; readonly those: readonly ServiceObject[] } | undefined;

  constructor(options: ServicesOptions) {
    this.#options = options;
    const { config, client, log, rules } = options;
    const deadlineMs = config.api.timeoutMs;
    const kubeLog = logFunction(log.child({ component: 'services' }));
    this.#book = new ObjectBook(parseSvcPools(config.services.pools));
    this.#planning = new Planning(config.services, !this.#isSpread());
    this.#teller = new Teller({ events: options.events, log });
    this.#owners = keepOwners({
      api: openOwnersRecord({
        client,
        namespace: config.election.namespace,
        leaseName: config.election.leaseName,
        deadlineMs,
        log: kubeLog,
      }),
      log,
      onChange: () => this.#rhythm.touch(),
    });
    this.#writer = openStatusWriter({
      client,
      deadlineMs,
      log: kubeLog,
      onEnd: (patch, end) => this.#writing.ended(patch, end),
    });
    this.#writing = new Writing({
      self: config.nodeName,
      writer: this.#writer,
      teller: this.#teller,
      onAgain: () => this.#rhythm.touch(),
    });
    this.#ownFacts = keepOwnFacts({
      dump: options.dump,
      addressProtocol: rules.addressProtocol,
      onChange: (_, text) => {
        options.onFacts(text);
        this.#rhythm.touch();
      },
    });
    this.#proxyProbe = openKubeProxyProbe({ onChange: (isHealthy) => this.#ownFacts.kubeProxyChanged(isHealthy) });
    this.view = EMPTY_VIEW;
    this.#objects = watchServiceObjects<ObjectDecodings>({
      client,
      namespace: config.services.namespace,
      configMap: config.services.configMap,
      decode: OBJECT_DECODERS,
      log: kubeLog,
      deadlineMs,
      onChange: (kinds) => {
        for (const kind of kinds) this.#kinds.add(kind);
        this.#rhythm.touch();
      },
    });
    this.#owners.start();
  }

  /** What this node publishes of itself. */
  get factsText(): string {
    return this.#ownFacts.text;
  }

  get endpoints(): EndpointIndex {
    return this.#book.booked.endpoints;
  }

  /** As the node published it, or sees itself; undefined: it can't be seen. */
  isKubeProxyHealthy(node: string): boolean | undefined {
    const facts = node === this.#options.config.nodeName ? this.#ownFacts.facts : this.#nodes.published.get(node);
    return facts?.isKubeProxyHealthy;
  }

  kernelChanged(change: KernelChange): void {
    this.#ownFacts.kernelChanged(change);
  }

  membersObserved(members: readonly RegisteredMember[]): void {
    this.#members = members;
    this.#rhythm.touch();
  }

  /** After each turn of the agent: cheap while nothing that matters here is new. */
  turned(state: AgentState): void {
    const before = this.#state;
    this.#state = state;
    const isNews =
      before === undefined ||
      before.services.version !== state.services.version ||
      before.peers.view.set !== state.peers.view.set ||
      before.election.phase !== state.election.phase ||
      before.election.isResigning !== state.election.isResigning ||
      before.election.provisionalSince !== state.election.provisionalSince ||
      (before.election.observed === undefined) !== (state.election.observed === undefined);
    if (isNews) this.#rhythm.touch();
  }

  close(): void {
    this.#rhythm.close();
    this.#objects.stop();
    this.#owners.close();
    this.#writer.close();
    this.#ownFacts.close();
    this.#proxyProbe.close();
  }

  async #run(breath: Breath): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const round = await this.#plan(state, performance.now(), breath);
    if (round === undefined) return;
    this.#options.onPlanned(breath.busyMs);
    await this.#writing.work(round, breath);
    const again = this.#writing.nextAt(performance.now());
    if (again !== undefined) this.#rhythm.wakeAt(again);
  }

  /** Whether what has to be known before anything is decided is known. */
  #isReady(state: AgentState, now: number): boolean {
    if (!this.#book.booked.isSynced) return false;
    if (now - this.#startedAt > UNKNOWN_MAX_MS) return true;
    const areOthersKnown = !this.#options.isHeartbeating || this.#members !== undefined;
    return areOthersKnown && this.#owners.isKnown && state.election.observed !== undefined;
  }

  async #plan(state: AgentState, now: number, breath: Breath): Promise<Round | undefined> {
    const { config } = this.#options;
    const kinds = this.#kinds;
    this.#kinds = new Set();
    const booked = await breath.finish(this.#book.updateInSteps(this.#objects, kinds, now));
    if (this.#book.wakeAt !== undefined) this.#rhythm.wakeAt(this.#book.wakeAt);
    if (!this.#isReady(state, now)) {
      this.#rhythm.wakeAt(now + 1_000);
      return undefined;
    }
    const isLeading = this.#lead(state, now);
    const isGiving = isLeading && booked.isCurrent && now >= this.#givingAt();
    this.#rhythm.isUrgent = isGiving;
    if (isLeading && !isGiving) this.#rhythm.wakeAt(Math.max(now + 50, this.#givingAt()));
    const nodes = this.#nodes.update({
      self: config.nodeName,
      own: this.#ownFacts.facts,
      nodes: booked.nodes,
      members: this.#members ?? [],
      voters: state.peers.view.set?.voters.map(({ name }) => name) ?? NOBODY,
      isHeartbeating: this.#options.isHeartbeating,
    });
    const quarantineEndsAt = this.#giving.expire(now);
    if (quarantineEndsAt !== undefined) this.#rhythm.wakeAt(quarantineEndsAt);
    const steps = this.#planning.plan({
      booked,
      services: isGiving ? this.#giving.overlay(booked.services) : this.#haveAddress(booked.services),
      nodes,
      published: this.#nodes.published,
      endpoints: this.#mayReadSlices() ? booked.endpoints : undefined,
      vips: this.#options.vips(),
      quarantined: this.#giving.quarantined,
      assignment: this.#owners.assignment,
    });
    const plan = await breath.finish(steps);
    return this.#give({ plan, services: booked.services, isLeading, isGiving, now }, breath);
  }

  /** What follows from a plan: addresses that are given, this node's duty, and what is to be written. */
  async #give(parts: PlannedParts, breath: Breath): Promise<Round | undefined> {
    const { plan, services, isLeading, isGiving, now } = parts;
    const confirmed = await breath.finish(confirmedInSteps(services));
    const byKey = await breath.finish(indexInSteps(services, ({ key }) => key));
    if (!this.#isStill(isLeading)) return undefined;
    const answers = this.#state?.services.inquiries ?? new Map<string, never>();
    const given = isGiving
      ? await breath.finish(this.#giving.chooseInSteps(plan.allocations, byKey, confirmed, answers))
      : [];
    if (!this.#isStill(isLeading)) return undefined;
    const found = this.#giving.quarantine(given, answers, now);
    for (const each of found) this.#teller.quarantined(each);
    if (found.length > 0) this.#rhythm.touch();
    await breath.takeIfDue();
    const steps = this.#duty.makeInSteps({
      node: this.#options.config.nodeName,
      ownerships: plan.ownerships,
      confirmed,
      tentative: tentativeOf(given, this.#giving.quarantined),
      interfaces: this.#ownFacts.facts.interfaces,
      isSpread: this.#isSpread(),
      fellows: this.#nodes.fellows,
    });
    const duty = await breath.finish(steps);
    if (!this.#isStill(isLeading)) return undefined;
    if (duty !== this.#dispatched) {
      this.#dispatched = duty;
      this.#options.dispatch({ kind: 'services.duty', duty });
    }
    await breath.takeIfDue();
    const state = this.#state;
    if (state === undefined || !this.#isStill(isLeading)) return undefined;
    await breath.finish(this.#holdings.updateInSteps(state));
    const { lost, draining, leader } = state.services.liveness;
    const standing = { isSpread: this.#isSpread(), lost, draining, leader };
    const settlement = await breath.finish(settlementInSteps(plan.ownerships, confirmed, standing));
    if (!this.#isStill(isLeading)) return undefined;
    return this.#conclude({ ...parts, ...settlement, lost, byKey, given });
  }

  /** Writes down who answers, and says what there is to be written into the Services. */
  #conclude(
    parts: PlannedParts &
      Settlement & {
        readonly lost: readonly string[];
        readonly byKey: ReadonlyMap<string, ServiceObject>;
        readonly given: readonly Given[];
      },
  ): Round {
    const { plan, ownerships, settled, owners, lost, byKey, given, isLeading, isGiving, now } = parts;
    const { holdings } = this.#holdings;
    const isSpread = this.#isSpread();
    const isRecording = isLeading && this.#book.booked.isCurrent && now >= this.#startedAt + START_GRACE_MS;
    if (isRecording && isSpread) {
      const { rebalancePerMinute } = this.#options.config.services;
      const parts = { ownerships, settled, lost, byKey, nodes: this.#nodes.facts, rebalancePerMinute };
      const { assignment, wakeAt } = this.#recording.next(parts, this.#owners.assignment, now);
      this.#owners.write(assignment);
      if (wakeAt !== undefined) this.#rhythm.wakeAt(wakeAt);
    }
    const problems = [
      ...this.#book.booked.problems,
      ...this.#nodes.problems,
      ...this.#planning.problems,
      ...plan.problems,
    ];
    this.view = {
      isSynced: this.#objects.isSynced,
      isCurrent: this.#objects.isCurrent,
      isLeading,
      plan,
      services: this.#book.booked.services,
      owners,
      holdings,
      problems,
      ownersEpoch: this.#owners.epoch,
      pendingWrites: this.#writer.pending,
    };
    this.#teller.problems(problems, isGiving, (object) => uidOf(this.#objects, object));
    this.#teller.conflicts(holdings.values(), this.#book.booked.services);
    return {
      view: this.view,
      byKey,
      isLeading: isGiving,
      asking: new Set(given.filter(({ asking }) => asking.length > 0).map(({ allocation }) => allocation.service.key)),
      held: heldOf(holdings),
      strangers: strangersOf(holdings),
      originOf: (key) => this.#giving.originOf(key),
      isStill: () => this.#isStill(isLeading),
    };
  }

  /** Whether a run that began as leader, or not, may go on as such; otherwise the next one decides anew. */
  #isStill(isLeading: boolean): boolean {
    if (this.#rhythm.isClosed || this.#state === undefined) return false;
    if (this.#lead(this.#state, performance.now()) === isLeading) return true;
    this.#rhythm.touch();
    return false;
  }

  /** Begins and ends what only the leader does. */
  #lead(state: AgentState, now: number): boolean {
    const { rules } = this.#options;
    const at = monotonic(now);
    const { election } = state;
    const isLeading =
      state.lifecycle === 'running' &&
      election.phase === 'leading' &&
      !election.isResigning &&
      tenureBasis(rules.election, election, assess(rules, state, at), at) === 'lease';
    if (isLeading) {
      this.#leadingSince ??= now;
    } else if (this.#leadingSince !== undefined) {
      this.#leadingSince = undefined;
      this.#giving.clear();
      this.#teller.silence();
      this.#writing.clear();
      this.#writer.clear('this node does not lead any more');
    }
    return isLeading;
  }

  #givingAt(): number {
    return Math.max((this.#leadingSince ?? 0) + GIVING_GRACE_MS, this.#startedAt + START_GRACE_MS);
  }

  /** Without heartbeats nobody would know whom to follow: the leader answers for all. */
  #isSpread(): boolean {
    return this.#options.config.services.isSpread && this.#options.isHeartbeating;
  }

  #mayReadSlices(): boolean {
    return this.#objects.kinds.every(({ kind, problem }) => kind !== 'EndpointSlice' || problem === undefined);
  }

  #haveAddress(services: readonly ServiceObject[]): readonly ServiceObject[] {
    if (this.#withAddress?.of !== services) {
      this.#withAddress = { of: services, those: services.filter(({ ingress }) => ingress.length > 0) };
    }
    return this.#withAddress.those;
  }
}

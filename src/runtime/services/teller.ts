/**
 * Tells people what has become of their objects: Events on Services, pools and advertisements, each once, and a line in
 * the log for each problem. Only who leads tells, so that it is told once; a new leader doesn't repeat what the status of
 * a Service says already.
 */

import type { ServiceHolding } from '../../agent/services/read.ts';
import { ERRORS, fillRemedy } from '../../base/errors.ts';
import type { EventRecorder, InvolvedObject } from '../../kube/event-recorder.ts';
import { aboutService } from '../../kube/event-recorder.ts';
import type { Log } from '../../observe/log.ts';
import type { ObjectProblem, ObjectRef, ServiceObject } from '../../services/model.ts';
import {
  ALLOCATED,
  conflictText,
  decisionEvents,
  problemEvent,
  reasonOfCode,
  toldDecision,
  type ServiceDecision,
  type ToldDecision,
} from '../../services/status.ts';
import type { Found } from './giving.ts';

export interface TellerOptions {
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Log;
}

/** Problems that are remembered as told; beyond it the oldest may be told again. */
const TOLD_MAX = 20_000;

const API_VERSIONS: Readonly<Record<string, string>> = {
  Service: 'v1',
  Node: 'v1',
  Namespace: 'v1',
  ConfigMap: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  IPAddressPool: 'metallb.io/v1beta1',
  L2Advertisement: 'metallb.io/v1beta1',
  BGPAdvertisement: 'metallb.io/v1beta1',
  CiliumLoadBalancerIPPool: 'cilium.io/v2',
  CiliumL2AnnouncementPolicy: 'cilium.io/v2alpha1',
};

interface Told {
  /** Of the Service: another of the same name is another. */
  readonly uid: string;
  readonly decision: ToldDecision;
}

const NOTHING_TOLD: ToldDecision = { allocation: undefined, pending: undefined, ownerships: [] };

export class Teller {
  readonly #options: TellerOptions;
  /** What was last told of each Service. */
  readonly #told = new Map<string, Told>();
  readonly #problems = new Set<string>();
  readonly #logged = new Set<string>();
  readonly #conflicts = new Set<string>();

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** As leader. */
  decided(decision: ServiceDecision): void {
    const { service } = decision;
    const before = this.#told.get(service.key);
    this.#told.set(service.key, { uid: service.uid, decision: toldDecision(decision) });
    const isSame = before?.uid === service.uid;
    // Told by a former leader: its status says so.
    if (!isSame && service.conditions.some(({ type }) => type === ALLOCATED)) return;
    for (const event of decisionEvents(isSame ? before.decision : undefined, decision)) {
      this.#options.events.record(event, aboutService(service));
    }
  }

  /** As leader: the Service is about to get an address, which will be news. */
  expects(service: ServiceObject): void {
    const { key, uid } = service;
    if (this.#told.get(key)?.uid !== uid) this.#told.set(key, { uid, decision: NOTHING_TOLD });
  }

  /** Of Services that are no more. */
  forget(isThere: (key: string) => boolean): void {
    for (const key of this.#told.keys()) if (!isThere(key)) this.#told.delete(key);
  }

  /** Another leads now. */
  silence(): void {
    this.#told.clear();
    this.#problems.clear();
  }

  /** `isLeading`: Events are for the leader to write; each node logs what is wrong with its own settings. */
  problems(
    problems: readonly ObjectProblem[],
    isLeading: boolean,
    uidOf: (object: ObjectRef) => string | undefined,
  ): void {
    const { events, log } = this.#options;
    for (const problem of problems) {
      const { object, code, message, remedy } = problem;
      const key = `${object.kind}/${object.key}/${code}/${message}`;
      const isOwn = object.kind === 'Environment';
      if ((isOwn || isLeading) && remember(this.#logged, key)) {
        const what = { component: 'services', object: `${object.kind} ${object.key}`, code, reason: message, remedy };
        log[object.kind === 'Service' ? 'info' : 'warn']('something is wrong with an object', what);
      }
      const about = isOwn || !isLeading ? undefined : aboutObject(object, uidOf(object));
      if (about !== undefined && remember(this.#problems, key)) events.record(problemEvent(problem), about);
    }
  }

  quarantined({ service, quarantine: { address, mac } }: Found): void {
    const what = { component: 'services', address: address.text, mac, service: service.key };
    this.#options.log.warn('an address is used by another machine and is set aside', what);
    const message = `${address.text} is answered for by ${mac}: it is set aside for some minutes, and another one is looked for.`;
    this.#options.events.record({ type: 'Warning', reason: 'AddressQuarantined', message }, aboutService(service));
  }

  /** As the node that answers, or would: nobody else hears who does it as well. The log has it from the agent. */
  conflicts(holdings: Iterable<ServiceHolding>, services: readonly ServiceObject[]): void {
    const messages = new Map<string, string>();
    for (const { address, phase, rival, isConflict } of holdings) {
      const isHeld = phase === 'holding';
      if (rival === undefined || !isConflict || !remember(this.#conflicts, `${address} ${rival} ${isHeld}`)) continue;
      const remedy = fillRemedy(ERRORS.ADDRESS_CONFLICT.remedy, { address, mac: rival });
      messages.set(address, `${conflictText({ address, mac: rival, isHeld })} ${remedy}`);
    }
    if (messages.size === 0) return;
    for (const service of services) {
      for (const { text } of service.ingress) {
        const message = messages.get(text);
        if (message === undefined) continue;
        const event = { type: 'Warning', reason: reasonOfCode('ADDRESS_CONFLICT'), message } as const;
        this.#options.events.record(event, aboutService(service));
      }
    }
  }

  refused(service: ServiceObject, reason: string): void {
    this.#options.log.warn('the status of a service was refused', {
      component: 'services',
      service: service.key,
      reason,
    });
  }
}

/** True: it is new. */
function remember(told: Set<string>, key: string): boolean {
  if (told.has(key)) return false;
  told.add(key);
  for (const oldest of told) {
    if (told.size <= TOLD_MAX) break;
    told.delete(oldest);
  }
  return true;
}

function aboutObject({ kind, key }: ObjectRef, uid: string | undefined): InvolvedObject | undefined {
  const apiVersion = API_VERSIONS[kind];
  if (apiVersion === undefined) return undefined;
  const slash = key.indexOf('/');
  const namespace = slash < 0 ? '' : key.slice(0, slash);
  return { apiVersion, kind, namespace, name: key.slice(slash + 1), ...(uid === undefined ? {} : { uid }) };
}

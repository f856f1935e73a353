/**
 * The candidates' register: a Lease for each, labelled with the election it belongs to, that says where the candidate is
 * reached. Written when what it says changes, and as a test of whether the API takes writes, never periodically; watched
 * by all. A member goes with its Node (ownerReferences), not when its process stops: a restart is no leaving.
 */

import { createHash } from 'node:crypto';
import { parseIp } from '../base/ip.ts';
import { wall, type WallMs } from '../base/time.ts';
import type { Member } from '../leader/voters.ts';
import type { ApiFailure, ApiResult } from './api-result.ts';
import type { ApiClient, ApiRequest } from './client.ts';
import { asObject, asText, asTextMap, type JsonObject } from '../base/json.ts';
import { formatMicroTime } from './lease-codec.ts';
import type { Log } from './log.ts';
import { startReflector, type Reflector } from './reflector.ts';

export const MEMBER_LABEL = 'holdfast.io/member-of';

const ADDRESSES = 'holdfast.io/addresses';
const PORT = 'holdfast.io/heartbeat-port';
const VERSIONS = 'holdfast.io/heartbeat-versions';
const INCARNATION = 'holdfast.io/incarnation';
const API_ENDPOINT = 'holdfast.io/api-endpoint';
const LEAVING = 'holdfast.io/leaving';
/** 'true': a node without the control plane's address. */
const SERVICES_ONLY = 'holdfast.io/services-only';
/** What the runtime says of this node for the sake of Services (runtime/services/published-facts.ts). */
const FACTS = 'holdfast.io/services';
/** Longer ones are none. */
export const FACTS_TEXT_MAX = 32_768;

/** The Lease that a member's name is made for without a suffix; kube-vip's default, and ours. */
const DEFAULT_LEASE = 'plndr-cp-lock';
/** Of an object's name (RFC 1123 subdomain), and of a label's value. */
const NAME_MAX = 253;
const LABEL_MAX = 63;
const ADDRESSES_MAX = 4;
/** Candidates that take part, by name; further ones hold nothing. */
export const MEMBERS_MAX = 512;
const WATCH_BACKOFF_MAX_MS = 5000;

export interface MemberDetails {
  /** `host:port` of this node's API server; undefined when it has none. */
  readonly apiEndpoint: string | undefined;
  readonly incarnation: string;
  /** Lowest and highest version of the heartbeats. */
  readonly versions: string;
  /** The Node this member goes with. */
  readonly owner: { readonly name: string; readonly uid: string } | undefined;
  /** As text, at most FACTS_TEXT_MAX long; absent where Services are not served: then none is left from before. */
  readonly facts?: string;
}

/** A member as somebody wrote it. */
export interface RegisteredMember extends Member {
  readonly apiEndpoint: string | undefined;
  /** undefined: it doesn't serve Services. Not looked into here. */
  readonly facts: string | undefined;
}

export interface MembersOptions {
  readonly client: ApiClient;
  /** Of the election Lease, and its name. */
  readonly namespace: string;
  readonly leaseName: string;
  /** Of each call, ms. */
  readonly deadlineMs: number;
  readonly log: Log;
  /** Default Date.now. */
  readonly wallClock?: () => WallMs;
}

export interface Members {
  /** Writes this node's Lease, whether or not it says anything new: afterwards etcd has it. */
  register(member: Member, details: MemberDetails): Promise<{ readonly ok: true } | ApiFailure>;
  /** Calls `listener` with all members, once they are known and with each change. */
  watch(listener: (members: readonly RegisteredMember[]) => void): Reflector;
}

/** Every node has to leave out the same ones. */
function counted(members: readonly RegisteredMember[]): readonly RegisteredMember[] {
  if (members.length <= MEMBERS_MAX) return members;
  return members.toSorted((a, b) => compare(a.name, b.name)).slice(0, MEMBERS_MAX);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

export function openMembers(options: MembersOptions): Members {
  return new MemberLeases(options);
}

class MemberLeases implements Members {
  readonly #options: MembersOptions;
  readonly #collection: string;
  /** Our own as last seen: what others added to it is kept. */
  #own: JsonObject | undefined;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(options.namespace)}/leases`;
  }

  async register(member: Member, details: MemberDetails): Promise<{ readonly ok: true } | ApiFailure> {
    const first = await this.#write(member, details);
    if (first.ok) return this.#keep(first.body);
    // Gone, made, or changed by somebody (perhaps by a write of ours that got no answer): once more, upon what is there.
    const isWorthReading =
      first.failure === 'conflict' || first.failure === 'already-exists' || first.failure === 'not-found';
    if (!isWorthReading) return first;
    const found = await this.#call({ method: 'GET', path: this.#path(member.name) });
    if (!found.ok && found.failure !== 'not-found') return found;
    this.#own = found.ok ? found.body : undefined;
    const second = await this.#write(member, details);
    return second.ok ? this.#keep(second.body) : second;
  }

  watch(listener: (members: readonly RegisteredMember[]) => void): Reflector {
    const members = new Map<string, RegisteredMember>();
    let isComplete = false;
    return startReflector({
      client: this.#options.client,
      path: this.#collection,
      labelSelector: `${MEMBER_LABEL}=${labelOf(this.#options.leaseName)}`,
      connection: 'general',
      deadlineMs: this.#options.deadlineMs,
      backoffMaxMs: WATCH_BACKOFF_MAX_MS,
      log: this.#options.log,
      project: decodeMember,
      listener: (event) => {
        if (event.kind === 'changed') members.set(event.key, event.object);
        else if (event.kind === 'deleted') members.delete(event.key);
        else isComplete = true;
        if (isComplete) listener(counted([...members.values()]));
      },
    });
  }

  #write(member: Member, details: MemberDetails): Promise<ApiResult> {
    const body = this.#encode(member, details, this.#own);
    return this.#own === undefined
      ? this.#call({ method: 'POST', path: this.#collection, body })
      : this.#call({ method: 'PUT', path: this.#path(member.name), body });
  }

  #keep(body: JsonObject): { readonly ok: true } {
    this.#own = body;
    return { ok: true };
  }

  #encode(member: Member, details: MemberDetails, base: JsonObject | undefined): JsonObject {
    const { namespace, leaseName } = this.#options;
    const metadata = asObject(base?.['metadata']) ?? {};
    const { owner } = details;
    return {
      ...base,
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        ...metadata,
        namespace,
        name: memberLeaseName(member.name, leaseName),
        labels: { ...asTextMap(metadata['labels']), [MEMBER_LABEL]: labelOf(leaseName) },
        annotations: mergedAnnotations(asTextMap(metadata['annotations']), member, details),
        ...(owner === undefined ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', ...owner }] }),
      },
      spec: {
        ...asObject(base?.['spec']),
        holderIdentity: member.name,
        // Another time in each write: the API server passes a write that changes nothing by etcd.
        renewTime: formatMicroTime((this.#options.wallClock ?? preciseNow)()),
      },
    };
  }

  #call(request: Pick<ApiRequest, 'method' | 'path' | 'body'>): Promise<ApiResult> {
    return this.#options.client.request({ ...request, deadlineMs: this.#options.deadlineMs, connection: 'lease' });
  }

  #path(node: string): string {
    return `${this.#collection}/${encodeURIComponent(memberLeaseName(node, this.#options.leaseName))}`;
  }
}

/** `holdfast-member-<node>`; with a mark of the election where it is not the default one, so that several don't meet. */
export function memberLeaseName(node: string, leaseName: string): string {
  const plain = `holdfast-member-${node.toLowerCase()}`;
  const name = leaseName === DEFAULT_LEASE ? plain : `${plain}-${digest(leaseName)}`;
  if (name.length <= NAME_MAX) return name;
  return `${name.slice(0, NAME_MAX - 9).replace(/[-.]+$/, '')}-${digest(name)}`;
}

/** Pure; undefined when it doesn't say who is reached where. */
export function decodeMember(raw: JsonObject): RegisteredMember | undefined {
  const name = asText(asObject(raw['spec'])?.['holderIdentity']);
  const annotations = asTextMap(asObject(raw['metadata'])?.['annotations']);
  const port = Number(annotations[PORT]);
  const addresses = (annotations[ADDRESSES] ?? '').split(',').filter((text) => parseIp(text).ok);
  const isReached = addresses.length > 0 && Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (name === undefined || !isReached) return undefined;
  return {
    name,
    addresses: addresses.slice(0, ADDRESSES_MAX),
    port,
    isLeaving: annotations[LEAVING] === 'true',
    ...(annotations[SERVICES_ONLY] === 'true' ? { isServicesOnly: true } : {}),
    apiEndpoint: asText(annotations[API_ENDPOINT]),
    facts: factsOf(annotations),
  };
}

function factsOf(annotations: Readonly<Record<string, string>>): string | undefined {
  const facts = annotations[FACTS] ?? '';
  return facts === '' || facts.length > FACTS_TEXT_MAX ? undefined : facts;
}

function mergedAnnotations(
  before: Readonly<Record<string, string>>,
  member: Member,
  details: MemberDetails,
): Readonly<Record<string, string>> {
  const { [FACTS]: _, [SERVICES_ONLY]: __, ...others } = before;
  return { ...others, ...annotationsOf(member, details) };
}

function annotationsOf(member: Member, details: MemberDetails): Readonly<Record<string, string>> {
  return {
    [ADDRESSES]: member.addresses.join(','),
    [PORT]: String(member.port),
    [VERSIONS]: details.versions,
    [INCARNATION]: details.incarnation,
    [API_ENDPOINT]: details.apiEndpoint ?? '',
    [LEAVING]: String(member.isLeaving),
    ...(member.isServicesOnly === true ? { [SERVICES_ONLY]: 'true' } : {}),
    ...(details.facts === undefined ? {} : { [FACTS]: details.facts }),
  };
}

/** Names of Leases are longer than a label's value may be. */
function labelOf(leaseName: string): string {
  return leaseName.length <= LABEL_MAX ? leaseName : digest(leaseName);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

function preciseNow(): WallMs {
  return wall(Date.now() + (performance.now() % 1));
}

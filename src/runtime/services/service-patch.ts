/**
 * What is to be written into one Service, and by whom. The leader says which addresses it has and whence, or why it has
 * none; who answers for its first address says so, and is written there where kube-vip's users look (vipHost). While
 * nobody answers, that is the leader's to say. Nothing new means no patch. Pure.
 */

import { isSameIps } from '../../base/ip.ts';
import type { StatusPatch } from '../../kube/service-status.ts';
import { METALLB_POOL_ANNOTATION, POOL_ANNOTATION, VIP_HOST_ANNOTATION } from '../../services/annotations.ts';
import type { Allocation, Condition, Pool, ServiceObject } from '../../services/model.ts';
import {
  ALLOCATED,
  ANNOUNCED,
  conflictText,
  foreignConditions,
  mergeConditions,
  reasonOfCode,
  wantedConditions,
  type ServiceDecision,
  type WantedCondition,
} from '../../services/status.ts';

const OUR_ANNOTATIONS = [POOL_ANNOTATION, METALLB_POOL_ANNOTATION, VIP_HOST_ANNOTATION];

export interface PatchOptions {
  /** Of the Service as the API has it. */
  readonly decision: ServiceDecision;
  readonly self: string;
  /** This node leads, and what it knows is current. */
  readonly isLeading: boolean;
  /** The wire was asked about all of its addresses. */
  readonly isGiven: boolean;
  /** How its addresses were chosen, where the plan sees them as kept only since they are being written. */
  readonly origin: Allocation | undefined;
  /** This node holds and has announced the Service's address. */
  readonly isAnnounced: boolean;
  /** MAC of a stranger who answers for it, so that this node doesn't. */
  readonly stranger: string | undefined;
  readonly poolOf: (name: string) => Pool | undefined;
  /** RFC 3339 to the second. */
  readonly now: string;
}

export function servicePatch(options: PatchOptions): StatusPatch | undefined {
  const { decision, self, isLeading, isGiven, isAnnounced, now } = options;
  const { service, allocation, ownerships } = decision;
  const [first] = ownerships;
  const wanted: WantedCondition[] = [];
  const annotations: Record<string, string | null> = {};
  if (isLeading && isGiven) {
    wanted.push(...leaderConditions(options));
    Object.assign(annotations, poolAnnotations(allocation, options));
  }
  const isOwner = first?.node === self && isAnnounced && allocation !== undefined;
  if (isOwner) {
    wanted.push(...allConditions(options).filter(({ type }) => type === ANNOUNCED));
    annotations[VIP_HOST_ANNOTATION] = self;
  }
  if (first?.node === self && options.stranger !== undefined) {
    wanted.push(conflictCondition(first.address.text, options.stranger));
  }
  const isGiving = isLeading && isGiven && allocation !== undefined;
  const ingress = isGiving && !isSameIps(service.ingress, allocation.addresses) ? allocation.addresses : undefined;
  const merged = withWanted(service.conditions, wanted, now);
  return patchOf(service, {
    ingress: ingress?.map(({ text }) => text),
    conditions: merged === service.conditions ? undefined : merged,
    annotations: changedAnnotations(service, annotations),
  });
}

/** For a Service that has our word in its status and isn't ours any more. */
export function releasePatch(service: ServiceObject): StatusPatch | undefined {
  const said = service.conditions.find(({ type }) => type === ALLOCATED);
  if (said === undefined) return undefined;
  const texts = service.ingress.map(({ text }) => text);
  const isOurWord = said.status === 'True' && said.message.startsWith(texts.join(', '));
  const removed = OUR_ANNOTATIONS.filter((name) => Object.hasOwn(service.annotations, name));
  return patchOf(service, {
    ingress: texts.length > 0 && isOurWord ? [] : undefined,
    conditions: foreignConditions(service),
    annotations: removed.length === 0 ? undefined : Object.fromEntries(removed.map((name) => [name, null])),
  });
}

function patchOf(
  service: ServiceObject,
  parts: {
    readonly ingress: readonly string[] | undefined;
    readonly conditions: readonly Condition[] | undefined;
    readonly annotations: Readonly<Record<string, string | null>> | undefined;
  },
): StatusPatch | undefined {
  const { ingress, conditions, annotations } = parts;
  if (ingress === undefined && conditions === undefined && annotations === undefined) return undefined;
  return {
    key: service.key,
    resourceVersion: service.resourceVersion,
    ...(ingress === undefined ? {} : { ingress }),
    ...(conditions === undefined ? {} : { conditions }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** Somebody has it, and isn't one of us: the node that should answer says so. */
function conflictCondition(address: string, mac: string): WantedCondition {
  const message = conflictText({ address, mac, isHeld: false });
  return { type: ANNOUNCED, status: 'False', reason: reasonOfCode('ADDRESS_CONFLICT'), message };
}

function allConditions({ decision, poolOf, origin }: PatchOptions): readonly WantedCondition[] {
  const { allocation } = decision;
  const isOrigin =
    origin !== undefined && allocation !== undefined && isSameIps(origin.addresses, allocation.addresses);
  const told = isOrigin ? { ...allocation, from: origin.from } : allocation;
  return wantedConditions({ ...decision, allocation: told }, poolOf);
}

/** Which node answers is not for the leader to say, unless none does. */
function leaderConditions(options: PatchOptions): readonly WantedCondition[] {
  const { service, allocation } = options.decision;
  return allConditions(options)
    .filter(({ type }) => type !== ANNOUNCED || isSilent(options.decision))
    .map((wanted) => (wanted.type === ALLOCATED ? keptWord(service, allocation, wanted) : wanted));
}

/** Nobody answers for its first address, or it has none. */
function isSilent({ allocation, ownerships: [first] }: ServiceDecision): boolean {
  return allocation === undefined || (first !== undefined && first.node === undefined);
}

/** What was said when the address was given stays said: that it is kept now is no news. */
function keptWord(
  service: ServiceObject,
  allocation: Allocation | undefined,
  wanted: WantedCondition,
): WantedCondition {
  if (allocation?.from !== 'kept' || wanted.reason !== 'Allocated') return wanted;
  const said = service.conditions.find(({ type }) => type === ALLOCATED);
  const list = allocation.addresses.map(({ text }) => text).join(', ');
  const isSaid =
    said?.status === 'True' &&
    said.reason === wanted.reason &&
    (said.message.startsWith(`${list} `) || said.message.startsWith(`${list},`) || said.message.startsWith(`${list}.`));
  return isSaid ? { ...wanted, message: said.message } : wanted;
}

/** Only those that are wanted change: which of ours are whose to write differs from node to node. */
function withWanted(
  existing: readonly Condition[],
  wanted: readonly WantedCondition[],
  now: string,
): readonly Condition[] {
  const types = new Set(wanted.map(({ type }) => type));
  const others = existing.filter(({ type }) => !types.has(type) && (type === ALLOCATED || type === ANNOUNCED));
  const kept = others.map(({ type, status, reason, message }): WantedCondition => ({
    type,
    status: status === 'True' ? 'True' : 'False',
    reason,
    message,
  }));
  return mergeConditions(existing, [...wanted, ...kept], now);
}

function poolAnnotations(
  allocation: Allocation | undefined,
  { decision, poolOf }: PatchOptions,
): Readonly<Record<string, string | null>> {
  const pool = allocation === undefined ? undefined : poolOf(allocation.pool);
  return {
    [POOL_ANNOTATION]: pool?.name ?? null,
    [METALLB_POOL_ANNOTATION]: pool?.origin === 'metallb' ? pool.shortName : null,
    ...(isSilent(decision) ? { [VIP_HOST_ANNOTATION]: null } : {}),
  };
}

function changedAnnotations(
  service: ServiceObject,
  wanted: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string | null>> | undefined {
  const changed = Object.entries(wanted).filter(([name, value]) => (service.annotations[name] ?? null) !== value);
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

/** What a patch says, but for when: equal texts needn't be written twice. */
export function patchText(patch: StatusPatch): string {
  const conditions = patch.conditions?.map((condition) => ({ ...condition, lastTransitionTime: '' }));
  return JSON.stringify({ ...patch, conditions });
}

/**
 * What we write into the election Lease, and how two records of it compare. Labels and annotations of others are kept;
 * ours carry the `holdfast.io/` prefix.
 */

import type { LeaseRecord } from './lease-record.ts';

/** Tells two processes that use one identity apart. */
export const INCARNATION_ANNOTATION = 'holdfast.io/incarnation';
/**
 * Written with a release, `node/transitions`: the named node has taken its addresses off the wire before releasing. Others
 * who held the Lease since (client-go keeps annotations it doesn't know) made it void by counting a transition.
 */
export const WITHDRAWN_ANNOTATION = 'holdfast.io/withdrawn-by';

/** Written with a planned handover, `node/transitions`: the named node still answers, until the new holder does. */
export const HANDOVER_ANNOTATION = 'holdfast.io/handed-over-by';

interface Writer {
  readonly identity: string;
  readonly incarnation: string;
  readonly leaseDurationMs: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** client-go writes one second into a released record, so that nobody waits for it. */
const RELEASED_DURATION_MS = 1000;

/** The record that makes (or keeps) us the holder. `known` undefined: the Lease is to be created. */
export function leaseToAcquire(writer: Writer, known: LeaseRecord | undefined): LeaseRecord {
  const { [WITHDRAWN_ANNOTATION]: _, [HANDOVER_ANNOTATION]: __, ...kept } = known?.annotations ?? {};
  const isChange = known !== undefined && known.holder !== writer.identity;
  return {
    holder: writer.identity,
    durationMs: writer.leaseDurationMs,
    transitions: (known?.transitions ?? 0) + (isChange ? 1 : 0),
    acquireTime: known?.acquireTime ?? '',
    renewTime: known?.renewTime ?? '',
    annotations: { ...kept, ...writer.annotations, [INCARNATION_ANNOTATION]: writer.incarnation },
    labels: known?.labels ?? {},
    resourceVersion: known?.resourceVersion ?? '',
  };
}

/** The record that frees the Lease; it says that our addresses are withdrawn only where that is known. */
export function leaseToRelease(writer: Writer, known: LeaseRecord, isWithdrawn: boolean): LeaseRecord {
  const { [WITHDRAWN_ANNOTATION]: _, ...kept } = known.annotations;
  const consent = { [WITHDRAWN_ANNOTATION]: `${writer.identity}/${known.transitions}` };
  return {
    ...known,
    holder: '',
    durationMs: RELEASED_DURATION_MS,
    annotations: isWithdrawn ? { ...kept, ...consent } : kept,
  };
}

/** The record that names another candidate while we go on answering until it does. */
export function leaseToHandOver(writer: Writer, known: LeaseRecord, to: string): LeaseRecord {
  const { [INCARNATION_ANNOTATION]: _, [WITHDRAWN_ANNOTATION]: __, ...kept } = known.annotations;
  const transitions = known.transitions + 1;
  return {
    ...known,
    holder: to,
    durationMs: writer.leaseDurationMs,
    transitions,
    annotations: { ...kept, [HANDOVER_ANNOTATION]: `${writer.identity}/${transitions}` },
  };
}

/** Whether the present holder was named by a handover and by nothing since. */
export function isHandedOver(lease: LeaseRecord): boolean {
  return lease.annotations[HANDOVER_ANNOTATION]?.endsWith(`/${lease.transitions}`) === true;
}

/**
 * Whether the address may be claimed without a probe: the last holder said, in releasing, that it had withdrawn; or it
 * handed over to `identity` and answers until that does.
 */
export function hasConsent(lease: LeaseRecord | undefined, identity: string): boolean {
  if (lease === undefined) return false;
  if (lease.holder === '') return lease.annotations[WITHDRAWN_ANNOTATION]?.endsWith(`/${lease.transitions}`) === true;
  return lease.holder === identity && isHandedOver(lease);
}

/** Who held before whoever writes over `lease`: the one that handed over, or its holder; '' = nobody. */
export function previousHolder(lease: LeaseRecord | undefined): string {
  if (lease === undefined) return '';
  const handed = isHandedOver(lease) ? lease.annotations[HANDOVER_ANNOTATION] : undefined;
  return handed?.slice(0, handed.lastIndexOf('/')) ?? lease.holder;
}

/**
 * Whether nobody has renewed or taken the Lease between the two: labels, annotations and versions alone may differ. As in
 * client-go, which compares the record without its metadata: a label must not prolong a dead holder's Lease.
 */
export function isSameTerm(known: LeaseRecord | undefined, seen: LeaseRecord | undefined): boolean {
  if (known === undefined || seen === undefined || seen.renewTime === '') return false;
  return (
    known.holder === seen.holder &&
    known.renewTime === seen.renewTime &&
    known.acquireTime === seen.acquireTime &&
    known.transitions === seen.transitions &&
    known.durationMs === seen.durationMs
  );
}

/**
 * Whether `seen` is later than `known`. Resource versions are decimal integers that grow (guaranteed by the API since
 * Kubernetes 1.35, true of etcd before); any other form gives 'unknown', and the caller asks the API instead.
 */
export function isNewerRecord(
  known: LeaseRecord | undefined,
  seen: LeaseRecord | undefined,
): 'newer' | 'older' | 'unknown' {
  if (known === undefined || seen === undefined) return 'unknown';
  const a = known.resourceVersion;
  const b = seen.resourceVersion;
  if (!/^[1-9]\d*$/.test(a) || !/^[1-9]\d*$/.test(b)) return 'unknown';
  if (a.length !== b.length) return a.length < b.length ? 'newer' : 'older';
  return a < b ? 'newer' : 'older';
}

/** A record under our name that another process wrote (our former run, or an impostor). */
export function isOfAnother(writer: Pick<Writer, 'incarnation'>, lease: LeaseRecord): boolean {
  const incarnation = lease.annotations[INCARNATION_ANNOTATION];
  return incarnation !== undefined && incarnation !== writer.incarnation;
}

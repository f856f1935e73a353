/**
 * The record of owners as this process lives with it: everybody reads it, the leader writes it when who owns what has
 * changed, one write at a time and not more often than each WRITE_SPACING_MS. Somebody else's write is taken in first: a
 * compare-and-swap that fails is decided anew upon what there is then. A record that can't be read counts as empty.
 */

import { Breath } from '../../kube/breath.ts';
import type { OwnersRecord, OwnersRecordApi } from '../../kube/owners-record.ts';
import type { Reflector } from '../../kube/reflector.ts';
import type { Log } from '../../observe/log.ts';
import { decodeAssignmentInSteps, encodeAssignmentInSteps, type Assignment } from '../../services/assignment.ts';

export interface OwnersKeeperOptions {
  readonly api: OwnersRecordApi;
  readonly log: Log;
  /** The assignment is another one, or it may be written again. */
  readonly onChange: () => void;
}

export interface OwnersKeeper {
  /** As last read or written; the same value while it says the same. */
  readonly assignment: Assignment;
  readonly epoch: number;
  /** What there is, or that there is nothing, has been seen. */
  readonly isKnown: boolean;
  start(): void;
  /** Writes it unless it is what stands there; later, if a write was just made (onChange says when). */
  write(assignment: Assignment): void;
  close(): void;
}

/** A rollout changes owners many times a second; who reads the record needs the last word only. */
const WRITE_SPACING_MS = 250;
const RETRY_MS = 1_000;

const NOTHING: Assignment = new Map();

export function keepOwners(options: OwnersKeeperOptions): OwnersKeeper {
  return new WatchedOwners(options);
}

class WatchedOwners implements OwnersKeeper {
  assignment: Assignment = NOTHING;
  epoch = 0;
  isKnown = false;
  readonly #options: OwnersKeeperOptions;
  #text = '';
  #resourceVersion: string | undefined;
  #watch: Reflector | undefined;
  #isWriting = false;
  #blockedUntil = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  /** The last write failed, and that was told. */
  #isTroubled = false;
  #isClosed = false;
  #turns = Promise.resolve();

  constructor(options: OwnersKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#watch = this.#options.api.watch((record) => void this.#inTurn(() => this.#observe(record)));
  }

  write(assignment: Assignment): void {
    if (!this.isKnown || this.#isWriting || this.#isClosed) return;
    if (assignment === this.assignment) return;
    const waitMs = this.#blockedUntil - performance.now();
    if (waitMs > 0) {
      this.#again(waitMs);
      return;
    }
    if (this.#text === '' && assignment.size === 0) return;
    this.#isWriting = true;
    void this.#encode(assignment);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#watch?.stop();
  }

  /** One record after the other: a long one is read in slices, and counts from when all of it is read. */
  #inTurn(take: () => Promise<void>): Promise<void> {
    this.#turns = this.#turns.then(() => (this.#isClosed ? undefined : take()));
    return this.#turns;
  }

  /** A watch may be behind our own write: epochs only grow, but where somebody deleted the record. */
  async #observe(record: OwnersRecord | undefined): Promise<void> {
    const isStale = record !== undefined && record.epoch < this.epoch && this.#isOwnNewer(record);
    if (!isStale) await this.#adopt(record);
    if (this.isKnown) return;
    this.isKnown = true;
    this.#options.onChange();
  }

  #isOwnNewer({ resourceVersion }: OwnersRecord): boolean {
    const own = this.#resourceVersion;
    return own !== undefined && BigInt(asVersion(own)) > BigInt(asVersion(resourceVersion));
  }

  async #adopt(record: OwnersRecord | undefined): Promise<void> {
    const text = record?.text ?? '';
    const isNews = text !== this.#text;
    const decoded = isNews && text !== '' ? await new Breath().finish(decodeAssignmentInSteps(text)) : undefined;
    this.epoch = record?.epoch ?? 0;
    this.#resourceVersion = record?.resourceVersion;
    if (!isNews) return;
    this.#text = text;
    if (decoded?.ok === false) {
      this.#options.log.warn('the record of owners cannot be read', { component: 'services', reason: decoded.reason });
    }
    this.assignment = decoded?.ok === true ? decoded.value : NOTHING;
    this.#options.onChange();
  }

  async #encode(assignment: Assignment): Promise<void> {
    const decidedOn = this.#resourceVersion;
    const text = await new Breath().finish(encodeAssignmentInSteps(assignment));
    const isCurrent = decidedOn === this.#resourceVersion;
    if (isCurrent && text !== this.#text && !this.#isClosed) return this.#send(text);
    this.#isWriting = false;
    // Decided on a record that isn't the last one any more: decided anew.
    if (!isCurrent) this.#options.onChange();
  }

  async #send(text: string): Promise<void> {
    const { api, log, onChange } = this.#options;
    const result = await api.write({ epoch: this.epoch + 1, text }, await this.#version());
    if (result.ok) await this.#inTurn(() => this.#adopt(result.record));
    this.#isWriting = false;
    if (this.#isClosed) return;
    this.#blockedUntil = performance.now() + (result.ok ? WRITE_SPACING_MS : RETRY_MS);
    if (result.ok) {
      this.#isTroubled = false;
    } else {
      const { failure, message: reason } = result;
      const isRace = failure === 'conflict' || failure === 'already-exists';
      const isNews = !isRace && !this.#isTroubled;
      log[isNews ? 'warn' : 'debug']('the record of owners was not written', { component: 'services', reason });
      this.#isTroubled = !isRace;
      if (isRace) await this.#reread();
    }
    this.#again(result.ok ? WRITE_SPACING_MS : RETRY_MS);
    onChange();
  }

  /** Of a record that is there but can't be read: it is written over. */
  async #version(): Promise<string | undefined> {
    if (this.#resourceVersion !== undefined) return this.#resourceVersion;
    const found = await this.#options.api.read();
    return found.ok ? found.resourceVersion : undefined;
  }

  async #reread(): Promise<void> {
    const found = await this.#options.api.read();
    if (found.ok) await this.#inTurn(() => this.#adopt(found.record));
  }

  #again(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#options.onChange(), ms);
    this.#timer.unref();
  }
}

function asVersion(text: string): string {
  return /^\d{1,40}$/.test(text) ? text : '0';
}

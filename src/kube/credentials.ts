/**
 * Which identity the process has, now. Sources in order: k8s_config_file (by default /etc/kubernetes/admin.conf), then
 * kubeadm's admin.conf, then the pod's service account; the first that exists is used, and one that appears later takes
 * over, for kubeadm writes its files after it has started us. Rotation is seen by stat; a broken file leaves the last good
 * identity in use.
 *
 *   primary ──403, super-admin.conf is there──▶ stand-in ──admin.conf accepted again, or super-admin.conf gone──▶ primary
 *
 * Older kubeadm grants admin.conf its rights only through the VIP, which nobody holds before the Lease is written: while
 * the first node bootstraps, super-admin.conf beside it stands in. Who asks the API is the client: it reports what was
 * refused and probes the primary.
 */

import { dirname, basename, join } from 'node:path';
import envVar from 'env-var';
import { HoldfastError } from '../base/errors.ts';
import {
  isFilled,
  loadKubeconfig,
  loadServiceAccount,
  SERVICE_ACCOUNT_FOLDER,
  stampOf,
  type Identity,
  type LoadedIdentity,
} from './credential-file.ts';
import type { Log } from './log.ts';

export interface CredentialOptions {
  /** Path of the kubeconfig that comes first. */
  readonly kubeconfigPath: string;
  /** kubeadm's file, tried when `kubeconfigPath` is missing. Default /etc/kubernetes/admin.conf. */
  readonly adminPath?: string;
  /** Default SERVICE_ACCOUNT_FOLDER. */
  readonly serviceAccountFolder?: string;
  /** Where KUBERNETES_SERVICE_HOST and _PORT are read. Default process.env. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly allowInsecure?: boolean;
  readonly log: Log;
  /** How often files are compared, ms: while there is an identity (default 10 s), and while there is none (0.5 s). */
  readonly checkIntervalMs?: number;
  readonly missingIntervalMs?: number;
}

/** An identity with the number of its reading: a larger generation is a later one. */
export interface Credentials extends Identity {
  readonly generation: number;
  /** Whether super-admin.conf stands in for admin.conf. */
  readonly isStandIn: boolean;
}

export interface CredentialStore {
  /** undefined while no source exists or none was ever readable: `problem` says why. */
  readonly current: Credentials | undefined;
  /** What admin.conf says while super-admin.conf stands in for it; else undefined. */
  readonly primary: Identity | undefined;
  readonly problem: HoldfastError | undefined;
  /** Compares the files now; with `force` reads them even when no stamp changed. Never rejects. */
  refresh(force?: boolean): Promise<void>;
  /** The API answered 403 to these credentials. Resolves to whether others are now in use. */
  reportForbidden(used: Credentials): Promise<boolean>;
  /** The API accepted `primary`: go back to it. */
  acceptPrimary(): void;
  /** Called after `current` changed. Returns the unsubscriber. */
  onChange(listener: () => void): () => void;
  close(): void;
}

const DEFAULT_ADMIN_PATH = '/etc/kubernetes/admin.conf';
const CHECK_INTERVAL_MS = 10_000;
const MISSING_INTERVAL_MS = 500;
/** Plugins hand out tokens that outlive a minute; client-go asks about as often. */
const PLUGIN_REFRESH_MS = 60_000;

/** Opens the store and tries every source once. Never rejects: a missing file is waited for. */
export async function openCredentials(options: CredentialOptions): Promise<CredentialStore> {
  const store = new FileCredentials(options);
  await store.refresh();
  return store;
}

/** What a source loaded, with the source itself so that another one taking over is noticed. */
interface Source {
  readonly name: string;
  readonly load: () => Promise<LoadedIdentity>;
}

/** The kubelet sets it; a value that is no port is somebody's mistake in the manifest. */
function portText(read: () => number): string {
  try {
    return String(read());
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('KUBECONFIG_INVALID', message, {
      context: { path: 'KUBERNETES_SERVICE_PORT' },
      cause: error,
    });
  }
}

class FileCredentials implements CredentialStore {
  current: Credentials | undefined;
  primary: Identity | undefined;
  problem: HoldfastError | undefined;
  readonly #options: CredentialOptions;
  readonly #listeners = new Set<() => void>();
  #generation = 0;
  #loaded: { readonly source: string; readonly load: LoadedIdentity; readonly at: number } | undefined;
  #standIn: LoadedIdentity | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #loggedProblem = '';
  #isClosed = false;

  constructor(options: CredentialOptions) {
    this.#options = options;
  }

  async refresh(force = false): Promise<void> {
    // One refresh at a time. A forced one that finds another under way waits for it and then reads again.
    while (this.#running !== undefined) {
      await this.#running;
      if (!force) return;
    }
    this.#running = this.#refreshOnce(force).finally(() => {
      this.#running = undefined;
      this.#schedule();
    });
    await this.#running;
  }

  async reportForbidden(used: Credentials): Promise<boolean> {
    if (this.#isClosed || this.current === undefined) return false;
    if (this.current.generation !== used.generation) return this.current.isStandIn !== used.isStandIn;
    if (used.isStandIn || basename(used.path) !== 'admin.conf') return false;
    const path = join(dirname(used.path), 'super-admin.conf');
    if (!isFilled(path)) return false;
    try {
      this.#standIn = await loadKubeconfig(path, this.#options.allowInsecure === true);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#logProblem(error);
      return false;
    }
    if (this.current.generation !== used.generation) return true;
    this.primary = used;
    this.#publish(this.#standIn.identity, true);
    this.#options.log('warn', 'admin.conf is forbidden, using super-admin.conf until it is accepted', {
      path,
      reason: 'API_FORBIDDEN',
    });
    return true;
  }

  acceptPrimary(): void {
    if (this.primary === undefined) return;
    this.#leaveStandIn('admin.conf is accepted, using it again');
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  async #refreshOnce(force: boolean): Promise<void> {
    const source = this.#findSource();
    if (source === undefined) {
      this.#logProblem(this.#missing());
      return;
    }
    try {
      if (force || this.#isStale(source)) {
        const load = await source.load();
        if (this.#isClosed) return;
        this.#loaded = { source: source.name, load, at: performance.now() };
        this.#adopt(load.identity);
      }
      await this.#refreshStandIn();
      this.problem = undefined;
      this.#loggedProblem = '';
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      this.#logProblem(error);
    }
  }

  #findSource(): Source | undefined {
    const allowInsecure = this.#options.allowInsecure === true;
    for (const path of new Set([this.#options.kubeconfigPath, this.#options.adminPath ?? DEFAULT_ADMIN_PATH])) {
      if (isFilled(path)) return { name: path, load: () => loadKubeconfig(path, allowInsecure) };
    }
    const environment = envVar.from({ ...(this.#options.environment ?? process.env) });
    const host = environment.get('KUBERNETES_SERVICE_HOST').default('').asString();
    const folder = this.#options.serviceAccountFolder ?? SERVICE_ACCOUNT_FOLDER;
    if (host === '' || !isFilled(join(folder, 'token'))) return undefined;
    const port = environment.get('KUBERNETES_SERVICE_PORT').default('443');
    const load = async (): Promise<LoadedIdentity> =>
      loadServiceAccount(
        folder,
        host,
        portText(() => port.asPortNumber()),
      );
    return { name: folder, load };
  }

  #isStale(source: Source): boolean {
    const loaded = this.#loaded;
    if (loaded === undefined || loaded.source !== source.name) return true;
    if (loaded.load.isRefreshing && performance.now() - loaded.at >= PLUGIN_REFRESH_MS) return true;
    return stampOf(loaded.load.files) !== loaded.load.stamp;
  }

  #adopt(identity: Identity): void {
    if (this.primary !== undefined) {
      // New rights may come with a new admin.conf: the next probe, or 403, tells.
      if (isSameIdentity(this.primary, identity)) return;
      this.#standIn = undefined;
      this.primary = undefined;
    } else if (this.current !== undefined && isSameIdentity(this.current, identity)) {
      return;
    }
    const isFirst = this.current === undefined;
    this.#publish(identity, false);
    this.#options.log('info', isFirst ? 'api credentials loaded' : 'api credentials changed', {
      path: identity.path,
      server: identity.endpoint.server,
    });
  }

  async #refreshStandIn(): Promise<void> {
    const standIn = this.#standIn;
    if (standIn === undefined) return;
    const path = standIn.identity.path;
    if (!isFilled(path)) {
      this.#leaveStandIn('super-admin.conf is gone, using admin.conf again');
    } else if (stampOf(standIn.files) !== standIn.stamp) {
      this.#standIn = await loadKubeconfig(path, this.#options.allowInsecure === true);
      this.#publish(this.#standIn.identity, true);
    }
  }

  #leaveStandIn(msg: string): void {
    const primary = this.primary;
    if (primary === undefined) return;
    this.primary = undefined;
    this.#standIn = undefined;
    this.#publish(primary, false);
    this.#options.log('info', msg, { path: primary.path });
  }

  #publish(identity: Identity, isStandIn: boolean): void {
    this.#generation += 1;
    this.current = { ...identity, generation: this.#generation, isStandIn };
    for (const listener of this.#listeners) listener();
  }

  #missing(): HoldfastError {
    const path = this.#options.kubeconfigPath;
    return new HoldfastError('KUBECONFIG_MISSING', `${path} does not exist, and there is no service account`, {
      context: { path },
    });
  }

  /** A problem is logged when it begins or changes, not at each retry. */
  #logProblem(problem: HoldfastError): void {
    this.problem = problem;
    if (this.#loggedProblem === problem.message) return;
    this.#loggedProblem = problem.message;
    const level = problem.code === 'KUBECONFIG_MISSING' ? 'warn' : 'error';
    const msg =
      this.current === undefined ? 'waiting for api credentials' : 'api credentials cannot be read, keeping the last';
    this.#options.log(level, msg, { code: problem.code, reason: problem.message, remedy: problem.remedy });
  }

  #schedule(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    const settled = this.current !== undefined && this.problem === undefined;
    const interval = settled
      ? (this.#options.checkIntervalMs ?? CHECK_INTERVAL_MS)
      : (this.#options.missingIntervalMs ?? MISSING_INTERVAL_MS);
    this.#timer = setTimeout(() => void this.refresh(), interval);
  }
}

function isSameIdentity(a: Identity, b: Identity): boolean {
  return isSameTransport(a, b) && a.authorization === b.authorization && a.path === b.path;
}

/** Whether connections opened for `a` also serve `b`: everything but the Authorization header agrees. */
export function isSameTransport(a: Identity, b: Identity): boolean {
  return (
    a.ca === b.ca &&
    a.cert === b.cert &&
    a.key === b.key &&
    a.isInsecure === b.isInsecure &&
    a.endpoint.server === b.endpoint.server &&
    a.endpoint.tlsServerName === b.endpoint.tlsServerName
  );
}

/**
 * Reading one set of credentials from disk: a kubeconfig with the files it points at, or the service account that
 * Kubernetes mounts into a pod. Each load comes with the list of files read and their stamp (mtime, size, inode), so that
 * a rotation is seen by stat alone. Reads are synchronous: a handful of small local files, at start and on rotation.
 */

import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { HoldfastError, type ErrorCode } from '../base/errors.ts';
import type { EndpointSource } from './endpoints.ts';
import { parseKubeconfig, type Kubeconfig, type Material } from './kubeconfig.ts';

/** Enough to open connections and sign requests. Secrets: never logged, never in an error. */
export interface Identity {
  readonly endpoint: EndpointSource;
  /** The kubeconfig or the service account folder. */
  readonly path: string;
  /** PEM; undefined = the system's roots. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The Authorization header, when the identity isn't (only) a client certificate. */
  readonly authorization: string | undefined;
  readonly isInsecure: boolean;
}

export interface LoadedIdentity {
  readonly identity: Identity;
  readonly files: readonly string[];
  /** stampOf(files), taken before reading: a change during the read is seen the next time. */
  readonly stamp: string;
  /** The credentials come from a plugin and must be asked for anew even when no file changed. */
  readonly isRefreshing: boolean;
}

export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

/** No credential file is larger: a folder of CA certificates in one file is some 200 KiB. */
const FILE_BYTES_MAX = 1 << 20;

const KUBEADM_ADMIN_FILES: readonly string[] = ['admin.conf', 'super-admin.conf'];

/** mtime, size and inode of each file; '-' for one that is missing or out of reach (reading it names the error). */
export function stampOf(files: readonly string[]): string {
  return files.map(stampOfOne).join(' ');
}

function stampOfOne(file: string): string {
  try {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat === undefined ? '-' : `${stat.mtimeMs}:${stat.size}:${stat.ino}`;
  } catch {
    return '-';
  }
}

/** Whether there is a non-empty regular file at `path`. Errors other than "missing" count as present: reading names them. */
export function isFilled(path: string): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat !== undefined && (!stat.isFile() || stat.size > 0);
  } catch {
    return true;
  }
}

/** Loads a kubeconfig. Throws HoldfastError KUBECONFIG_MISSING, KUBECONFIG_INVALID or KUBECONFIG_UNSUPPORTED. */
export async function loadKubeconfig(path: string, allowInsecure: boolean): Promise<LoadedIdentity> {
  const kubeconfigStamp = stampOf([path]);
  const text = readText(path, path);
  const document = await parseDocument(text, path);
  const parsed = parseKubeconfig(document, { path, allowInsecure });
  if (!parsed.ok) {
    const code = parsed.reason === 'unsupported' ? 'KUBECONFIG_UNSUPPORTED' : 'KUBECONFIG_INVALID';
    throw new HoldfastError(code, `${path}: ${parsed.detail ?? parsed.reason}`, {
      context: { path, what: parsed.detail },
    });
  }
  const config = parsed.value;
  const others = filesOf(config);
  const stamp = [kubeconfigStamp, stampOf(others)].join(' ').trimEnd();
  const plain = readIdentity(config, path);
  const identity = config.isExotic ? await addExotic(plain, text, path) : plain;
  return { identity, files: [path, ...others], stamp, isRefreshing: config.isExotic };
}

/** Loads the pod's service account. Throws HoldfastError KUBECONFIG_INVALID when a file can't be read. */
export function loadServiceAccount(folder: string, host: string, port: string): LoadedIdentity {
  const files = [join(folder, 'token'), join(folder, 'ca.crt')];
  const stamp = stampOf(files);
  const token = readText(join(folder, 'token'), folder).trim();
  const ca = readText(join(folder, 'ca.crt'), folder);
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const identity: Identity = {
    endpoint: { kind: 'in-cluster', server, tlsServerName: undefined, isKubeadmAdmin: false },
    path: folder,
    ca,
    cert: undefined,
    key: undefined,
    authorization: `Bearer ${token}`,
    isInsecure: false,
  };
  return { identity, files, stamp, isRefreshing: false };
}

/** YAML covers JSON; the parser is loaded only when a kubeconfig is there, and JSON does without it. */
async function parseDocument(text: string, path: string): Promise<unknown> {
  if (text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // Flow-style YAML also begins with a brace: the YAML parser decides.
    }
  }
  const { parse } = await import('yaml');
  try {
    return parse(text, { maxAliasCount: 0, logLevel: 'silent' }) as unknown;
  } catch (cause) {
    // The parser's message quotes the offending line, which may hold a key.
    throw new HoldfastError('KUBECONFIG_INVALID', `${path}: no YAML${lineOf(cause)}`, { context: { path } });
  }
}

function lineOf(error: unknown): string {
  const position: unknown = error instanceof Error && 'linePos' in error ? error.linePos : undefined;
  const first: unknown = Array.isArray(position) ? position[0] : undefined;
  const line: unknown = typeof first === 'object' && first !== null && 'line' in first ? first.line : undefined;
  return typeof line === 'number' ? ` (line ${line})` : '';
}

function filesOf(config: Kubeconfig): readonly string[] {
  const materials = [config.ca, config.clientCertificate?.cert, config.clientCertificate?.key, config.token];
  return materials.flatMap((material) => (material?.kind === 'file' ? [material.path] : []));
}

function readIdentity(config: Kubeconfig, path: string): Identity {
  const token = readMaterial(config.token, path)?.trim();
  const { basic } = config;
  return {
    endpoint: {
      kind: 'kubeconfig',
      server: config.server,
      tlsServerName: config.tlsServerName,
      isKubeadmAdmin: KUBEADM_ADMIN_FILES.includes(basename(path)),
    },
    path,
    ca: readMaterial(config.ca, path),
    cert: readMaterial(config.clientCertificate?.cert, path),
    key: readMaterial(config.clientCertificate?.key, path),
    authorization:
      token !== undefined
        ? `Bearer ${token}`
        : basic !== undefined
          ? `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`
          : undefined,
    isInsecure: config.isInsecure,
  };
}

async function addExotic(plain: Identity, text: string, path: string): Promise<Identity> {
  const { runCredentialPlugin } = await import('./exotic-credentials.ts');
  const found = await runCredentialPlugin(text, path);
  return {
    ...plain,
    cert: found.cert ?? plain.cert,
    key: found.key ?? plain.key,
    authorization: found.authorization ?? plain.authorization,
  };
}

function readMaterial(material: Material | undefined, kubeconfig: string): string | undefined {
  if (material === undefined) return undefined;
  if (material.kind === 'inline') return Buffer.from(material.bytes).toString();
  return readText(material.path, kubeconfig);
}

function readText(path: string, named: string): string {
  const fail = (code: ErrorCode, what: string): HoldfastError =>
    new HoldfastError(code, `${path}: ${what}`, { context: { path: named } });
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw fail('KUBECONFIG_INVALID', 'is a folder (a hostPath without `type: File` makes one)');
    if (stat.size > FILE_BYTES_MAX) throw fail('KUBECONFIG_INVALID', `is larger than ${FILE_BYTES_MAX} octets`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    if (errno === 'ENOENT' && path === named) throw fail('KUBECONFIG_MISSING', 'does not exist');
    throw fail('KUBECONFIG_INVALID', errno === 'EACCES' ? 'may not be read (EACCES)' : errno);
  }
}

/**
 * A kubeconfig (client.authentication.k8s.io v1 `Config`) reduced to what one context needs: server, CA, one identity.
 * Takes the parsed document, reads no files: certificates and tokens that lie in files come out as paths, resolved
 * against the kubeconfig's own folder as kubectl does. What Holdfast does not do (proxies, impersonation, unverified
 * TLS) is refused by name rather than ignored.
 */

import { dirname, isAbsolute, resolve } from 'node:path';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import { asArray, asObject, asText, type JsonObject } from '../base/json.ts';

/** Bytes given inline (base64 decoded), or the absolute path of the file that holds them. */
export type Material =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | { readonly kind: 'file'; readonly path: string };

export interface Kubeconfig {
  readonly contextName: string;
  /** The cluster's `server`: an https URL without a trailing slash. */
  readonly server: string;
  readonly tlsServerName: string | undefined;
  /** undefined: the system's roots, as kubectl has it. */
  readonly ca: Material | undefined;
  /** Only with `allowInsecure`. */
  readonly isInsecure: boolean;
  readonly clientCertificate: { readonly cert: Material; readonly key: Material } | undefined;
  /** A token file wins over an inline token, as in client-go. */
  readonly token: Material | undefined;
  readonly basic: { readonly username: string; readonly password: string } | undefined;
  /** An exec plugin or auth provider: handled by exotic-credentials.ts. */
  readonly isExotic: boolean;
}

/** invalid: not a usable kubeconfig. unsupported: a valid one that asks for something Holdfast does not do. */
export type KubeconfigReason = 'invalid' | 'unsupported';

export interface KubeconfigOptions {
  /** Absolute path of the file: relative paths inside start from its folder. */
  readonly path: string;
  /** Accept `insecure-skip-tls-verify: true`. Default false. */
  readonly allowInsecure?: boolean;
}

type Part<Value> = Outcome<Value, KubeconfigReason>;

/** The current context of `document` (a parsed YAML or JSON kubeconfig). */
export function parseKubeconfig(document: unknown, options: KubeconfigOptions): Part<Kubeconfig> {
  const root = asObject(document);
  if (root === undefined) return refused('invalid', 'the file is empty or no YAML mapping');
  const contextName = asText(root['current-context']);
  if (contextName === undefined) return refused('invalid', 'current-context is not set');
  const context = findNamed(root, 'contexts', 'context', contextName);
  if (context === undefined) return refused('invalid', `there is no context named ${contextName}`);
  const clusterName = asText(context['cluster']);
  const cluster = clusterName === undefined ? undefined : findNamed(root, 'clusters', 'cluster', clusterName);
  if (cluster === undefined) return refused('invalid', `there is no cluster named ${clusterName ?? '(none)'}`);
  const userName = asText(context['user']);
  const user = userName === undefined ? {} : findNamed(root, 'users', 'user', userName);
  if (user === undefined) return refused('invalid', `there is no user named ${userName ?? '(none)'}`);

  const clusterPart = parseCluster(cluster, options);
  if (!clusterPart.ok) return clusterPart;
  const userPart = parseUser(user, options);
  if (!userPart.ok) return userPart;
  return ok({ contextName, ...clusterPart.value, ...userPart.value });
}

type ClusterPart = Pick<Kubeconfig, 'server' | 'tlsServerName' | 'ca' | 'isInsecure'>;
type UserPart = Pick<Kubeconfig, 'clientCertificate' | 'token' | 'basic' | 'isExotic'>;

function parseCluster(cluster: JsonObject, options: KubeconfigOptions): Part<ClusterPart> {
  const server = asText(cluster['server']);
  if (server === undefined) return refused('invalid', 'the cluster has no server');
  const url = URL.parse(server);
  if (url === null) return refused('invalid', `server ${server} is not a URL`);
  if (url.protocol !== 'https:') return refused('unsupported', `server ${server} is not https`);
  if (url.username !== '' || url.search !== '') return refused('invalid', 'server is more than scheme, host and path');
  if (asText(cluster['proxy-url']) !== undefined) {
    return refused('unsupported', 'proxy-url: the API is reached directly; use a kubeconfig without it');
  }
  const isInsecure = cluster['insecure-skip-tls-verify'] === true;
  if (isInsecure && options.allowInsecure !== true) {
    return refused('unsupported', 'insecure-skip-tls-verify: give certificate-authority instead');
  }
  const ca = parseMaterial(cluster, 'certificate-authority', options);
  if (!ca.ok) return ca;
  return ok({
    server: server.replace(/\/+$/, ''),
    tlsServerName: asText(cluster['tls-server-name']),
    ca: ca.value,
    isInsecure,
  });
}

function parseUser(user: JsonObject, options: KubeconfigOptions): Part<UserPart> {
  for (const field of ['as', 'as-uid', 'as-groups', 'as-user-extra']) {
    if (user[field] !== undefined) return refused('unsupported', `${field}: impersonation`);
  }
  const cert = parseMaterial(user, 'client-certificate', options);
  if (!cert.ok) return cert;
  const key = parseMaterial(user, 'client-key', options);
  if (!key.ok) return key;
  if ((cert.value === undefined) !== (key.value === undefined)) {
    return refused('invalid', 'client-certificate and client-key must come together');
  }
  const tokenFile = asText(user['tokenFile']);
  const token = asText(user['token']);
  const username = asText(user['username']);
  return ok({
    clientCertificate:
      cert.value === undefined || key.value === undefined ? undefined : { cert: cert.value, key: key.value },
    token:
      tokenFile !== undefined
        ? { kind: 'file', path: besideOf(tokenFile, options) }
        : token !== undefined
          ? { kind: 'inline', bytes: Buffer.from(token) }
          : undefined,
    basic: username === undefined ? undefined : { username, password: asText(user['password']) ?? '' },
    isExotic: user['exec'] !== undefined || user['auth-provider'] !== undefined,
  });
}

/** `<field>-data` (base64), which wins, or `<field>` (a path). */
function parseMaterial(holder: JsonObject, field: string, options: KubeconfigOptions): Part<Material | undefined> {
  const data = asText(holder[`${field}-data`]);
  if (data !== undefined) {
    const bytes = Buffer.from(data, 'base64');
    if (!bytes.includes('-----BEGIN ')) return refused('invalid', `${field}-data is not PEM in base64`);
    return ok({ kind: 'inline', bytes });
  }
  const path = asText(holder[field]);
  return ok(path === undefined ? undefined : { kind: 'file', path: besideOf(path, options) });
}

function besideOf(path: string, options: KubeconfigOptions): string {
  return isAbsolute(path) ? path : resolve(dirname(options.path), path);
}

function findNamed(root: JsonObject, list: string, field: string, name: string): JsonObject | undefined {
  for (const entry of asArray(root[list])) {
    const named = asObject(entry);
    if (named?.['name'] === name) return asObject(named[field]) ?? {};
  }
  return undefined;
}

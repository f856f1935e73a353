/**
 * Which API servers to ask, in order: this node's own first, then what the kubeconfig names, then the other candidates'.
 * Never the virtual IP while there is another way: whoever must create the address can't depend on it. Pure; the client
 * decides which of the list is tried when.
 *
 * kubeadm's serving certificate names the VIP, the node's address and `kubernetes`, but not 127.0.0.1: the local server
 * and the peers' are dialled by address and verified as `kubernetes`.
 */

import { parseIp } from '../base/ip.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';

export type EndpointOrigin = 'override' | 'local' | 'kubeconfig' | 'in-cluster' | 'peer';

export interface Endpoint {
  readonly origin: EndpointOrigin;
  /** IP text without brackets, or a DNS name. */
  readonly host: string;
  readonly port: number;
  /** The name the server's certificate must carry; undefined = `host`. Sent as SNI when it is no IP. */
  readonly serverName: string | undefined;
  /** Path before /api and /apis, without a trailing slash: '' but for proxied clusters. */
  readonly basePath: string;
  /** `https://host:port` with brackets where needed: how logs and status name it. */
  readonly name: string;
}

/** What the operator configured. */
export interface EndpointPolicy {
  /** `kubernetes_addr`: used alone. */
  readonly override?: string | undefined;
  readonly isControlPlane: boolean;
  /** The API server's port on this node. */
  readonly port: number;
  /** The virtual IPs and their DNS names, as texts. */
  readonly vips: readonly string[];
}

/** What the credentials say about the cluster. */
export interface EndpointSource {
  readonly kind: 'kubeconfig' | 'in-cluster';
  /** The kubeconfig's server, or https://KUBERNETES_SERVICE_HOST:PORT. */
  readonly server: string;
  readonly tlsServerName: string | undefined;
  /** kubeadm's admin.conf or super-admin.conf: its files are only on control-plane nodes. */
  readonly isKubeadmAdmin: boolean;
}

/** Any API server of a cluster answers to this name (kubeadm, k3s, RKE2, Talos put it into every serving certificate). */
const API_SERVER_NAME = 'kubernetes';

/** More endpoints than this are not tried: beyond it a deadline has no useful share for each. */
export const ENDPOINTS_MAX = 12;

/** The endpoints in order of preference, without duplicates; never empty. */
export function listEndpoints(
  policy: EndpointPolicy,
  source: EndpointSource,
  peers: readonly string[],
): Outcome<readonly Endpoint[], 'not-a-url'> {
  if (policy.override !== undefined) {
    const override = parseEndpoint(policy.override, 'override', source.tlsServerName);
    return override === undefined ? refused('not-a-url', policy.override) : ok([override]);
  }
  const server = parseEndpoint(source.server, source.kind, source.tlsServerName);
  if (server === undefined) return refused('not-a-url', source.server);

  const found: Endpoint[] = [];
  if (policy.isControlPlane || source.isKubeadmAdmin) {
    const name = source.tlsServerName ?? API_SERVER_NAME;
    for (const host of ['127.0.0.1', '::1']) found.push(makeEndpoint('local', host, policy.port, name, ''));
  }
  if (!isVip(server.host, policy.vips)) found.push(server);
  for (const peer of peers) {
    const endpoint = parseEndpoint(peer, 'peer', source.tlsServerName ?? API_SERVER_NAME);
    if (endpoint !== undefined && !isVip(endpoint.host, policy.vips)) found.push(endpoint);
  }
  if (found.length === 0) found.push(server);
  return ok(withoutDuplicates(found).slice(0, ENDPOINTS_MAX));
}

/** Whether `host` is one of the virtual IPs, given as IP text in any spelling or as a DNS name. */
export function isVip(host: string, vips: readonly string[]): boolean {
  const wanted = canonicalHost(host);
  return vips.some((vip) => canonicalHost(vip) === wanted);
}

/** `https://host[:port][/path]`, or `host:port` for peers; undefined when it is neither. */
export function parseEndpoint(
  text: string,
  origin: EndpointOrigin,
  serverName: string | undefined,
): Endpoint | undefined {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`);
  if (url === null || url.protocol !== 'https:' || url.hostname === '') return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 443 : Number(url.port);
  const isLoopback = host === '127.0.0.1' || host === '::1';
  return makeEndpoint(
    origin,
    host,
    port,
    serverName ?? (isLoopback ? API_SERVER_NAME : undefined),
    url.pathname.replace(/\/+$/, ''),
  );
}

function makeEndpoint(
  origin: EndpointOrigin,
  host: string,
  port: number,
  serverName: string | undefined,
  basePath: string,
): Endpoint {
  const name = `https://${host.includes(':') ? `[${host}]` : host}:${port}${basePath}`;
  return { origin, host, port, serverName, basePath, name };
}

function withoutDuplicates(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const seen = new Set<string>();
  return endpoints.filter((endpoint) => !seen.has(endpoint.name) && seen.add(endpoint.name));
}

function canonicalHost(host: string): string {
  const ip = parseIp(host.replace(/^\[|\]$/g, '').replace(/\/\d+$/, ''));
  return ip.ok ? ip.value.text : host.toLowerCase().replace(/\.$/, '');
}

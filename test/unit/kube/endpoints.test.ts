import { describe, expect, it } from 'vitest';
import {
  ENDPOINTS_MAX,
  isVip,
  listEndpoints,
  parseEndpoint,
  type EndpointPolicy,
  type EndpointSource,
} from '../../../src/kube/endpoints.ts';

const POLICY: EndpointPolicy = { isControlPlane: true, port: 6443, vips: ['192.0.2.50', 'fd00::50', 'api.example'] };
const ADMIN: EndpointSource = {
  kind: 'kubeconfig',
  server: 'https://192.0.2.50:6443',
  tlsServerName: undefined,
  isKubeadmAdmin: true,
};

function names(policy: EndpointPolicy, source: EndpointSource, peers: readonly string[] = []): readonly string[] {
  const listed = listEndpoints(policy, source, peers);
  return listed.ok
    ? listed.value.map((endpoint) => `${endpoint.name} as ${endpoint.serverName ?? endpoint.host}`)
    : [listed.reason];
}

describe('listEndpoints', () => {
  it("asks this node's own API server, verified as kubernetes, and not the VIP that admin.conf names", () => {
    expect(names(POLICY, ADMIN)).toEqual(['https://127.0.0.1:6443 as kubernetes', 'https://[::1]:6443 as kubernetes']);
  });

  it.each(['https://[fd00:0::50]:6443', 'https://API.example:6443', 'https://192.0.2.50'])(
    'knows the VIP in %s',
    (server) => {
      expect(names(POLICY, { ...ADMIN, server })).toHaveLength(2);
    },
  );

  it('adds a server that is not the VIP, then the peers', () => {
    expect(
      names(POLICY, { ...ADMIN, server: 'https://10.0.0.9:6443' }, ['10.0.0.1:6443', 'https://[fd00::2]:6443']),
    ).toEqual([
      'https://127.0.0.1:6443 as kubernetes',
      'https://[::1]:6443 as kubernetes',
      'https://10.0.0.9:6443 as 10.0.0.9',
      'https://10.0.0.1:6443 as kubernetes',
      'https://[fd00::2]:6443 as kubernetes',
    ]);
  });

  it('uses kubernetes_addr alone', () => {
    expect(names({ ...POLICY, override: 'https://10.0.0.5:7443' }, ADMIN, ['10.0.0.1:6443'])).toEqual([
      'https://10.0.0.5:7443 as 10.0.0.5',
    ]);
    expect(names({ ...POLICY, override: 'https://127.0.0.1:6443' }, ADMIN)).toEqual([
      'https://127.0.0.1:6443 as kubernetes',
    ]);
  });

  it('refuses an override that is no https URL', () => {
    expect(names({ ...POLICY, override: 'http://10.0.0.5' }, ADMIN)).toEqual(['not-a-url']);
  });

  it('in a cluster: local first on a control plane, else the service alone', () => {
    const source: EndpointSource = {
      kind: 'in-cluster',
      server: 'https://10.96.0.1:443',
      tlsServerName: undefined,
      isKubeadmAdmin: false,
    };
    expect(names(POLICY, source)).toEqual([
      'https://127.0.0.1:6443 as kubernetes',
      'https://[::1]:6443 as kubernetes',
      'https://10.96.0.1:443 as 10.96.0.1',
    ]);
    expect(names({ ...POLICY, isControlPlane: false }, source)).toEqual(['https://10.96.0.1:443 as 10.96.0.1']);
  });

  it('takes the VIP when there is nothing else (a worker does not hold it)', () => {
    expect(names({ ...POLICY, isControlPlane: false }, { ...ADMIN, isKubeadmAdmin: false })).toEqual([
      'https://192.0.2.50:6443 as 192.0.2.50',
    ]);
  });

  it('verifies everything as tls-server-name when the kubeconfig has one', () => {
    const listed = listEndpoints(POLICY, { ...ADMIN, server: 'https://10.0.0.9:6443', tlsServerName: 'api' }, [
      '10.0.0.1:6443',
    ]);
    expect(listed.ok && listed.value.every((endpoint) => endpoint.serverName === 'api')).toBe(true);
  });

  it('lists each server once, and a bounded number', () => {
    const peers = Array.from({ length: 40 }, (_, index) => `10.0.1.${index}:6443`);
    expect(names(POLICY, ADMIN, ['127.0.0.1:6443', ...peers])).toHaveLength(ENDPOINTS_MAX);
  });

  it('keeps the path of a proxied cluster', () => {
    expect(parseEndpoint('https://r.example/k8s/c-1/', 'kubeconfig', undefined)).toMatchObject({
      basePath: '/k8s/c-1',
      port: 443,
    });
  });

  it('compares hosts and VIPs by value', () => {
    expect(isVip('fd00:0:0::50', ['fd00::50/128'])).toBe(true);
    expect(isVip('192.0.2.5', ['192.0.2.50'])).toBe(false);
  });
});

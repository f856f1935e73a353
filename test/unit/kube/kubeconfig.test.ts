import { describe, expect, it } from 'vitest';
import { parseKubeconfig } from '../../../src/kube/kubeconfig.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const DATA = Buffer.from(PEM).toString('base64');
const OPTIONS = { path: '/etc/kubernetes/admin.conf' };

function document(cluster: object, user: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [
      { name: 'other', context: {} },
      { name: 'here', context: { cluster: 'c', user: 'u' } },
    ],
    clusters: [{ name: 'c', cluster: { server: 'https://192.0.2.50:6443', ...cluster } }],
    users: [{ name: 'u', user }],
  };
}

describe('parseKubeconfig', () => {
  it("reads kubeadm's admin.conf: inline CA and client certificate", () => {
    const parsed = parseKubeconfig(
      document({ 'certificate-authority-data': DATA }, { 'client-certificate-data': DATA, 'client-key-data': DATA }),
      OPTIONS,
    );
    if (!parsed.ok) throw new Error(parsed.detail);
    expect(parsed.value.server).toBe('https://192.0.2.50:6443');
    expect(parsed.value.ca).toEqual({ kind: 'inline', bytes: Buffer.from(PEM) });
    expect(parsed.value.clientCertificate?.key).toEqual({ kind: 'inline', bytes: Buffer.from(PEM) });
    expect(parsed.value.isExotic).toBe(false);
  });

  it('resolves relative paths against the folder of the file', () => {
    const parsed = parseKubeconfig(
      document({ 'certificate-authority': 'pki/ca.crt' }, { tokenFile: '/run/token' }),
      OPTIONS,
    );
    expect(parsed).toMatchObject({
      ok: true,
      value: { ca: { kind: 'file', path: '/etc/kubernetes/pki/ca.crt' }, token: { kind: 'file', path: '/run/token' } },
    });
  });

  it('prefers data to a file, and a token file to a token, as client-go does', () => {
    const parsed = parseKubeconfig(
      document({ 'certificate-authority-data': DATA, 'certificate-authority': 'x' }, { token: 't', tokenFile: 'f' }),
      OPTIONS,
    );
    expect(parsed).toMatchObject({ ok: true, value: { ca: { kind: 'inline' }, token: { kind: 'file' } } });
  });

  it('takes tls-server-name, drops a trailing slash, keeps a path', () => {
    const parsed = parseKubeconfig(
      document({ server: 'https://rancher.example/k8s/clusters/c-1/', 'tls-server-name': 'api' }, { token: 't' }),
      OPTIONS,
    );
    expect(parsed).toMatchObject({
      ok: true,
      value: { server: 'https://rancher.example/k8s/clusters/c-1', tlsServerName: 'api' },
    });
  });

  it('marks exec plugins as exotic', () => {
    const parsed = parseKubeconfig(document({}, { exec: { command: 'aws' } }), OPTIONS);
    expect(parsed).toMatchObject({ ok: true, value: { isExotic: true } });
  });

  it.each([
    ['proxy-url', { 'proxy-url': 'http://proxy:3128' }, {}],
    ['insecure-skip-tls-verify', { 'insecure-skip-tls-verify': true }, {}],
    ['is not https', { server: 'http://192.0.2.50:8080' }, {}],
    ['as: impersonation', {}, { as: 'root' }],
  ])('refuses %s by name', (word, cluster, user) => {
    const parsed = parseKubeconfig(document(cluster, user), OPTIONS);
    expect(parsed).toMatchObject({ ok: false, reason: 'unsupported', detail: expect.stringContaining(word) as string });
  });

  it('takes insecure-skip-tls-verify where it is allowed', () => {
    const parsed = parseKubeconfig(document({ 'insecure-skip-tls-verify': true }, {}), {
      ...OPTIONS,
      allowInsecure: true,
    });
    expect(parsed).toMatchObject({ ok: true, value: { isInsecure: true } });
  });

  it.each([
    ['an empty file', undefined],
    ['a list', []],
    ['a text', 'hello'],
    ['no current-context', { contexts: [] }],
    ['a context that is missing', { 'current-context': 'x', contexts: [] }],
    ['a cluster that is missing', { 'current-context': 'x', contexts: [{ name: 'x', context: { cluster: 'c' } }] }],
    ['a server that is no URL', document({ server: 'nonsense' }, {})],
    ['a certificate without its key', document({}, { 'client-certificate-data': DATA })],
    ['data that is no PEM', document({ 'certificate-authority-data': 'AAAA' }, {})],
    ['lists of the wrong type', { 'current-context': 'x', contexts: 3, clusters: null }],
  ])('refuses %s as invalid', (_what, value) => {
    expect(parseKubeconfig(value, OPTIONS)).toMatchObject({ ok: false, reason: 'invalid' });
  });
});

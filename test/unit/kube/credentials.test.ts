import { mkdtempSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openApiClient } from '../../../src/kube/client.ts';
import { openCredentials, type CredentialOptions, type CredentialStore } from '../../../src/kube/credentials.ts';
import { issue, type Certificate } from '../../lab/certificates.ts';
import {
  answer,
  AUTHORITY,
  clientNameOf,
  memoryLog,
  startScriptedApi,
  statusObject,
  until,
  type MemoryLog,
} from './scripted-api.ts';

const closers: (() => unknown)[] = [];
let folder: string;
let log: MemoryLog;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-credentials-'));
  log = memoryLog();
});

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  rmSync(folder, { recursive: true });
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function kubeconfig(user: string, server = 'https://192.0.2.50:6443'): string {
  return [
    'apiVersion: v1',
    'kind: Config',
    'current-context: here',
    'contexts: [{name: here, context: {cluster: c, user: u}}]',
    `clusters: [{name: c, cluster: {server: "${server}", certificate-authority-data: ${base64(AUTHORITY.certificatePem)}}}]`,
    `users: [{name: u, user: {${user}}}]`,
    '',
  ].join('\n');
}

function certificateUser(certificate: Certificate): string {
  return `client-certificate-data: ${base64(certificate.certificatePem)}, client-key-data: ${base64(certificate.keyPem)}`;
}

async function open(more: Partial<CredentialOptions> = {}): Promise<CredentialStore> {
  const store = await openCredentials({
    kubeconfigPath: join(folder, 'explicit.conf'),
    adminPath: join(folder, 'admin.conf'),
    serviceAccountFolder: join(folder, 'sa'),
    environment: {},
    log: log.log,
    checkIntervalMs: 15,
    missingIntervalMs: 15,
    ...more,
  });
  closers.push(() => store.close());
  return store;
}

function write(name: string, text: string): void {
  // As kubelet and kubeadm do: complete, by rename.
  writeFileSync(join(folder, `${name}.tmp`), text);
  renameSync(join(folder, `${name}.tmp`), join(folder, name));
}

function writeServiceAccount(token: string): void {
  mkdirSync(join(folder, 'sa'), { recursive: true });
  write('sa/ca.crt', AUTHORITY.certificatePem);
  write('sa/token', token);
}

const IN_CLUSTER = { environment: { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' } };

describe('openCredentials', () => {
  it('waits for files that appear later, with one line in the log', async () => {
    const store = await open();
    expect(store.current).toBeUndefined();
    expect(store.problem?.code).toBe('KUBECONFIG_MISSING');
    await new Promise((resolve) => setTimeout(resolve, 60));
    write('explicit.conf', kubeconfig('token: one'));
    await until(() => store.current !== undefined, 'the file is found');
    expect(store.current).toMatchObject({ authorization: 'Bearer one', generation: 1 });
    expect(store.problem).toBeUndefined();
    expect(log.msgs()).toEqual(['waiting for api credentials', 'api credentials loaded']);
  });

  it('prefers the explicit file, then admin.conf, then the service account', async () => {
    writeServiceAccount('sa');
    const store = await open(IN_CLUSTER);
    expect(store.current).toMatchObject({
      authorization: 'Bearer sa',
      endpoint: { kind: 'in-cluster', server: 'https://[fd00::1]:443' },
    });
    write('admin.conf', kubeconfig('token: admin'));
    await until(() => store.current?.authorization === 'Bearer admin', 'admin.conf takes over');
    expect(store.current?.endpoint.isKubeadmAdmin).toBe(true);
    write('explicit.conf', kubeconfig('token: explicit'));
    await until(() => store.current?.authorization === 'Bearer explicit', 'the explicit file takes over');
  });

  it('names a service port that is none', async () => {
    writeServiceAccount('sa');
    const store = await open({ environment: { ...IN_CLUSTER.environment, KUBERNETES_SERVICE_PORT: 'https' } });
    expect(store.current).toBeUndefined();
    expect(store.problem).toMatchObject({ code: 'KUBECONFIG_INVALID' });
    expect(store.problem?.message).toContain('KUBERNETES_SERVICE_PORT');
  });

  it('re-reads a rotated token file, kubeconfig and service account', async () => {
    write('token', 'one\n');
    write('explicit.conf', kubeconfig('tokenFile: token'));
    const store = await open();
    expect(store.current?.authorization).toBe('Bearer one');
    let changes = 0;
    store.onChange(() => (changes += 1));
    write('token', 'two\n');
    await until(() => store.current?.authorization === 'Bearer two', 'the token is re-read');
    write('explicit.conf', kubeconfig('token: three'));
    await until(() => store.current?.authorization === 'Bearer three', 'the kubeconfig is re-read');
    expect(changes).toBe(2);
  });

  it('does not announce a file that was written anew with the same contents', async () => {
    write('explicit.conf', kubeconfig('token: one'));
    const store = await open();
    write('explicit.conf', kubeconfig('token: one'));
    await store.refresh(true);
    expect(store.current?.generation).toBe(1);
  });

  it('re-reads at once when forced, even within the same stamp', async () => {
    write('explicit.conf', kubeconfig('token: one'));
    const store = await open({ checkIntervalMs: 60_000 });
    write('explicit.conf', kubeconfig('token: two'));
    await store.refresh(true);
    expect(store.current?.authorization).toBe('Bearer two');
  });

  it('keeps the last good identity while the file is broken, and says so once', async () => {
    write('explicit.conf', kubeconfig('token: one'));
    const store = await open();
    write('explicit.conf', 'apiVersion: v1\nusers: [{token: hunter2\n');
    await until(() => store.problem !== undefined, 'the problem is seen');
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(store.problem?.code).toBe('KUBECONFIG_INVALID');
    expect(store.current?.authorization).toBe('Bearer one');
    expect(log.lines.filter((line) => line.level === 'error')).toHaveLength(1);
    expect(JSON.stringify(log.lines)).not.toContain('hunter2');
    write('explicit.conf', kubeconfig('token: two'));
    await until(() => store.current?.authorization === 'Bearer two', 'the mended file is read');
  });

  it.each([
    ['a folder', (path: string) => mkdirSync(path), 'KUBECONFIG_INVALID', 'is a folder'],
    [
      'a proxy',
      (path: string) =>
        writeFileSync(path, kubeconfig('token: x').replace('server:', 'proxy-url: "http://p", server:')),
      'KUBECONFIG_UNSUPPORTED',
      'proxy-url',
    ],
    [
      'a missing certificate',
      (path: string) => writeFileSync(path, kubeconfig('client-certificate: no.crt, client-key: no.key')),
      'KUBECONFIG_INVALID',
      'no.crt: ENOENT',
    ],
    [
      'an alias bomb',
      (path: string) => writeFileSync(path, 'a: &a [x]\nb: [*a, *a]\n'),
      'KUBECONFIG_INVALID',
      'no YAML',
    ],
  ])('explains %s', async (_what, make, code, words) => {
    make(join(folder, 'explicit.conf'));
    const store = await open();
    expect(store.problem?.code).toBe(code);
    expect(store.problem?.message).toContain(words);
  });

  it('reads JSON kubeconfigs as well', async () => {
    const document = {
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: 'https://h' } }],
      users: [{ name: 'u', user: { username: 'a', password: 'b' } }],
    };
    write('explicit.conf', JSON.stringify(document));
    const store = await open();
    expect(store.current?.authorization).toBe(`Basic ${base64('a:b')}`);
  });

  it('asks an exec plugin through client-node', async () => {
    const script = `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"plugged"}}'`;
    write('plugin.sh', `#!/bin/sh\n${script}\n`);
    write(
      'explicit.conf',
      kubeconfig(
        `exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: ["${join(folder, 'plugin.sh')}"], interactiveMode: Never}`,
      ),
    );
    const store = await open();
    expect(store.problem).toBeUndefined();
    expect(store.current?.authorization).toBe('Bearer plugged');
  });
});

describe('super-admin.conf', () => {
  const admin = issue(AUTHORITY, { name: 'kubernetes-admin', usage: 'client' });
  const superAdmin = issue(AUTHORITY, { name: 'kubernetes-super-admin', usage: 'client' });

  it('stands in while admin.conf is forbidden, and steps back when it is accepted', async () => {
    let isBound = false;
    const seenAs: string[] = [];
    const api = await startScriptedApi((request, response) => {
      const name = clientNameOf(request) ?? '';
      seenAs.push(name);
      if (name === 'kubernetes-super-admin' || isBound) answer(response, 200, {});
      else answer(response, 403, statusObject(403, 'Forbidden'));
    });
    closers.push(() => api.stop());
    write('admin.conf', kubeconfig(certificateUser(admin), api.url));
    const store = await open();
    const client = openApiClient({
      credentials: store,
      endpoints: { isControlPlane: false, port: api.port, vips: [] },
      log: log.log,
      primaryProbeMs: 30,
    });
    closers.push(() => client.close());
    const get = { method: 'GET', path: '/apis/x/leases/y', deadlineMs: 2000 } as const;
    expect(await client.request(get)).toMatchObject({ failure: 'forbidden' });

    write('super-admin.conf', '');
    expect(await client.request(get)).toMatchObject({ failure: 'forbidden' });
    write('super-admin.conf', kubeconfig(certificateUser(superAdmin), api.url));
    expect(await client.request(get)).toMatchObject({ ok: true });
    expect(store.current?.isStandIn).toBe(true);
    expect(seenAs.at(-1)).toBe('kubernetes-super-admin');

    isBound = true;
    await until(() => store.current?.isStandIn === false, 'admin.conf is used again');
    expect(await client.request(get)).toMatchObject({ ok: true });
    expect(seenAs.at(-1)).toBe('kubernetes-admin');
    expect(log.msgs().filter((msg) => msg.includes('admin.conf'))).toEqual([
      'admin.conf is forbidden, using super-admin.conf until it is accepted',
      'admin.conf is accepted, using it again',
    ]);
  });

  it('is left when it goes away', async () => {
    write('admin.conf', kubeconfig('token: admin'));
    write('super-admin.conf', kubeconfig('token: super'));
    const store = await open();
    if (store.current === undefined) throw new Error('no credentials');
    expect(await store.reportForbidden(store.current)).toBe(true);
    expect(store.current.authorization).toBe('Bearer super');
    rmSync(join(folder, 'super-admin.conf'));
    await until(() => store.current?.authorization === 'Bearer admin', 'admin.conf is used again');
  });

  it('does not stand in for a kubeconfig of another name', async () => {
    write('explicit.conf', kubeconfig('token: mine'));
    write('super-admin.conf', kubeconfig('token: super'));
    const store = await open();
    if (store.current === undefined) throw new Error('no credentials');
    expect(await store.reportForbidden(store.current)).toBe(false);
  });
});

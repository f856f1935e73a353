import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/base/errors.ts';
import { parseConfig } from '../../../src/config/parse.ts';
import { known, unknown } from '../../../src/doctor/fact.ts';
import type { ClusterFacts, Facts } from '../../../src/doctor/facts.ts';
import { dialCertificate, namesOf } from '../../../src/survey/certificates.ts';
import { surveyCluster } from '../../../src/survey/cluster.ts';
import { parseText, readKeepalived, readKubeconfigs, readManifests } from '../../../src/survey/files.ts';
import { askKubeProxy } from '../../../src/survey/kube-proxy.ts';
import { rightsOf } from '../../../src/survey/rights.ts';
import { findSettings } from '../../../src/survey/settings.ts';
import { parseSockets, readSockets } from '../../../src/survey/sockets.ts';
import { survey } from '../../../src/survey/survey.ts';
import { EmbeddedApi } from '../../embedded-api/server.ts';
import { pod } from '../doctor/facts.ts';
import { startEmbedded, type Embedded } from '../kube/embedded.ts';
import { sampleReport } from '../observe/sample-report.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-survey-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function put(path: string, text: string): string {
  const file = join(folder, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
  return file;
}

const HOST = { hostname: 'N1' };

describe('the files', () => {
  it('are keepalived’s configuration, where there is one', () => {
    const path = put('keepalived.conf', 'vrrp_instance VI_1 {}');
    expect(readKeepalived(path)).toEqual(known({ path, text: 'vrrp_instance VI_1 {}' }));
    expect(readKeepalived(join(folder, 'none.conf'))).toEqual(known(undefined));
    expect(readKeepalived(folder)).toMatchObject({
      isKnown: false,
      why: `${folder} is no file that can be read whole`,
    });
  });

  it('are read as the kubelet does: every file but hidden ones and folders; what is no YAML is named', () => {
    put('m/a.yaml', 'kind: Pod\nmetadata: {name: a}\n---\nkind: Service\n');
    put('m/b.json', '{"kind":"Pod","metadata":{"name":"b"}}');
    put('m/c.yaml.bak', 'kind: Pod\n');
    put('m/.hidden', 'kind: Pod\n');
    put('m/folder/x.yaml', 'kind: Pod\n');
    put('m/broken.yaml', 'a: [1\nb: }');
    const read = readManifests(join(folder, 'm'));
    expect(read).toMatchObject({ isKnown: true, value: { unreadable: [{ path: join(folder, 'm/broken.yaml') }] } });
    expect(read.isKnown && read.value.pods.map(({ path }) => path.slice(folder.length))).toEqual([
      '/m/a.yaml',
      '/m/b.json',
      '/m/c.yaml.bak',
    ]);
    expect(readManifests(join(folder, 'none'))).toMatchObject({
      isKnown: false,
      why: expect.stringContaining('ENOENT') as string,
    });
  });

  it('do not hang on a pipe, nor read what is too large or a link to nothing', () => {
    mkdirSync(join(folder, 'odd'), { recursive: true });
    execFileSync('mkfifo', [join(folder, 'odd/a')]);
    put('odd/b', `# ${'x'.repeat(1 << 20)}`);
    symlinkSync(join(folder, 'gone'), join(folder, 'odd/c'));
    const read = readManifests(join(folder, 'odd'));
    expect(read.isKnown && read.value.unreadable.map(({ why }) => why)).toEqual([
      'it is no file',
      'it is larger than 1024 KiB',
      'ENOENT',
    ]);
    execFileSync('mkfifo', [join(folder, 'odd/admin.conf')]);
    expect(readKubeconfigs(join(folder, 'odd'))[0]?.state).not.toBe('read');
  });

  it('do not hang on aliases that multiply', () => {
    const bomb = [
      'a: &a [x, x, x, x, x, x, x, x, x, x]',
      ...'bcdefgh'.split('').map(
        (name, index) =>
          `${name}: &${name} [${Array(10)
            .fill(`*${'abcdefgh'[index] ?? ''}`)
            .join(', ')}]`,
      ),
    ];
    expect(typeof parseText(bomb.join('\n'))).toBe('string');
    expect(parseText('')).toEqual([]);
    expect(parseText('just words')).toEqual([{}]);
  });

  it('tell a kubeconfig from a folder, an empty file and something else, and keep its server only', () => {
    mkdirSync(join(folder, 'k/admin.conf'), { recursive: true });
    put('k/super-admin.conf', '');
    put('k/kubelet.conf', 'apiVersion: v1\n');
    expect(readKubeconfigs(join(folder, 'k')).map(({ state }) => state)).toEqual(['folder', 'empty', 'invalid']);
    const good = {
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster: 'c' } }],
      clusters: [{ name: 'c', cluster: { server: 'https://x:1' } }],
    };
    put('k2/admin.conf', JSON.stringify(good));
    expect(readKubeconfigs(join(folder, 'k2'))).toMatchObject([
      { state: 'read', server: 'https://x:1' },
      { state: 'absent' },
      { state: 'absent' },
    ]);
  });
});

describe('the settings', () => {
  const manifests = known({
    folder: '/m',
    pods: [{ path: '/m/x.yaml', raw: pod({ cp_enable: 'true', address: '192.0.2.10' }) }],
    unreadable: [],
  });

  it('are those given to the command, else those of the static pod, else the defaults', () => {
    const given = findSettings({ env: { address: '192.0.2.11' }, flags: {}, facts: HOST }, manifests);
    expect([given.from, given.parsed.values.address.value]).toEqual(['environment', '192.0.2.11']);
    const flagged = findSettings({ env: {}, flags: { address: '192.0.2.12' }, facts: HOST }, manifests);
    expect([flagged.from, flagged.parsed.values.address.value]).toEqual(['flags', '192.0.2.12']);
    const found = findSettings({ env: { PATH: '/bin' }, flags: {}, facts: HOST }, manifests);
    expect([found.from, found.parsed.values.address.value, found.parsed.values.vip_nodename.value]).toEqual([
      '/m/x.yaml',
      '192.0.2.10',
      'n1',
    ]);
    expect(findSettings({ env: {}, flags: {}, facts: HOST }, unknown('x')).isGiven).toBe(false);
  });

  it("are Holdfast's where kube-vip's static pod is there as well", () => {
    const kubeVip = pod({ address: '192.0.2.99' }, { image: 'ghcr.io/kube-vip/kube-vip:v1' }, 'kube-vip');
    const both = known({
      folder: '/m',
      pods: [
        { path: '/m/a.yaml', raw: kubeVip },
        { path: '/m/b.yaml', raw: pod({ address: '192.0.2.10' }) },
      ],
      unreadable: [],
    });
    expect(findSettings({ env: {}, flags: {}, facts: HOST }, both).from).toBe('/m/b.yaml');
    const alone = known({ folder: '/m', pods: [{ path: '/m/a.yaml', raw: kubeVip }], unreadable: [] });
    expect(findSettings({ env: {}, flags: {}, facts: HOST }, alone).from).toBe('/m/a.yaml');
  });

  it('of a static pod are its flags too', () => {
    const raw = pod({}, { args: ['manager', '--controlplane', '--address=192.0.2.13', '--interface', 'eth7'] });
    const { values } = findSettings(
      { env: {}, flags: {}, facts: HOST },
      known({ folder: '/m', pods: [{ path: '/x', raw }], unreadable: [] }),
    ).parsed;
    expect([values.cp_enable.value, values.address.value, values.vip_interface.value]).toEqual([
      'true',
      '192.0.2.13',
      'eth7',
    ]);
  });
});

describe('the sockets', () => {
  const line = (local: string, state: string, inode: string): string =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0`;

  it('are those that listen, and UDP ones that are connected to nobody', () => {
    const text = ['  sl  local_address', line('00000000:0840', '0A', '11'), line('0100007F:9C40', '01', '12'), ''].join(
      '\n',
    );
    expect(parseSockets(text, 'tcp')).toEqual([{ protocol: 'tcp', port: 2112, inode: '11' }]);
    expect(parseSockets(`head\n${line('00000000000000000000000000000000:193C', '07', '13')}`, 'udp6')).toEqual([
      { protocol: 'udp', port: 6460, inode: '13' },
    ]);
    expect(parseSockets('head\nrubbish', 'tcp')).toEqual([]);
  });

  it('come with their owner where it can be seen, and are not known without /proc', () => {
    const head = 'head\n';
    put('proc/net/tcp', `${head}${line('00000000:0840', '0A', '11')}\n${line('00000000:0841', '0A', '12')}`);
    put('proc/net/udp', head);
    expect(readSockets([2112], join(folder, 'proc'))).toEqual(
      known([{ protocol: 'tcp', port: 2112, owner: undefined }]),
    );
    expect(readSockets([2112], join(folder, 'none'))).toMatchObject({ isKnown: false });
  });
});

describe('the certificate', () => {
  it('names what is in its subject alternative names, addresses canonical, quoted names left out', () => {
    expect(namesOf('DNS:kubernetes, IP Address:192.0.2.10, IP Address:2001:DB8:0:0:0:0:0:10, DNS:*.x')).toEqual([
      'kubernetes',
      '192.0.2.10',
      '2001:db8::10',
      '*.x',
    ]);
    expect(namesOf('DNS:"a, IP Address:192.0.2.10", DNS:b')).toEqual(['b']);
    expect(namesOf('')).toEqual([]);
  });

  it('is not known where nobody listens', async () => {
    expect(await dialCertificate('127.0.0.1', 1)).toMatchObject({ isKnown: false, why: 'ECONNREFUSED' });
  });
});

describe("kube-proxy's health", () => {
  it('is the status of its health check; nobody there is no failure', async () => {
    const server = createServer((_, response) => response.writeHead(503).end('{}')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    expect(await askKubeProxy(port)).toEqual(known(503));
    server.close();
    await once(server, 'close');
    expect(await askKubeProxy(port)).toEqual(known(undefined));
  });
});

describe('the rights', () => {
  it('are the rules of the generated RBAC: those of the election always, those of Services with svc_enable', () => {
    const rights = (env: Readonly<Record<string, string>>): readonly string[] =>
      rightsOf(parseConfig({ env, flags: {}, facts: HOST }).values).map(({ verb, resource, name, namespace }) =>
        `${verb} ${resource}${name === '' ? '' : `/${name}`} ${namespace}`.trim(),
      );
    const few = rights({ cp_enable: 'true' });
    expect(few).toEqual(
      expect.arrayContaining([
        'update leases kube-system',
        'get secrets/holdfast-heartbeat kube-system',
        'watch nodes',
      ]),
    );
    expect(few).not.toContain('patch services/status');
    expect(rights({ cp_enable: 'true', svc_enable: 'true' })).toContain('patch services/status');
    expect(new Set(few).size).toBe(few.length);
  });
});

describe('a survey', () => {
  let api: EmbeddedApi;
  beforeAll(async () => {
    api = new EmbeddedApi({ tls: { names: ['kubernetes', '192.0.2.10'] } });
    await api.start();
    put('s/admin.conf', api.kubeconfig());
    put('s/manifests/etcd.yaml', 'kind: Pod');
  });
  afterAll(() => api.stop());

  const look = (env: Readonly<Record<string, string>> = {}, isProbing = false): Promise<Facts> =>
    survey({
      input: {
        env: {
          vip_arp: 'true',
          cp_enable: 'true',
          address: '192.0.2.10',
          vip_nodename: 'n1',
          port: String(api.port),
          k8s_config_file: join(folder, 's/admin.conf'),
          ...env,
        },
        flags: {},
        facts: HOST,
      },
      manifestsFolder: join(folder, 's/manifests'),
      kubernetesFolder: join(folder, 's'),
      isProbing,
      readStatus: () => Promise.resolve(sampleReport()),
      loadAddon: () => {
        throw new HoldfastError('NATIVE_ADDON_MISSING', 'no addon');
      },
    });

  it('gathers what there is, and the reason of what there is not', async () => {
    const { cluster, certificates, machine, status, files, probe } = await look();
    expect(cluster.api).toEqual(known(`https://127.0.0.1:${api.port}`));
    expect(cluster.nodes).toEqual(known([]));
    expect(cluster.kubeProxy).toEqual(known(undefined));
    expect(cluster.pods).toMatchObject({
      isKnown: false,
      why: expect.stringContaining('there is no Node n1') as string,
    });
    expect(cluster.rights).toMatchObject({ isKnown: false });
    expect(cluster.daemonSets).toMatchObject({ isKnown: false });
    expect(cluster.clock.isKnown && Math.abs(cluster.clock.value.offsetMs)).toBeLessThan(1000);
    expect(cluster.custom.CiliumLoadBalancerIPPool).toEqual(known([]));
    expect(certificates).toMatchObject([
      { vip: undefined, names: { isKnown: true, value: ['kubernetes', '192.0.2.10'] } },
      { vip: '192.0.2.10', names: { isKnown: false, why: expect.stringContaining('--no-probe') as string } },
    ]);
    expect(machine.kernel).toMatchObject({ isKnown: false, why: 'no addon' });
    expect(status.isKnown).toBe(true);
    expect(files.kubeconfigs[0]).toMatchObject({ state: 'read' });
    expect(probe).toMatchObject({ isKnown: false, why: expect.stringContaining('--no-probe') as string });
  });

  it('asks once where nobody answers, and gives every fact that reason', async () => {
    const { cluster } = await look({ kubernetes_addr: 'https://127.0.0.1:1' });
    const reasons = new Set(
      [
        cluster.api,
        cluster.nodes,
        cluster.services,
        cluster.leases,
        cluster.rights,
        cluster.clock,
        cluster.custom.IPAddressPool,
      ].map((fact) => (fact.isKnown ? 'known' : fact.why)),
    );
    expect(reasons.size).toBe(1);
    expect([...reasons][0]).toContain('ECONNREFUSED');
  });

  it('names the missing kubeconfig, and what to do', async () => {
    const { cluster } = await look({ k8s_config_file: join(folder, 'nope/super.conf') });
    // kubeadm's own file may be on the machine that runs this test.
    if (!cluster.api.isKnown) expect(cluster.api.remedy).not.toBe('');
  });
});

describe('the cluster', () => {
  let embedded: Embedded;
  beforeAll(async () => {
    embedded = await startEmbedded();
  });
  afterAll(() => embedded.close());

  const look = (): Promise<ClusterFacts> =>
    surveyCluster({
      client: embedded.client,
      parsed: parseConfig({ env: { vip_nodename: 'n1' }, flags: {}, facts: HOST }),
    });
  const PROXY = '/api/v1/namespaces/kube-system/configmaps';

  it("has kube-proxy's configuration out of its ConfigMap, or why it can't be read", async () => {
    expect((await look()).kubeProxy).toEqual(known(undefined));
    const write = async (method: 'POST' | 'PUT', text: string): Promise<ClusterFacts['kubeProxy']> => {
      const body = { metadata: { name: 'kube-proxy', namespace: 'kube-system' }, data: { 'config.conf': text } };
      await embedded.write(method, method === 'POST' ? PROXY : `${PROXY}/kube-proxy`, body);
      return (await look()).kubeProxy;
    };
    expect(await write('POST', 'mode: ipvs\nipvs:\n  strictARP: true\n')).toEqual(
      known({ mode: 'ipvs', ipvs: { strictARP: true } }),
    );
    expect(await write('PUT', 'mode: [')).toMatchObject({
      isKnown: false,
      why: expect.stringContaining("can't be read") as string,
    });
  });

  it('has custom resources where they are served, and a reason for each list that is refused', async () => {
    embedded.api.install('metallb.io');
    const pool = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'lan', namespace: 'kube-system' },
      spec: { addresses: ['192.0.2.0/28'] },
    };
    await embedded.write('POST', '/apis/metallb.io/v1beta1/namespaces/kube-system/ipaddresspools', pool);
    embedded.api.faults.set([{ path: '/services', action: { kind: 'status', code: 403 } }]);
    const { custom, services, nodes } = await look();
    embedded.api.faults.set([]);
    expect(custom.IPAddressPool).toMatchObject({ isKnown: true, value: [{ metadata: { name: 'lan' } }] });
    expect(services).toMatchObject({
      isKnown: false,
      remedy: expect.stringContaining('may list services in the cluster') as string,
    });
    expect(nodes.isKnown).toBe(true);
  });

  it('is asked once where nobody answers any more', async () => {
    await embedded.api.stop();
    const before = embedded.tried().length;
    const { rights, api } = await look();
    expect([rights, api]).toMatchObject([{ isKnown: false }, { isKnown: false }]);
    expect(embedded.tried().length - before).toBe(1);
  });
});

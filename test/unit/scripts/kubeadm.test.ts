import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { FaultResult } from '../../../scripts/kubeadm/faults.ts';
import { imageOf, kubeVipManifest } from '../../../scripts/kubeadm/product.ts';
import { isGood, reportText, type Measurements, type Run } from '../../../scripts/kubeadm/report.ts';

const NO_OUTAGE = { longestMs: 0, startsMs: undefined, failed: 0, requests: 500, errors: {} };

const FREEZE: FaultResult = {
  fault: 'freeze',
  owner: 'n1',
  ownersDuring: ['n2'],
  answeringDuring: ['n2'],
  movedAfterS: 14.1,
  announcedAfterS: 14.1,
  twoOwnersS: 0,
  twoAnsweringS: 0,
  reads: { longestMs: 10_960, startsMs: 3140, failed: 36, requests: 500, errors: { ETIMEDOUT: 36 } },
  writes: NO_OUTAGE,
  settledAfterS: 0.3,
  ownersAfter: ['n2'],
  restarts: 1,
};

const RUN: Run = {
  product: 'holdfast',
  version: '0.1.0',
  manifest: 'own',
  lease: '15/10/2',
  bootstrap: {
    initS: 9.2,
    heldAfterS: 5.1,
    answeredAfterS: 5.2,
    joinsS: [20, 17],
    settledAfterS: 2,
    reads: NO_OUTAGE,
    switchReads: undefined,
    owners: ['n1'],
    twoOwnersS: 0,
    twoAnsweringS: 0,
    restarts: 0,
    mistakenNodes: [],
  },
  faults: [FREEZE],
};

describe('a run is good', () => {
  it('when every fault ended with one owner', () => {
    expect(isGood(RUN)).toBe(true);
  });

  it.each<[string, Partial<FaultResult>]>([
    ['two owners during a fault', { ownersDuring: ['n1', 'n2'] }],
    ['nobody during a fault', { ownersDuring: [] }],
    ['two owners afterwards', { ownersAfter: ['n1', 'n2'] }],
    ['two owners for a while', { twoOwnersS: 3 }],
  ])('but not with %s', (_, change) => {
    expect(isGood({ ...RUN, faults: [{ ...FREEZE, ...change }] })).toBe(false);
  });

  it('but not when it ended early, or a kubelet took the virtual IP for its own', () => {
    expect(isGood({ ...RUN, problem: 'kubeadm init failed' })).toBe(false);
    const { bootstrap } = RUN;
    if (bootstrap === undefined) throw new Error('there is one');
    expect(isGood({ ...RUN, bootstrap: { ...bootstrap, mistakenNodes: ['n1'] } })).toBe(false);
  });
});

describe('the report', () => {
  it('has a line for the bootstrap and one for each fault, with two owners in bold', () => {
    const two = { ...RUN, product: 'kube-vip', faults: [{ ...FREEZE, ownersDuring: ['n1', 'n2'] }] } as const;
    const text = reportText({ parts: { etcd: '3.6.8' }, runs: [RUN, two] });
    expect(text).toContain('holdfast 0.1.0; kube-vip 0.1.0; etcd 3.6.8');
    expect(text).toContain('| holdfast, own, 15/10/2 | 9.2 | 5.1 | 5.2 | 20, 17 |  | 0 | n1 | 0 | 0 |');
    expect(text).toContain('(SIGSTOP) | holdfast | 10.96 | 0 | 14.1 | 14.1 | 1 | 0 | 0 | 1 | 1 |');
    expect(text).toContain('(SIGSTOP) | kube-vip | 10.96 | 0 | 14.1 | 14.1 | **2** | 0 | 0 | 1 | 1 |');
  });

  it('checked in is the one of the measurements beside it', () => {
    const folder = join(import.meta.dirname, '../../../docs/benchmarks');
    if (!existsSync(join(folder, 'kubeadm.json'))) throw new Error('npm run kubeadm -- --all writes kubeadm.json');
    // Written by scripts/kubeadm.ts.
    const measurements = JSON.parse(readFileSync(join(folder, 'kubeadm.json'), 'utf8')) as Measurements;
    expect(measurements.runs.length).toBeGreaterThan(0);
    expect(readFileSync(join(folder, 'kubeadm.md'), 'utf8')).toBe(reportText(measurements));
  });
});

describe("kube-vip's manifest", () => {
  const lease = { duration: 5, renewDeadline: 3, retryPeriod: 1 };
  const request = { bootstrap: 'super-admin.conf', vip: '10.0.0.9', lease, isFirst: true } as const;
  const read = (text: string) =>
    parse(text) as {
      spec: {
        containers: [{ image: string; env: { name: string; value?: string }[] }];
        volumes: [{ hostPath: { path: string } }];
      };
    };

  it('gets another image, the address and the times, and nothing else', () => {
    const { spec } = read(kubeVipManifest({ ...request, bootstrap: 'admin.conf' }, 'example.org/holdfast:v1'));
    const [container] = spec.containers;
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
    expect(container.image).toBe('example.org/holdfast:v1');
    expect(env).toMatchObject({ address: '10.0.0.9', vip_leaseduration: '5', vip_renewdeadline: '3' });
    expect(env).toMatchObject({ vip_retryperiod: '1', cp_enable: 'true', vip_leasename: 'plndr-cp-lock' });
    expect(spec.volumes[0].hostPath.path).toBe('/etc/kubernetes/admin.conf');
  });

  it('mounts super-admin.conf on the first node only', () => {
    const path = (isFirst: boolean) =>
      read(kubeVipManifest({ ...request, isFirst }, 'x:1')).spec.volumes[0].hostPath.path;
    expect([path(true), path(false)]).toEqual(['/etc/kubernetes/super-admin.conf', '/etc/kubernetes/admin.conf']);
  });

  it('names its image', () => {
    expect(imageOf(kubeVipManifest(request, 'example.org/holdfast:v1'))).toBe('example.org/holdfast:v1');
    expect(() => imageOf('spec: {}')).toThrow('names no image');
  });
});

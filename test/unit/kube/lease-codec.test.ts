import { describe, expect, it } from 'vitest';
import { wall } from '../../../src/base/time.ts';
import { decodeLease, encodeLease, formatMicroTime, isSameWrite } from '../../../src/kube/lease-codec.ts';

/** As kube-apiserver 1.36 stores what client-go's LeaderElector writes (`kubectl get lease -o json`), with foreign extras. */
const STORED = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name: 'plndr-cp-lock',
    namespace: 'kube-system',
    uid: '4e3c1c60-2a3f-4e0b-8f0e-000000000001',
    resourceVersion: '811',
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations: { theirs: 'kept' },
    labels: { team: 'net' },
    managedFields: [{ manager: 'kube-vip', operation: 'Update' }],
  },
  spec: {
    holderIdentity: 'n1',
    leaseDurationSeconds: 5,
    acquireTime: '2026-01-01T00:00:00.000001Z',
    renewTime: '2026-01-01T00:00:07.123456Z',
    leaseTransitions: 3,
    strategy: 'OldestEmulationVersion',
    preferredHolder: 'n2',
  },
};
const IDENTITY = { namespace: 'kube-system', name: 'plndr-cp-lock' };

describe('decodeLease', () => {
  it("reads what client-go's LeaderElector writes", () => {
    const { lease, problems } = decodeLease(STORED);
    expect(problems).toEqual([]);
    expect(lease).toEqual({
      holder: 'n1',
      durationMs: 5000,
      transitions: 3,
      acquireTime: '2026-01-01T00:00:00.000001Z',
      renewTime: '2026-01-01T00:00:07.123456Z',
      annotations: { theirs: 'kept' },
      labels: { team: 'net' },
      resourceVersion: '811',
    });
  });

  it('reads an empty Lease as released', () => {
    const { lease, problems } = decodeLease({ metadata: { resourceVersion: '1' }, spec: {} });
    expect(lease).toMatchObject({ holder: '', durationMs: 0, transitions: 0 });
    expect(problems).toEqual([]);
  });

  it.each([
    [{ holderIdentity: 7 }, 'spec.holderIdentity'],
    [{ holderIdentity: 'x', leaseDurationSeconds: '5' }, 'spec.leaseDurationSeconds'],
    [{ holderIdentity: 'x', leaseDurationSeconds: -5 }, 'spec.leaseDurationSeconds'],
    [{ holderIdentity: 'x' }, 'missing although there is a holder'],
    [{ renewTime: 'yesterday' }, 'spec.renewTime'],
    [{ leaseTransitions: 1.5 }, 'spec.leaseTransitions'],
  ])('names what it can not use: %j', (spec, problem) => {
    const { problems } = decodeLease({ metadata: {}, spec });
    expect(problems.join()).toContain(problem);
  });

  it.each([[{}], [{ metadata: 3, spec: [] }], [{ metadata: { annotations: { a: 1, b: 'x' }, resourceVersion: 5 } }]])(
    'survives %j',
    (raw) => {
      expect(decodeLease(raw).lease.resourceVersion).toBe('');
    },
  );
});

describe('encodeLease', () => {
  it('keeps everything it does not know', () => {
    const { lease } = decodeLease(STORED);
    const written = encodeLease(
      { ...lease, holder: 'n3', transitions: 4, annotations: { ours: 'new' } },
      IDENTITY,
      STORED,
    );
    expect(written).toEqual({
      ...STORED,
      metadata: { ...STORED.metadata, annotations: { theirs: 'kept', ours: 'new' } },
      spec: { ...STORED.spec, holderIdentity: 'n3', leaseTransitions: 4 },
    });
  });

  it('round-trips what was stored', () => {
    expect(encodeLease(decodeLease(STORED).lease, IDENTITY, STORED)).toEqual(STORED);
  });

  it('releases with an empty holder and a duration the API takes', () => {
    const { lease } = decodeLease(STORED);
    const written = encodeLease({ ...lease, holder: '', durationMs: 0 }, IDENTITY, STORED);
    expect(written).toMatchObject({ spec: { holderIdentity: '', leaseDurationSeconds: 1 } });
  });

  it('creates without a resourceVersion', () => {
    const { lease } = decodeLease(STORED);
    const written = encodeLease({ ...lease, resourceVersion: '', labels: {}, annotations: {} }, IDENTITY);
    expect(written['metadata']).toEqual(IDENTITY);
  });
});

describe('isSameWrite', () => {
  it('tells our write from another with the same holder', () => {
    const { lease } = decodeLease(STORED);
    expect(isSameWrite(lease, { ...lease, resourceVersion: '810' })).toBe(true);
    expect(isSameWrite(lease, { ...lease, renewTime: '2026-01-01T00:00:07.123457Z' })).toBe(false);
  });
});

describe('formatMicroTime', () => {
  it.each([
    [0, '1970-01-01T00:00:00.000000Z'],
    [1_767_225_607_123.456, '2026-01-01T00:00:07.123456Z'],
    [1_767_225_607_999.75, '2026-01-01T00:00:07.999750Z'],
  ])('%d ms is %s (metav1.MicroTime)', (ms, text) => {
    // A double holds present times to a quarter of a microsecond.
    expect(formatMicroTime(wall(ms)).slice(0, -2)).toBe(text.slice(0, -2));
    expect(formatMicroTime(wall(ms))).toMatch(/\.\d{6}Z$/);
  });
});

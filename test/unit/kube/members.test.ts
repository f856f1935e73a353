import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  decodeMember,
  MEMBER_LABEL,
  memberLeaseName,
  openMembers,
  type MemberDetails,
  type Members,
  type RegisteredMember,
} from '../../../src/kube/members.ts';
import type { Member } from '../../../src/leader/voters.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const OWN = `${LEASES}/holdfast-member-n1`;
const MEMBER: Member = { name: 'n1', addresses: ['192.0.2.11', '2001:db8::11'], port: 6460, isLeaving: false };
const DETAILS: MemberDetails = {
  apiEndpoint: '192.0.2.11:6443',
  incarnation: '0011223344556677',
  versions: '1-1',
  owner: { name: 'n1', uid: '11111111-2222-3333-4444-555555555555' },
};
const closers: (() => void)[] = [];
let embedded: Embedded;

beforeEach(async () => {
  embedded = await startEmbedded();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

function members(leaseName = 'plndr-cp-lock'): Members {
  const { client, log } = embedded;
  return openMembers({ client, namespace: 'kube-system', leaseName, deadlineMs: 1000, log: log.log });
}

function watch(of: Members): (readonly RegisteredMember[])[] {
  const told: (readonly RegisteredMember[])[] = [];
  const reflector = of.watch((list) => told.push(list));
  closers.push(() => reflector.stop());
  return told;
}

async function version(): Promise<string> {
  return JSON.stringify((await embedded.read(OWN))?.['metadata']);
}

describe('the register of the candidates', () => {
  it('has a Lease for each, with where it is reached', async () => {
    expect(await members().register(MEMBER, DETAILS)).toEqual({ ok: true });
    expect(await embedded.read(OWN)).toMatchObject({
      metadata: {
        labels: { [MEMBER_LABEL]: 'plndr-cp-lock' },
        annotations: {
          'holdfast.io/addresses': '192.0.2.11,2001:db8::11',
          'holdfast.io/heartbeat-port': '6460',
          'holdfast.io/heartbeat-versions': '1-1',
          'holdfast.io/incarnation': '0011223344556677',
          'holdfast.io/api-endpoint': '192.0.2.11:6443',
          'holdfast.io/leaving': 'false',
        },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n1', uid: DETAILS.owner?.uid }],
      },
      spec: { holderIdentity: 'n1' },
    });
  });

  it('is written anew each time, also when nothing changed: it tells whether etcd takes writes', async () => {
    const own = members();
    await own.register(MEMBER, DETAILS);
    const [before, requests] = [await version(), new Map(embedded.api.requests)];
    expect(await own.register(MEMBER, DETAILS)).toEqual({ ok: true });
    expect(await version()).not.toBe(before);
    expect((embedded.api.requests.get('PUT leases') ?? 0) - (requests.get('PUT leases') ?? 0)).toBe(1);
  });

  it('keeps what others wrote into the Lease, and takes one that is there from a former run', async () => {
    await members().register(MEMBER, DETAILS);
    await embedded.write('PATCH', OWN, { metadata: { annotations: { 'example.org/team': 'infra' } } });
    const again = members();
    expect(await again.register({ ...MEMBER, port: 7000, isLeaving: true }, DETAILS)).toEqual({ ok: true });
    expect(await embedded.read(OWN)).toMatchObject({
      metadata: {
        annotations: {
          'example.org/team': 'infra',
          'holdfast.io/heartbeat-port': '7000',
          'holdfast.io/leaving': 'true',
        },
      },
    });
  });

  it('is written in spite of a conflict, a deletion, and an answer that was lost', async () => {
    const own = members();
    await own.register(MEMBER, DETAILS);
    await embedded.write('PATCH', OWN, { metadata: { annotations: { a: 'b' } } });
    expect(await own.register(MEMBER, DETAILS)).toEqual({ ok: true });
    await embedded.write('DELETE', OWN);
    expect(await own.register(MEMBER, DETAILS)).toEqual({ ok: true });
    embedded.api.faults.set([{ methods: ['PUT'], action: { kind: 'lose' }, count: 1 }]);
    await own.register(MEMBER, DETAILS);
    expect(await own.register(MEMBER, DETAILS)).toEqual({ ok: true });
    expect(await embedded.read(OWN)).toBeDefined();
  });

  it('answers with a failure when the API takes no writes', async () => {
    embedded.api.faults.set([{ methods: ['POST', 'PUT'], action: { kind: 'status', code: 500 } }]);
    expect(await members().register(MEMBER, DETAILS)).toMatchObject({ ok: false, failure: 'server-error' });
  });

  it('is watched: all members of this election, once they are known and whenever they change', async () => {
    await members().register(MEMBER, DETAILS);
    await members('other').register(MEMBER, DETAILS);
    const told = watch(members());
    await until(() => told.length > 0, 'the first list');
    expect(told).toEqual([[{ ...MEMBER, apiEndpoint: '192.0.2.11:6443' }]]);
    const second = { ...MEMBER, name: 'n2', addresses: ['192.0.2.12'] };
    await members().register(second, { ...DETAILS, apiEndpoint: undefined });
    await until(() => told.at(-1)?.length === 2, 'the second member');
    expect(told.at(-1)?.[1]).toEqual({ ...second, apiEndpoint: undefined });
    await embedded.write('DELETE', OWN);
    await until(() => told.at(-1)?.length === 1, 'one is gone');
    expect(told.at(-1)?.[0]?.name).toBe('n2');
  });

  it('says that there are none', async () => {
    const told = watch(members());
    await until(() => told.length > 0, 'the first list');
    expect(told).toEqual([[]]);
  });
});

describe("a member's Lease", () => {
  it('has a name of the node, and of the election where that is another', () => {
    expect(memberLeaseName('Node-A.example', 'plndr-cp-lock')).toBe('holdfast-member-node-a.example');
    expect(memberLeaseName('n1', 'vip-b')).toMatch(/^holdfast-member-n1-[0-9a-f]{8}$/);
    const long = memberLeaseName(`${'x'.repeat(235)}.${'y'.repeat(17)}`, 'plndr-cp-lock');
    expect(long.length).toBeLessThanOrEqual(253);
    expect(long).toMatch(/[a-z]-[0-9a-f]{8}$/);
  });

  it.each([
    ['no holder', {}, { holderIdentity: '' }],
    ['no address', { 'holdfast.io/addresses': '' }, {}],
    ['no address that is one', { 'holdfast.io/addresses': 'n1.example,999.1.1.1' }, {}],
    ['no port', { 'holdfast.io/heartbeat-port': '' }, {}],
    ['a port out of range', { 'holdfast.io/heartbeat-port': '70000' }, {}],
  ])('with %s is nobody', (_, annotations, spec) => {
    const full = { 'holdfast.io/addresses': '192.0.2.11', 'holdfast.io/heartbeat-port': '6460' };
    const raw = { metadata: { annotations: { ...full, ...annotations } }, spec: { holderIdentity: 'n1', ...spec } };
    expect(decodeMember(raw)).toBeUndefined();
    expect(decodeMember({ metadata: { annotations: full }, spec: { holderIdentity: 'n1' } })).toBeDefined();
  });

  it('is believed four addresses', () => {
    const addresses = ['1.1.1.1', '1.1.1.2', 'x', '1.1.1.3', '1.1.1.4', '1.1.1.5'];
    const annotations = { 'holdfast.io/addresses': addresses.join(','), 'holdfast.io/heartbeat-port': '1' };
    expect(decodeMember({ metadata: { annotations }, spec: { holderIdentity: 'n1' } })?.addresses).toEqual([
      '1.1.1.1',
      '1.1.1.2',
      '1.1.1.3',
      '1.1.1.4',
    ]);
  });
});

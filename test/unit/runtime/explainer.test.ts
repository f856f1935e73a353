/** `holdfast explain` in the process: the walk from a Service to its Pods, an address, the virtual IPs, and its limits. */

import { describe, expect, it } from 'vitest';

import { assert } from '../../../src/base/assert.ts';
import type { Explanation, ExplainQuery } from '../../../src/observe/explain.ts';
import type { InquiryReply, Question } from '../../../src/protocol/heartbeat/inquiry.ts';
import { EXPLAINING_MAX, openExplainer, type Explainer } from '../../../src/runtime/explainer.ts';
import type { ExplainFacts } from '../../../src/runtime/services/explaining.ts';
import { EMPTY_VIEW } from '../../../src/runtime/services/view.ts';
import { indexEndpoints } from '../../../src/services/endpoints.ts';
import type { Ownership, ServiceObject } from '../../../src/services/model.ts';
import { decodeService } from '../../../src/services/objects/service.ts';
import { planMemo, planServices } from '../../../src/services/plan.ts';
import { assemblePools, NO_SOURCES } from '../../../src/services/pools/assemble.ts';
import { parseSvcPools } from '../../../src/services/pools/environment.ts';
import { ipOf, macOf } from '../../sim/kernel.ts';
import { NodeScript, VIP4 } from '../agent/script.ts';
import { ServiceScript } from '../agent/services-script.ts';

const ADDRESS = '192.0.2.50';
const MACS: Readonly<Record<string, string>> = {
  a: '02:00:00:00:00:0a',
  b: '02:00:00:00:00:0b',
  c: '02:00:00:00:00:0c',
};
const { pools } = assemblePools({ ...NO_SOURCES, environment: parseSvcPools('192.0.2.50-192.0.2.59') });

interface World {
  readonly owner?: string | undefined;
  readonly endpoints?: readonly string[];
  readonly policy?: 'Cluster' | 'Local';
  readonly published?: boolean;
  readonly ownerSays?: Partial<Extract<InquiryReply, { kind: 'held' }>>;
  /** It has no address, and this is the reason that its status gives. */
  readonly pending?: { readonly reason: string; readonly message: string };
}

function serviceOf({ policy = 'Cluster', pending }: World): ServiceObject {
  const { value } = decodeService({
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: 'u',
      resourceVersion: '7',
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: {
      type: 'LoadBalancer',
      ports: [{ port: 80, protocol: 'TCP' }],
      ipFamilies: ['IPv4'],
      externalTrafficPolicy: policy,
    },
    status:
      pending === undefined
        ? { loadBalancer: { ingress: [{ ip: ADDRESS }] } }
        : {
            conditions: [
              {
                type: 'holdfast.io/Allocated',
                status: 'False',
                lastTransitionTime: '2026-01-01T00:00:00Z',
                ...pending,
              },
            ],
          },
  });
  assert(value !== undefined, 'a proper Service');
  return value;
}

function factsOf(world: World): ExplainFacts {
  const { owner = 'b', endpoints = ['b', 'c'], published } = world;
  const service = serviceOf(world);
  const plan = planServices(
    {
      services: [service],
      namespaces: [],
      pools,
      reservations: [],
      quarantined: new Map(),
      rules: {
        className: 'x',
        isClassLegacy: true,
        isClassOnly: false,
        namespace: '',
        isSpread: true,
        ignoresExcludeLabel: false,
      },
      advertisements: [],
      nodes: [],
      endpoints: undefined,
      leader: '?',
      assignment: new Map(),
    },
    planMemo(),
  );
  const ownership: Ownership = {
    address: ipOf(ADDRESS),
    services: [service.key],
    node: owner === '' ? undefined : owner,
    candidates: [
      { node: 'b', isEligible: true, code: '', reason: 'answers on eth0', interfaceName: 'eth0', preference: 0 },
    ],
    reasons: [],
    why: 'it has been the owner',
  };
  const slice = {
    key: 'default/web-1',
    service: service.key,
    family: 'ipv4' as const,
    endpoints: endpoints.map((node) => ({ node, canServe: true })),
  };
  return {
    view: { ...EMPTY_VIEW, isSynced: true, plan, services: [service], owners: new Map([[ADDRESS, ownership]]) },
    endpoints: indexEndpoints([slice]),
    isKubeProxyHealthy: () => published,
  };
}

interface Stand {
  readonly explain: Explainer;
  readonly asked: string[];
}

/** Node a, which hears b and c; each answers what is asked as it should. */
function stand(world: World = {}, node: NodeScript = new ServiceScript().ready()): Stand {
  const asked: string[] = [];
  const owner = world.owner ?? 'b';
  const reply = (name: string, { subject }: Question): Promise<InquiryReply> => {
    asked.push(`${name} ${subject}`);
    const [mac, ownerMac] = [macOf(MACS[name] ?? '02:00:00:00:00:0e'), macOf(MACS[owner] ?? MACS['b'] ?? '')];
    const held: InquiryReply = {
      kind: 'held',
      phase: 'holding',
      interfaceName: 'eth0',
      mac,
      sinceSeconds: 61,
      announcements: 7,
      lastAnnouncedSecondsAgo: 2,
      rival: undefined,
      isKubeProxyHealthy: undefined,
      otherMacs: [],
      ...world.ownerSays,
    };
    const heard = owner === '' ? [] : [{ mac: ownerMac, afterMicros: 300 }];
    const wire: InquiryReply = { kind: 'wire', interfaceName: 'eth0', mac, listenedMs: 150, heard, otherMacs: [] };
    return Promise.resolve(subject === 'holding' ? held : wire);
  };
  const explain = openExplainer({
    rules: node.rules,
    isHeartbeating: true,
    witness: (question) => reply('a', question),
    inquire: (name, question) => reply(name, question).then((said) => ({ ok: true, reply: said })),
    state: () => node.state,
    services: () => factsOf(world),
    now: () => node.now,
  });
  return { explain, asked };
}

async function explained(
  found: Stand,
  query: ExplainQuery = { kind: 'service', key: 'default/web' },
): Promise<Explanation> {
  const explanation = await found.explain(query);
  assert(explanation !== undefined, 'Services are served');
  return explanation;
}

/** `mark step: detail`. */
function lines({ steps }: Explanation): readonly string[] {
  return steps.map(({ isOk, step, detail }) => `${isOk === undefined ? '?' : isOk ? 'ok' : 'bad'} ${step}: ${detail}`);
}

describe('a Service', () => {
  it('is walked through from its class to a Pod, and who should know is asked', async () => {
    const found = stand({ ownerSays: { isKubeProxyHealthy: true } });
    expect(lines(await explained(found))).toEqual([
      'ok class: it is ours (no class)',
      'ok allocation: 192.0.2.50 of pool svc_pools',
      'ok endpoints: can serve on b, c, externalTrafficPolicy Cluster',
      'ok candidate: b answers on eth0',
      'ok owner: b answers for 192.0.2.50: it has been the owner',
      'ok holding: b: holding on eth0 (02:00:00:00:00:0b) for 1 min 1 s, announced 7 times, last 2.0 s ago',
      'ok wire: asked from a on eth0: 192.0.2.50 answered by 02:00:00:00:00:0b (b) in 0.3 ms',
      'ok wire: asked from c on eth0: 192.0.2.50 answered by 02:00:00:00:00:0b (b) in 0.3 ms',
      'ok kube-proxy: it is well on b',
      'ok backend: on b itself there are endpoints',
    ]);
    expect(found.asked).toEqual(['b holding', 'a wire', 'c wire']);
  });

  it("says what the owner's kube-proxy is, by its own word before what it published", async () => {
    const kubeProxy = async (world: World): Promise<string | undefined> =>
      lines(await explained(stand(world))).find((line) => line.includes('kube-proxy:'));
    expect(await kubeProxy({ published: true })).toBe('ok kube-proxy: it is well on b');
    expect(await kubeProxy({ published: true, ownerSays: { isKubeProxyHealthy: false } })).toBe(
      'bad kube-proxy: it is not well on b',
    );
    expect(await kubeProxy({})).toBe('? kube-proxy: none is seen on b: nothing answers on port 10256');
  });

  it('says where traffic goes on from an owner without endpoints, and that it ends there with Local', async () => {
    const backend = async (world: World): Promise<string | undefined> =>
      lines(await explained(stand(world))).find((line) => line.includes('backend:'));
    expect(await backend({ endpoints: ['c', 'd'] })).toBe(
      'ok backend: none on b itself: kube-proxy there sends on to c, d',
    );
    expect(await backend({ endpoints: ['c'], policy: 'Local' })).toBe(
      'bad backend: no endpoint on b, and traffic stays there',
    );
    expect(await backend({ endpoints: [] })).toBeUndefined();
  });

  it('with an address that nobody answers for is asked about all the same', async () => {
    const found = stand({ owner: '' });
    const text = lines(await explained(found));
    expect(text).toContain(
      'ok wire: asked from a on eth0: nobody answered for 192.0.2.50 in 150 ms, and nobody should',
    );
    expect(found.asked).toEqual(['a wire', 'b wire', 'c wire']);
  });

  it('is explained without asking when too many are at once, and that is said', async () => {
    const found = stand();
    const all = await Promise.all(Array.from({ length: EXPLAINING_MAX + 1 }, () => explained(found)));
    const unasked = all.filter(({ addresses }) => addresses.length === 0);
    expect(unasked.length).toBe(1);
    expect(lines(unasked[0] ?? assertNever())).toContain(
      '? wire: nobody was asked about 192.0.2.50: too much is asked for at once',
    );
    expect((await explained(found)).addresses.length).toBe(1);
  });

  it('without an address is explained by its condition where another node leads, with the code if it is one', async () => {
    const steps = async (reason: string): Promise<unknown> => {
      const { steps: all } = await explained(stand({ pending: { reason, message: 'two serve it' } }));
      const { code, detail, next } = all.find(({ step }) => step === 'allocation') ?? assertNever();
      return [code, detail, next.includes('Let one program serve it')];
    };
    expect(await steps('ServiceContested')).toEqual(['SERVICE_CONTESTED', 'two serve it', true]);
    expect(await steps('SomethingElse')).toEqual(['', 'two serve it', false]);
  });

  it('that does not exist asks nobody', async () => {
    const found = stand();
    const said = await explained(found, { kind: 'service', key: 'default/nobody' });
    expect(lines(said)).toEqual(['bad service: there is no Service default/nobody of type LoadBalancer']);
    expect(found.asked).toEqual([]);
  });
});

describe('with more nodes than may vote', () => {
  const member = (name: string) => ({ name, addresses: ['192.0.2.9'], port: 6460, isLeaving: false });

  it('one without a vote asks the voters, which it hears', async () => {
    const found = stand({}, new ServiceScript(['b', 'c', 'd', 'e']).ready());
    await explained(found);
    expect(found.asked).toEqual(['b holding', 'a wire', 'c wire', 'd wire']);
  });

  it('a voter asks one without a vote too, after the voters, while that is heard', async () => {
    const node = new ServiceScript(['a', 'b']).ready();
    node.at(500, { kind: 'members.observed', members: ['a', 'b', 'z'].map(member) });
    const asked = async (): Promise<readonly string[]> => {
      const found = stand({ owner: 'a' }, node);
      await explained(found);
      return found.asked;
    };
    expect(await asked()).toEqual(['a holding', 'b wire']);
    node.beat('z');
    expect(await asked()).toEqual(['a holding', 'b wire', 'z wire']);
    node.go(5_000);
    expect(await asked()).toEqual(['a holding', 'b wire']);
  });
});

describe('an address', () => {
  it('of a Service is explained as that', async () => {
    const said = await explained(stand(), { kind: 'address', text: ADDRESS });
    expect(said).toMatchObject({ subject: `address ${ADDRESS}`, service: 'default/web', node: 'a' });
    expect(lines(said).slice(0, 2)).toEqual([
      'ok address: it is of Service default/web',
      'ok class: it is ours (no class)',
    ]);
  });

  it.each([
    ['192.0.2.99', 'bad address: it is no virtual IP of the control plane, and no Service has it'],
    ['192.0.2.99/24', 'bad address: this is no IP address'],
    ['', 'bad address: this is no IP address'],
    ['x'.repeat(10_000), 'bad address: this is no IP address'],
  ])('%s that is nobody’s asks nobody', async (text, line) => {
    const found = stand();
    const said = await explained(found, { kind: 'address', text });
    expect(lines(said)).toEqual([line]);
    expect(said.subject.length).toBeLessThan(100);
    expect(found.asked).toEqual([]);
  });
});

describe('the virtual IP', () => {
  it('is explained by its holder', async () => {
    const node = new NodeScript();
    node.start();
    const found = stand({ owner: 'a' }, node);
    const said = await explained(found, { kind: 'address', text: VIP4 });
    expect(lines(said).slice(0, 2)).toEqual([
      `ok address: ${VIP4} is a virtual IP of the control plane`,
      'bad owner: nobody holds it: no Lease has been seen',
    ]);
    expect(await explained(found, { kind: 'vip' })).toMatchObject({ subject: `virtual IP ${VIP4}` });
  });

  it('that is not configured is said to be none', async () => {
    const said = await explained(stand(), { kind: 'vip' });
    expect(lines(said)).toEqual(['bad address: there is no virtual IP: this process holds none (cp_enable, address)']);
  });
});

function assertNever(): never {
  throw new Error('nobody was left unasked');
}

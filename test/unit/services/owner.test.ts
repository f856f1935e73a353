import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { candidatesFor, EXCLUDE_LABEL, surveyOf, UNKNOWN_LEADER } from '../../../src/services/candidate.ts';
import type { NodeFacts, Ownership, ServiceAddress } from '../../../src/services/model.ts';
import { ownerOf, owners, type OwnerContext } from '../../../src/services/owner.ts';
import { rendezvousMemo, rendezvousOrder } from '../../../src/services/rendezvous.ts';
import { ELECTIONS, LOCALS } from '../../vectors/owner/metallb-l2.ts';
import {
  address,
  advertisement,
  allocation,
  ip,
  labelled,
  metallbPool,
  nic,
  nodeFacts,
  ownerContext,
  recordOf,
  slice,
  SPREAD,
} from './owner-facts.ts';

const LEADER_ONLY = { ...SPREAD, isSpread: false };
const hosts = (...names: readonly string[]): NodeFacts[] => names.map((name) => nodeFacts(name));
const range24 = (count: number): ServiceAddress[] =>
  Array.from({ length: count }, (_, index) => address(`10.0.${index >> 8}.${index & 255}`));
const nodesOf = (all: readonly Ownership[]): unknown =>
  Object.fromEntries(all.map((each) => [each.address.text, each.node]));
const one = (of: ServiceAddress, context: OwnerContext): Ownership => {
  const [found] = owners([of], context);
  if (found === undefined) throw new Error('no ownership');
  return found;
};

describe('the elections of MetalLB', () => {
  it('come out in the same order, but that the former owner stays', () => {
    let checked = 0;
    for (const vector of ELECTIONS) {
      const nodes = Object.entries(vector.nodes).map(([name, given]) =>
        nodeFacts(name, {
          labels: {
            ...(given.isExcluded === true ? { [EXCLUDE_LABEL]: 'true' } : {}),
            ...(given.preference === undefined ? {} : { preferred: 'yes' }),
          },
          isNetworkUnavailable: given.isNetworkUnavailable === true,
          hasStanding: given.isGone !== true,
        }),
      );
      const pool = metallbPool('pool', ['10.0.0.0-10.255.255.255']);
      const preferredNodes = [{ weight: 100, selector: labelled({ preferred: 'yes' }) }];
      const context = ownerContext(nodes, {
        advertisements: [advertisement('ad', { preferredNodes })],
        rules: { ...SPREAD, ignoresExcludeLabel: vector.ignoresExcludeLabel === true },
      });
      const name = `case ${vector.case}: ${vector.name}`;
      const found = one(address(vector.address, pool), context);
      const order = found.candidates.filter(({ isEligible }) => isEligible).map(({ node }) => node);
      expect(order, name).toEqual(vector.order);
      expect(found.node, name).toBe(vector.order[0]);
      expect(
        found.reasons.map(({ code }) => code),
        name,
      ).toEqual(vector.order.length === 0 ? ['NODE_EXCLUDED'] : []);
      if (vector.assigned !== undefined) {
        const assignment = new Map([[vector.address, vector.assigned]]);
        expect(one(address(vector.address, pool), { ...context, assignment }).node, name).toBe(vector.sticky);
      }
      checked += 1;
    }
    expect(checked).toBe(11);
  });

  it('with local traffic only come out the same, and say why nobody answers', () => {
    let checked = 0;
    for (const vector of LOCALS) {
      const pool = metallbPool('pool', ['10.0.0.0-10.255.255.255']);
      const of = {
        address: ip('10.0.0.1'),
        pool,
        allocations: [allocation('ns/web', ['10.0.0.1'], { trafficPolicy: 'Local' as const })],
      };
      const selector = labelled({ 'kubernetes.io/hostname': vector.advertisedOn });
      const context = ownerContext(hosts('iris1', 'iris2'), {
        advertisements: [advertisement('ad', { nodeSelectors: [selector] })],
        slices: [slice('ns/web', [vector.endpointOn])],
      });
      const found = one(of, context);
      expect(found.node, vector.name).toBe(vector.owner);
      if (vector.owner === undefined) {
        expect(found.reasons).toEqual([
          {
            pool: '',
            code: 'NO_CANDIDATE',
            message:
              'no node may answer for 10.0.0.1: iris1: is not selected by L2Advertisement metallb-system/ad; iris2: runs no Pod that can serve Service ns/web, which wants local traffic only (they run on iris1)',
          },
        ]);
      }
      checked += 1;
    }
    expect(checked).toBe(2);
  });
});

describe('an owner', () => {
  it('stays while it may answer, whatever the hash and the preferences say', () => {
    const nodes = hosts('a', 'b', 'c');
    for (const { node } of nodes) {
      const found = one(address('10.0.0.1'), ownerContext(nodes, { assignment: new Map([['10.0.0.1', node.name]]) }));
      expect(found.node).toBe(node.name);
      const rest = rendezvousOrder(
        '10.0.0.1',
        nodes.map((each) => ({ name: each.node.name, weight: 1 })),
      );
      const others = rest.filter((name) => name !== node.name);
      expect(found.candidates.map((each) => each.node)).toEqual([node.name, ...others]);
    }
  });

  it('is replaced by the next in line when it may not answer any more, or is no node any more', () => {
    const assignment = new Map([['10.0.0.1', 'b']]);
    const order = rendezvousOrder('10.0.0.1', [
      { name: 'a', weight: 1 },
      { name: 'c', weight: 1 },
    ]);
    const silent = [...hosts('a', 'c'), nodeFacts('b', { hasStanding: false })];
    for (const nodes of [silent, hosts('a', 'c')]) {
      expect(one(address('10.0.0.1'), ownerContext(nodes, { assignment })).node).toBe(order[0]);
    }
  });

  it('comes with the others behind it: those that may answer in line, then the rest by name', () => {
    const nodes = [nodeFacts('z', { isDraining: true }), nodeFacts('b', { weight: 0 }), ...hosts('a', 'c')];
    const { candidates } = one(address('10.0.0.1'), ownerContext(nodes));
    const line = rendezvousOrder('10.0.0.1', [
      { name: 'a', weight: 1 },
      { name: 'c', weight: 1 },
    ]);
    expect(candidates.map(({ node }) => node)).toEqual([...line, 'b', 'z']);
  });

  it('is told with the reason why it is this one', () => {
    const why = (nodes: readonly NodeFacts[], given: Partial<OwnerContext> = {}, of = address('10.0.0.1')): unknown =>
      one(of, ownerContext(nodes, given)).why;
    expect(why(hosts('a'))).toBe('it is the only candidate');
    expect(why(hosts('a', 'b', 'c'))).toBe('it is first of 3 candidates by hash');
    const assignment = new Map([['10.0.0.1', 'b']]);
    expect(why(hosts('a', 'b'), { assignment })).toBe('it has been the owner, and still is a candidate');
    expect(why(hosts('a', 'b'), { rules: LEADER_ONLY, leader: 'a' })).toBe('it leads');
    const preferredNodes = [{ weight: 1, selector: labelled({ 'kubernetes.io/hostname': 'a' }) }];
    const preferring = { advertisements: [advertisement('ad', { preferredNodes })] };
    expect(why(hosts('a', 'b'), preferring, address('10.0.0.1', metallbPool('p', ['10.0.0.1'])))).toBe(
      'it is preferred',
    );
    expect(why([])).toBe(undefined);
  });

  it('is one for all Services that share the address', () => {
    const shared = {
      address: ip('10.0.0.1'),
      pool: undefined,
      allocations: [allocation('ns/a', ['10.0.0.1']), allocation('ns/b', ['10.0.0.1'])],
    };
    expect(one(shared, ownerContext(hosts('a', 'b')))).toMatchObject({
      services: ['ns/a', 'ns/b'],
      node: one(address('10.0.0.1'), ownerContext(hosts('a', 'b'))).node,
    });
  });

  it('of one address is what it is of all', () => {
    const context = ownerContext(hosts('a', 'b', 'c'));
    const survey = surveyOf(context);
    const all = range24(20);
    const apart = all.map((of) => ownerOf(of, candidatesFor(of, survey), { assigned: undefined, survey }));
    expect(apart).toEqual(owners(all, context));
  });
});

describe('nobody', () => {
  const reasons = (of: ServiceAddress, context: OwnerContext): unknown =>
    one(of, context).reasons.map(({ code, message }) => `${code}: ${message}`);

  it('answers without a node', () => {
    expect(reasons(address('10.0.0.1'), ownerContext([]))).toEqual([
      'NO_CANDIDATE: no node may answer for 10.0.0.1: no node is known',
    ]);
  });

  it('answers without an advertisement or an endpoint, which is told once', () => {
    const pool = metallbPool('lan', ['10.0.0.1-10.0.0.9']);
    const of = address('10.0.0.1', pool);
    expect(reasons(of, ownerContext(hosts('a', 'b'), { slices: [] }))).toEqual([
      'NO_ADVERTISEMENT: no advertisement covers pool metallb/lan',
      'NO_ENDPOINTS: no Pod can serve Service default/10.0.0.1',
    ]);
    expect(one(of, ownerContext(hosts('a'))).reasons[0]).toMatchObject({ pool: 'metallb/lan' });
    expect(reasons(address('10.0.0.1'), ownerContext(hosts('a', 'b'), { slices: [] }))).toEqual([
      'NO_ENDPOINTS: no Pod can serve Service default/10.0.0.1',
    ]);
  });

  it('is told node by node, those with the same reason together, a few of them', () => {
    const nodes = [
      ...['a', 'b', 'c', 'd', 'e'].map((name) => nodeFacts(name, { labels: { [EXCLUDE_LABEL]: '' } })),
      nodeFacts('f', { isDraining: true }),
    ];
    expect(reasons(address('10.0.0.1'), ownerContext(nodes))).toEqual([
      `NO_CANDIDATE: no node may answer for 10.0.0.1: a, b, c and 2 more: has the label ${EXCLUDE_LABEL}; f: is being drained`,
    ]);
    expect(reasons(address('10.0.0.1'), ownerContext(nodes.slice(0, 3)))).toEqual([
      `NODE_EXCLUDED: no node may answer for 10.0.0.1: a, b, c: has the label ${EXCLUDE_LABEL}`,
    ]);
    const apart = Array.from({ length: 7 }, (_, index) =>
      nodeFacts(`n${index}`, { interfaces: [nic('eth0', [`10.${index + 1}.0.1/24`])] }),
    );
    const { reasons: found } = one(address('10.0.0.1'), ownerContext(apart));
    expect(found[0]?.message).toMatch(/n4: has no interface .*; and 2 other reasons$/);
  });

  it('answers while the leader may not and svc_election is false', () => {
    const nodes = [nodeFacts('a', { interfaces: [] }), nodeFacts('b')];
    expect(reasons(address('10.0.0.1'), ownerContext(nodes, { rules: LEADER_ONLY, leader: 'a' }))).toEqual([
      'NO_CANDIDATE: no node may answer for 10.0.0.1: a: has no interface whose subnet holds the address (it has no IPv4 subnet); b: may answer only while it leads (svc_election=false): a leads',
    ]);
  });
});

describe('while svc_election is false and who leads is not known', () => {
  const presume = (nodes: readonly NodeFacts[], given: Parameters<typeof ownerContext>[1] = {}): OwnerContext =>
    ownerContext(nodes, { rules: LEADER_ONLY, leader: UNKNOWN_LEADER, ...given });

  it('one node is presumed to lead, and has all addresses', () => {
    const found = owners(range24(50), presume(hosts('a', 'b', 'c')));
    const [first] = rendezvousOrder(
      '10.0.0.0',
      ['a', 'b', 'c'].map((name) => ({ name, weight: 1 })),
    );
    expect(new Set(found.map(({ node }) => node))).toEqual(new Set([first]));
    expect(found[7]).toMatchObject({
      why: 'it is presumed to lead',
      candidates: [
        {
          node: first,
          isEligible: true,
          reason: expect.stringContaining(
            'presumed to lead: while svc_election is false the leader answers for every address',
          ) as string,
        },
        { isEligible: true },
        { isEligible: true },
      ],
    });
  });

  it('of one address it is the first by hash, and by preference before that', () => {
    expect(one(address('10.0.0.1'), presume(hosts('node-a', 'node-b', 'node-c'))).node).toBe('node-b');
    const preferredNodes = [{ weight: 1, selector: labelled({ 'kubernetes.io/hostname': 'node-c' }) }];
    const context = presume(hosts('node-a', 'node-b', 'node-c'), {
      advertisements: [advertisement('ad', { preferredNodes })],
    });
    expect(one(address('10.0.0.1', metallbPool('p', ['10.0.0.1'])), context).node).toBe('node-c');
  });

  it('it is the one that may answer for the most; what it may not, is shown where it could be', () => {
    const on = (key: string, text: string): ServiceAddress => ({
      address: ip(text),
      pool: undefined,
      allocations: [allocation(key, [text], { trafficPolicy: 'Local' })],
    });
    const slices = [slice('ns/a', ['n1']), slice('ns/b', ['n2']), slice('ns/c', ['n2'])];
    const all = [on('ns/a', '10.0.0.1'), on('ns/b', '10.0.0.2'), on('ns/c', '10.0.0.3')];
    const found = owners(all, presume(hosts('n1', 'n2'), { slices }));
    expect(nodesOf(found)).toEqual({ '10.0.0.1': 'n1', '10.0.0.2': 'n2', '10.0.0.3': 'n2' });
    expect(found[0]?.candidates[0]?.reason).toContain(
      'only if it leads (svc_election=false): n2, which is presumed to, may not answer for this address',
    );
  });

  it('draining another node moves nothing, draining it moves all', () => {
    const all = range24(30);
    const before = owners(all, presume(hosts('a', 'b', 'c')));
    const leader = before[0]?.node;
    for (const name of ['a', 'b', 'c']) {
      const nodes = ['a', 'b', 'c'].map((each) => nodeFacts(each, { isDraining: each === name }));
      const after = owners(all, presume(nodes));
      expect(after.filter(({ node }, index) => node !== before[index]?.node).length).toBe(name === leader ? 30 : 0);
    }
  });
});

/** Clusters of any shape: nodes that differ in what matters, addresses with one or several Services. */
const names = ['n1', 'n2', 'n3', 'n4', 'n5'];
const node = fc.record({
  isDraining: fc.boolean(),
  isCordoned: fc.boolean(),
  hasStanding: fc.constantFrom(true, true, false, undefined),
  weight: fc.constantFrom(0, 1, 1, 3),
  zone: fc.constantFrom('x', 'y'),
  subnet: fc.constantFrom('10.0.0.5/16', '10.0.0.5/25', undefined),
});
const service = fc.record({
  isLocal: fc.boolean(),
  on: fc.subarray(names),
  app: fc.constantFrom('a', 'b'),
});
const cluster = fc.record({
  nodes: fc.tuple(node, node, node, node, node),
  services: fc.array(fc.array(service, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 12 }),
  assigned: fc.array(fc.option(fc.constantFrom(...names, 'gone'))),
  isSpread: fc.boolean(),
  leader: fc.constantFrom('n1', 'n2', UNKNOWN_LEADER, undefined),
});
type Cluster = typeof cluster extends fc.Arbitrary<infer T> ? T : never;

function contextOf({ nodes, services, assigned, isSpread, leader }: Cluster): {
  readonly addresses: readonly ServiceAddress[];
  readonly context: OwnerContext;
} {
  const pool = metallbPool('p', ['10.0.0.0-10.0.255.255']);
  const addresses = services.map((own, place): ServiceAddress => {
    const text = `10.0.0.${place * 20}`;
    return {
      address: ip(text),
      pool,
      allocations: own.map(({ isLocal, app }, index) =>
        allocation(`ns/s${place}-${index}`, [text], { trafficPolicy: isLocal ? 'Local' : 'Cluster', labels: { app } }),
      ),
    };
  });
  const slices = services.flatMap((own, place) => own.map(({ on }, index) => slice(`ns/s${place}-${index}`, on)));
  const facts = nodes.map(({ subnet, zone, ...given }, index) =>
    nodeFacts(names[index] ?? '', {
      ...given,
      labels: { zone },
      interfaces: subnet === undefined ? undefined : [nic('eth0', [subnet])],
    }),
  );
  const advertisements = [
    advertisement('one', { nodeSelectors: [labelled({ zone: 'x' })], serviceSelectors: [labelled({ app: 'a' })] }),
    advertisement('two', { preferredNodes: [{ weight: 5, selector: labelled({ zone: 'y' }) }] }),
  ];
  const assignment = new Map(
    addresses.flatMap(({ address: of }, place) => {
      const name = assigned[place];
      return name === undefined || name === null ? [] : [[of.text, name] as const];
    }),
  );
  const rules = { ...SPREAD, isSpread };
  return { addresses, context: ownerContext(facts, { slices, advertisements, assignment, rules, leader }) };
}

describe('whatever the cluster', () => {
  it('every node computes the same owners from the same facts, in any order, with or without memory', () => {
    const memo = rendezvousMemo();
    fc.assert(
      fc.property(cluster, fc.infiniteStream(fc.nat()), (given, numbers) => {
        const { addresses, context } = contextOf(given);
        const shuffled = <T>(list: readonly T[]): T[] =>
          list
            .map((value) => ({ value, key: numbers.next().value as number }))
            .sort((a, b) => a.key - b.key)
            .map(({ value }) => value);
        const expected = owners(addresses, context);
        const other = owners(shuffled(addresses), {
          ...context,
          nodes: shuffled(context.nodes),
          advertisements: shuffled(context.advertisements),
          assignment: new Map(shuffled([...context.assignment])),
          memo,
        });
        const byAddress = new Map(other.map((each) => [each.address.text, each]));
        expect(expected.map((each) => byAddress.get(each.address.text))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('somebody answers exactly when somebody may, and each candidate has one reason', () => {
    fc.assert(
      fc.property(cluster, (given) => {
        const { addresses, context } = contextOf(given);
        for (const { node: owner, candidates, reasons, why } of owners(addresses, context)) {
          expect(candidates.map((each) => each.node).toSorted()).toEqual(names);
          const eligible = candidates.filter(({ isEligible }) => isEligible);
          expect(owner).toBe(eligible[0]?.node);
          expect(candidates.slice(0, eligible.length)).toEqual(eligible);
          expect([reasons.length > 0, why === undefined]).toEqual([owner === undefined, owner === undefined]);
          for (const each of candidates) {
            expect([each.code === '', each.reason !== '']).toEqual([each.isEligible, true]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('at most the addresses of a node that is lost, drained or gone move, and none returns with it', () => {
    const change = fc.constantFrom<'lost' | 'drained' | 'gone'>('lost', 'drained', 'gone');
    fc.assert(
      fc.property(cluster, fc.constantFrom(...names), change, (given, name, kind) => {
        const { addresses, context } = contextOf({ ...given, isSpread: true });
        const before = owners(addresses, context);
        const nodes = context.nodes.flatMap((facts) => {
          if (facts.node.name !== name) return [facts];
          if (kind === 'gone') return [];
          return [kind === 'lost' ? { ...facts, hasStanding: false } : { ...facts, isDraining: true }];
        });
        const without = owners(addresses, { ...context, nodes, assignment: recordOf(before) });
        for (const [place, { node: owner }] of without.entries()) {
          expect(owner).not.toBe(name);
          if (before[place]?.node !== name) expect(owner).toBe(before[place]?.node);
        }
        const again = owners(addresses, { ...context, assignment: recordOf(without) });
        for (const [place, { node: owner, candidates }] of again.entries()) {
          const kept = without[place]?.node;
          const isKept = candidates.some((each) => each.node === kept && each.isEligible);
          // A cordoned node that stood in gives way to one that isn't, which is no node taking back what was its own.
          if (isKept) expect(owner).toBe(kept);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('without a record, too, only the addresses of the node that is drained move', () => {
    fc.assert(
      fc.property(fc.subarray(names, { minLength: 1 }), fc.constantFrom(...names), (present, name) => {
        const all = range24(60);
        const before = owners(all, ownerContext(hosts(...present)));
        const nodes = present.map((each) => nodeFacts(each, { isDraining: each === name }));
        const after = owners(all, ownerContext(nodes));
        for (const [place, { node: owner }] of after.entries()) {
          if (before[place]?.node !== name) expect(owner).toBe(before[place]?.node);
          else expect(owner).not.toBe(name);
        }
      }),
    );
  });
});

describe('5,000 addresses', () => {
  it('on nine nodes are decided without a hash twice', () => {
    const memo = rendezvousMemo();
    const all = Array.from({ length: 5_000 }, (_, index) => address(`10.1.${index >> 8}.${index & 255}`));
    const nodes = Array.from({ length: 9 }, (_, index) =>
      nodeFacts(`n${index}`, { interfaces: [nic('eth0', ['10.1.0.1/16'])] }),
    );
    const context = ownerContext(nodes, { memo });
    const first = owners(all, context);
    expect([memo.rows.size, memo.columns.size]).toEqual([5_000, 9]);
    const rows = [...memo.rows.values()];
    const second = owners(all, context);
    expect([...memo.rows.values()].every((row, index) => row === rows[index])).toBe(true);
    expect(nodesOf(second)).toEqual(nodesOf(first));
    const counts = Map.groupBy(first, (each) => each.node);
    expect(new Set(counts.keys())).toEqual(new Set(nodes.map((each) => each.node.name)));
    for (const [, own] of counts) expect(own.length).toBeGreaterThan(450);
  });
});

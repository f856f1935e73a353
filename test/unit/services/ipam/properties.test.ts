import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Family } from '../../../../src/base/ip.ts';
import type { AllocationInput } from '../../../../src/services/ipam/allocate.ts';
import type { Allocation, AllocationResult, Pool, ServiceObject } from '../../../../src/services/model.ts';
import { EVERY_SERVICE } from '../../../../src/services/model.ts';
import { rangeContains } from '../../../../src/services/address-range.ts';
import { ip, pool, range, reserved, run, RULES, service, written } from './cluster.ts';

/** Few of everything, so that Services meet: on addresses, keys, ports, pools. */
const ADDRESSES = [
  '10.0.0.0',
  '10.0.0.1',
  '10.0.0.2',
  '10.0.0.3',
  '10.0.1.0',
  '10.0.1.1',
  '10.9.9.9',
  'fd00::',
  'fd00::1',
];

const ALL_POOLS: readonly Pool[] = [
  pool('lan', ['10.0.0.0/30', 'fd00::/127']),
  pool('dmz', ['10.0.1.0/30'], { origin: 'kube-vip', name: 'kubevip/dmz', sharing: 'by-ports', avoidsBuggy: true }),
  pool('own', ['10.0.2.0/31', 'fd02::/127'], { scope: { ...EVERY_SERVICE, namespaces: ['a'] }, priority: 3 }),
  pool('shy', ['10.0.3.0/31'], { isAutoAssigned: false }),
  pool('shut', ['10.0.4.0/31', 'fd04::/127'], { isClosed: true }),
  pool('down', ['10.0.5.0/31'], { order: 'descending', priority: 9 }),
];

const RESERVATIONS = [reserved('10.0.0.2', 'the address of node n1'), reserved('10.0.5.0/30', 'in a Pod CIDR')];
const QUARANTINED = new Map([['10.0.0.3', { address: ip('10.0.0.3'), mac: '02:00:00:00:00:01' }]]);

const some = <T>(...values: readonly T[]) => fc.constantFrom(...values);

const annotations = fc
  .record({
    'metallb.io/allow-shared-ip': some(undefined, undefined, 'web', 'db'),
    'lbipam.cilium.io/sharing-cross-namespace': some(undefined, '*', 'a', 'b'),
    'lbipam.cilium.io/sharing-permit-different-pods': some(undefined, 'true'),
    'metallb.io/address-pool': some(undefined, undefined, undefined, 'lan', 'shy', 'own', 'nowhere'),
    'metallb.io/loadBalancerIPs': some(undefined, undefined, undefined, ...ADDRESSES, '10.0.0.1,fd00::1', 'nonsense'),
    'lbipam.cilium.io/ips': some(
      undefined,
      undefined,
      undefined,
      undefined,
      '10.0.0.1,10.0.0.0',
      '10.0.0.0,fd00::1,10.0.1.1',
    ),
  })
  .map((record) =>
    Object.fromEntries(Object.entries(record).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
  );

const families = some<Pick<ServiceObject, 'families' | 'familyPolicy'>>(
  { families: ['ipv4'], familyPolicy: 'SingleStack' },
  { families: ['ipv4'], familyPolicy: 'SingleStack' },
  { families: ['ipv6'], familyPolicy: 'SingleStack' },
  { families: ['ipv4', 'ipv6'], familyPolicy: 'PreferDualStack' },
  { families: ['ipv6', 'ipv4'], familyPolicy: 'RequireDualStack' },
);

function services(ingress: fc.Arbitrary<readonly string[]>): fc.Arbitrary<ServiceObject> {
  return fc
    .record({
      namespace: some('a', 'b'),
      name: some('s0', 's1', 's2', 's3', 's4', 's5'),
      createdAt: some('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'),
      annotations,
      families,
      ingress,
      ports: fc.subarray(['tcp/80', 'udp/80', 'tcp/443', 'udp/53'], { minLength: 1 }),
      trafficPolicy: some<'Cluster' | 'Local'>('Cluster', 'Cluster', 'Local'),
      selector: some({ app: 'x' }, { app: 'y' }),
      isBeingDeleted: some(false, false, false, false, true),
      loadBalancerClass: some(undefined, undefined, undefined, undefined, 'example.com/theirs'),
    })
    .map(({ namespace, name, families: family, ...rest }) =>
      service({ key: `${namespace}/${name}`, ...family, ...rest }),
    );
}

const NONE = fc.constant<readonly string[]>([]);
const ANY = fc.subarray(ADDRESSES, { maxLength: 3 });

function clusters(ingress: fc.Arbitrary<readonly string[]>): fc.Arbitrary<AllocationInput> {
  return fc
    .record({
      services: fc.uniqueArray(services(ingress), { selector: ({ key }) => key, maxLength: 12 }),
      pools: fc.subarray([...ALL_POOLS]),
    })
    .map((parts) => ({ ...parts, namespaces: [], reservations: RESERVATIONS, quarantined: QUARANTINED, rules: RULES }));
}

function byAddress(result: AllocationResult): ReadonlyMap<string, readonly Allocation[]> {
  const found = new Map<string, Allocation[]>();
  for (const allocation of result.allocations) {
    for (const { text } of allocation.addresses) found.set(text, [...(found.get(text) ?? []), allocation]);
  }
  return found;
}

/** The rules of sharing once more, written from the reference and not from the code. */
function mayShare(one: Allocation, other: Allocation, pools: readonly Pool[], address: string): boolean {
  const [a, b] = [one.service, other.service];
  const keyOf = ({ annotations: given }: ServiceObject) => given['metallb.io/allow-shared-ip'] ?? '';
  const consents = (from: ServiceObject, to: ServiceObject) =>
    from.namespace === to.namespace ||
    ['*', to.namespace].includes(from.annotations['lbipam.cilium.io/sharing-cross-namespace'] ?? '');
  const permits = ({ annotations: given }: ServiceObject) =>
    given['lbipam.cilium.io/sharing-permit-different-pods'] === 'true';
  const isAlike =
    a.trafficPolicy === b.trafficPolicy &&
    (a.trafficPolicy === 'Cluster' || a.selector['app'] === b.selector['app'] || (permits(a) && permits(b)));
  const clashes = a.ports.some((p) => b.ports.some((q) => p.port === q.port && p.protocol === q.protocol));
  const numbersClash = a.ports.some((p) => b.ports.some((q) => p.port === q.port));
  if (keyOf(a) !== '' && keyOf(a) === keyOf(b)) return !clashes && isAlike && consents(a, b) && consents(b, a);
  if (keyOf(a) !== '' || keyOf(b) !== '') return false;
  const wasThere = [a, b].every(({ ingress }) => ingress.some(({ text }) => text === address));
  const isByPorts = pools.some(
    ({ sharing, ranges }) => sharing === 'by-ports' && ranges.some((each) => rangeContains(each, ip(address))),
  );
  return wasThere ? !clashes : isByPorts && !numbersClash && isAlike;
}

function checkSound(input: AllocationInput, result: AllocationResult): void {
  const ours = input.services.filter(({ loadBalancerClass }) => loadBalancerClass === undefined).map(({ key }) => key);
  const told = [...result.allocations, ...result.pending].map(({ service: { key } }) => key);
  expect(told.toSorted()).toEqual(ours.toSorted());
  for (const [address, holders] of byAddress(result)) {
    for (const [index, one] of holders.entries()) {
      for (const other of holders.slice(index + 1)) {
        expect(mayShare(one, other, input.pools, address), `${address}: ${one.service.key}, ${other.service.key}`).toBe(
          true,
        );
      }
    }
  }
  for (const allocation of result.allocations) checkGiven(input, allocation);
  for (const { reasons, service: unserved } of result.pending) {
    expect(reasons.length, unserved.key).toBeGreaterThan(0);
  }
}

/** What is new is of an open pool for this Service, and nothing speaks against it; both families at once if required. */
function checkGiven(
  input: AllocationInput,
  { service: given, request, addresses, from, shortcomings }: Allocation,
): void {
  const fresh = addresses.filter(({ text }) => !given.ingress.some((had) => had.text === text));
  for (const address of fresh) {
    expect(given.isBeingDeleted).toBe(false);
    const pools = input.pools.filter(({ ranges }) => ranges.some((each) => rangeContains(each, address)));
    expect(pools.length).toBe(1);
    expect(pools[0]?.isClosed).toBe(false);
    expect(pools[0]?.scope.namespaces ?? [given.namespace]).toContain(given.namespace);
    if (pools[0]?.isAutoAssigned === false) expect(request.pool === 'shy' || request.addresses.length > 0).toBe(true);
    expect(RESERVATIONS.some((each) => rangeContains(each.range, address))).toBe(false);
    expect(QUARANTINED.has(address.text)).toBe(false);
    if (pools[0]?.avoidsBuggy === true) expect(address.text).not.toMatch(/\.(0|255)$/);
    const foreign = input.services.filter(({ loadBalancerClass }) => loadBalancerClass !== undefined);
    expect(foreign.flatMap(({ ingress }) => ingress.map(({ text }) => text))).not.toContain(address.text);
  }
  expect(new Set(addresses.map(({ text }) => text)).size).toBe(addresses.length);
  const chosen = fresh.filter(({ text }) => !request.addresses.some((ip) => ip.text === text));
  expect(new Set(chosen.map(({ family }) => family)).size).toBe(chosen.length);
  if (from === 'kept') return;
  const found = new Set(addresses.map(({ family }) => family)).size;
  if (request.isDualRequired && given.ingress.length === 0) expect(found).toBe(2);
  const isShort = found < request.families.length;
  expect(shortcomings.some(({ code }) => code === 'DUAL_STACK_INCOMPLETE')).toBe(isShort);
}

function isOfPool(allocation: Allocation | undefined, family: Family, name: string | undefined): boolean {
  const address = allocation?.addresses.find((each) => each.family === family);
  const wanted = ALL_POOLS.find(({ shortName }) => shortName === name);
  return address !== undefined && (wanted?.ranges ?? []).some((each) => rangeContains(each, address));
}

function addressTexts(result: AllocationResult): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    result.allocations.map(({ service: { key }, addresses }) => [key, addresses.map(({ text }) => text)]),
  );
}

const RUNS = { numRuns: 400 };

describe('allocation', () => {
  it('gives no address twice but to Services that consent, and nothing that must not be given', () => {
    fc.assert(
      fc.property(clusters(ANY), (input) => {
        checkSound(input, run(input));
      }),
      RUNS,
    );
  });

  it('does not depend on the order of what comes in', () => {
    const shuffled = clusters(ANY).chain((input) =>
      fc.record({
        input: fc.constant(input),
        services: fc.shuffledSubarray([...input.services], { minLength: input.services.length }),
        pools: fc.shuffledSubarray([...input.pools], { minLength: input.pools.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ input, services: mixed, pools }) => {
        const other = { ...input, services: mixed, pools, reservations: RESERVATIONS.toReversed() };
        expect(run(other)).toEqual(run(input));
      }),
      RUNS,
    );
  });

  it('adopts what it gave: written into the statuses, every address is kept', () => {
    fc.assert(
      fc.property(clusters(ANY), (input) => {
        const result = run(input);
        const again = run({ ...input, services: written(input.services, result) });
        expect(addressTexts(again)).toMatchObject(addressTexts(result));
        const kept = again.allocations.filter(({ service: { key } }) => key in addressTexts(result));
        expect(kept.every(({ from }) => from === 'kept')).toBe(true);
        expect(kept.flatMap(({ shortcomings }) => shortcomings).some(({ code }) => code === 'ADDRESS_RELEASED')).toBe(
          false,
        );
      }),
      RUNS,
    );
  });

  it('takes no address away when pools come, go or change; only a wish that can be met now moves a Service', () => {
    const edited = fc.record({ input: clusters(ANY), pools: fc.subarray([...ALL_POOLS]), closes: fc.boolean() });
    fc.assert(
      fc.property(edited, ({ input, pools, closes }) => {
        const before = run(input);
        const next = closes
          ? pools.map((each) => ({ ...each, isClosed: true, scope: { ...EVERY_SERVICE, namespaces: [] } }))
          : pools;
        const after = run({ ...input, services: written(input.services, before), pools: next });
        const now = new Map(after.allocations.map((each) => [each.service.key, each]));
        for (const {
          service: { key },
          addresses,
        } of before.allocations) {
          const allocation = now.get(key);
          const texts = allocation?.addresses.map(({ text }) => text) ?? [];
          const lost = addresses.filter(({ text }) => !texts.includes(text));
          if (lost.length === 0) continue;
          const { request } = allocation ?? { request: undefined };
          const isMet =
            request !== undefined && request.addresses.length > 0
              ? request.addresses.every(({ text }) => texts.includes(text))
              : lost.every(({ family }) => isOfPool(allocation, family, request?.pool));
          expect(isMet, `${key} lost ${lost.map(({ text }) => text).join(', ')}`).toBe(true);
        }
      }),
      RUNS,
    );
  });
});

type Deed =
  | { readonly kind: 'put'; readonly service: ServiceObject }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'pools'; readonly pools: readonly Pool[] }
  /** Bit i: the status of Service i is written before the next deed. */
  | { readonly kind: 'write'; readonly mask: number };

const deeds: fc.Arbitrary<readonly Deed[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: services(NONE).map((each): Deed => ({ kind: 'put', service: each })) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(some('a', 'b'), some('s0', 's1', 's2', 's3'))
        .map(([space, name]): Deed => ({ kind: 'delete', key: `${space}/${name}` })),
    },
    { weight: 1, arbitrary: fc.subarray([...ALL_POOLS]).map((pools): Deed => ({ kind: 'pools', pools })) },
    { weight: 3, arbitrary: fc.nat(4095).map((mask): Deed => ({ kind: 'write', mask })) },
  ),
  { maxLength: 25 },
);

describe('a cluster in which things happen', () => {
  it('is sound after every event, however late statuses are written, and comes to rest', () => {
    fc.assert(
      fc.property(deeds, (list) => {
        let all: readonly ServiceObject[] = [];
        let pools: readonly Pool[] = ALL_POOLS;
        const input = (): AllocationInput => ({
          services: all,
          namespaces: [],
          pools,
          reservations: RESERVATIONS,
          quarantined: QUARANTINED,
          rules: RULES,
        });
        for (const deed of list) {
          if (deed.kind === 'pools') pools = deed.pools;
          else if (deed.kind === 'delete') all = all.filter(({ key }) => key !== deed.key);
          else if (deed.kind === 'put') all = put(all, deed.service);
          else {
            const next = written(all, run(input()));
            all = all.map((each, index) => (((deed.mask >> index) & 1) === 1 ? (next[index] ?? each) : each));
          }
          checkSound(input(), run(input()));
        }
        all = written(all, run(input()));
        all = written(all, run(input()));
        const rest = run(input());
        expect(addressTexts(run({ ...input(), services: written(all, rest) }))).toEqual(addressTexts(rest));
      }),
      { numRuns: 200 },
    );
  });
});

/** An edit keeps the status, the class and the time of creation. */
function put(all: readonly ServiceObject[], next: ServiceObject): readonly ServiceObject[] {
  const former = all.find(({ key }) => key === next.key);
  if (former === undefined) return [...all, next];
  const { ingress, createdAt, loadBalancerClass } = former;
  return all.map((each) => (each.key === next.key ? { ...next, ingress, createdAt, loadBalancerClass } : each));
}

it('fills a pool that begins with a reserved /8 without walking through it', () => {
  const many = Array.from({ length: 300 }, (_, index) => service({ key: `default/s${index}` }));
  const result = run({
    services: many,
    pools: [pool('huge', ['10.0.0.0-11.0.0.255', '::/0'])],
    reservations: [reserved('10.0.0.0/8', 'in a Pod CIDR')],
  });
  expect(result.allocations.length).toBe(256);
  expect(
    result.allocations.every(
      ({ addresses: [first] }) => first !== undefined && rangeContains(range('11.0.0.0/24'), first),
    ),
  ).toBe(true);
  expect(result.pending[0]?.reasons[0]?.message).toBe(
    'IPv4 full 256/16777472, the other 16777216 reserved, quarantined or spoken for',
  );
});

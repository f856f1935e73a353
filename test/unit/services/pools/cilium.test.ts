import { anything, array, assert as check, constantFrom, property, record } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatRange } from '../../../../src/services/address-range.ts';
import { decodeCiliumPolicy, decodeCiliumPool } from '../../../../src/services/pools/cilium.ts';
import { matchesInterface, parsePattern } from '../../../../src/services/pools/interface-pattern.ts';
import { scopeRefusal, selectsService } from '../../../../src/services/scope.ts';
import { BLOCKS, PATTERNS, POLICIES, REFUSED_PATTERNS } from '../../../vectors/pools/cilium.ts';

function raw(name: string, spec: unknown) {
  return { metadata: { name, creationTimestamp: '2026-01-31T12:00:00Z' }, spec };
}

/** undefined: JavaScript doesn't read it (`$*`, which Go does). */
function nativePattern(text: string): RegExp | undefined {
  try {
    return new RegExp(text);
  } catch {
    return undefined;
  }
}

test('there are vectors', () => {
  expect([BLOCKS, POLICIES, PATTERNS, REFUSED_PATTERNS].map(({ length }) => length)).toEqual([19, 8, 16, 14]);
});

describe('CiliumLoadBalancerIPPool', () => {
  test.each(BLOCKS)('$source: $spec is $ranges', ({ spec, ranges, told }) => {
    const { value, problems } = decodeCiliumPool(raw('blue', spec));
    expect(value?.ranges.map(formatRange)).toEqual(ranges);
    expect(problems.map(({ code }) => code)).toEqual(told ?? []);
  });

  test('is cluster-wide, needs a policy, and gives to the Services it selects', () => {
    const serviceSelector = { matchLabels: { 'io.kubernetes.service.namespace': 'a', color: 'blue' } };
    const { value } = decodeCiliumPool(raw('blue', { blocks: [{ cidr: '10.0.0.0/24' }], serviceSelector }));
    expect(value).toMatchObject({
      name: 'cilium/blue',
      shortName: 'blue',
      origin: 'cilium',
      object: { kind: 'CiliumLoadBalancerIPPool', key: 'blue' },
      isClosed: false,
      isAutoAssigned: true,
      needsAdvertisement: true,
      createdAt: '2026-01-31T12:00:00Z',
    });
    const refusal = (namespace: string) =>
      value && scopeRefusal(value.scope, { namespace, name: 'x', labels: { color: 'blue' } }, undefined);
    expect([refusal('a'), refusal('b')]).toEqual([undefined, 'selector']);
  });

  test('disabled gives nothing new, and so does what can be read as neither', () => {
    const disabled = [true, false, undefined, null, 'false'].map(
      (value) => decodeCiliumPool(raw('blue', { blocks: [{ start: '10.0.0.1' }], disabled: value })).value?.isClosed,
    );
    expect(disabled).toEqual([true, false, false, false, true]);
  });
});

describe('CiliumL2AnnouncementPolicy', () => {
  test.each(POLICIES)('$source: $spec tells $told', ({ spec, told, isUsed }) => {
    const { value, problems } = decodeCiliumPolicy(raw('policy', spec));
    expect(problems.map(({ code }) => code)).toEqual(told);
    expect(value !== undefined).toBe(isUsed);
  });

  test('has every field of v2alpha1', () => {
    const { value } = decodeCiliumPolicy(
      raw('policy', {
        loadBalancerIPs: true,
        interfaces: ['^eth[0-9]+'],
        nodeSelector: {
          matchExpressions: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' }],
        },
        serviceSelector: { matchLabels: { color: 'blue' } },
      }),
    );
    expect(value).toMatchObject({
      name: 'policy',
      origin: 'cilium',
      protocol: 'l2',
      poolNames: [],
      poolSelectors: [],
      interfaceNames: [],
      interfacePatterns: ['^eth[0-9]+'],
      nodeSelectors: [{ matchExpressions: [{ operator: 'DoesNotExist' }] }],
      serviceSelectors: [{ matchLabels: { color: 'blue' } }],
    });
  });

  test('says what is missing when it announces nothing', () => {
    const { problems } = decodeCiliumPolicy(raw('policy', {}));
    expect(problems).toMatchObject([
      {
        message: 'the policy announces nothing: loadBalancerIPs and externalIPs are both false unless set',
        remedy: 'Correct spec.loadBalancerIPs of CiliumL2AnnouncementPolicy policy, or remove the object.',
      },
    ]);
  });

  test('a selector that cannot be read selects no Service rather than all', () => {
    const { value } = decodeCiliumPolicy(raw('policy', { loadBalancerIPs: true, serviceSelector: 'all' }));
    expect(value && selectsService(value.serviceSelectors, { namespace: 'a', name: 'x', labels: {} })).toBe(false);
  });
});

describe('an expression for interfaces', () => {
  test.each(PATTERNS)('$pattern matches $matches and not $others', ({ pattern, matches, others }) => {
    for (const name of [...matches, ...others]) {
      expect([name, matchesInterface(pattern, name)]).toEqual([name, matches.includes(name)]);
    }
  });

  test.each(REFUSED_PATTERNS)('%s is refused: %s', (pattern, reason) => {
    expect(parsePattern(pattern)).toMatchObject({ ok: false, reason });
    expect(matchesInterface(pattern, 'eth0')).toBe(false);
  });

  test('has a length and a name that are bounded', () => {
    expect(parsePattern('a'.repeat(257))).toMatchObject({ ok: false, reason: 'too-long' });
    expect(['a'.repeat(15), 'a'.repeat(16)].map((name) => matchesInterface('a', name))).toEqual([true, false]);
  });

  test('is of one mind with the engine of JavaScript, where both read it', () => {
    const pieces = constantFrom(
      'a',
      'b',
      '0',
      '.',
      '^',
      '$',
      '[ab]',
      '[^a]',
      '\\d',
      '(',
      ')',
      '|',
      '*',
      '+',
      '?',
      '{2}',
      '{1,2}',
      '(?:',
    );
    const patterns = array(pieces, { maxLength: 9 }).map((list) => list.join(''));
    const names = array(constantFrom('a', 'b', '0'), { maxLength: 6 }).map((list) => list.join(''));
    let compared = 0;
    check(
      property(patterns, array(names, { minLength: 5, maxLength: 5 }), (pattern, few) => {
        const native = nativePattern(pattern);
        if (!parsePattern(pattern).ok || native === undefined) return;
        const answers = few.map((name) => [name, matchesInterface(pattern, name)]);
        expect([pattern, answers]).toEqual([pattern, few.map((name) => [name, native.test(name)])]);
        compared += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(compared).toBeGreaterThan(300);
  });

  test('that makes a backtracking engine hang is answered at once', () => {
    const name = 'aaaaaaaaaaaaaab';
    const patterns = [
      '^(((a*)*)*)*$',
      '^((a{99}){99}){99}$',
      '^(((a?){99}){99}){99}c',
      `^${'a?'.repeat(100)}c`,
      `^(${'a*|'.repeat(80)}a)*c`,
    ];
    for (const pattern of patterns) expect([pattern, matchesInterface(pattern, name)]).toEqual([pattern, false]);
  });
});

test('any JSON value is decoded without an exception', () => {
  const specs = record(
    {
      blocks: anything(),
      cidrs: array(record({ cidr: anything(), start: anything(), stop: anything() }, { requiredKeys: [] })),
      serviceSelector: anything(),
      interfaces: array(anything()),
      loadBalancerIPs: anything(),
    },
    { requiredKeys: [] },
  );
  for (const decode of [decodeCiliumPool, decodeCiliumPolicy]) {
    for (const values of [anything(), specs.map((spec) => raw('x', spec))]) {
      check(
        property(values, (value) => {
          const empty = decode(value).problems.filter(({ message, remedy }) => message === '' || remedy === '');
          expect(empty).toEqual([]);
        }),
        { numRuns: 50 },
      );
    }
  }
});

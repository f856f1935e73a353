import { describe, expect, it } from 'vitest';

import { decodeConfigMap } from '../../../../src/services/objects/config-map.ts';
import { decodeEndpointSlice } from '../../../../src/services/objects/endpoint-slice.ts';
import {
  ANNOTATION_LENGTH_MAX,
  annotationsOf,
  createdAtOf,
  decodeObject,
  FOREIGN_ANNOTATION_LENGTH_MAX,
  isBeingDeletedOf,
} from '../../../../src/services/objects/metadata.ts';
import { decodeNamespace } from '../../../../src/services/objects/namespace.ts';
import { decodeNode } from '../../../../src/services/objects/node.ts';
import { objectRef } from '../../../../src/services/objects/object-ref.ts';
import { LABELS_LENGTH_MAX, MAP_ENTRIES_MAX, PROBLEMS_MAX, textsOf } from '../../../../src/services/objects/part.ts';
import { decodeService } from '../../../../src/services/objects/service.ts';
import { EXCERPT_MAX, shown } from '../../../../src/services/objects/shown.ts';
import { flawless, messages, valueOf } from './problems.ts';

const decoders = {
  Service: decodeService,
  Node: decodeNode,
  Namespace: decodeNamespace,
  EndpointSlice: decodeEndpointSlice,
  ConfigMap: decodeConfigMap,
};

/** `{"a":{"a":…}}`, too deep for any function that walks down by calling itself. */
function deep(depth: number): unknown {
  let value: unknown = {};
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? { a: value } : [value];
  return value;
}

describe.each(Object.entries(decoders))('decoding a %s', (kind, decode) => {
  it.each([
    [undefined, 'the whole is absent, not an object: nothing of the object can be used'],
    [null, 'the whole is null, not an object: nothing of the object can be used'],
    ['x', 'the whole is "x", not an object: nothing of the object can be used'],
    [1, 'the whole is 1, not an object: nothing of the object can be used'],
    [[], 'the whole is a list, not an object: nothing of the object can be used'],
    [{}, 'metadata.name is absent, not a name: nothing of the object can be used'],
    [{ metadata: {} }, 'metadata.name is absent, not a name: nothing of the object can be used'],
    [{ metadata: { name: 5 } }, 'metadata.name is 5, not a name: nothing of the object can be used'],
    [{ metadata: { name: 'A b' } }, 'metadata.name is "A b", not a name: nothing of the object can be used'],
    [{ metadata: { name: '../x' } }, 'metadata.name is "../x", not a name: nothing of the object can be used'],
    [
      { metadata: { name: 'x'.repeat(254) } },
      `metadata.name is "${'x'.repeat(EXCERPT_MAX)}"…, not a name: nothing of the object can be used`,
    ],
  ])('refuses %j', (raw, message) => {
    const decoding = decode(raw);
    expect(decoding.value).toBeUndefined();
    expect(messages(decoding)).toEqual([message]);
    expect(decoding.problems[0]?.object).toEqual(objectRef(kind, raw));
  });

  it('is never deep', () => {
    for (const raw of [
      deep(100_000),
      { metadata: { name: deep(100_000), labels: deep(100_000) }, spec: deep(100_000) },
    ]) {
      const decoding = decode(raw);
      expect(decoding.value).toBeUndefined();
      expect(decoding.problems.map((problem) => problem.message.length < 100)).not.toContain(false);
    }
  });

  it('says twice what is wrong twice', () => {
    const decoding = decode({ metadata: 'x' });
    expect(messages(decoding)).toEqual([
      'metadata is "x", not an object',
      'metadata.name is absent, not a name: nothing of the object can be used',
    ]);
    expect(decoding.problems[1]?.remedy).toMatch(/^Correct metadata\.name of \w+ (default\/)?\?; until then it counts/);
  });
});

it('a namespace that is no name refuses what belongs to one, and matters to nothing else', () => {
  const raw = { metadata: { name: 'x', namespace: 7 } };
  expect(messages(decodeService(raw))).toEqual([
    'metadata.namespace is 7, not a name: nothing of the object can be used',
  ]);
  expect(flawless(decodeNode(raw)).name).toBe('x');
});

it('an object without a namespace is in the one that kubectl would put it in', () => {
  expect(flawless(decodeService({ metadata: { name: 'x' } })).key).toBe('default/x');
  expect(flawless(decodeService({ metadata: { name: 'x', namespace: null } })).namespace).toBe('default');
});

it.each([
  ['Service', { metadata: { name: 'web', namespace: 'shop' } }, 'shop/web'],
  ['Service', { metadata: { name: 'web' } }, 'default/web'],
  ['Service', { metadata: { namespace: 'shop' } }, 'shop/?'],
  ['Service', { metadata: { name: 5, namespace: {} } }, 'an object/5'],
  ['Service', { metadata: { name: 'Web 1', namespace: 'shop' } }, 'shop/"Web 1"'],
  ['Service', null, 'default/?'],
  ['Service', [], 'default/?'],
  ['Node', { metadata: { name: 'n1', namespace: 'shop' } }, 'n1'],
  ['Node', 'x', '?'],
  ['CiliumLoadBalancerIPPool', { metadata: { name: 'blue' } }, 'blue'],
  ['IPAddressPool', { metadata: { name: 'lan', namespace: 'metallb-system' } }, 'metallb-system/lan'],
])('a %s like %j is called %s', (kind, raw, key) => {
  expect(objectRef(kind, raw)).toEqual({ kind, key });
});

it.each([
  ['a"b\n', '"a\\"b\\n"'],
  ['x'.repeat(EXCERPT_MAX), `"${'x'.repeat(EXCERPT_MAX)}"`],
  ['x'.repeat(10_000_000), `"${'x'.repeat(EXCERPT_MAX)}"…`],
  [undefined, 'absent'],
  [null, 'null'],
  [1.5, '1.5'],
  [true, 'true'],
  [{}, 'an object'],
])('values are quoted in short', (value, text) => {
  expect(shown(value)).toBe(text);
});

it('what is quoted is never walked into', () => {
  expect(shown([deep(100_000)])).toBe('a list');
  expect(shown({ a: deep(100_000) })).toBe('an object');
});

const metadataOf = (metadata: object) =>
  decodeObject('Thing', { metadata: { name: 'x', ...metadata } }, (object) => object.metadata);

function read<T>(metadata: object, reader: (part: Parameters<typeof createdAtOf>[0]) => T) {
  return decodeObject('Thing', { metadata: { name: 'x', ...metadata } }, (object) => ({
    read: reader(object.metadata),
  }));
}

it.each([
  ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z'],
  ['2026-01-31T12:00:00.999Z', '2026-01-31T12:00:00Z'],
  ['2026-01-31T12:00:00+00:00', '2026-01-31T12:00:00Z'],
  ['', ''],
  [null, ''],
  [undefined, ''],
])('a creationTimestamp of %j is %j', (creationTimestamp, createdAt) => {
  expect(flawless(read({ creationTimestamp }, createdAtOf)).read).toBe(createdAt);
});

it.each([
  ['yesterday', '"yesterday", not a time like 2026-01-31T12:00:00Z'],
  ['2026-13-31T12:00:00Z', '"2026-13-31T12:00:00Z", not a time like 2026-01-31T12:00:00Z'],
  ['2026-01-32T12:00:00Z', '"2026-01-32T12:00:00Z", not a time like 2026-01-31T12:00:00Z'],
  ['2026-01-31T24:00:00Z', '"2026-01-31T24:00:00Z", not a time like 2026-01-31T12:00:00Z'],
  ['2026-01-31T12:00:00+02:00', '"2026-01-31T12:00:00+02:00", not a time like 2026-01-31T12:00:00Z'],
  [1_769_860_800, '1769860800, not a text'],
])('a creationTimestamp of %j is none, and named', (creationTimestamp, saying) => {
  const decoding = read({ creationTimestamp }, createdAtOf);
  expect(valueOf(decoding).read).toBe('');
  expect(messages(decoding)).toEqual([`metadata.creationTimestamp is ${saying}`]);
});

it('an object is being deleted when it has a time of deletion', () => {
  expect(flawless(read({ deletionTimestamp: '2026-01-31T12:00:00Z' }, isBeingDeletedOf)).read).toBe(true);
  expect(flawless(read({}, isBeingDeletedOf)).read).toBe(false);
  expect(flawless(read({ deletionTimestamp: null }, isBeingDeletedOf)).read).toBe(false);
  expect(messages(read({ deletionTimestamp: 5 }, isBeingDeletedOf))).toHaveLength(1);
});

describe('labels', () => {
  const labels = (raw: unknown) => read({ labels: raw }, (part) => textsOf(part, 'labels'));

  it('are copied, null as an empty text', () => {
    const raw = { a: 'b', c: null, constructor: 'd' };
    const read = flawless(labels(raw)).read;
    expect(read).toEqual({ a: 'b', c: '', constructor: 'd' });
    expect(read).not.toBe(raw);
  });

  it.each([
    ['text', ['metadata.labels is "text", not an object'], {}],
    [[], ['metadata.labels is a list, not an object'], {}],
    [{ a: 1.5, b: 'c' }, ['metadata.labels["a"] is 1.5, not a text'], { b: 'c' }],
    [
      { a: {}, b: ['c'] },
      ['metadata.labels["a"] is an object, not a text', 'metadata.labels["b"] is a list, not a text'],
      {},
    ],
    [
      { a: true, b: 1234 },
      ['a"] is true', 'b"] is 1234'].map(
        (text) => `metadata.labels["${text}, not a text: it has to be quoted, and is read as if it were`,
      ),
      { a: 'true', b: '1234' },
    ],
  ])('of %j: what is no text is left out and named, and what was not quoted is named only', (raw, told, kept) => {
    const decoding = labels(raw);
    expect(messages(decoding)).toEqual(told);
    expect(valueOf(decoding).read).toEqual(kept);
  });

  it('cannot reach what all objects inherit from', () => {
    const decoding = labels(JSON.parse('{"__proto__": "x", "a": "b"}'));
    expect(messages(decoding)).toEqual(['metadata.labels["__proto__"] has a key that is not allowed']);
    expect(Object.entries(valueOf(decoding).read)).toEqual([['a', 'b']]);
    expect(messages(labels(JSON.parse('{"__proto__": {"a": "b"}}')))).toHaveLength(1);
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  it('end where they become too large', () => {
    const saying = 'metadata.labels is too large: 16384 characters and 10000 entries are read, the rest is left out';
    const long = labels({ a: 'x', b: 'x'.repeat(LABELS_LENGTH_MAX), c: 'x' });
    expect(messages(long)).toEqual([saying]);
    expect(valueOf(long).read).toEqual({ a: 'x' });
    flawless(labels({ a: 'x'.repeat(LABELS_LENGTH_MAX - 1) }));
  });

  it('that are none share one empty value', () => {
    expect(flawless(labels({})).read).toBe(flawless(labels(undefined)).read);
  });
});

it('a map has a limit of entries', () => {
  const data = Object.fromEntries(Array.from({ length: MAP_ENTRIES_MAX + 5 }, (_, index) => [`k${index}`, '']));
  const decoding = decodeConfigMap({ metadata: { name: 'x' }, data });
  expect(Object.keys(valueOf(decoding).data)).toHaveLength(MAP_ENTRIES_MAX);
  expect(messages(decoding)).toHaveLength(1);
});

describe('annotations', () => {
  const annotations = (raw: unknown) => read({ annotations: raw }, annotationsOf);

  it.each([
    'kube-vip.io/loadbalancerIPs',
    'development.kube-vip.io/x',
    'metallb.io/address-pool',
    'metallb.universe.tf/address-pool',
    'lbipam.cilium.io/ips',
    'io.cilium/lb-ipam-ips',
    'holdfast.io/weight',
  ])('%s is kept, or named when it can not be', (key) => {
    const longest = 'x'.repeat(ANNOTATION_LENGTH_MAX);
    expect(flawless(annotations({ [key]: longest })).read).toEqual({ [key]: longest });
    expect(messages(annotations({ [key]: [] }))).toEqual([`metadata.annotations["${key}"] is a list, not a text`]);
    const tooLong = annotations({ [key]: `${longest}x` });
    expect(messages(tooLong)).toEqual([
      `metadata.annotations["${key}"] has 4097 characters: it is too long and left out`,
    ]);
    expect(valueOf(tooLong).read).toEqual({});
  });

  it('of others are kept while they are short, without a word', () => {
    const short = 'x'.repeat(FOREIGN_ANNOTATION_LENGTH_MAX);
    const raw = {
      'kubectl.kubernetes.io/last-applied-configuration': '{}',
      'example.org/short': short,
      'example.org/long': `${short}x`,
      'example.org/number': 5,
      'notmetallb.io/x': 'y'.repeat(ANNOTATION_LENGTH_MAX),
      plain: 'y',
    };
    expect(flawless(annotations(raw)).read).toEqual({ 'example.org/short': short, plain: 'y' });
  });

  it('of others never take the room of those that are for us', () => {
    const others = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`o${index}`, 'x'.repeat(1_000)]));
    const read = flawless(annotations({ ...others, 'metallb.io/address-pool': 'lan' })).read;
    expect(read['metallb.io/address-pool']).toBe('lan');
    const length = Object.entries(read).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
    expect(length).toBeLessThanOrEqual(LABELS_LENGTH_MAX);
    expect(length).toBeGreaterThan(LABELS_LENGTH_MAX - 1_100);
  });

  it('for us have a limit together', () => {
    const raw = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`metallb.io/${index}`, 'x'.repeat(4_000)]));
    expect(messages(annotations(raw))).toEqual([
      'metadata.annotations["metallb.io/4"] has 4000 characters: it is too long and left out',
    ]);
  });

  it('cannot reach what all objects inherit from', () => {
    expect(flawless(annotations(JSON.parse('{"__proto__": "x", "a": "b"}'))).read).toEqual({ a: 'b' });
  });

  it('that are no map are named', () => {
    expect(messages(annotations(['a']))).toEqual(['metadata.annotations is a list, not an object']);
  });
});

it('of many problems the first are told, and how many more there are', () => {
  const labels = Object.fromEntries(Array.from({ length: PROBLEMS_MAX + 30 }, (_, index) => [`k${index}`, index]));
  const decoding = decodeNamespace({ metadata: { name: 'x', labels } });
  expect(messages(decoding)).toHaveLength(PROBLEMS_MAX + 1);
  expect(messages(decoding).at(-1)).toBe('Namespace x has 30 more such problems');
});

it('a problem names the object, the field and what to do', () => {
  expect(metadataOf({}).problems).toEqual([]);
  expect(decodeService({ metadata: { name: 'web', namespace: 'shop' }, spec: { type: 5 } }).problems).toEqual([
    {
      object: { kind: 'Service', key: 'shop/web' },
      code: 'OBJECT_INVALID',
      message: 'spec.type is 5, not one of ClusterIP, NodePort, LoadBalancer, ExternalName',
      remedy: 'Correct spec.type of Service shop/web; everything else in it is used.',
    },
  ]);
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ipFromBytes } from '../../../src/base/ip.ts';
import {
  ASSIGNMENT_ADDRESSES_MAX,
  ASSIGNMENT_TEXT_MAX,
  decodeAssignment,
  encodeAssignment,
  nextAssignment,
} from '../../../src/services/assignment.ts';
import { owners } from '../../../src/services/owner.ts';
import { address, nodeFacts, ownerContext, slice } from './owner-facts.ts';

const decoded = (text: string): unknown => {
  const found = decodeAssignment(text);
  return found.ok ? Object.fromEntries(found.value) : found.reason;
};
const record = (nodes: unknown, ipv4: unknown = '', ipv6: unknown = '', version: unknown = 1): string =>
  JSON.stringify({ version, nodes, ipv4, ipv6 });

describe('the text of the record', () => {
  it('is this, for these', () => {
    const assignment = new Map([
      ['2001:db8::2', 'n1'],
      ['2001:db8::1', 'n2'],
      ['10.0.0.2', 'n1'],
      ['10.0.0.1', 'n2'],
      ['10.0.1.1', 'n2'],
    ]);
    // 10.0.0.1 is 167772161, 2001:db8::1 is 42540766411282592856903984951653826561: `bc`, obase=36.
    const text = '{"version":1,"nodes":["n2","n1"],"ipv4":"2rvxttA1B73A","ipv6":"1w7k3vh7gt7thowulswflxywxA1B"}';
    expect(encodeAssignment(assignment)).toBe(text);
  });

  it('gives back what was written, whatever the order', () => {
    const anyIp = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((bytes) => bytes[0] !== 0),
    );
    const entry = fc.tuple(
      anyIp.map((bytes) => ipFromBytes(bytes).text),
      fc.stringMatching(/^[a-z][a-z0-9.-]{0,30}$/),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 40 }), (entries) => {
        const assignment = new Map(entries);
        const text = encodeAssignment(assignment);
        expect(decoded(text)).toEqual(Object.fromEntries(assignment));
        expect(encodeAssignment(new Map([...assignment].toReversed()))).toBe(text);
      }),
    );
  });

  it('counts nodes in capitals: Z is 25, BA is 26', () => {
    const assignment = new Map(
      Array.from({ length: 800 }, (_, index) => [`10.0.${index >> 8}.${index & 255}`, `n${1_000 + index}`]),
    );
    const text = encodeAssignment(assignment);
    expect(decoded(text)).toEqual(Object.fromEntries(assignment));
    expect(text).toContain('1Y1Z1BA1BB');
    expect(text).toContain('1ZZ1BAA');
  });

  it('is short: 5,000 addresses are below 128 KiB, though every one is far from the next', () => {
    const node = (index: number): string => `worker-${index % 9}.cluster.example.com`;
    const near = new Map(
      Array.from({ length: 5_000 }, (_, index) => [`10.0.${index >> 8}.${index & 255}`, node(index)]),
    );
    expect(encodeAssignment(near).length).toBeLessThan(11_000);
    let seed = 1;
    const octet = (): number => (seed = (seed * 48_271) % 0x7fff_ffff) & 0xff;
    const far = new Map(
      Array.from({ length: 5_000 }, (_, index) => [
        ipFromBytes(Uint8Array.from({ length: 16 }, octet)).text,
        node(index),
      ]),
    );
    const text = encodeAssignment(far);
    expect(text.length).toBeLessThan(ASSIGNMENT_TEXT_MAX);
    expect(decoded(text)).toEqual(Object.fromEntries(far));
  });

  it('leaves out the last addresses when there are too many, or they need too much room', () => {
    const many = new Map(Array.from({ length: 20_000 }, (_, index) => [`10.1.${index >> 8}.${index & 255}`, 'n1']));
    const found = decodeAssignment(encodeAssignment(many));
    expect(found.ok && [found.value.size, found.value.has('10.1.0.0'), found.value.has('10.1.78.31')]).toEqual([
      ASSIGNMENT_ADDRESSES_MAX,
      true,
      false,
    ]);
    const longNames = new Map(
      Array.from({ length: 600 }, (_, index) => [`10.1.${index >> 8}.${index & 255}`, `${index}-`.padEnd(253, 'x')]),
    );
    expect(encodeAssignment(longNames).length).toBeLessThanOrEqual(ASSIGNMENT_TEXT_MAX);
    expect(decodeAssignment(encodeAssignment(longNames)).ok).toBe(true);
  });

  it('is refused as a whole for one thing in it that makes no sense', () => {
    const rows: readonly (readonly [text: string, reason: string])[] = [
      ['', 'not-json'],
      ['[]', 'not-json'],
      ['null', 'not-json'],
      [record([], '', '', 2), 'version'],
      [record([], '', '', '1'), 'version'],
      [record({}), 'nodes'],
      [record(['n1', '']), 'nodes'],
      [record(['n1', 7]), 'nodes'],
      [record(['x'.repeat(254)]), 'nodes'],
      [record(Array.from({ length: 5_001 }, () => 'n')), 'nodes'],
      [record(['n1'], 5), 'addresses'],
      [record(['n1'], '1A', null), 'addresses'],
      [record(['n1'], '1B'), 'addresses'],
      [record(['n1'], '1AAAAAA'), 'addresses'],
      [record(['n1'], '1'), 'addresses'],
      [record(['n1'], 'A'), 'addresses'],
      [record(['n1'], '1A0A'), 'addresses'],
      [record(['n1'], '01A'), 'addresses'],
      [record(['n1'], '1A-1A'), 'addresses'],
      [record(['n1'], '1a A'), 'addresses'],
      [record(['n1'], '1éA'), 'addresses'],
      [record(['n1'], `${(2 ** 32).toString(36)}A`), 'addresses'],
      [record(['n1'], `${(2 ** 32 - 1).toString(36)}A1A`), 'addresses'],
      [record(['n1'], '', `${(2n ** 128n).toString(36)}A`), 'addresses'],
      [record(['n1'], '', `1${'0'.repeat(10_000)}A`), 'addresses'],
      [record(['n1'], '1A'.repeat(ASSIGNMENT_ADDRESSES_MAX + 1)), 'addresses'],
      [record([], '1'.repeat(ASSIGNMENT_TEXT_MAX)), 'too-long'],
    ];
    let checked = 0;
    for (const [text, reason] of rows) {
      expect(decoded(text), text.slice(0, 60)).toBe(reason);
      checked += 1;
    }
    expect(checked).toBe(27);
    expect(decoded(record(['n1'], `${(2 ** 32 - 1).toString(36)}A`))).toEqual({ '255.255.255.255': 'n1' });
  });

  it('never throws, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string().map((text) => record(['n1', 'n2'], text, text)),
        ),
        (text) => {
          expect(['string', 'object']).toContain(typeof decoded(text));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the next record', () => {
  const nodes = ['a', 'b', 'c'].map((name) => nodeFacts(name));
  const all = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((text) => address(text));

  it('has every owner, and forgets addresses that are gone', () => {
    const found = owners(all, ownerContext(nodes));
    const next = nextAssignment(new Map([['10.0.0.9', 'a']]), found);
    expect([...next]).toEqual(found.map((each) => [each.address.text, each.node]));
  });

  it('is the very same when nothing changes', () => {
    const first = nextAssignment(new Map(), owners(all, ownerContext(nodes)));
    expect(nextAssignment(first, owners(all, ownerContext(nodes, { assignment: first })))).toBe(first);
    expect(nextAssignment(first, owners(all.slice(1), ownerContext(nodes, { assignment: first }))).size).toBe(2);
  });

  it('keeps the former owner of an address that nobody may answer for at the moment', () => {
    const assignment = new Map(all.map(({ address: of }) => [of.text, 'c']));
    const dark = owners(all, ownerContext(nodes, { assignment, slices: [] }));
    expect(dark.map(({ node }) => node)).toEqual([undefined, undefined, undefined]);
    const next = nextAssignment(assignment, dark);
    expect(next).toBe(assignment);
    const slices = all.map(({ address: of }) => slice(`default/${of.text}`, ['a']));
    const back = owners(all, ownerContext(nodes, { assignment: next, slices }));
    expect(back.map(({ node }) => node)).toEqual(['c', 'c', 'c']);
  });

  it('has no record of an address that nobody ever answered for', () => {
    expect(nextAssignment(new Map(), owners(all, ownerContext([]))).size).toBe(0);
  });
});

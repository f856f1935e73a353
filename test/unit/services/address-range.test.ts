import {
  bigInt,
  constantFrom,
  integer,
  oneof,
  property,
  assert as check,
  record,
  array,
  string,
  tuple,
} from 'fast-check';
import { describe, expect, test } from 'vitest';
import { prefixContains, type Family } from '../../../src/base/ip.ts';
import {
  compareIps,
  formatRange,
  ipAt,
  ipValue,
  mergeRanges,
  nextIp,
  parseRange,
  prefixRange,
  previousIp,
  rangeContains,
  rangeFault,
  rangeIntersection,
  rangePrefixes,
  rangeSize,
  rangesOverlap,
  sortRanges,
  withoutRanges,
} from '../../../src/services/address-range.ts';
import { firstFree, SEARCH_STEPS_MAX, type SearchCursor } from '../../../src/services/address-search.ts';
import type { AddressRange } from '../../../src/services/model.ts';
import { ip } from '../base/values.ts';

function range(text: string): AddressRange {
  const parsed = parseRange(text, { allowsSingle: true });
  if (!parsed.ok) throw new Error(rangeFault(text, parsed));
  return parsed.value;
}

const texts = (ranges: readonly AddressRange[]) => ranges.map(formatRange);

/** Ranges of both families near one another, so that they often overlap or touch. */
const family = constantFrom<Family>('ipv4', 'ipv6');
const nearby = tuple(family, integer({ min: 0, max: 600 }), integer({ min: 0, max: 40 })).map(([of, start, extent]) => {
  const base = of === 'ipv4' ? 0x0a00_0000n : 0xfd00n << 112n;
  return { first: ipAt(of, base + BigInt(start)), last: ipAt(of, base + BigInt(start + extent)) };
});
const anywhere = oneof(
  tuple(bigInt({ min: 0n, max: 2n ** 32n - 1n }), bigInt({ min: 0n, max: 2n ** 32n - 1n })).map((ends) =>
    between('ipv4', ends),
  ),
  tuple(bigInt({ min: 0n, max: 2n ** 128n - 1n }), bigInt({ min: 0n, max: 2n ** 128n - 1n })).map((ends) =>
    between('ipv6', ends),
  ),
);

function between(of: Family, [a, b]: readonly [bigint, bigint]): AddressRange {
  return { first: ipAt(of, a < b ? a : b), last: ipAt(of, a < b ? b : a) };
}

/** Every address, for ranges that are small. */
function members(ranges: readonly AddressRange[]): Set<string> {
  const found = new Set<string>();
  for (const { first, last } of ranges) {
    for (let value = ipValue(first); value <= ipValue(last); value++) found.add(ipAt(first.family, value).text);
  }
  return found;
}

describe('a range as text', () => {
  test.each([
    ['192.168.0.200/30', '192.168.0.200', '192.168.0.203'],
    ['192.168.0.10/24', '192.168.0.0', '192.168.0.255'],
    ['10.0.0.1/32', '10.0.0.1', '10.0.0.1'],
    ['0.0.0.0/0', '0.0.0.0', '255.255.255.255'],
    ['::/0', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:db8::17/121', '2001:db8::', '2001:db8::7f'],
    ['192.168.0.253-192.168.1.2', '192.168.0.253', '192.168.1.2'],
    ['  fe80::ffff - fe80::1:3 ', 'fe80::ffff', 'fe80::1:3'],
  ])('%s is from %s to %s', (text, first, last) => {
    expect(range(text)).toEqual({ first: ip(first), last: ip(last) });
  });

  test.each([
    ['1.2.3.10-1.2.3.1', 'reversed'],
    ['1.2.3.0/33', 'prefix-length'],
    ['2001:db8::/129', 'prefix-length'],
    ['1.2.3.0/', 'prefix-length'],
    ['1.2.3.0/08', 'prefix-length'],
    ['1.2.3.0/-1', 'prefix-length'],
    ['1.2.3.0/255.255.255.0', 'prefix-length'],
    ['1.2.3.4-1000::1', 'mixed-family'],
    ['1.2.3.04/31', 'leading-zero'],
    ['1.2.3.4-1.2.3.010', 'leading-zero'],
    ['::ffff:1.2.3.0/120', 'ipv4-mapped'],
    ['fe80::1%eth0-fe80::2', 'zone'],
    ['1.2.3.4-1.2.3.5-1.2.3.6', 'not-an-address'],
    ['1.2.3.4-5', 'not-an-address'],
    ['-', 'not-an-address'],
    ['1.2.3', 'not-a-range'],
    ['lan', 'not-a-range'],
    ['', 'not-a-range'],
    ['1.2.3.4', 'not-a-range'],
    ['1.2.3.4, 1.2.3.5', 'not-a-range'],
  ])('%s is refused: %s', (text, reason) => {
    const parsed = parseRange(text);
    expect(parsed).toMatchObject({ ok: false, reason });
  });

  test('an enormous text is refused, and quoted in part', () => {
    const text = '9'.repeat(1_000_000);
    const parsed = parseRange(text);
    expect(parsed).toMatchObject({ ok: false, reason: 'not-a-range' });
    if (!parsed.ok) expect(rangeFault(text, parsed).length).toBeLessThan(300);
  });

  test('a bare address is a range of one where that is allowed', () => {
    expect(texts([range('10.0.0.7'), range('fd00::7')])).toEqual(['10.0.0.7', 'fd00::7']);
  });

  test.each([
    ['10.0.0.0/29', '10.0.0.1-10.0.0.6'],
    ['10.0.0.0/30', '10.0.0.1-10.0.0.2'],
    ['10.0.0.0/31', '10.0.0.0/31'],
    ['10.0.0.0/32', '10.0.0.0'],
    ['fd00::/126', 'fd00::1-fd00::2'],
    ['fd00::/127', 'fd00::/127'],
    ['fd00::/128', 'fd00::'],
    ['10.0.0.1-10.0.0.6', '10.0.0.1-10.0.0.6'],
  ])('%s without its ends is %s', (text, expected) => {
    const parsed = parseRange(text, { skipEnds: true });
    expect(parsed.ok && formatRange(parsed.value)).toBe(expected);
  });

  test('no text makes the parser throw, and what it accepts it writes in a form it accepts again', () => {
    const parts = array(constantFrom('1', '255', '256', '.', ':', '::', 'fe80', '/', '-', '0', '%', ' ', 'ffff'));
    const text = oneof(
      string(),
      parts.map((list) => list.join('')),
      anywhere.map(({ first, last }) => `${first.text}-${last.text}`),
    );
    check(
      property(text, (written) => {
        const parsed = parseRange(written, { allowsSingle: true });
        if (parsed.ok) expect(range(formatRange(parsed.value))).toEqual(parsed.value);
      }),
    );
  });
});

describe('arithmetic', () => {
  test('an address and its value are the same', () => {
    check(
      property(anywhere, ({ first, last }) => {
        expect(ipAt(first.family, ipValue(first))).toEqual(first);
        expect(Math.sign(compareIps(first, last))).toBe(ipValue(first) < ipValue(last) ? -1 : 0);
      }),
    );
  });

  test('next and previous undo one another, and end at the ends of the family', () => {
    check(
      property(anywhere, ({ first }) => {
        const next = nextIp(first);
        if (next !== undefined) expect([ipValue(next) - ipValue(first), previousIp(next)]).toEqual([1n, first]);
      }),
    );
    expect(nextIp(ip('255.255.255.255'))).toBeUndefined();
    expect(previousIp(ip('::'))).toBeUndefined();
    expect(nextIp(ip('10.0.255.255'))?.text).toBe('10.1.0.0');
    expect(previousIp(ip('fd00::1:0'))?.text).toBe('fd00::ffff');
  });

  test('sizes are exact, however large', () => {
    expect(rangeSize(range('::/0'))).toBe(2n ** 128n);
    expect(rangeSize(range('10.0.0.0/8'))).toBe(2n ** 24n);
    expect(rangeSize(range('10.0.0.5'))).toBe(1n);
  });

  test('the prefixes of a range are in order, as few as can be, and together exactly the range', () => {
    check(
      property(anywhere, (whole) => {
        const prefixes = rangePrefixes(whole);
        const parts = prefixes.map(prefixRange);
        expect(sortRanges(parts)).toEqual([whole]);
        expect(parts.reduce((sum, part) => sum + rangeSize(part), 0n)).toBe(rangeSize(whole));
        expect(prefixes.length).toBeLessThanOrEqual(254);
        const joining = prefixes.filter(({ ip: network, length }, index) => {
          const sibling = prefixes[index + 1];
          const isPair = sibling?.length === length && length > 0;
          return isPair && prefixContains({ ip: network, length: length - 1 }, sibling.ip);
        });
        expect(joining).toEqual([]);
      }),
    );
  });

  test('overlap, intersection and containment agree', () => {
    check(
      property(nearby, nearby, (a, b) => {
        const common = rangeIntersection(a, b);
        const both = [...members([a])].filter((text) => members([b]).has(text));
        expect(rangesOverlap(a, b)).toBe(both.length > 0);
        expect(common === undefined ? [] : [...members([common])]).toEqual(both);
        for (const text of both) expect(rangeContains(a, ip(text)) && rangeContains(b, ip(text))).toBe(true);
      }),
    );
  });
});

describe('lists of ranges', () => {
  const lists = array(nearby, { maxLength: 8 });

  test('overlapping ranges become one, where the first of them was named', () => {
    const given = ['10.0.0.20-10.0.0.29', '10.0.0.1-10.0.0.9', 'fd00::/126', '10.0.0.5-10.0.0.12', '10.0.0.30/31'];
    const { ranges, overlaps } = mergeRanges(given.map(range));
    expect(texts(ranges)).toEqual(['10.0.0.20-10.0.0.29', '10.0.0.1-10.0.0.12', 'fd00::/126', '10.0.0.30/31']);
    expect(texts(overlaps)).toEqual(['10.0.0.5-10.0.0.9']);
  });

  test('merging keeps every address, and leaves no overlap', () => {
    check(
      property(lists, (ranges) => {
        const merged = mergeRanges(ranges);
        expect(members(merged.ranges)).toEqual(members(ranges));
        expect(mergeRanges(merged.ranges)).toEqual({ ranges: merged.ranges, overlaps: [] });
        const first = ranges[0];
        if (first !== undefined) expect(merged.ranges[0]).toSatisfy((it) => rangeContains(it, first.first));
        const total = ranges.reduce((sum, each) => sum + rangeSize(each), 0n);
        expect(merged.overlaps.length > 0).toBe(BigInt(members(ranges).size) < total);
      }),
    );
  });

  test('sorting keeps every address in as few ranges as can be, IPv4 first', () => {
    check(
      property(lists, (ranges) => {
        const sorted = sortRanges(ranges);
        expect(members(sorted)).toEqual(members(ranges));
        for (const [index, each] of sorted.entries()) {
          const before = sorted[index - 1];
          if (before === undefined) continue;
          const next = nextIp(before.last);
          expect(next !== undefined && compareIps(next, each.first) < 0).toBe(true);
        }
      }),
    );
    expect(texts(sortRanges(['::/0', 'ffff::/16', '255.255.255.0/24', '0.0.0.0/0'].map(range)))).toEqual([
      '0.0.0.0/0',
      '::/0',
    ]);
  });

  test('taking ranges away leaves exactly the others, in their order', () => {
    check(
      property(lists, lists, (ranges, taken) => {
        const { ranges: given } = mergeRanges(ranges);
        const left = withoutRanges(given, sortRanges(taken));
        const gone = members(taken);
        expect([...members(left)]).toEqual([...members(given)].filter((text) => !gone.has(text)));
      }),
    );
    expect(withoutRanges([range('10.0.0.0/30')], [range('0.0.0.0/0')])).toEqual([]);
    expect(texts(withoutRanges([range('::/0')], [range('::/1')]))).toEqual(['8000::/1']);
  });
});

describe('the search for a free address', () => {
  const spaces = record({
    ranges: array(nearby, { maxLength: 5 }).map((ranges) => mergeRanges(ranges).ranges),
    order: constantFrom<'ascending' | 'descending'>('ascending', 'descending'),
    avoidsBuggy: constantFrom(true, false),
  });

  test('finds every usable address once, in order, however often it stops', () => {
    check(
      property(spaces, family, (space, wanted) => {
        const all = [...members(space.ranges)].map(ip);
        const ordered = space.order === 'ascending' ? all : all.toReversed();
        const isUsable = (candidate: { readonly bytes: Uint8Array }) => (candidate.bytes.at(-1) ?? 0) % 3 !== 0;
        const expected = ordered.filter(
          (each) =>
            each.family === wanted &&
            isUsable(each) &&
            !(space.avoidsBuggy && each.family === 'ipv4' && /\.(0|255)$/.test(each.text)),
        );
        const found: string[] = [];
        let cursor: SearchCursor | undefined;
        for (;;) {
          const result = firstFree({ ...space, family: wanted }, isUsable, cursor);
          if (result.kind === 'exhausted') break;
          if (result.kind === 'found') found.push(result.address.text);
          cursor = result.next;
        }
        expect(found).toEqual(expected.map(({ text }) => text));
      }),
    );
  });

  test('looks at a bounded number of addresses, and goes on where it stopped', () => {
    const space = { ranges: [range('10.0.0.0/8'), range('fd00::/64')], order: 'ascending' as const };
    let looks = 0;
    const result = firstFree(space, () => {
      looks += 1;
      return false;
    });
    expect([result.kind, looks]).toEqual(['unfinished', SEARCH_STEPS_MAX]);
    const seen: string[] = [];
    const next = firstFree(
      space,
      ({ text }) => seen.push(text) > 0,
      result.kind === 'unfinished' ? result.next : undefined,
    );
    expect(next).toMatchObject({ kind: 'found', address: { text: '10.0.64.0' } });
    expect(seen).toEqual(['10.0.64.0']);
  });

  test('filling a /18 of which all is taken looks at each address once', () => {
    const space = { ranges: [range('10.0.0.0/18')], order: 'ascending' as const };
    let looks = 0;
    let cursor: SearchCursor | undefined;
    for (let service = 0; service < 5_000; service++) {
      const result = firstFree(
        space,
        () => {
          looks += 1;
          return false;
        },
        cursor,
      );
      cursor = result.kind === 'exhausted' ? { position: space.ranges.length, after: undefined } : result.next;
    }
    expect(looks).toBe(2 ** 14);
  });
});

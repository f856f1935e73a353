/** Services in the text of a status report. */

import { describe, expect, it } from 'vitest';

import type { ServicesStatus } from '../../../src/observe/services-model.ts';
import { servicesText } from '../../../src/observe/services-text.ts';

const STATUS: ServicesStatus = {
  isSynced: true,
  isCurrent: true,
  isAllocating: true,
  hasStanding: true,
  served: 3,
  pending: 0,
  addresses: 3,
  owned: 1,
  held: 1,
  dark: 0,
  pools: [{ name: 'svc_pools', family: 'ipv4', size: '4', used: 3, isClosed: false }],
  here: [
    {
      address: '192.0.2.10',
      state: 'holding',
      sinceMs: 61_000,
      interface: 'eth0',
      announcements: 5,
      lastAnnouncedAgoMs: 2_000,
      conflict: undefined,
      services: ['shop/web'],
    },
  ],
  moves: [
    { at: '2026-01-01T00:00:00Z', kind: 'gained', cause: 'node-lost', other: 'n2', count: 1, timings: { total: 420 } },
  ],
  configProblems: [],
  writesWaiting: 0,
};

function text(change: Partial<ServicesStatus> = {}): string {
  const rendered = servicesText(
    { ...STATUS, ...change },
    {
      paint: (_, words) => words,
    },
  );
  // Columns are two spaces apart or more.
  return rendered.replaceAll(/ {2,}/g, ' │ ');
}

describe('services in the status', () => {
  it('are left out where they are left alone', () => {
    const tools = {
      paint: (_: string, words: string) => words,
    };
    expect(servicesText(undefined, tools)).toBe('');
  });

  it('say how many are served, from which pools, what is here and what moved last', () => {
    const words = text();
    expect(words).toContain('3 Services, none pending; 3 addresses');
    expect(words).toContain('this node answers for 1 addresses');
    expect(words).toContain('current, this node gives addresses');
    expect(words).toMatch(/svc_pools . ipv4 . 3 . 4/);
    expect(words).toMatch(/192\.0\.2\.10 . holding . 1 min 1 s . eth0 . 2\.0 s ago \(5×\) . shop\/web/);
    expect(words).toMatch(/gained 1 address from n2 . a majority no longer heard the other node . 420 ms/);
  });

  it('say what is wrong', () => {
    const words = text({
      pending: 2,
      dark: 1,
      owned: 4,
      hasStanding: false,
      isCurrent: false,
      writesWaiting: 7,
      configProblems: [{ kind: 'IPAddressPool', code: 'POOL_INVALID', count: 2 }],
    });
    expect(words).toContain('2 pending');
    expect(words).toContain('nobody may answer for 1 of the addresses');
    expect(words).toContain('1 of its 4 addresses');
    expect(words).toContain('may not answer now');
    expect(words).toContain('as last seen, this node gives addresses, 7 writes wait');
    expect(words).toContain('POOL_INVALID of 2 × IPAddressPool');
  });

  it('a full pool is told, and one of IPv6 larger than a number may be', () => {
    const words = text({
      pools: [
        { name: 'a', family: 'ipv4', size: '3', used: 3, isClosed: false },
        { name: 'b', family: 'ipv6', size: '18446744073709551616', used: 0, isClosed: true },
      ],
    });
    expect(words).toMatch(/a . ipv4 . 3 . 3 . full/);
    expect(words).toMatch(/b . ipv6 . 0 . 18446744073709551616 . gives nothing new/);
  });

  it('count what they do not list, and list what is not well first', () => {
    const [first] = STATUS.here;
    const here = Array.from({ length: 30 }, (_, index) => ({
      ...(first ?? STATUS.here[0]),
      address: `192.0.2.${index}`,
      state: index === 29 ? 'conflict' : 'holding',
      sinceMs: 0,
      interface: undefined,
      announcements: 0,
      lastAnnouncedAgoMs: undefined,
      conflict: index === 29 ? '02:00:00:00:00:01' : undefined,
      services: [],
    }));
    const words = text({ here, held: 29 });
    expect(words).toContain('and 10 more addresses');
    expect(words.indexOf('192.0.2.29')).toBeLessThan(words.indexOf('192.0.2.0 '));
    expect(words).toContain('02:00:00:00:00:01 answers too');
  });
});

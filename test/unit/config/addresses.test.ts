import { describe, expect, test } from 'vitest';
import { parseEnv, problemsOf, warningsOf } from './parse-with.ts';

function sourcesOf(env: Readonly<Record<string, string>>): readonly string[] {
  return (parseEnv(env).config?.vip.sources ?? []).map((source) =>
    source.kind === 'ip'
      ? `${source.ip.text}/${source.prefixLength}`
      : `${source.name} ${source.families} ${source.prefixLengths.ipv4},${source.prefixLengths.ipv6}`,
  );
}

describe('address', () => {
  test.each([
    ['192.0.2.10', ['192.0.2.10/32']],
    ['2001:DB8::0:10', ['2001:db8::10/128']],
    ['192.0.2.10,2001:db8::10', ['192.0.2.10/32', '2001:db8::10/128']],
    [' 2001:db8::10 , 192.0.2.10 ,', ['2001:db8::10/128', '192.0.2.10/32']],
    ['vip.example.org', ['vip.example.org first 32,128']],
    ['vip', ['vip first 32,128']],
    ['vip.example.org.,192.0.2.10', ['vip.example.org. first 32,128', '192.0.2.10/32']],
  ])('%j is %j', (text, expected) => {
    expect(sourcesOf({ address: text })).toEqual(expected);
  });

  test('is required with cp_enable', () => {
    expect(problemsOf({ address: '' })).toEqual([['address', 'CONFIG_ADDRESS_MISSING']]);
    expect(problemsOf({ address: ' , ' })).toEqual([['address', 'CONFIG_ADDRESS_MISSING']]);
  });

  test.each([
    ['10.0.0.010', 'leading zero'],
    ['::ffff:10.0.0.1', 'IPv4-mapped'],
    ['fe80::1%eth0', 'zone'],
    ['10.0.0.256', 'out of range'],
    ['10.0.0', 'too short'],
    ['10.0.0.1/24', 'prefix length'],
    ['[2001:db8::1]', 'brackets'],
    ['2001:db8:::1', 'malformed'],
    ['a_b.example', 'underscore'],
    ['-a.example', 'leading dash'],
    [`${'a'.repeat(64)}.example`, 'label too long'],
  ])('%s is refused: %s', (text) => {
    expect(problemsOf({ address: text })).toEqual([['address', 'CONFIG_ADDRESS_INVALID']]);
  });

  test.each([
    '224.0.0.18',
    '127.0.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '0.1.2.3',
    '240.0.0.1',
    '::',
    '::1',
    'ff02::1',
    'fe80::1',
  ])('%s cannot be owned by a machine on a network', (text) =>
    expect(problemsOf({ address: text })).toEqual([['address', 'CONFIG_ADDRESS_UNUSABLE']]),
  );

  test('the same twice is a problem, however it is written', () => {
    expect(problemsOf({ address: '2001:db8::1,2001:db8:0::1' })).toEqual([['address', 'CONFIG_ADDRESS_DUPLICATE']]);
    expect(problemsOf({ address: 'Vip.example,vip.example.' })).toEqual([['address', 'CONFIG_ADDRESS_DUPLICATE']]);
  });

  test('has a limit', () => {
    const many = Array.from({ length: 17 }, (_, index) => `192.0.2.${index + 1}`).join(',');
    expect(problemsOf({ address: many })).toEqual([['address', 'CONFIG_ADDRESS_INVALID']]);
  });
});

describe('vip_subnet', () => {
  test.each([
    ['32', '192.0.2.10', ['192.0.2.10/32']],
    ['/24', '192.0.2.10', ['192.0.2.10/24']],
    ['24,64', '192.0.2.10,2001:db8::10', ['192.0.2.10/24', '2001:db8::10/64']],
    ['32,128', '192.0.2.10', ['192.0.2.10/32']],
    ['32,128', '2001:db8::10', ['2001:db8::10/128']],
    ['64', '2001:db8::10', ['2001:db8::10/64']],
    ['24', 'vip.example', ['vip.example first 24,128']],
    ['64', 'vip.example', ['vip.example first 32,64']],
    ['24,64', 'vip.example', ['vip.example first 24,64']],
    ['31', '192.0.2.10', ['192.0.2.10/31']],
  ])('%s on %s is %j', (subnet, address, expected) => {
    expect(sourcesOf({ vip_subnet: subnet, address })).toEqual(expected);
  });

  test.each([
    ['32', '192.0.2.10,2001:db8::10', 'kube-vip would give IPv6 a /32'],
    ['128,32', '192.0.2.10,2001:db8::10', 'wrong order'],
    ['33', '192.0.2.10', 'too long'],
    ['129', '2001:db8::10', 'too long'],
    ['auto', '192.0.2.10', 'for Services only'],
    ['1,2,3', '192.0.2.10', 'three'],
    ['255.255.255.0', '192.0.2.10', 'a mask'],
    ['192.0.2.0/24', '192.0.2.10', 'a network'],
    ['-1', '192.0.2.10', 'negative'],
    ['24,', '192.0.2.10', 'half'],
  ])('%s on %s is refused: %s', (subnet, address) => {
    expect(problemsOf({ vip_subnet: subnet, address })).toEqual([['vip_subnet', 'CONFIG_SUBNET_INVALID']]);
  });

  test('32 on IPv6 is used, with a warning', () => {
    expect(sourcesOf({ vip_subnet: '32', address: '2001:db8::10' })).toEqual(['2001:db8::10/32']);
    expect(warningsOf({ vip_subnet: '32', address: '2001:db8::10' })).toEqual([
      ['vip_subnet', 'CONFIG_VALUE_ADJUSTED'],
    ]);
  });

  test.each([
    [{ vip_subnet: '24', address: '192.0.2.10' }, 1],
    [{ vip_subnet: '31', address: '192.0.2.10' }, 1],
    [{ vip_subnet: '24,128', address: '192.0.2.10,192.0.2.11,2001:db8::10' }, 1],
    [{ vip_subnet: '24', address: 'vip.example' }, 1],
    [{ vip_subnet: '32', address: '192.0.2.10' }, 0],
    [{ address: '192.0.2.10,2001:db8::10' }, 0],
    [{ vip_subnet: '64', address: '2001:db8::10' }, 0],
  ])('of an IPv4 network ties the address to others of it, which is worth a warning: %j', (env, count) => {
    const expected = Array.from({ length: count }, () => ['vip_subnet', 'CONFIG_SUBNET_WIDE']);
    expect(warningsOf(env)).toEqual(expected);
  });

  test.each(['192.0.2.0', '192.0.2.255'])('makes %s the edge of its own /24', (address) => {
    expect(problemsOf({ vip_subnet: '24', address })).toEqual([['address', 'CONFIG_ADDRESS_UNUSABLE']]);
    expect(problemsOf({ vip_subnet: '16', address })).toEqual([]);
  });

  test('is told as it is in effect', () => {
    expect(parseEnv({ address: '192.0.2.10,2001:db8::10' }).values.vip_subnet).toEqual({
      value: '32,128',
      source: 'default',
    });
    expect(parseEnv({ address: '2001:db8::10' }).values.vip_subnet.value).toBe('128');
  });
});

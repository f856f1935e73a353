import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { HoldfastError } from '../../../src/base/errors.ts';
import { missingCapabilities } from '../../../src/system/capabilities.ts';
import { errnoName } from '../../../src/system/errno.ts';
import { readSysctl, readSysctlNumber, writeSysctl } from '../../../src/system/sysctl.ts';

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-sysctl-'));
  mkdirSync(join(root, 'net/ipv4/conf/eth0.100'), { recursive: true });
  writeFileSync(join(root, 'net/ipv4/conf/eth0.100/arp_ignore'), '0\n');
  writeFileSync(join(root, 'net/ipv4/tcp_mem'), '1\t2\t3\n');
});

afterAll(() => rmSync(root, { recursive: true }));

describe('sysctl', () => {
  test('reads a setting of an interface with a dot in its name', () => {
    expect(readSysctlNumber('net/ipv4/conf/eth0.100/arp_ignore', { root })).toEqual({ ok: true, value: 0 });
    expect(readSysctl('net/ipv4/tcp_mem', { root })).toEqual({ ok: true, value: '1\t2\t3' });
    expect(readSysctlNumber('net/ipv4/tcp_mem', { root })).toMatchObject({ ok: false, reason: 'not-a-number' });
  });

  test('reads this machine’s', () => {
    expect(readSysctl('kernel/ostype')).toEqual({ ok: true, value: 'Linux' });
  });

  test('says what is not there', () => {
    const missing = readSysctl('net/ipv4/conf/eth1/arp_ignore', { root });
    expect(missing).toEqual({ ok: false, reason: 'absent', detail: 'net/ipv4/conf/eth1/arp_ignore: ENOENT' });
    expect(readSysctl('net/ipv4', { root })).toMatchObject({ ok: false, reason: 'unreadable' });
  });

  test.each(['', '/etc/passwd', '../../etc/passwd', 'net/../x', 'net//ipv4', 'net/./x', 'a b', 'net/x\n', 'net/\0'])(
    'takes no name like %j',
    (name) => {
      expect(readSysctl(name, { root })).toMatchObject({ ok: false, reason: 'invalid-name' });
      expect(() => writeSysctl(name, '1', { root })).toThrow(HoldfastError);
    },
  );

  test('writes a setting, and never makes a new one', () => {
    const name = 'net/ipv4/conf/eth0.100/arp_ignore';
    writeSysctl(name, '1', { root });
    expect(readFileSync(join(root, name), 'utf8')).toBe('1\n');
    const failure = expect.objectContaining({
      code: 'SYSCTL_UNWRITABLE',
      message: 'setting net/ipv4/nonsense to 1: ENOENT',
      remedy: expect.stringContaining('sysctl -w net.ipv4.nonsense=1'),
    });
    expect(() => writeSysctl('net/ipv4/nonsense', '1', { root })).toThrow(failure);
  });
});

describe('capabilities', () => {
  const status = (digits: string): string => `Name:\tnode\nCapPrm:\t0\nCapEff:\t${digits}\nCapBnd:\t000001ffffffffff\n`;

  test.each([
    ['all', '000001ffffffffff', []],
    ['none', '0000000000000000', ['NET_ADMIN', 'NET_RAW']],
    ['NET_ADMIN alone', '0000000000001000', ['NET_RAW']],
    ['NET_RAW alone', '0000000000002000', ['NET_ADMIN']],
    ['what a container gets by default', '00000000a80425fb', ['NET_ADMIN']],
  ] as const)('%s', (_, digits, missing) => {
    expect(missingCapabilities(['NET_ADMIN', 'NET_RAW'], status(digits))).toEqual(missing);
  });

  test('a status without the line has none', () => {
    expect(missingCapabilities(['SYS_NICE'], '')).toEqual(['SYS_NICE']);
  });

  test('this process has a status', () => {
    expect(missingCapabilities([])).toEqual([]);
  });
});

test('errno names, whatever their sign', () => {
  expect([errnoName(1), errnoName(-99), errnoName(4711)]).toEqual(['EPERM', 'EADDRNOTAVAIL', 'errno 4711']);
});

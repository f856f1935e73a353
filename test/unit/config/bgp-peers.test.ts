import { assert, constantFrom, property, string } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBgpPeers, parseBgpPeers, type BgpPeer } from '../../../src/config/bgp-peers.ts';

const PLAIN: BgpPeer = {
  address: '',
  interface: '',
  as: 65000,
  password: '',
  multihop: false,
  port: 179,
  mpbgpNexthop: '',
  mpbgpIpv4: '',
  mpbgpIpv6: '',
  bfd: { enabled: false, receiveIntervalMs: 300, transmitIntervalMs: 300, detectMultiplier: 3 },
};
const ULA = 'fd00:1111:2222:3333:c7d9:7235:6bf7:5d52';
const BFD_ON = { ...PLAIN.bfd, enabled: true };

/** kube-vip bee5cfe4, pkg/kubevip/config_bgp_test.go. */
const ACCEPTED: readonly (readonly [string, readonly Partial<BgpPeer>[]])[] = [
  ['192.168.0.10:65000::false,192.168.0.11:65000::false', [{ address: '192.168.0.10' }, { address: '192.168.0.11' }]],
  [
    '192.168.0.10:65000::false:180,192.168.0.11:65000::false:190',
    [
      { address: '192.168.0.10', port: 180 },
      { address: '192.168.0.11', port: 190 },
    ],
  ],
  [`[${ULA}]:65501::false::mpbgp_nexthop=auto_sourceif`, [{ address: ULA, as: 65501, mpbgpNexthop: 'auto_sourceif' }]],
  [`[${ULA}]:65501::false:::true;300;300;3`, [{ address: ULA, as: 65501, bfd: BFD_ON }]],
  [
    `[${ULA}]:65501::false::mpbgp_nexthop=auto_sourceif:true;300;300;3`,
    [{ address: ULA, as: 65501, mpbgpNexthop: 'auto_sourceif', bfd: BFD_ON }],
  ],
  ['[fd00:100:64::2]:65000:secret:true', [{ address: 'fd00:100:64::2', password: 'secret', multihop: true }]],
  ['[fd00:100:64::2]:65000::false', [{ address: 'fd00:100:64::2' }]],
  [
    'unnumbered:eth0,unnumbered:eth1:65000::true::mpbgp_nexthop=auto_sourceif',
    [
      { interface: 'eth0', as: 0, port: 0 },
      { interface: 'eth1', multihop: true, mpbgpNexthop: 'auto_sourceif' },
    ],
  ],
];

const REFUSED = [
  '',
  ':::::::',
  '1.2.3.4:65000/mpbgp_nexthop',
  '1.2.3.4:65000;unknown=value',
  '[fd00:100:64::2:65000',
  ',,',
  '1.2.3.4',
  '1.2.3.4:',
  '1.2.3.4:4294967296',
  '1.2.3.4:65000::maybe',
  '1.2.3.4:65000::false:65536',
  '1.2.3.4:65000::false::mpbgp_nexthop',
  '1.2.3.4:65000::false::colour=red',
  '1.2.3.4:65000::false:::true;300;300',
  '1.2.3.4:65000::false:::yes;300;300;3',
  '1.2.3.4:65000::false:::true;x;300;3',
  '1.2.3.4:65000:a:false:179::true;1;1;1:more',
  'fd00::1:65000',
  '[10.0.0.1]:65000',
  'unnumbered:',
];

describe('bgp_peers', () => {
  test.each(ACCEPTED)('%s', (text, expected) => {
    expect(parseBgpPeers(text)).toEqual({ ok: true, value: expected.map((peer) => ({ ...PLAIN, ...peer })) });
  });

  test('skips empty items', () => {
    expect(parseBgpPeers(',1.2.3.4:1,,')).toMatchObject({ ok: true, value: [{ address: '1.2.3.4', as: 1 }] });
  });

  test.each(REFUSED)('%j is refused', (text) => {
    expect(parseBgpPeers(text).ok).toBe(false);
  });

  test('says which peer is wrong and repeats nothing of it', () => {
    const result = parseBgpPeers('1.2.3.4:65000:hush,hush:false');
    expect(result).toMatchObject({ ok: false, reason: expect.stringContaining('peer 2') as string });
    expect(JSON.stringify(result)).not.toContain('hush');
  });

  test.each(ACCEPTED)('%s survives being formatted', (text) => {
    const parsed = parseBgpPeers(text);
    expect(parsed.ok && parseBgpPeers(formatBgpPeers(parsed.value))).toEqual(parsed);
  });

  test('is formatted with passwords masked', () => {
    const parsed = parseBgpPeers('10.0.0.1:65000:secret:true,10.0.0.2:65000');
    expect(parsed.ok && formatBgpPeers(parsed.value, '***')).toBe('10.0.0.1:65000:***:true,10.0.0.2:65000::false');
  });

  test('of any text never throws', () => {
    const unit = constantFrom(...Array.from('[]:,;=.0123456789afunmbered'));
    assert(
      property(string({ unit }), (text) => {
        parseBgpPeers(text);
      }),
    );
  });
});

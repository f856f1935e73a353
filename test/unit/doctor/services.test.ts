import { describe, expect, it } from 'vitest';

import { known } from '../../../src/doctor/fact.ts';
import { asObject, type JsonObject } from '../../../src/base/json.ts';
import { blind, ENV, facts, findings, found, NO, service, STACK, sysctls } from './facts.ts';
import { examine } from '../../../src/doctor/examination.ts';

const NORMAL = { arp_ignore: 0, arp_announce: 0, rp_filter: 0 };

function withCondition(raw: JsonObject, type: string, status: string, message: string): JsonObject {
  const condition = { type, status, reason: 'X', message, lastTransitionTime: '2026-01-01T00:00:00Z' };
  return { ...raw, status: { ...asObject(raw['status']), conditions: [condition] } };
}

function ofClass(raw: JsonObject, loadBalancerClass: string): JsonObject {
  return { ...raw, spec: { ...asObject(raw['spec']), loadBalancerClass } };
}

function cluster(...services: readonly JsonObject[]) {
  return { cluster: { services: known(services) } };
}

describe('SERVICE_PENDING', () => {
  const code = 'SERVICE_PENDING';

  it('repeats what is said of a Service without an address', () => {
    const web = withCondition(service('web'), 'holdfast.io/Allocated', 'False', 'No address: no pool.\nlan: POOL_FULL');
    expect(found(code, cluster(web, service('ok', ['192.0.2.200'])))).toEqual([
      'warning: a/web: has no address: No address: no pool. lan: POOL_FULL',
    ]);
    expect(findings(code, cluster(web))[0]?.remedy).toContain('holdfast explain service a/web');
  });

  it('names the class that nobody serves, and says when nobody says anything', () => {
    const [first, second] = found(code, cluster(ofClass(service('web'), 'example.com/other'), service('till')));
    expect(first).toMatch(
      /^warning: a\/web: has no address: its class is example\.com\/other, and Holdfast serves \S+/,
    );
    expect(second).toContain('a/till: has no address: nobody has said why');
  });

  it('counts what it doesn’t list', () => {
    const many = Array.from({ length: 11 }, (_, index) => service(`s${index}`));
    const told = found(code, cluster(...many));
    expect(told).toHaveLength(8);
    expect(told[7]).toContain('(and 3 more Services)');
  });

  it('has nothing to say of other Services, of those on their way out, and where Services are left to others', () => {
    const plain = { ...service('plain'), spec: { type: 'ClusterIP', clusterIP: '10.96.0.1' } };
    const leaving = service('leaving');
    const metadata = { ...asObject(leaving['metadata']), deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(found(code, cluster(plain, { ...leaving, metadata }))).toEqual([
      'ok: all 0 Services of type LoadBalancer have an address',
    ]);
    const env = { ...ENV, svc_enable: 'false' };
    expect(found(code, { env, ...cluster(service('web')) })).toEqual([
      'ok: svc_enable is off: 1 Services without an address are left to others',
    ]);
    expect(found(code, { cluster: { services: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('SERVICE_SILENT', () => {
  const code = 'SERVICE_SILENT';

  it('repeats why nobody answers for an address', () => {
    const message = '192.0.2.200: nobody answers: NO_CANDIDATE: no node has an endpoint.';
    const web = withCondition(service('web', ['192.0.2.200']), 'holdfast.io/Announced', 'False', message);
    const till = withCondition(service('till', ['192.0.2.201']), 'holdfast.io/Announced', 'True', 'n1 answers');
    expect(found(code, cluster(web, till))).toEqual([`warning: a/web: ${message}`]);
    expect(found(code, cluster(till))).toEqual(['ok: no Service says that nobody answers for it (1 have an address)']);
    expect(found(code, { cluster: { services: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('IPV6_DISABLED', () => {
  const code = 'IPV6_DISABLED';
  const env = { ...ENV, address: '192.0.2.10,2001:db8::10' };
  const machine = (value: number) => ({
    machine: {
      sysctls: {
        ...sysctls({ all: NORMAL, eth0: NORMAL }),
        ...STACK,
        'net/ipv6/conf/eth0/disable_ipv6': known(value),
      },
    },
  });

  it('is wrong where an IPv6 address is to be held', () => {
    expect(found(code, { env, ...machine(1) })).toEqual([
      'error: net.ipv6.conf.eth0.disable_ipv6 is 1: eth0 can have no IPv6 address',
    ]);
    expect(findings(code, { env, ...machine(1) })[0]?.remedy).toContain('sysctl -w net.ipv6.conf.eth0.disable_ipv6=0');
    expect(found(code, { env, ...machine(0) })).toEqual(['ok: IPv6 is on at eth0']);
    const pool = { ...ENV, svc_pools: '2001:db8::100-2001:db8::1ff' };
    expect(found(code, { env: pool, ...machine(1) })[0]).toMatch(/^error: /);
  });

  it('is nobody’s business where none is, and not known where pools can’t be read', () => {
    expect(found(code, machine(1))).toEqual(['ok: no IPv6 address is to be held']);
    expect(examine(blind(), [code]).map(({ level }) => level)).toEqual(['unknown']);
  });
});

describe('FORWARDING_OFF', () => {
  const code = 'FORWARDING_OFF';
  const machine = (off: string) => ({
    machine: { sysctls: { ...sysctls({ all: NORMAL, eth0: NORMAL }), ...STACK, [off]: known(0) } },
  });

  it('is wrong for the families that are served', () => {
    expect(found(code, machine('net/ipv4/ip_forward'))).toEqual(['warning: net.ipv4.ip_forward is 0']);
    expect(found(code, machine('net/ipv6/conf/all/forwarding'))).toEqual([
      'ok: the kernel forwards (net.ipv4.ip_forward)',
    ]);
    const env = { ...ENV, svc_pools: '192.0.2.200-192.0.2.203,2001:db8::100-2001:db8::1ff' };
    expect(found(code, { env, ...machine('net/ipv6/conf/all/forwarding') })).toEqual([
      'warning: net.ipv6.conf.all.forwarding is 0',
    ]);
    expect(found(code, { env: { ...ENV, svc_enable: 'false' }, ...machine('net/ipv4/ip_forward') })).toEqual([
      'ok: svc_enable is off: nothing has to be forwarded',
    ]);
  });
});

describe('KEEPALIVED_HOLDS_VIP', () => {
  const code = 'KEEPALIVED_HOLDS_VIP';
  const files = (text: string) => ({ files: { keepalived: known({ path: '/etc/keepalived/keepalived.conf', text }) } });
  const instance = (address: string) => `vrrp_instance VI_1 {\n  virtual_ipaddress {\n    ${address}\n  }\n}\n`;

  it.each(['192.0.2.10', '192.0.2.10/24 dev eth0', '192.0.2.9/32\n    192.0.2.10/32'])('is wrong with %j', (text) => {
    const [finding] = findings(code, files(instance(text)));
    expect(finding).toMatchObject({ level: 'error', evidence: '/etc/keepalived/keepalived.conf has 192.0.2.10' });
    expect(finding?.remedy).toContain('systemctl disable --now keepalived');
  });

  it('compares addresses, not texts', () => {
    const env = { ...ENV, address: '2001:db8::10' };
    expect(findings(code, { env, ...files(instance('2001:0DB8:0::10/128')) })[0]?.level).toBe('error');
  });

  it.each(['192.0.2.11/32', '# 192.0.2.10', '! 192.0.2.10', '192.0.2.100'])('is fine with %j', (text) => {
    expect(found(code, files(instance(text)))).toEqual([
      'ok: /etc/keepalived/keepalived.conf has none of the virtual IPs',
    ]);
  });

  it('is fine without keepalived, and not known where its file can’t be read', () => {
    expect(found(code)).toEqual(['ok: there is no configuration of keepalived here']);
    expect(found(code, { files: { keepalived: NO } })).toEqual(['unknown: nobody looked']);
    expect(facts().files.keepalived.isKnown).toBe(true);
  });
});

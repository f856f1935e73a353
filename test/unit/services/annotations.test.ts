import { describe, expect, it } from 'vitest';
import { ANNOTATIONS, isTrue, readAnnotations, WARNINGS_MAX } from '../../../src/services/annotations.ts';

function warningsOf(annotations: Readonly<Record<string, string>>): readonly string[] {
  return readAnnotations(annotations).warnings.map(({ code, message }) => `${code}: ${message}`);
}

describe('the table of annotations', () => {
  it('has each name once', () => {
    expect(new Set(ANNOTATIONS.map(({ name }) => name)).size).toBe(ANNOTATIONS.length);
  });

  it('names for each deprecated spelling one that is current and means the same', () => {
    const deprecated = ANNOTATIONS.filter((entry) => entry.state === 'deprecated');
    expect(deprecated.length).toBe(6);
    for (const entry of deprecated) {
      const instead = ANNOTATIONS.find(({ name }) => name === entry.instead);
      expect(instead).toMatchObject({ state: 'current', meaning: entry.meaning });
    }
  });

  it('knows every annotation kube-vip reads or writes (reference §2.1)', () => {
    const known = new Map(ANNOTATIONS.map((entry) => [entry.name, entry.state]));
    const honoured = 'loadbalancerIPs ignore serviceInterface serviceVLAN allow-reconcile-without-endpoints';
    const written = 'vipHost active-endpoint active-endpoint-ipv6 egress-nftables-table';
    const others =
      'loadbalancerHostname hwaddr requestedIP macvlanName dhcp-broadcast rp_filter ddns egress egress-internal ' +
      'egress-ipv6 egress-no-internal-traffic egress-detect-api-server egress-destination-ports egress-source-ports ' +
      'egress-allowed-networks egress-denied-networks flush-conntrack ignore-service-security forwardUPNP ' +
      'upnp-lease-duration leaseName forcePerServiceElection';
    const states = (names: string) => names.split(' ').map((name) => known.get(`kube-vip.io/${name}`));
    expect(new Set(states(honoured))).toEqual(new Set(['current']));
    expect(new Set(states(written))).toEqual(new Set(['inert']));
    expect(new Set(states(others))).toEqual(new Set(['not-supported']));
    expect(known.get('development.kube-vip.io/synthetic-api-server-error-on-update')).toBe('not-supported');
    const all = [...known.keys()].filter((name) => name.includes('kube-vip.io/'));
    expect(all.length).toBe(`${honoured} ${written} ${others}`.split(' ').length + 1);
  });
});

describe('reading annotations', () => {
  it('finds nothing in those of others, and says nothing about them', () => {
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': '{}',
      'service.cilium.io/global': 'true',
      'io.cilium/global-service': 'true',
      plain: 'x',
    };
    expect(readAnnotations(annotations)).toBe(readAnnotations({}));
  });

  it('gives each meaning with who says so, in the order of the table and not of the object', () => {
    const annotations = {
      'purelb.io/addresses': '10.0.0.4',
      'lbipam.cilium.io/ips': '10.0.0.3',
      'metallb.io/loadBalancerIPs': ' 10.0.0.2 ',
      'kube-vip.io/loadbalancerIPs': '10.0.0.1',
      'metallb.io/address-pool': 'lan',
    };
    const reversed = Object.fromEntries(Object.entries(annotations).toReversed());
    for (const each of [annotations, reversed]) {
      const { values, warnings } = readAnnotations(each);
      expect(values.get('addresses')).toEqual([
        { name: 'kube-vip.io/loadbalancerIPs', value: '10.0.0.1' },
        { name: 'metallb.io/loadBalancerIPs', value: '10.0.0.2' },
        { name: 'lbipam.cilium.io/ips', value: '10.0.0.3' },
        { name: 'purelb.io/addresses', value: '10.0.0.4' },
      ]);
      expect(values.get('pool')).toEqual([{ name: 'metallb.io/address-pool', value: 'lan' }]);
      expect(values.has('sharing-key')).toBe(false);
      expect(warnings).toEqual([]);
    }
  });

  it('answers a deprecated spelling with the one to use, and honours it', () => {
    const annotations = { 'metallb.universe.tf/allow-shared-ip': 'web', 'io.cilium/lb-ipam-ips': '10.0.0.1' };
    expect(warningsOf(annotations)).toEqual([
      'REQUEST_DEPRECATED: io.cilium/lb-ipam-ips is deprecated: use lbipam.cilium.io/ips',
      'REQUEST_DEPRECATED: metallb.universe.tf/allow-shared-ip is deprecated: use metallb.io/allow-shared-ip',
    ]);
    expect(readAnnotations(annotations).values.get('sharing-key')?.[0]?.value).toBe('web');
    expect(readAnnotations(annotations).warnings[0]?.context).toEqual({
      field: 'io.cilium/lb-ipam-ips',
      instead: 'lbipam.cilium.io/ips',
    });
  });

  it('names what is not supported yet, but not what asks for nothing or was written by a load balancer', () => {
    expect(warningsOf({ 'kube-vip.io/egress': 'true', 'kube-vip.io/leaseName': 'shared' })).toEqual([
      'REQUEST_NOT_SUPPORTED: kube-vip.io/egress asks for outgoing traffic from the address, which is not supported yet',
      'REQUEST_NOT_SUPPORTED: kube-vip.io/leaseName asks for a Lease shared with other Services, which is not supported yet',
    ]);
    const nothing = { 'kube-vip.io/egress': 'false', 'kube-vip.io/leaseName': ' ', 'kube-vip.io/vipHost': 'n1' };
    expect(warningsOf(nothing)).toEqual([]);
  });

  it('names a spelling nobody knows, and the one that was probably meant', () => {
    expect(
      warningsOf({
        'kube-vip.io/loadBalancerIPs': '10.0.0.1',
        'metallb.io/color': 'blue',
        'io.cilium/lb-ipam-other': 'x',
        'kube-vip.iox/y': '',
      }),
    ).toEqual([
      'REQUEST_NOT_SUPPORTED: "io.cilium/lb-ipam-other" is not known',
      'REQUEST_NOT_SUPPORTED: "kube-vip.io/loadBalancerIPs" is not known: kube-vip.io/loadbalancerIPs is',
      'REQUEST_NOT_SUPPORTED: "metallb.io/color" is not known',
    ]);
  });

  it('tells of a limited number, however many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`kube-vip.io/x${index}`, '1']));
    expect(readAnnotations(many).warnings.length).toBe(WARNINGS_MAX + 1);
  });

  it('is not misled by names that objects have anyway', () => {
    expect(readAnnotations(JSON.parse('{"__proto__": "x", "constructor": "y", "kube-vip.io/": "z"}')).values.size).toBe(
      0,
    );
  });

  it('takes true in any case, and nothing else, for true', () => {
    expect(['true', 'True', 'TRUE'].map(isTrue)).toEqual([true, true, true]);
    expect(['1', 'yes', 'false', ''].map(isTrue)).toEqual([false, false, false, false]);
  });
});

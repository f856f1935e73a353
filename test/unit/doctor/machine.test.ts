import { describe, expect, it } from 'vitest';
import { known } from '../../../src/doctor/fact.ts';
import type { Hardware } from '../../../src/doctor/facts.ts';
import { mac } from '../base/values.ts';
import { followerReport, sampleReport } from '../observe/sample-report.ts';
import { address, ENV, findings, found, kernel, link, NO, sysctls } from './facts.ts';

const IPVS = known({ mode: 'ipvs', ipvs: { strictARP: false } });
const STRICT = known({ mode: 'ipvs', ipvs: { strictARP: true } });
const WITH_IPVS = kernel({ links: [link('eth0'), link('kube-ipvs0', { index: 9, hardwareType: 1, isUp: false })] });

function arp(ignore: number, announce: number, all = 0): ReturnType<typeof sysctls> {
  return sysctls({ all: { arp_ignore: all, arp_announce: all }, eth0: { arp_ignore: ignore, arp_announce: announce } });
}

describe('STRICT_ARP_OFF', () => {
  it('is found in the ConfigMap, also before kube-proxy has made kube-ipvs0 here', () => {
    expect(found('STRICT_ARP_OFF', { cluster: { kubeProxy: IPVS } })).toEqual([
      'error: the ConfigMap kube-proxy has mode: ipvs and not ipvs.strictARP: true',
    ]);
    expect(found('STRICT_ARP_OFF', { cluster: { kubeProxy: known({ mode: 'ipvs' }) } })[0]).toMatch(/^error/);
  });

  it('is found in the kernel where the ConfigMap cannot be read', () => {
    const machine = { kernel: WITH_IPVS, sysctls: arp(0, 2) };
    expect(found('STRICT_ARP_OFF', { machine, cluster: { kubeProxy: NO } })).toEqual([
      'error: arp_ignore 0 and arp_announce 2 on eth0, and there is kube-ipvs0',
      'unknown: nobody looked',
    ]);
  });

  it('is a warning where strictARP is set and the kernel not so yet', () => {
    const machine = { kernel: WITH_IPVS, sysctls: arp(1, 1) };
    expect(found('STRICT_ARP_OFF', { machine, cluster: { kubeProxy: STRICT } })).toEqual([
      'warning: arp_ignore 1 and arp_announce 1 on eth0, and there is kube-ipvs0, though strictARP is set',
    ]);
  });

  it('is not found when both are set, on the interface or on all', () => {
    for (const values of [arp(1, 2), arp(0, 0, 2)]) {
      const machine = { kernel: WITH_IPVS, sysctls: values };
      expect(found('STRICT_ARP_OFF', { machine, cluster: { kubeProxy: STRICT } })[0]).toMatch(
        /^ok: kube-proxy is in mode/,
      );
    }
  });

  it('is no trap in another mode, or without kube-proxy', () => {
    for (const kubeProxy of [known({ mode: '' }), known({ mode: 'nftables' }), known(undefined)]) {
      expect(found('STRICT_ARP_OFF', { cluster: { kubeProxy } })[0]).toMatch(/^ok/);
    }
  });

  it('is not known where sysctls cannot be read', () => {
    const machine = { kernel: WITH_IPVS, sysctls: { 'net/ipv4/conf/all/arp_ignore': NO } };
    expect(found('STRICT_ARP_OFF', { machine, cluster: { kubeProxy: STRICT } })).toContain('unknown: nobody looked');
    expect(found('STRICT_ARP_OFF', { machine, cluster: { kubeProxy: STRICT } }).join()).not.toContain('ok:');
  });
});

describe('NODE_KUBE_PROXY', () => {
  const health = (value: number | undefined): NonNullable<Parameters<typeof found>[1]> => ({
    machine: { kubeProxyHealth: known(value) },
  });

  it('is found where the health check says so, or nobody listens and there should be one', () => {
    expect(found('NODE_KUBE_PROXY', health(503))).toEqual(['error: its health check has status 503']);
    expect(found('NODE_KUBE_PROXY', health(undefined))).toEqual(['error: nobody listens on its port of health checks']);
  });

  it('is not found where it answers, there is none, or no Services are served', () => {
    expect(found('NODE_KUBE_PROXY')).toEqual(['ok: its health check answers']);
    expect(found('NODE_KUBE_PROXY', { ...health(undefined), cluster: { kubeProxy: known(undefined) } })[0]).toMatch(
      /^ok: there is no/,
    );
    expect(found('NODE_KUBE_PROXY', { ...health(503), env: { ...ENV, svc_enable: 'false' } })[0]).toMatch(/^ok/);
  });

  it('is not known where it was not asked, or whether there should be one', () => {
    expect(found('NODE_KUBE_PROXY', { machine: { kubeProxyHealth: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('NODE_KUBE_PROXY', { ...health(undefined), cluster: { kubeProxy: NO } })[0]).toMatch(
      /^unknown: nobody listens/,
    );
  });
});

describe('REVERSE_PATH_FILTER', () => {
  const two = kernel({
    links: [link('eth0'), link('eth1', { index: 3 }), link('docker0', { index: 4 })],
    addresses: [address('192.0.2.1/24'), address('198.51.100.1/24', 3), address('172.17.0.1/16', 4)],
  });
  const filter = (all: number, eth1: number): ReturnType<typeof sysctls> =>
    sysctls({ all: { rp_filter: all }, eth0: { rp_filter: 0 }, eth1: { rp_filter: eth1 } });

  it('is found where an interface of several filters strictly', () => {
    expect(findings('REVERSE_PATH_FILTER', { machine: { kernel: two, sysctls: filter(0, 1) } })).toMatchObject([
      { level: 'warning', remedy: expect.stringContaining('net.ipv4.conf.eth1.rp_filter=2') as string },
    ]);
  });

  it('is not found when the larger of both values is loose or off', () => {
    expect(found('REVERSE_PATH_FILTER', { machine: { kernel: two, sysctls: filter(2, 1) } })[0]).toMatch(
      /^ok: rp_filter is not/,
    );
    expect(found('REVERSE_PATH_FILTER', { machine: { kernel: two, sysctls: filter(0, 0) } })[0]).toMatch(/^ok/);
  });

  it('does no harm with one interface, bridges of containers aside', () => {
    const one = kernel({
      links: [link('eth0'), link('docker0', { index: 4 })],
      addresses: [address('192.0.2.1/24'), address('172.17.0.1/16', 4)],
    });
    expect(
      found('REVERSE_PATH_FILTER', { machine: { kernel: one, sysctls: sysctls({ all: { rp_filter: 1 } }) } }),
    ).toEqual(['ok: one interface has IPv4 subnets: eth0']);
  });

  it('is not known without the sysctl', () => {
    expect(found('REVERSE_PATH_FILTER', { machine: { kernel: two, sysctls: {} } })[0]).toMatch(
      /^unknown: net.ipv4.conf.all/,
    );
  });
});

describe('the interfaces', () => {
  const on = (
    given: Parameters<typeof link>[1],
    name = 'eth0',
  ): { machine: { kernel: ReturnType<typeof kernel> } } => ({
    machine: { kernel: kernel({ links: [link(name, given), link('bond0', { index: 7, linkKind: 'bond' })] }) },
  });

  it('INTERFACE_MISSING: one that is named and is not there', () => {
    expect(findings('INTERFACE_MISSING', { env: { ...ENV, vip_interface: 'eno1' } })).toMatchObject([
      {
        level: 'error',
        evidence: 'there is no interface eno1 here',
        remedy: expect.stringContaining('one of: eth0') as string,
      },
    ]);
    expect(found('INTERFACE_MISSING')).toEqual(['ok: addresses are answered for on eth0']);
  });

  it('INTERFACE_MISSING: none is named and there is no default route', () => {
    const machine = { kernel: kernel({ defaultRoutes: [], addresses: [] }) };
    expect(found('INTERFACE_MISSING', { machine })[0]).toMatch(/^unknown: no interface is named/);
  });

  it('INTERFACE_DOWN, a warning where that is allowed', () => {
    expect(found('INTERFACE_DOWN', on({ isUp: false }))).toEqual(['error: eth0 is down']);
    const env = { ...ENV, vip_allow_interface_not_up: 'true' };
    expect(found('INTERFACE_DOWN', { env, ...on({ isUp: false }) })).toEqual(['warning: eth0 is down']);
  });

  it('NODE_NO_CARRIER, not of one that is down anyway', () => {
    expect(found('NODE_NO_CARRIER', on({ hasCarrier: false }))).toEqual(['error: eth0 is up and has no carrier']);
    expect(found('NODE_NO_CARRIER', on({ hasCarrier: false, isUp: false }))).toEqual(['ok: eth0: carrier']);
  });

  it('INTERFACE_UNSUITABLE: no Ethernet', () => {
    expect(found('INTERFACE_UNSUITABLE', on({ hardwareType: 65534 }))[0]).toMatch(/^error: eth0 is no Ethernet/);
  });

  it('INTERFACE_IS_PORT of a bond; a VRF takes no frames', () => {
    expect(findings('INTERFACE_IS_PORT', on({ master: 7 }))).toMatchObject([
      { level: 'error', evidence: 'eth0 is a port of the bond bond0', remedy: 'Set vip_interface to bond0.' },
    ]);
    const vrf = {
      machine: {
        kernel: kernel({ links: [link('eth0', { master: 7 }), link('blue', { index: 7, linkKind: 'vrf' })] }),
      },
    };
    expect(found('INTERFACE_IS_PORT', vrf)).toEqual(['ok: eth0: port of no bond or bridge']);
    expect(found('INTERFACE_IS_PORT', on({ master: 8 }))[0]).toMatch(/^unknown/);
  });

  it('INTERFACE_WIRELESS', () => {
    const devices = { eth0: known({ isWireless: true, driver: 'brcmfmac' }) };
    expect(found('INTERFACE_WIRELESS', { machine: { devices } })).toEqual([
      'warning: eth0 is wireless (driver brcmfmac)',
    ]);
    expect(found('INTERFACE_WIRELESS', { machine: { devices: { eth0: NO } } })).toEqual(['unknown: nobody looked']);
    expect(found('INTERFACE_WIRELESS', { machine: { devices: {} } })[0]).toMatch(/^unknown/);
  });

  it('INTERFACE_MTU: too small for the family, or larger than that of a port', () => {
    expect(found('INTERFACE_MTU', on({ mtu: 1000 }))).toEqual(['ok: eth0: fitting']);
    expect(found('INTERFACE_MTU', { env: { ...ENV, address: '2001:db8::10' }, ...on({ mtu: 1000 }) })).toEqual([
      'error: the MTU of eth0 is 1000, and IPv6 needs 1280',
    ]);
    const bridge = kernel({ links: [link('eth0', { mtu: 9000 }), link('eno1', { index: 8, master: 2 })] });
    expect(found('INTERFACE_MTU', { machine: { kernel: bridge } })[0]).toMatch(
      /^warning: .* 9000, that of its port eno1 is 1500/,
    );
  });

  it('are those whose subnets hold the pools as well, unless one is named', () => {
    const two = kernel({
      links: [link('eth0'), link('eth1', { index: 3, isUp: false })],
      addresses: [address('198.51.100.1/24'), address('192.0.2.1/24', 3)],
    });
    expect(found('INTERFACE_DOWN', { machine: { kernel: two } })).toEqual(['error: eth1 is down']);
    expect(found('INTERFACE_DOWN', { env: { ...ENV, vip_interface: 'eth0' }, machine: { kernel: two } })).toEqual([
      'ok: eth0: up',
    ]);
  });
});

describe('PORT_SECURITY', () => {
  const at = (hardware: Partial<Hardware>, macText = '3c:ec:ef:00:00:01'): Parameters<typeof found>[1] => ({
    machine: {
      hardware: known({ vendor: '', product: '', assetTag: '', ...hardware }),
      kernel: kernel({ links: [link('eth0', { mac: mac(macText) })] }),
    },
  });

  it('is a warning where addresses never move by announcement', () => {
    expect(found('PORT_SECURITY', at({ vendor: 'Amazon EC2' }))[0]).toMatch(/^warning: .*Amazon EC2/);
    const azure = {
      vendor: 'Microsoft Corporation',
      product: 'Virtual Machine',
      assetTag: '7783-7084-3265-9085-8269-3286-77',
    };
    expect(found('PORT_SECURITY', at(azure))[0]).toMatch(/^warning: .*Azure/);
  });

  it('is not known on other platforms, and says what to allow', () => {
    expect(findings('PORT_SECURITY', at({ vendor: 'OpenStack Foundation' }))).toMatchObject([
      { level: 'unknown', remedy: expect.stringContaining('allowed-address') as string },
    ]);
    expect(found('PORT_SECURITY', at({ vendor: 'Microsoft Corporation', product: 'Virtual Machine' }))[0]).toContain(
      'Hyper-V',
    );
    expect(found('PORT_SECURITY', at({}, '52:54:00:12:34:56'))[0]).toContain('KVM');
    expect(found('PORT_SECURITY', at({}, '00:50:56:00:00:01'))[0]).toContain('VMware');
  });

  it('is no matter on hardware, and not known where nothing says what it is', () => {
    expect(found('PORT_SECURITY')[0]).toMatch(/^ok/);
    expect(found('PORT_SECURITY', { machine: { hardware: NO } })).toEqual(['unknown: nobody looked']);
  });
});

describe('the process', () => {
  const stopped = { status: NO };

  it('CAPABILITY_MISSING: of this command, unless Holdfast runs', () => {
    const machine = { missingCapabilities: known(['NET_RAW']) };
    expect(found('CAPABILITY_MISSING', { machine, facts: stopped })).toEqual([
      'warning: a manager started as this command was would lack NET_RAW',
    ]);
    expect(found('CAPABILITY_MISSING', { machine })[0]).toMatch(/^ok: Holdfast runs/);
    expect(found('CAPABILITY_MISSING', { facts: stopped })[0]).toMatch(/^ok: this process/);
    expect(found('CAPABILITY_MISSING', { machine: { missingCapabilities: NO }, facts: stopped })).toEqual([
      'unknown: nobody looked',
    ]);
  });

  it('PORT_IN_USE: by somebody else, named where that may be seen', () => {
    const owner = { name: 'dockerd', pid: 7 };
    const sockets = known([
      { protocol: 'tcp' as const, port: 2112, owner },
      { protocol: 'tcp' as const, port: 6460, owner },
      { protocol: 'udp' as const, port: 6460, owner: undefined },
    ]);
    expect(found('PORT_IN_USE', { machine: { sockets }, facts: stopped })).toEqual([
      'error: udp port 6460, which vip_heartbeat_port needs, belongs to a process that may not be seen from here, and no Holdfast answers on its status socket',
      'error: tcp port 2112, which prometheus_server needs, belongs to dockerd (pid 7), and no Holdfast answers on its status socket',
    ]);
    expect(found('PORT_IN_USE', { machine: { sockets } })[0]).toMatch(/^ok: Holdfast runs/);
    expect(found('PORT_IN_USE', { facts: stopped })[0]).toMatch(/^ok: free: udp 6460/);
    expect(found('PORT_IN_USE', { machine: { sockets: NO }, facts: stopped })).toEqual(['unknown: nobody looked']);
  });
});

describe('the running Holdfast', () => {
  const peer = {
    name: 'n2',
    isHeard: false,
    heardAgoMs: undefined,
    isHolding: false,
    isApiWorking: true,
    isDraining: false,
  };

  it('HEARTBEATS_UNHEARD: an error when nobody is heard, a warning when somebody is', () => {
    const all = known(sampleReport({ peers: [peer] }));
    expect(findings('HEARTBEATS_UNHEARD', { facts: { status: all } })).toMatchObject([
      { level: 'error', remedy: expect.stringContaining('UDP port 6460') as string },
    ]);
    const some = known(sampleReport({ peers: [peer, { ...peer, name: 'n3', isHeard: true }] }));
    expect(found('HEARTBEATS_UNHEARD', { facts: { status: some } })).toEqual([
      'warning: no heartbeat arrives from n2 (of 2 other candidates)',
    ]);
    const none = known(followerReport({ peers: [{ ...peer, isHeard: true }] }));
    expect(found('HEARTBEATS_UNHEARD', { facts: { status: none } })).toEqual(['ok: all 1 other candidates are heard']);
    expect(found('HEARTBEATS_UNHEARD', { facts: { status: NO } })).toEqual(['unknown: nobody looked']);
  });

  it('RUNNING_PROBLEM: with the code it has, which may be of a later version', () => {
    const problems = [
      { code: 'INTERFACE_DOWN', message: 'eth0 is down', remedy: 'x' },
      { code: 'OF_LATER', message: 'new', remedy: 'y' },
    ];
    expect(findings('RUNNING_PROBLEM', { facts: { status: known(sampleReport({ problems })) } })).toEqual([
      { code: 'INTERFACE_DOWN', level: 'error', evidence: 'eth0 is down', remedy: 'x' },
      { code: 'RUNNING_PROBLEM', level: 'error', evidence: 'new', remedy: 'y' },
    ]);
    expect(found('RUNNING_PROBLEM')).toEqual(['ok: Holdfast reports no problem']);
    expect(found('RUNNING_PROBLEM', { facts: { status: NO } })).toEqual(['unknown: nobody looked']);
    expect(found('NOT_RUNNING', { facts: { status: NO } })).toEqual(['unknown: nobody looked']);
  });
});

/** The machine itself: how the kernel filters, what the process may do, which ports are taken, where the machine runs. */

import { derive, unknown, unknownOf } from '../fact.ts';
import type { Hardware } from '../facts.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { parseListen } from '../../config/value.ts';
import { isOn, setting, subnetsOf, type Subject } from '../subject.ts';
import { effective } from './kube-proxy.ts';

/** Bridges of container runtimes and of libvirt: networks inside the machine. */
const INNER_BRIDGE = /^(docker|cni|br-[0-9a-f]{12}$|virbr|podman|nerdctl|cbr|lxc|lxd|incus)/;

const STRICT = 1;

/** With one network in and out, strict filtering drops nothing. */
export function checkReversePath({ facts }: Subject): readonly Finding[] {
  const code = 'REVERSE_PATH_FILTER';
  const { kernel } = facts.machine;
  if (!kernel.isKnown) return [unsure(code, kernel)];
  const names = new Set(
    subnetsOf(kernel.value)
      .filter(({ link, prefix }) => prefix.ip.family === 'ipv4' && link.isUp && !INNER_BRIDGE.test(link.name))
      .map(({ link }) => link.name),
  );
  const values = [...names].map((name) => ({ name, value: effective(facts.machine, name, 'rp_filter') }));
  const strict = values.filter(({ value }) => value.isKnown && value.value === STRICT).map(({ name }) => name);
  if (names.size < 2) return [fine(code, `one interface has IPv4 subnets: ${[...names].join(', ') || 'none'}`)];
  const evidence = `rp_filter is 1 (strict) on ${strict.join(', ')}, and ${names.size} interfaces have IPv4 subnets (${[...names].join(', ')})`;
  return conclude(code, {
    wrong:
      strict.length === 0 ? [] : [warning(code, evidence, { name: `net.ipv4.conf.${strict[0] ?? 'all'}.rp_filter` })],
    unknown: unknownOf(...values.map(({ value }) => value)),
    fine: `rp_filter is not strict on ${[...names].join(', ')}`,
  });
}

/** A running Holdfast has what it needs, or it would not run; else this command is taken for one. */
export function checkCapabilities({ facts }: Subject): readonly Finding[] {
  const code = 'CAPABILITY_MISSING';
  if (facts.status.isKnown) return [fine(code, 'Holdfast runs, which it would not without NET_ADMIN and NET_RAW')];
  const { missingCapabilities: missing } = facts.machine;
  if (!missing.isKnown) return [unsure(code, missing)];
  if (missing.value.length === 0) return [fine(code, 'this process has NET_ADMIN and NET_RAW')];
  const names = missing.value.join(' and ');
  return [warning(code, `a manager started as this command was would lack ${names}`, { capability: names })];
}

export function checkPorts({ facts }: Subject): readonly Finding[] {
  const code = 'PORT_IN_USE';
  const wanted = wantedPorts(facts);
  const texts = wanted.map(({ protocol, port, name }) => `${protocol} ${port} (${name})`).join(', ');
  if (wanted.length === 0) return [fine(code, 'no port is wanted')];
  if (facts.status.isKnown) return [fine(code, `Holdfast runs, and has them or tells of it: ${texts}`)];
  const { sockets } = facts.machine;
  if (!sockets.isKnown) return [unsure(code, sockets)];
  const wrong = wanted.flatMap(({ protocol, port, name }) => {
    const taken = sockets.value.find((each) => each.protocol === protocol && each.port === port);
    if (taken === undefined) return [];
    const owner =
      taken.owner === undefined
        ? 'a process that may not be seen from here'
        : `${taken.owner.name} (pid ${taken.owner.pid})`;
    const evidence = `${protocol} port ${port}, which ${name} needs, belongs to ${owner}, and no Holdfast answers on its status socket`;
    return [failing(code, evidence, { what: owner })];
  });
  return conclude(code, { wrong, unknown: [], fine: `free: ${texts}` });
}

interface WantedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly name: string;
}

function wantedPorts(facts: Subject['facts']): readonly WantedPort[] {
  const metrics = parseListen(setting(facts, 'prometheus_server'));
  const health = Number(setting(facts, 'health_check_port'));
  const ports: WantedPort[] = [];
  if (isOn(facts, 'vip_heartbeat')) {
    ports.push({ protocol: 'udp', port: Number(setting(facts, 'vip_heartbeat_port')), name: 'vip_heartbeat_port' });
  }
  if (metrics !== undefined) ports.push({ protocol: 'tcp', port: metrics.port, name: 'prometheus_server' });
  if (health > 0) ports.push({ protocol: 'tcp', port: health, name: 'health_check_port' });
  return ports;
}

interface Platform {
  readonly name: string;
  readonly isHere: (hardware: Hardware, macs: readonly string[]) => boolean;
  /** Its networks never deliver to an address that a machine announces by itself. */
  readonly isHopeless: boolean;
  readonly advice: string;
}

const ROUTED =
  'Use a load balancer of the platform: its network delivers by a table of its own, whatever machines announce.';

/** Firmware and hardware addresses as the platforms give them (systemd's detect-virt; IEEE's OUI list). */
const PLATFORMS: readonly Platform[] = [
  { name: 'Amazon EC2', isHere: ({ vendor }) => /^amazon/i.test(vendor), isHopeless: true, advice: ROUTED },
  {
    name: 'Google Compute Engine',
    isHere: ({ product }) => /^google compute/i.test(product),
    isHopeless: true,
    advice: ROUTED,
  },
  {
    name: 'Microsoft Azure',
    isHere: ({ assetTag }) => assetTag === '7783-7084-3265-9085-8269-3286-77',
    isHopeless: true,
    advice: ROUTED,
  },
  { name: 'Hetzner Cloud', isHere: ({ vendor }) => /^hetzner/i.test(vendor), isHopeless: true, advice: ROUTED },
  { name: 'DigitalOcean', isHere: ({ vendor }) => /^digitalocean/i.test(vendor), isHopeless: true, advice: ROUTED },
  { name: 'Oracle Cloud', isHere: ({ assetTag }) => /^oraclecloud/i.test(assetTag), isHopeless: true, advice: ROUTED },
  {
    name: 'OpenStack',
    isHere: ({ vendor, product }, macs) => /openstack/i.test(`${vendor} ${product}`) || hasPrefix(macs, ['fa:16:3e']),
    isHopeless: false,
    advice:
      'Allow the addresses on the port of each node: `openstack port set --allowed-address ip-address=ADDRESS PORT`.',
  },
  {
    name: 'VMware',
    isHere: ({ vendor }, macs) => /^vmware/i.test(vendor) || hasPrefix(macs, ['00:0c:29', '00:50:56', '00:05:69']),
    isHopeless: false,
    advice: 'A plain port group lets them through; with NSX, allow the addresses in SpoofGuard.',
  },
  {
    name: 'Hyper-V',
    isHere: ({ vendor, product }, macs) =>
      /^microsoft virtual machine/i.test(`${vendor.replace(/ corporation$/i, '')} ${product}`) ||
      hasPrefix(macs, ['00:15:5d']),
    isHopeless: false,
    advice: 'An external switch lets them through; look for port ACLs: `Get-VMNetworkAdapterAcl`.',
  },
  {
    name: 'KVM',
    isHere: ({ vendor, product }, macs) =>
      /qemu|^kvm|red hat|proxmox/i.test(`${vendor} ${product}`) || hasPrefix(macs, ['52:54:00', 'bc:24:11']),
    isHopeless: false,
    advice:
      "Proxmox: switch the IP filter of the machine's firewall off, or put the addresses into its IP set ipfilter-net0. libvirt: no filterref clean-traffic.",
  },
  {
    name: 'VirtualBox',
    isHere: ({ vendor, product }, macs) => /virtualbox/i.test(`${vendor} ${product}`) || hasPrefix(macs, ['08:00:27']),
    isHopeless: false,
    advice: 'Use a bridged or internal network: NAT delivers to no other address.',
  },
  {
    name: 'Xen',
    isHere: ({ vendor }, macs) => /^xen/i.test(vendor) || hasPrefix(macs, ['00:16:3e']),
    isHopeless: false,
    advice: 'Unlock the virtual interface: `xe vif-param-set uuid=UUID locking-mode=unlocked`.',
  },
];

function hasPrefix(macs: readonly string[], prefixes: readonly string[]): boolean {
  return macs.some((mac) => prefixes.some((prefix) => mac.startsWith(prefix)));
}

/** Whether frames for an announced address get through can't be seen from inside: where they may not, that is said. */
export function checkPortSecurity({ facts, interfaces }: Subject): readonly Finding[] {
  const code = 'PORT_SECURITY';
  const { hardware } = facts.machine;
  const macs = interfaces.isKnown ? interfaces.value.links.flatMap(({ mac }) => mac?.text ?? []) : [];
  const seen: Hardware = hardware.isKnown ? hardware.value : { vendor: '', product: '', assetTag: '' };
  const platform = PLATFORMS.find(({ isHere }) => isHere(seen, macs));
  const what = derive(hardware, ({ vendor, product }) => `${vendor} ${product}`.trim() || 'nothing');
  if (platform !== undefined) {
    const evidence = `the machine runs on ${platform.name} (firmware: ${what.isKnown ? what.value : 'not read'}; MAC ${macs.join(', ') || 'not known'})`;
    if (platform.isHopeless) return [warning(code, evidence, { advice: platform.advice })];
    const why = `${evidence}; whether its network lets announced addresses through can't be seen from inside`;
    return [unsure(code, unknown(why, platform.advice))];
  }
  return conclude(code, {
    wrong: [],
    unknown: unknownOf(hardware, interfaces),
    fine: `no platform of virtual machines is recognized (firmware: ${what.isKnown ? what.value : ''})`,
  });
}

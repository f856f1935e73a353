/** This machine as the kernel and the firmware tell it: links, addresses, routes, sysctls, devices, capabilities, ports. */

import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { ParsedConfig } from '../config/parse.ts';
import { parseListen } from '../config/value.ts';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import type { Device, Hardware, MachineFacts } from '../doctor/facts.ts';
import type { KernelSnapshot } from '../protocol/netlink/records.ts';
import { missingCapabilities } from '../system/capabilities.ts';
import { openKernel } from '../system/kernel.ts';
import type { Netfd } from '../system/netfd.ts';
import { readSysctlNumber } from '../system/sysctl.ts';
import { reasonOf } from './files.ts';
import { readSockets } from './sockets.ts';

/** Interfaces that are looked at; a node with Pods has a veth for each, without addresses. */
const INTERFACES_MAX = 256;
const SETTINGS = ['arp_ignore', 'arp_announce', 'rp_filter'];
const FORWARDING = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];

export interface MachineOptions {
  readonly netfd: Fact<Netfd>;
  readonly parsed: ParsedConfig;
  /** Default /sys. */
  readonly sys?: string;
  /** Default /proc. */
  readonly proc?: string;
  readonly kubeProxyHealth: MachineFacts['kubeProxyHealth'];
}

export function surveyMachine({
  netfd,
  parsed,
  sys = '/sys',
  proc = '/proc',
  kubeProxyHealth,
}: MachineOptions): MachineFacts {
  const kernel = netfd.isKnown ? readKernel(netfd.value) : netfd;
  const names = interfaceNames(kernel);
  const wanted = [
    ...['all', ...names].flatMap((name) => SETTINGS.map((setting) => `net/ipv4/conf/${name}/${setting}`)),
    ...names.map((name) => `net/ipv6/conf/${name}/disable_ipv6`),
    ...FORWARDING,
  ];
  const sysctls = Object.fromEntries(wanted.map((name) => readSetting(name, proc)));
  return {
    kernel,
    sysctls,
    devices: Object.fromEntries(names.map((name) => [name, readDevice(name, sys)])),
    hardware: readHardware(sys, proc),
    missingCapabilities: readCapabilities(proc),
    sockets: readSockets(portsOf(parsed), proc),
    kubeProxyHealth,
  };
}

function readKernel(netfd: Netfd): Fact<KernelSnapshot> {
  try {
    const kernel = openKernel(netfd);
    try {
      return known(kernel.dump());
    } finally {
      kernel.close();
    }
  } catch (error) {
    return unknown(`links and addresses can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Those with addresses, or without a master: what could be meant by a setting. */
function interfaceNames(kernel: Fact<KernelSnapshot>): readonly string[] {
  if (!kernel.isKnown) return [];
  const { links, addresses } = kernel.value;
  const addressed = new Set(addresses.map(({ ifindex }) => ifindex));
  return links
    .toSorted((a, b) => Number(addressed.has(b.index)) - Number(addressed.has(a.index)))
    .slice(0, INTERFACES_MAX)
    .map(({ name }) => name);
}

function readSetting(name: string, proc: string): readonly [string, Fact<number>] {
  const read = readSysctlNumber(name, { root: `${proc}/sys` });
  return [
    name,
    read.ok ? known(read.value) : unknown(`${name.replaceAll('/', '.')} can't be read: ${read.detail ?? read.reason}`),
  ];
}

/** /sys shows the interfaces of the network namespace it was mounted in: one that isn't there may be another's. */
function readDevice(name: string, sys: string): Fact<Device> {
  const folder = `${sys}/class/net/${name}`;
  if (!existsSync(folder)) {
    return unknown(`${folder} is not there`, 'Run this in the network and mount namespace of the node.');
  }
  let driver: string | undefined;
  try {
    driver = basename(readlinkSync(`${folder}/device/driver`));
  } catch {
    // A virtual device has none.
  }
  return known({ isWireless: existsSync(`${folder}/wireless`) || existsSync(`${folder}/phy80211`), driver });
}

function readHardware(sys: string, proc: string): Fact<Hardware> {
  const folder = `${sys}/class/dmi/id`;
  const read = (name: string): string => readText(`${folder}/${name}`);
  if (existsSync(folder)) {
    return known({ vendor: read('sys_vendor'), product: read('product_name'), assetTag: read('chassis_asset_tag') });
  }
  // Boards without DMI have a device tree, which ends its strings with NUL.
  const model = readText(`${proc}/device-tree/model`);
  if (model !== '') return known({ vendor: '', product: model, assetTag: '' });
  return unknown(`the firmware says nothing of the machine: there is neither ${folder} nor a device tree`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').replaceAll('\0', '').trim();
  } catch {
    return '';
  }
}

function readCapabilities(proc: string): Fact<readonly string[]> {
  try {
    return known(missingCapabilities(['NET_ADMIN', 'NET_RAW'], readFileSync(`${proc}/self/status`, 'utf8')));
  } catch (error) {
    return unknown(`${proc}/self/status can't be read: ${reasonOf(error)}`);
  }
}

function portsOf({ values }: ParsedConfig): readonly number[] {
  const metrics = parseListen(values.prometheus_server.value)?.port ?? 0;
  return [Number(values.vip_heartbeat_port.value), metrics, Number(values.health_check_port.value)].filter(
    (port) => port > 0,
  );
}

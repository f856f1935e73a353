/** The interfaces that answer: that they exist, carry Ethernet frames of their own, and are up. One check for each flaw. */

import type { ErrorCode } from '../../base/errors.ts';
import type { Link } from '../../protocol/netlink/records.ts';
import { unknown, unknownOf, type Unknown } from '../fact.ts';
import { conclude, failing, unsure, warning, type Finding } from '../finding.ts';
import { addressesOn, isOn, type AnsweringInterfaces, type Subject } from '../subject.ts';

/** linux/if_arp.h. */
const ARPHRD_ETHER = 1;
/** RFC 8200 §5; below, Linux switches IPv6 off on the interface. RFC 791: what every host must take. */
const IPV6_MTU_MIN = 1280;
const IPV4_MTU_MIN = 576;
/** Of IFLA_INFO_KIND: masters that take all frames of their ports. A VRF leaves them. */
const TAKING_MASTERS = new Set(['bond', 'bridge', 'team', 'openvswitch']);

/** What is wrong with one interface, and what isn't known of it. */
interface Look {
  readonly wrong?: Finding | undefined;
  readonly unknown?: readonly Unknown[];
}

function checkLinks(
  code: ErrorCode,
  subject: Subject,
  fine: (names: string) => string,
  look: (link: Link, all: AnsweringInterfaces) => Look,
): readonly Finding[] {
  const { interfaces } = subject;
  if (!interfaces.isKnown) return [unsure(code, interfaces)];
  const { links, missing } = interfaces.value;
  const names = links.map(({ name }) => name).join(', ');
  if (links.length === 0) {
    const why =
      missing.length > 0
        ? `there is no interface ${missing.join(', ')}`
        : 'no interface is named, and there is no default route';
    return [unsure(code, unknown(why, 'Set vip_interface.'))];
  }
  const looks = links.map((link) => look(link, interfaces.value));
  return conclude(code, {
    wrong: looks.flatMap(({ wrong }) => wrong ?? []),
    unknown: looks.flatMap(({ unknown: reasons = [] }) => reasons),
    fine: fine(names),
  });
}

export function checkInterfaceThere(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_MISSING';
  const { interfaces } = subject;
  if (interfaces.isKnown && interfaces.value.missing.length > 0) {
    const { missing, present } = interfaces.value;
    return missing.map((name) => failing(code, `there is no interface ${name} here`, { present: present.join(', ') }));
  }
  return checkLinks(
    code,
    subject,
    (names) => `addresses are answered for on ${names}`,
    () => ({}),
  );
}

export function checkInterfaceUp(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_DOWN';
  const isAllowed = isOn(subject.facts, 'vip_allow_interface_not_up');
  return checkLinks(
    code,
    subject,
    (names) => `${names}: up`,
    (link) => {
      if (link.isUp) return {};
      const tell = isAllowed ? warning : failing;
      return { wrong: tell(code, `${link.name} is down`, { interface: link.name }) };
    },
  );
}

export function checkCarrier(subject: Subject): readonly Finding[] {
  const code = 'NODE_NO_CARRIER';
  return checkLinks(
    code,
    subject,
    (names) => `${names}: carrier`,
    (link) => (link.isUp && !link.hasCarrier ? { wrong: failing(code, `${link.name} is up and has no carrier`) } : {}),
  );
}

export function checkEthernet(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_UNSUITABLE';
  return checkLinks(
    code,
    subject,
    (names) => `${names}: Ethernet`,
    (link) =>
      link.hardwareType === ARPHRD_ETHER
        ? {}
        : { wrong: failing(code, `${link.name} is no Ethernet interface (hardware type ${link.hardwareType})`) },
  );
}

export function checkPortOfMaster(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_IS_PORT';
  const { kernel } = subject.facts.machine;
  const links = kernel.isKnown ? kernel.value.links : [];
  return checkLinks(
    code,
    subject,
    (names) => `${names}: port of no bond or bridge`,
    (link) => {
      const master = links.find(({ index }) => index === link.master);
      if (link.master === undefined) return {};
      if (master === undefined) return { unknown: [unknown(`${link.name} has a master that is not seen from here`)] };
      if (!TAKING_MASTERS.has(master.linkKind ?? '')) return {};
      return {
        wrong: failing(code, `${link.name} is a port of the ${master.linkKind ?? ''} ${master.name}`, {
          master: master.name,
        }),
      };
    },
  );
}

export function checkWireless(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_WIRELESS';
  const { devices } = subject.facts.machine;
  return checkLinks(
    code,
    subject,
    (names) => `${names}: wired`,
    ({ name }) => {
      const device = devices[name] ?? unknown(`nothing was read of ${name}`);
      if (!device.isKnown) return { unknown: unknownOf(device) };
      const { isWireless, driver } = device.value;
      const by = driver === undefined ? '' : ` (driver ${driver})`;
      return isWireless ? { wrong: warning(code, `${name} is wireless${by}`, { interface: name }) } : {};
    },
  );
}

/** Large enough for the families on it, and no larger than what carries it. */
export function checkMtu(subject: Subject): readonly Finding[] {
  const code = 'INTERFACE_MTU';
  const { kernel } = subject.facts.machine;
  return checkLinks(
    code,
    subject,
    (names) => `${names}: fitting`,
    (link) => {
      if (!kernel.isKnown) return {};
      const isIpv6 =
        subject.vips.ips.some(({ family }) => family === 'ipv6') ||
        addressesOn(kernel.value, link).some(({ prefix }) => prefix.ip.family === 'ipv6');
      const least = isIpv6 ? IPV6_MTU_MIN : IPV4_MTU_MIN;
      if (link.mtu < least) {
        const evidence = `the MTU of ${link.name} is ${link.mtu}, and ${isIpv6 ? 'IPv6' : 'IPv4'} needs ${least}`;
        return { wrong: failing(code, evidence, { interface: link.name, expected: 1500 }) };
      }
      const narrow = kernel.value.links.find(({ master, mtu }) => master === link.index && mtu < link.mtu);
      if (narrow === undefined) return {};
      const evidence = `the MTU of ${link.name} is ${link.mtu}, that of its port ${narrow.name} is ${narrow.mtu}: longer frames are lost there`;
      return { wrong: warning(code, evidence, { interface: narrow.name, expected: link.mtu }) };
    },
  );
}

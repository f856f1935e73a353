/** Switches of the kernel's IP stack without which an address can't be held, or what comes to it goes nowhere. */

import type { Family } from '../../base/ip.ts';
import { unknown, unknownOf, type Fact } from '../fact.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import type { Subject } from '../subject.ts';

const FORWARDING: Readonly<Record<Family, string>> = {
  ipv4: 'net/ipv4/ip_forward',
  ipv6: 'net/ipv6/conf/all/forwarding',
};

/** The kernel refuses an IPv6 address on such an interface. */
export function checkIpv6(subject: Subject): readonly Finding[] {
  const code = 'IPV6_DISABLED';
  const { interfaces, facts, isServing, pools } = subject;
  if (!familiesOf(subject).has('ipv6')) {
    const unread = isServing ? pools.unread : [];
    return conclude(code, { wrong: [], unknown: unread, fine: 'no IPv6 address is to be held' });
  }
  if (!interfaces.isKnown) return [unsure(code, interfaces)];
  const values = interfaces.value.links.map(({ name }) => {
    const sysctl = `net/ipv6/conf/${name}/disable_ipv6`;
    return { name, sysctl, value: sysctlOf(facts, sysctl) };
  });
  const wrong = values.flatMap(({ name, sysctl, value }) => {
    if (!value.isKnown || value.value === 0) return [];
    const dotted = dottedOf(sysctl);
    return [failing(code, `${dotted} is 1: ${name} can have no IPv6 address`, { name: dotted })];
  });
  return conclude(code, {
    wrong,
    unknown: unknownOf(...values.map(({ value }) => value)),
    fine: `IPv6 is on at ${values.map(({ name }) => name).join(', ') || 'no interface'}`,
  });
}

/** What arrives for a Service is forwarded by the node that has its address, unless its Pods are there. */
export function checkForwarding(subject: Subject): readonly Finding[] {
  const code = 'FORWARDING_OFF';
  const { facts, isServing } = subject;
  if (!isServing) return [fine(code, 'svc_enable is off: nothing has to be forwarded')];
  const values = [...familiesOf(subject)].map((family) => {
    const sysctl = FORWARDING[family];
    return { dotted: dottedOf(sysctl), value: sysctlOf(facts, sysctl) };
  });
  const wrong = values.flatMap(({ dotted, value }) =>
    value.isKnown && value.value === 0 ? [warning(code, `${dotted} is 0`, { name: dotted })] : [],
  );
  return conclude(code, {
    wrong,
    unknown: unknownOf(...values.map(({ value }) => value)),
    fine: `the kernel forwards (${values.map(({ dotted }) => dotted).join(', ') || 'no pool asks for it'})`,
  });
}

/** Of what is to be held here. */
function familiesOf({ vips, pools, isServing }: Subject): ReadonlySet<Family> {
  const ranges = isServing ? pools.pools.flatMap((pool) => pool.ranges) : [];
  return new Set([...vips.ips.map(({ family }) => family), ...ranges.map(({ first }) => first.family)]);
}

function sysctlOf(facts: Subject['facts'], name: string): Fact<number> {
  return facts.machine.sysctls[name] ?? unknown(`${dottedOf(name)} was not read`);
}

function dottedOf(name: string): string {
  return name.replaceAll('/', '.');
}

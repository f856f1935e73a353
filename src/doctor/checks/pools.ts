/** Pools of addresses: whether they can be read, overlap, hold what is in use, are announced, and fit the network. */

import type { ErrorCode } from '../../base/errors.ts';
import { formatRange, prefixRange, rangeContains, sortRanges, withoutRanges } from '../../services/address-range.ts';
import type { ObjectProblem, Pool } from '../../services/model.ts';
import { advertisesPool } from '../../services/pools/advertisement-rules.ts';
import { SVC_POOLS_REF } from '../../services/pools/environment.ts';
import { prefixContains, type Ip } from '../../base/ip.ts';
import { unknown, unknownOf, type Unknown } from '../fact.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { leaseHolder, subnetsOf, type Subject } from '../subject.ts';

const OFF = 'svc_enable is off: no pool is used';
/** Told of one code; how many more there are is said with the last. */
const TOLD_MAX = 16;

/** Problems of pools by the code they have; those without a check of their own are told with POOL_INVALID. */
const OWN_CHECK: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['POOL_CONFLICT', 'POOL_RESERVED']);

export function checkPoolConflicts(subject: Subject): readonly Finding[] {
  return checkProblems(subject, 'POOL_CONFLICT', ({ code }) => code === 'POOL_CONFLICT', 'no two pools overlap');
}

export function checkPoolReservations(subject: Subject): readonly Finding[] {
  const { nodes, services, facts } = subject;
  const unread = unknownOf(nodes, services, facts.machine.kernel);
  const found = checkProblems(
    subject,
    'POOL_RESERVED',
    ({ code }) => code === 'POOL_RESERVED',
    'no pool has addresses of the cluster itself',
  );
  return subject.isServing && unread.length > 0
    ? [...found.filter(({ level }) => level !== 'ok'), ...unread.map((each) => unsure('POOL_RESERVED', each))]
    : found;
}

export function checkPoolsReadable(subject: Subject): readonly Finding[] {
  return checkProblems(
    subject,
    'POOL_INVALID',
    ({ code }) => !OWN_CHECK.has(code),
    'every pool and advertisement is as it should be',
  );
}

function checkProblems(
  { pools, isServing }: Subject,
  code: ErrorCode,
  isMeant: (problem: ObjectProblem) => boolean,
  fineText: string,
): readonly Finding[] {
  if (!isServing) return [fine(code, OFF)];
  const problems = pools.problems.filter(isMeant);
  const wrong = problems.slice(0, TOLD_MAX).map((problem, index): Finding => ({
    code: problem.code,
    level: 'warning',
    evidence: `${problem.object.kind} ${problem.object.key}: ${problem.message}${moreText(problems.length, index)}`,
    remedy: problem.remedy,
  }));
  return conclude(code, { wrong, unknown: pools.unread, fine: `${fineText} (${pools.pools.length} pools)` });
}

function moreText(count: number, index: number): string {
  return index === TOLD_MAX - 1 && count > TOLD_MAX ? ` (and ${count - TOLD_MAX} more)` : '';
}

export function checkPoolsThere({ pools, isServing, facts }: Subject): readonly Finding[] {
  const code = 'POOL_MISSING';
  if (!isServing) return [fine(code, OFF)];
  const names = pools.pools.map(({ name }) => name).slice(0, TOLD_MAX);
  if (names.length > 0) return [fine(code, `there is ${names.join(', ')}`)];
  if (pools.unread.length > 0) return conclude(code, { wrong: [], unknown: pools.unread, fine: '' });
  if (!facts.settings.isGiven) return [fine(code, 'there is no pool, and nothing says that Services are served')];
  return [failing(code, 'svc_enable is on, and there is no pool in svc_pools, in ConfigMaps or custom resources')];
}

export function checkAdvertised({ pools, isServing }: Subject): readonly Finding[] {
  const code = 'NO_ADVERTISEMENT';
  if (!isServing) return [fine(code, OFF)];
  const dark = pools.pools.filter(
    (pool) => pool.needsAdvertisement && !pools.advertisements.some((each) => advertisesPool(each, pool)),
  );
  return conclude(code, {
    wrong: dark.slice(0, TOLD_MAX).map((pool, index) => {
      const evidence = `no advertisement selects ${objectText(pool)}: its addresses are given and never answered for`;
      return failing(code, evidence + moreText(dark.length, index));
    }),
    unknown: pools.unread,
    fine: `every pool that needs an advertisement has one (${pools.advertisements.length} advertisements)`,
  });
}

/** By this machine's subnets; nodes that live in none of them may have others. */
export function checkPoolSubnets({ pools, isServing, facts, nodes }: Subject): readonly Finding[] {
  const code = 'POOL_OUTSIDE_SUBNETS';
  if (!isServing) return [fine(code, OFF)];
  const { kernel } = facts.machine;
  if (!kernel.isKnown) return [unsure(code, kernel)];
  const subnets = subnetsOf(kernel.value).map(({ prefix }) => prefix);
  const inside = sortRanges(subnets.map(prefixRange));
  const elsewhere = nodes.isKnown
    ? nodes.value.filter(({ addresses }) =>
        addresses.some((ip) => !subnets.some((subnet) => prefixContains(subnet, ip))),
      )
    : [];
  const wrong: Finding[] = [];
  const unsureOf = [...pools.unread, ...unknownOf(nodes)];
  for (const pool of pools.pools.filter((each) => isAnsweredHere(each, pools))) {
    const [first, ...more] = withoutRanges(pool.ranges, inside);
    if (first === undefined) continue;
    const range = `${formatRange(first)}${more.length > 0 ? ` and ${more.length} more ranges` : ''}`;
    const evidence = `${range} of the pool ${pool.name} is in no subnet of this node (${subnetTexts(subnets)})`;
    if (elsewhere.length > 0) {
      unsureOf.push(
        unknown(`${evidence}; other nodes have other subnets (${elsewhere[0]?.name ?? ''})`, 'Run this on them.'),
      );
    } else {
      wrong.push(warning(code, evidence, { range, object: objectText(pool) }));
    }
  }
  const fineText = `every pool is in a subnet of this node (${subnetTexts(subnets)})`;
  return conclude(code, { wrong: wrong.slice(0, TOLD_MAX), unknown: unsureOf, fine: fineText });
}

/** Not closed, and announced on the segment: what goes by BGP alone may be anywhere. */
function isAnsweredHere(pool: Pool, { advertisements }: Subject['pools']): boolean {
  if (pool.isClosed || pool.isDhcp) return false;
  const own = advertisements.filter((each) => advertisesPool(each, pool));
  return own.length === 0 || own.some(({ protocol }) => protocol === 'l2');
}

function subnetTexts(subnets: readonly Parameters<typeof prefixRange>[0][]): string {
  return (
    [...new Set(subnets.map((prefix) => formatRange(prefixRange(prefix))))].slice(0, TOLD_MAX).join(', ') ||
    'it has none'
  );
}

function objectText({ object = SVC_POOLS_REF }: Pool): string {
  return `${object.kind} ${object.key}`;
}

/** What answered the probes: none of these addresses is in use by the cluster. */
export function checkForeignAnswers({
  facts,
  vips,
  isServing,
  isControlPlane,
  pools,
  services,
}: Subject): readonly Finding[] {
  const code = 'ADDRESS_QUARANTINED';
  const { probe } = facts;
  if (!isServing && !isControlPlane) return [fine(code, OFF)];
  if (!probe.isKnown) return [unsure(code, probe)];
  const { asked, answers, failures } = probe.value;
  const holder = leaseHolder(facts);
  const wrong: Finding[] = [];
  const unclear: Unknown[] = [];
  for (const { ip, mac, interfaceName } of answers) {
    const evidence = `${mac} answers for ${ip.text} on ${interfaceName}`;
    if (!vips.ips.some(({ text }) => text === ip.text)) {
      const who = 'another machine (DHCP, another cluster, set by hand)';
      wrong.push(failing(code, `${evidence}, which is free in ${poolText(pools.pools, ip)}: ${who} has it`, { mac }));
    } else if (holder.isKnown) {
      const context = { mac, address: ip.text };
      wrong.push(failing('ADDRESS_CONFLICT', `${evidence}, a virtual IP that nobody holds by the Lease`, context));
    } else {
      unclear.push(unknown(`${evidence}, a virtual IP: the holder in this cluster or a stranger, for ${holder.why}`));
    }
  }
  const none =
    asked.length === 0 && failures.length === 0
      ? [unknown('no address could be asked for: none is free in a subnet of this node')]
      : [];
  return conclude(code, {
    wrong,
    unknown: [
      ...unclear,
      ...(isServing ? [...unknownOf(services), ...pools.unread] : []),
      ...failures.map((why) => unknown(why)),
      ...none,
    ],
    fine: `nobody answers for ${asked.length} addresses that were asked for (what is switched off now, or leased by DHCP later, is not seen)`,
  });
}

function poolText(pools: readonly Pool[], ip: Ip): string {
  const pool = pools.find(({ ranges }) => ranges.some((range) => rangeContains(range, ip)));
  return pool === undefined ? 'no pool any more' : `the pool ${pool.name}`;
}

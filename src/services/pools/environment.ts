/**
 * Pools out of `svc_pools`, for clusters that want nothing but some addresses:
 *
 *     svc_pools=192.168.0.200-192.168.0.250                       one pool, called svc_pools
 *     svc_pools=192.168.0.200-192.168.0.250,2001:db8::200/120     the same for both families
 *     svc_pools=lan=192.168.0.200/29;dmz=10.0.0.8/29,10.0.1.8/29  two pools, called lan and dmz
 *
 * Pools are separated by `;`, their ranges by `,`. A range is a CIDR (every address of it), first-last or one address.
 * Further pools without a name are called svc_pools-2, svc_pools-3, … White space and empty parts are skipped. A range
 * that is wrong is told and left out; the others are used.
 */

import type { AddressRange, ObjectProblem, ObjectRef, Pool } from '../model.ts';
import { closeReport, openReport, type Report } from '../objects/part.ts';
import { shown } from '../objects/shown.ts';
import { newPool } from './pool.ts';
import { joinRanges, readRanges, tellInvalid } from './report.ts';

const VARIABLE = 'svc_pools';

/** What problems of the variable are told on: no object of Kubernetes, but the kind says so. */
export const SVC_POOLS_REF: ObjectRef = Object.freeze({ kind: 'Environment', key: VARIABLE });

/** Pools the variable may have; further ones are left out and told. */
const POOLS_MAX = 100;

/** A name one can also write into an annotation. */
const NAME = /^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/;

export interface PoolList {
  readonly pools: readonly Pool[];
  readonly problems: readonly ObjectProblem[];
}

export function parseSvcPools(text: string): PoolList {
  const report = openReport(SVC_POOLS_REF);
  const entries = text.split(';').filter((entry) => entry.trim() !== '');
  if (entries.length > POOLS_MAX) {
    complain(report, VARIABLE, `${VARIABLE} has ${entries.length} pools: only the first ${POOLS_MAX} are used`);
  }
  const names = new Map<string, readonly AddressRange[]>();
  let unnamed = 0;
  for (const entry of entries.slice(0, POOLS_MAX)) {
    const name = nameOf(entry, report);
    if (name === undefined) unnamed += 1;
    const called = name ?? (unnamed === 1 ? VARIABLE : `${VARIABLE}-${unnamed}`);
    const ranges = rangesOf(entry, called, report);
    const earlier = names.get(called);
    if (earlier === undefined) {
      names.set(called, ranges);
      continue;
    }
    complain(report, `pool ${called}`, `the pool ${called} is given twice: its ranges are taken together`);
    names.set(called, joinRanges(report, `pool ${called}`, [...earlier, ...ranges], { object: VARIABLE }));
  }
  const pools = Array.from(names, ([name, ranges]) => environmentPool(name, ranges));
  return { pools: pools.filter(({ ranges }) => ranges.length > 0), problems: closeReport(report) };
}

/** undefined: it has none that can be used. */
function nameOf(entry: string, report: Report): string | undefined {
  const equals = entry.indexOf('=');
  if (equals < 0) return undefined;
  const name = entry.slice(0, equals).trim();
  if (NAME.test(name)) return name;
  const saying = name === '' ? 'there is no name before "="' : `${shown(name)} is no name for a pool`;
  complain(report, VARIABLE, `${saying}: letters, digits, "-", "_" and ".", at most 63 of them`);
  return undefined;
}

function rangesOf(entry: string, name: string, report: Report): readonly AddressRange[] {
  const field = `pool ${name}`;
  const texts = entry
    .slice(entry.indexOf('=') + 1)
    .split(',')
    .filter((text) => text.trim() !== '')
    .map((text) => ({ field, text }));
  if (texts.length === 0) complain(report, field, `${field} has no ranges`);
  return readRanges(report, texts, 'rest', { form: { allowsSingle: true }, context: { object: VARIABLE } }).ranges;
}

function complain(report: Report, field: string, message: string): void {
  tellInvalid(report, 'rest', message, { field, object: VARIABLE });
}

function environmentPool(name: string, ranges: readonly AddressRange[]): Pool {
  const isUnnamed = name === VARIABLE || name.startsWith(`${VARIABLE}-`);
  return newPool({ name: isUnnamed ? name : `${VARIABLE}/${name}`, shortName: name, origin: 'environment', ranges });
}

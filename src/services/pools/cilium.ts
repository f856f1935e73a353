/**
 * Cilium's objects: CiliumLoadBalancerIPPool (cilium.io/v2 and v2alpha1) and CiliumL2AnnouncementPolicy (v2alpha1). See
 * reference metallb-cilium-keepalived.md §3. A field that can't be read is never taken in a sense that would give or
 * announce more than meant: an unreadable `disabled` or block closes the pool, an unreadable selector matches nothing.
 *
 * A policy announces external IPs and load balancer IPs, each only if it says so; one that says neither is a mistake, and
 * told. External IPs of Services are none of Holdfast's business.
 */

import { ok, type Outcome } from '../../base/outcome.ts';
import { parseEnds, parseRange, rangeFault, type RangeReason } from '../address-range.ts';
import { EVERY_SERVICE, type Advertisement, type AddressRange, type Decoding, type Pool } from '../model.ts';
import { createdAtOf, decodeObject } from '../objects/metadata.ts';
import { choiceOf, flagOf, isPresent, note, partOf, partsOf, refuse, textsOf, type Part } from '../objects/part.ts';
import { shown } from '../objects/shown.ts';
import { parsePattern, type PatternReason } from './interface-pattern.ts';
import { closePool, newPool } from './pool.ts';
import {
  closureOf,
  joinRanges,
  POOL_RANGES_MAX,
  tell,
  tellInvalid,
  type RangeFault,
  type ReadRanges,
} from './report.ts';
import { namesOf, selectorOf } from './selection.ts';

const NO_LIST: readonly never[] = Object.freeze([]);

const PATTERN_REASONS: Readonly<Record<PatternReason, string>> = {
  'too-long': 'it is too long',
  'too-deep': 'it has groups inside groups inside groups',
  'not-supported': 'it uses a form of expression that is not supported',
  unbalanced: 'a bracket is missing',
  'nothing-to-repeat': 'it repeats nothing',
  'bad-range': 'a range ends before it begins',
};

export function decodeCiliumPool(raw: unknown): Decoding<Pool> {
  return decodeObject('CiliumLoadBalancerIPPool', raw, ({ root, metadata, key, name }) => {
    const spec = partOf(root, 'spec');
    const ends = choiceOf(spec, 'allowFirstLastIPs', { Yes: true, No: true });
    const skipsEnds = ends === 'No' || (ends === undefined && isPresent(spec.fields['allowFirstLastIPs']));
    const { ranges, fault } = readBlocks(spec, skipsEnds);
    const pool = newPool({
      name: `cilium/${name}`,
      shortName: name,
      origin: 'cilium',
      object: { kind: 'CiliumLoadBalancerIPPool', key },
      labels: textsOf(metadata, 'labels'),
      ranges,
      scope: { ...EVERY_SERVICE, serviceSelectors: selectorOf(spec, 'serviceSelector') },
      needsAdvertisement: true,
      createdAt: createdAtOf(metadata),
    });
    if (fault !== undefined) return closePool(pool, closureOf(root.report, fault));
    const isDisabled = flagOf(spec, 'disabled') ?? isPresent(spec.fields['disabled']);
    return isDisabled ? closePool(pool, { code: 'POOL_CLOSED', message: 'disabled' }) : pool;
  });
}

/** spec.blocks, and spec.cidrs as v2alpha1 called them before Cilium 1.15. */
function readBlocks(spec: Part, skipsEnds: boolean): ReadRanges {
  const { report } = spec;
  const blocks = [...partsOf(spec, 'blocks', POOL_RANGES_MAX), ...partsOf(spec, 'cidrs', POOL_RANGES_MAX)];
  const ranges: AddressRange[] = [];
  let fault: RangeFault | undefined;
  const complain = (field: string, saying: string): void => {
    fault ??= { field, saying };
    tellInvalid(report, 'closed', saying, { field });
  };
  if (blocks.length === 0) complain('spec.blocks', 'the pool has no blocks');
  for (const block of blocks.slice(0, POOL_RANGES_MAX)) {
    const field = block.path.slice(0, -1);
    const texts = ['cidr', 'start', 'stop'].map((key) => block.fields[key]).filter((value) => isPresent(value));
    const stranger = texts.find((text) => typeof text !== 'string');
    const range = readBlock(block, skipsEnds);
    if (stranger !== undefined) complain(field, `${field} has ${shown(stranger)}, which is not a text`);
    else if (range.ok) ranges.push(range.value);
    else complain(field, `${field}: ${rangeFault(blockText(block, 'cidr'), range)}`);
  }
  return { ranges: joinRanges(report, 'spec.blocks', ranges), fault };
}

/** As Cilium: `cidr` first, else from `start` to `stop`, else `start` alone. Ends are skipped of CIDRs only. */
function readBlock(block: Part, skipEnds: boolean): Outcome<AddressRange, RangeReason> {
  const cidr = blockText(block, 'cidr');
  const start = blockText(block, 'start');
  const stop = blockText(block, 'stop');
  if (cidr === '') return parseEnds(start, stop === '' ? start : stop);
  if (start !== '' || stop !== '') note(block, 'start', 'has no effect beside cidr');
  // A range is no CIDR here, although parseRange would take it.
  const range = parseRange(cidr.includes('/') ? cidr : '', { skipEnds });
  return range.ok ? ok(range.value) : { ...range, detail: cidr };
}

function blockText(block: Part, key: string): string {
  const value = block.fields[key];
  return typeof value === 'string' ? value.trim() : '';
}

export function decodeCiliumPolicy(raw: unknown): Decoding<Advertisement> {
  let isIdle = false;
  const decoding = decodeObject(
    'CiliumL2AnnouncementPolicy',
    raw,
    ({ root, metadata, key, name }): Advertisement | undefined => {
      const spec = partOf(root, 'spec');
      const announcesIps = flagOf(spec, 'loadBalancerIPs') === true;
      const announcesExternal = flagOf(spec, 'externalIPs') === true;
      const interfacePatterns = readPatterns(spec);
      if (interfacePatterns === undefined) return refuse(spec, 'interfaces', 'names no interface');
      const advertisement: Advertisement = {
        name,
        object: { kind: 'CiliumL2AnnouncementPolicy', key },
        origin: 'cilium',
        protocol: 'l2',
        poolNames: NO_LIST,
        poolSelectors: NO_LIST,
        nodeSelectors: selectorOf(spec, 'nodeSelector'),
        serviceSelectors: selectorOf(spec, 'serviceSelector'),
        interfaceNames: NO_LIST,
        interfacePatterns,
        preferredNodes: NO_LIST,
        createdAt: createdAtOf(metadata),
      };
      if (announcesIps) return advertisement;
      const message = announcesExternal
        ? 'the policy is for external IPs only, which Holdfast does not announce: loadBalancerIPs is false'
        : 'the policy announces nothing: loadBalancerIPs and externalIPs are both false unless set';
      tell(root.report, 'ADVERTISEMENT_IDLE', message, { field: 'spec.loadBalancerIPs' });
      isIdle = !isUnreadable(spec.fields['loadBalancerIPs']);
      return undefined;
    },
  );
  return isIdle ? { ...decoding, isVoid: true } : decoding;
}

function isUnreadable(flag: unknown): boolean {
  return isPresent(flag) && typeof flag !== 'boolean';
}

/** undefined: there are expressions, but none that can be read, and none at all would mean every interface. */
function readPatterns(spec: Part): readonly string[] | undefined {
  const texts = namesOf(spec, 'interfaces', (text) => text !== '');
  const patterns = texts?.filter((text) => {
    const parsed = parsePattern(text);
    if (!parsed.ok) note(spec, 'interfaces', `has ${shown(text)}: ${PATTERN_REASONS[parsed.reason]}`);
    return parsed.ok;
  });
  return patterns?.length === 0 && texts?.length !== 0 ? undefined : patterns;
}

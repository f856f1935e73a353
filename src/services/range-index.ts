/**
 * Who has which address, for ranges: in ascending order and without overlap, so that one is found by halving. Whoever
 * comes first has an address; who comes later gets what is left of his range.
 */

import type { Ip } from '../base/ip.ts';
import { indexOfEnding, rangeContains, rangeIntersection, withoutRanges } from './address-range.ts';
import type { AddressRange } from './model.ts';

export interface Indexed<Owner> extends AddressRange {
  readonly owner: Owner;
}

/** Sorted, hence what withoutRanges takes away. */
export type RangeIndex<Owner> = readonly Indexed<Owner>[];

/** Puts the parts of `ranges` that nobody has into the index, and returns them in the order of `ranges`. */
export function addToIndex<Owner>(
  index: Indexed<Owner>[],
  ranges: readonly AddressRange[],
  owner: Owner,
): readonly AddressRange[] {
  return ranges.flatMap((range) => {
    const parts = withoutRanges([range], index);
    for (const part of parts) index.splice(indexOfEnding(index, part.first), 0, { ...part, owner });
    return parts;
  });
}

/** Whose the address is. */
export function ownerIn<Owner>(index: RangeIndex<Owner>, ip: Ip): Owner | undefined {
  const found = index[indexOfEnding(index, ip)];
  return found !== undefined && rangeContains(found, ip) ? found.owner : undefined;
}

/** The parts of the range that somebody has, in ascending order. */
export function ownedParts<Owner>(index: RangeIndex<Owner>, range: AddressRange): readonly Indexed<Owner>[] {
  const parts: Indexed<Owner>[] = [];
  for (let place = indexOfEnding(index, range.first); place < index.length; place++) {
    const entry = index[place];
    const common = entry === undefined ? undefined : rangeIntersection(entry, range);
    if (entry === undefined || common === undefined) break;
    parts.push({ ...common, owner: entry.owner });
  }
  return parts;
}

/** A list of addresses without gaps, those of one family after those of the other, as ranges. */

export function addressPools(addresses: readonly string[]): string {
  return rangesOf(addresses).join(',');
}

/** `first-last`, one a family. */
export function rangesOf(addresses: readonly string[]): readonly string[] {
  const families = [addresses.filter((each) => !each.includes(':')), addresses.filter((each) => each.includes(':'))];
  return families.filter((list) => list.length > 0).map((list) => `${list[0] ?? ''}-${list.at(-1) ?? ''}`);
}

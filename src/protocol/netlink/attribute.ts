/**
 * Netlink attributes: struct nlattr of linux/netlink.h, a length, a type and a value, padded to four octets. A nested
 * attribute's value is again a list of attributes. A type that the policy does not know is kept by its length and
 * otherwise ignored, so a newer kernel's additions do no harm.
 */

import { malformed, ok, type Decoded } from '../../base/outcome.ts';
import { NLA_TYPE_MASK } from './constants.ts';
import { align, viewOf } from './message.ts';

export const ATTRIBUTE_HEADER_BYTES = 4;

export type AttributeReason = 'attribute-header-truncated' | 'attribute-length' | 'attribute-too-short';

/** Values by attribute type; views into the decoded slice. Where a type repeats, the last one counts (as in the kernel). */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** Least octets of the value, by attribute type: what may be read without looking at the length again. */
export type AttributePolicy = ReadonlyMap<number, number>;

/**
 * The attributes of `bytes` from `start` on; only the last one's padding may be missing. `offset` of a refusal counts from
 * the start of `bytes`.
 */
export function decodeAttributes(
  bytes: Uint8Array,
  start: number,
  policy: AttributePolicy,
): Decoded<Attributes, AttributeReason> {
  const view = viewOf(bytes);
  const attributes = new Map<number, Uint8Array>();
  let offset = start;
  while (offset < bytes.length) {
    const left = bytes.length - offset;
    if (left < ATTRIBUTE_HEADER_BYTES) return malformed('attribute-header-truncated', offset);
    const length = view.getUint16(offset, true);
    if (length < ATTRIBUTE_HEADER_BYTES || length > left) return malformed('attribute-length', offset);
    const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
    const value = bytes.subarray(offset + ATTRIBUTE_HEADER_BYTES, offset + length);
    if (value.length < (policy.get(type) ?? 0)) return malformed('attribute-too-short', offset);
    attributes.set(type, value);
    offset += align(length);
  }
  return ok(attributes);
}

/** One attribute with its padding. */
export function encodeAttribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(ATTRIBUTE_HEADER_BYTES + value.length));
  const view = viewOf(bytes);
  view.setUint16(0, ATTRIBUTE_HEADER_BYTES + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

/** Unsigned 32-bit numbers in host order, one after another. */
export function encodeU32(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = viewOf(bytes);
  values.forEach((value, index) => view.setUint32(index * 4, value, true));
  return bytes;
}

/** The first octets as an unsigned 32-bit number; undefined when absent or shorter. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

/** A string up to its NUL, or to its end. Octets that are no UTF-8 become U+FFFD. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

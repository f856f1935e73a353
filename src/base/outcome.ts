/**
 * An expected outcome is a value: decoding hostile bytes, parsing what an operator typed. Exceptions are kept for failed
 * effects (HoldfastError) and broken invariants (assert).
 */

export type Outcome<Value, Reason extends string = string> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: Reason; readonly detail?: string };

/** Result of decoding wire bytes: `offset` is where, in octets from the start of the slice, decoding stopped. */
export type Decoded<Value, Reason extends string = string> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly reason: Reason; readonly offset: number };

export function ok<Value>(value: Value): { readonly ok: true; readonly value: Value } {
  return { ok: true, value };
}

export function refused<Reason extends string>(
  reason: Reason,
  detail?: string,
): { readonly ok: false; readonly reason: Reason; readonly detail?: string } {
  return detail === undefined ? { ok: false, reason } : { ok: false, reason, detail };
}

export function malformed<Reason extends string>(
  reason: Reason,
  offset: number,
): { readonly ok: false; readonly reason: Reason; readonly offset: number } {
  return { ok: false, reason, offset };
}

/**
 * The name of who sent a datagram, as heartbeats and inquiries carry it. Node names are DNS subdomains (RFC 1123): printable
 * ASCII is all that is sent or believed.
 */

/** RFC 1123 §2.1 names and Kubernetes' subdomains have at most this many octets. */
export const SENDER_MAX = 253;

/** @throws RangeError for what is not printable ASCII. */
export function encodeSender(text: string): Uint8Array {
  const name = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code < 0x21 || code > 0x7e) throw new RangeError('a sender is named in printable ASCII');
    name[place] = code;
  }
  return name;
}

export function decodeSender(bytes: Uint8Array): string | undefined {
  if (bytes.some((octet) => octet < 0x21 || octet > 0x7e)) return undefined;
  return String.fromCharCode(...bytes);
}

import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { decodeAcknowledgement } from '../../src/protocol/netlink/ack.ts';
import { decodeAddress } from '../../src/protocol/netlink/address.ts';
import { decodeChange } from '../../src/protocol/netlink/change.ts';
import { decodeLink } from '../../src/protocol/netlink/link.ts';
import { decodeMessages } from '../../src/protocol/netlink/message.ts';
import { decodeRoute } from '../../src/protocol/netlink/route.ts';
import { decodeSocket } from '../../src/protocol/netlink/sock-diag.ts';
import { readVectors } from '../vectors/netlink/vectors.ts';

const RUNS = Number(process.env['HOLDFAST_FUZZ_RUNS'] ?? 20_000);
const RECORDED = ['linux-6.18', 'linux-6.1', 'sock-diag'].flatMap((file) =>
  [...readVectors(file).vectors.values()].flat(),
);

/**
 * Decodes everything in every way. The datagram lies in the middle of a larger buffer full of `filler`: a read beyond it
 * would show as a result that differs with the filler.
 */
function decodeAll(octets: Uint8Array, filler: number): string {
  const buffer = new Uint8Array(octets.length + 64).fill(filler);
  buffer.set(octets, 32);
  const slice = buffer.subarray(32, 32 + octets.length);
  const decoded = decodeMessages(slice);
  const results: unknown[] = [decoded];
  for (const decode of [decodeLink, decodeAddress, decodeRoute]) results.push(bounded(decode(slice), slice));
  if (decoded.ok) {
    for (const message of decoded.value) {
      results.push(bounded(decodeChange(message), message.payload));
      results.push(bounded(decodeAcknowledgement(message), message.payload));
      results.push(bounded(decodeSocket(message.payload), message.payload));
    }
  } else {
    expect(decoded.offset).toBeLessThanOrEqual(octets.length);
  }
  return JSON.stringify(results);
}

function bounded<Result extends { readonly ok: boolean; readonly offset?: number }>(
  result: Result,
  of: Uint8Array,
): Result {
  if (!result.ok) expect(result.offset).toBeLessThanOrEqual(of.length);
  return result;
}

test('any octets: a value or a refusal, the same each time', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 256 }), (octets) => {
      expect(decodeAll(octets, 0)).toBe(decodeAll(octets, 0xa5));
    }),
    { numRuns: RUNS },
  );
});

test('recorded datagrams with octets changed, and cut off anywhere', () => {
  const mutation = fc.record({
    datagram: fc.nat(RECORDED.length - 1),
    changes: fc.array(fc.tuple(fc.nat(2000), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
    length: fc.nat(2000),
  });
  fc.assert(
    fc.property(mutation, ({ datagram, changes, length }) => {
      const octets = Uint8Array.from(RECORDED[datagram] ?? []).slice(0, Math.max(16, length));
      // Mostly near the front, where the headers are.
      for (const [at, value] of changes) octets[at % Math.min(octets.length, 128)] = value;
      expect(decodeAll(octets, 0)).toBe(decodeAll(octets, 0xa5));
    }),
    { numRuns: RUNS },
  );
  expect(RECORDED.length).toBeGreaterThan(150);
});

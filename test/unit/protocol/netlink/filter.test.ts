import { expect, test } from 'vitest';

import { isMainDefaultRoute } from '../../../../src/protocol/netlink/route.ts';
import { encodeNotificationFilter } from '../../../../src/protocol/netlink/filter.ts';
import { readVectors } from '../../../vectors/netlink/vectors.ts';

/** Classic BPF as far as the filter uses it (Documentation/networking/filter.rst). Octets accepted; 0 = dropped. */
function run(program: Uint8Array, packet: Uint8Array): number {
  const code = new DataView(program.buffer);
  const data = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let accumulator = 0;
  for (let pc = 0; pc < program.length / 8; pc += 1) {
    const constant = code.getUint32(pc * 8 + 4, true);
    switch (code.getUint16(pc * 8, true)) {
      case 0x28:
        accumulator = data.getUint16(constant);
        break;
      case 0x30:
        accumulator = data.getUint8(constant);
        break;
      case 0x15:
        pc += accumulator === constant ? code.getUint8(pc * 8 + 2) : code.getUint8(pc * 8 + 3);
        break;
      case 0x06:
        return constant;
      default:
        throw new Error('an instruction this test does not know');
    }
  }
  throw new Error('the program ran off its end');
}

test('drops recorded route notifications unless they are of a default route, and nothing else', () => {
  const filter = encodeNotificationFilter();
  const counts = { kept: 0, dropped: 0, other: 0 };
  for (const file of ['linux-6.18', 'linux-6.1']) {
    for (const datagram of [...readVectors(file).vectors.values()].flat()) {
      const type = new DataView(datagram.buffer, datagram.byteOffset).getUint16(4, true);
      const isRoute = type === 24 || type === 25;
      const isKept = run(filter, datagram) !== 0;
      expect(isKept).toBe(!isRoute || isMainDefaultRoute(datagram.subarray(16)));
      counts[isRoute ? (isKept ? 'kept' : 'dropped') : 'other'] += 1;
    }
  }
  expect(counts.kept).toBeGreaterThanOrEqual(12);
  expect(counts.dropped).toBeGreaterThan(50);
  expect(counts.other).toBeGreaterThan(100);
});

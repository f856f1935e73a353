/** Frames that the filter passed and decoding refused: what to count them as. */

import { decodeEthernetHeader, ETHERTYPE_ARP } from '../protocol/ethernet/ethernet.ts';
import { interpretFrame } from '../vip/wire.ts';

export interface FrameDrop {
  readonly protocol: 'arp' | 'ndp';
  /** Of the closed lists of the decoders. */
  readonly reason: string;
}

/** undefined: the frame means something. */
export function frameDrop(frame: Uint8Array): FrameDrop | undefined {
  const heard = interpretFrame(frame);
  if (heard.ok) return undefined;
  const header = decodeEthernetHeader(frame);
  return { protocol: header.ok && header.value.etherType === ETHERTYPE_ARP ? 'arp' : 'ndp', reason: heard.reason };
}

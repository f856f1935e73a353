import { describe, expect, it } from 'vitest';

import { unsolicitedAdvertisementFrame } from '../../../src/protocol/ndp/frames.ts';
import { decodeArpFrame } from '../../../src/protocol/arp/arp.ts';
import { announcementFrames, answeringMac, interpretFrame, probeFrame, requestFrame } from '../../../src/vip/wire.ts';
import { frame } from '../../vectors/neighbor/vectors.ts';
import { ip, mac } from '../base/values.ts';

const ASKER = mac('02:00:00:00:00:0a');
const HOLDER = mac('02:00:00:00:00:0b');
const FAMILIES = [
  { family: 'ARP', source: ip('10.99.0.1'), target: ip('10.99.0.2'), request: 'arp request', answer: 'arp reply' },
  {
    family: 'neighbor discovery',
    source: ip('fd99::a'),
    target: ip('fd99::b'),
    request: 'ndp solicitation',
    answer: 'ndp solicited advertisement',
  },
] as const;

describe.each(FAMILIES)('a request by $family', ({ source, target, request, answer }) => {
  it('is octet for octet what the kernel sends that looks for the address', () => {
    expect(requestFrame(ASKER, source, target)).toEqual(frame(request));
  });

  it('is neither a claim nor a probe to whoever holds the address', () => {
    const heard = interpretFrame(requestFrame(ASKER, source, target));
    expect(heard.ok && heard.value.kind === 'uses' && heard.value.ip.text === target.text).toBe(false);
    expect(heard.ok && heard.value.kind === 'probes').toBe(false);
  });

  it("is answered by the kernel's answer to it, and by that only", () => {
    expect(answeringMac(frame(answer), source, target)?.text).toBe(HOLDER.text);
    const other = ip(target.family === 'ipv4' ? '10.99.0.3' : 'fd99::c');
    expect(answeringMac(frame(answer), other, target)).toBeUndefined();
    expect(answeringMac(frame(answer), source, other)).toBeUndefined();
    const unasked = [...announcementFrames(HOLDER, target), probeFrame(HOLDER, target), frame(request)];
    for (const each of unasked) expect(answeringMac(each, source, target)).toBeUndefined();
  });

  it('is answered by nothing that was sent to this machine unasked', () => {
    if (target.family === 'ipv4') return;
    const told = unsolicitedAdvertisementFrame({ mac: HOLDER, target, to: { ip: source, mac: ASKER } });
    expect(answeringMac(told, source, target)).toBeUndefined();
  });

  it('is answered by nothing that is cut off', () => {
    const whole = frame(answer);
    for (let length = 0; length < whole.length; length += 1) {
      const cut = answeringMac(whole.subarray(0, length), source, target);
      // Behind an ARP packet there may be padding, of which nothing is missed.
      expect(cut === undefined || decodeArpFrame(whole.subarray(0, length)).ok).toBe(true);
    }
  });
});

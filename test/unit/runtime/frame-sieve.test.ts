import { describe, expect, it } from 'vitest';

import { parseIp, type Ip } from '../../../src/base/ip.ts';
import { macFromBytes } from '../../../src/base/mac.ts';
import { frameSieve } from '../../../src/runtime/frame-sieve.ts';
import { announcementFrames, interpretFrame, probeFrame } from '../../../src/vip/wire.ts';

const MAC = macFromBytes(Uint8Array.of(2, 0, 0, 0, 0, 1));
const OURS = ['10.99.0.1', '10.99.200.2', 'fd77::99:1', 'fd77::99:ffff'].map(ip);
const OTHERS = ['10.99.0.2', '10.99.1.1', 'fd77::99:2', 'fd77::98:1'].map(ip);

describe('the sieve of frames', () => {
  const sieve = frameSieve(OURS);

  it('passes whatever announces one of the addresses, of both families', () => {
    const frames = OURS.flatMap((address) => announcementFrames(MAC, address));
    expect(frames).toHaveLength(6);
    for (const frame of frames) expect(sieve.isMeant(frame)).toBe(true);
  });

  it('holds back announcements of others, and questions about them', () => {
    const frames = OTHERS.flatMap((address) => [...announcementFrames(MAC, address), probeFrame(MAC, address)]);
    expect(frames).toHaveLength(10);
    for (const frame of frames) expect(sieve.isMeant(frame)).toBe(false);
  });

  it('passes what decoding must refuse, so that it is counted: every header cut short or changed', () => {
    const frames = OTHERS.flatMap((address) => announcementFrames(MAC, address));
    let refused = 0;
    for (const frame of frames) {
      for (let length = 0; length < frame.length; length += 1) {
        const cut = frame.subarray(0, length);
        if (!interpretFrame(cut).ok && sieve.isMeant(cut)) refused += 1;
      }
      for (const at of frame.length === 42 ? [12, 14, 15, 16, 18, 19, 20] : [12, 20]) {
        const changed = frame.slice();
        changed[at] = 0x77;
        expect(sieve.isMeant(changed)).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(200);
  });

  it('never holds back what says that somebody uses one of the addresses, whatever the frame', () => {
    const frames = [...OURS, ...OTHERS].flatMap((address) => announcementFrames(MAC, address));
    const texts = new Set(OURS.map(({ text }) => text));
    let meant = 0;
    for (const frame of frames) {
      for (let at = 0; at < frame.length; at += 1) {
        for (const value of [0, 1, 0x99, 0xff]) {
          const changed = frame.slice();
          changed[at] = value;
          const heard = interpretFrame(changed);
          if (!heard.ok || heard.value.kind !== 'uses' || !texts.has(heard.value.ip.text)) continue;
          meant += 1;
          expect(sieve.isMeant(changed)).toBe(true);
        }
      }
    }
    expect(meant).toBeGreaterThan(500);
  });
});

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(text);
  return parsed.value;
}

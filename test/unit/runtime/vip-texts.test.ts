import { expect, it } from 'vitest';
import type { AddressSource } from '../../../src/agent/state.ts';
import { monotonic } from '../../../src/base/time.ts';
import { vipTexts } from '../../../src/runtime/vip-texts.ts';
import { ip } from '../base/values.ts';

it('knows a virtual IP as it is written, and by its name as soon as that is resolved', () => {
  const sources: readonly AddressSource[] = [
    { kind: 'ip', ip: ip('192.0.2.10'), prefixLength: 32 },
    { kind: 'name', name: 'api.example', families: 'dual', prefixLengths: { ipv4: 32, ipv6: 128 } },
  ];
  expect(vipTexts(sources, new Map())).toEqual(['192.0.2.10', 'api.example']);
  const addresses = [ip('192.0.2.10'), ip('2001:db8::10')];
  const resolved = { addresses, nextAt: monotonic(0), isAsked: false, failure: undefined };
  expect(vipTexts(sources, new Map([['api.example', resolved]]))).toEqual([
    '192.0.2.10',
    'api.example',
    '2001:db8::10',
  ]);
});

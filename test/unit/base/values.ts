/** Addresses from text, for tests: what is no address fails the test. */

import { parseIp, type Ip } from '../../../src/base/ip.ts';
import { parseMac, type Mac } from '../../../src/base/mac.ts';

export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

export function mac(text: string): Mac {
  const parsed = parseMac(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

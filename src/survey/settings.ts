/**
 * With which settings Holdfast runs, or would run, on this node: those given to this command (environment, flags, file);
 * where there are none, those of the static pod that is here.
 */

import { parseConfig, type ConfigInput } from '../config/parse.ts';
import { OPTIONS } from '../config/schema.ts';
import type { Fact } from '../doctor/fact.ts';
import type { Manifests, Settings } from '../doctor/facts.ts';
import { configOfPod, readVipPod } from '../doctor/static-pod.ts';

export function findSettings(input: ConfigInput, manifests: Fact<Manifests>): Settings {
  const isFlagged = Object.keys(input.flags).length > 0;
  const isSet = OPTIONS.some(({ name, aliases = [] }) =>
    [name, ...aliases].some((each) => (input.env[each] ?? '') !== ''),
  );
  if (isFlagged || isSet || input.file !== undefined) {
    const sources = [isFlagged ? 'flags' : '', isSet ? 'environment' : '', input.file?.path ?? ''];
    return { parsed: parseConfig(input), isGiven: true, from: sources.filter((source) => source !== '').join(', ') };
  }
  const pods = manifests.isKnown ? manifests.value.pods : [];
  const found = pods.flatMap(({ path, raw }) => {
    const pod = readVipPod(raw);
    return pod === undefined ? [] : [{ path, pod }];
  });
  const best = found.find(({ pod }) => pod.isHoldfast) ?? found[0];
  if (best === undefined) {
    return {
      parsed: parseConfig(input),
      isGiven: false,
      from: 'neither in the environment, nor as flags, nor in a static pod',
    };
  }
  return { parsed: configOfPod(best.pod, input.facts.hostname.toLowerCase()), isGiven: true, from: best.path };
}

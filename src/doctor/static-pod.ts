/**
 * A static pod of Holdfast or kube-vip, as a manifest has it: which container it is, the settings its environment and
 * arguments make, what it may do, and what of the host it mounts. Manifests are written by people: nothing is believed.
 */

import { asArray, asObject, asText, isObject, type JsonObject } from '../base/json.ts';
import { parseConfig, type ParsedConfig } from '../config/parse.ts';
import { OPTIONS } from '../config/schema.ts';

export interface VipPod {
  readonly name: string;
  readonly image: string;
  readonly isHoldfast: boolean;
  readonly env: Readonly<Record<string, string>>;
  readonly flags: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  readonly isPrivileged: boolean;
  readonly isHostNetwork: boolean;
  readonly mounts: readonly HostMount[];
}

/** A path of the host in the container. */
export interface HostMount {
  readonly hostPath: string;
  readonly mountPath: string;
  readonly type: string;
}

/** The container of Holdfast or kube-vip; undefined: the pod is something else. */
export function readVipPod(raw: JsonObject): VipPod | undefined {
  const spec = asObject(raw['spec']);
  const containers = asArray(spec?.['containers']).filter(isObject);
  const container = containers.find(isVipContainer);
  if (spec === undefined || container === undefined) return undefined;
  const security = asObject(container['securityContext']);
  const image = asText(container['image']) ?? '';
  return {
    name: asText(asObject(raw['metadata'])?.['name']) ?? '',
    image,
    isHoldfast: !isKubeVip(image),
    env: environmentOf(container),
    flags: flagsOf(textsOf(container['args'])),
    capabilities: textsOf(asObject(security?.['capabilities'])?.['add']).map((name) => name.replace(/^CAP_/, '')),
    isPrivileged: security?.['privileged'] === true,
    isHostNetwork: spec['hostNetwork'] === true,
    mounts: mountsOf(spec, container),
  };
}

/** The configuration the pod would run with on this node. */
export function configOfPod(pod: VipPod, hostname: string): ParsedConfig {
  return parseConfig({ env: { vip_nodename: hostname, ...pod.env }, flags: pod.flags, facts: { hostname } });
}

function isVipContainer(container: JsonObject): boolean {
  const image = asText(container['image']) ?? '';
  const isNamed = isKubeVip(image) || /(^|[/-])holdfast([-:@/]|$)/.test(image);
  // kube-vip's own `manager`, whatever the registry calls the image.
  const env = asArray(container['env']).flatMap((each) => asText(asObject(each)?.['name']) ?? []);
  return isNamed || (textsOf(container['args']).includes('manager') && env.some((name) => name.startsWith('vip_')));
}

function isKubeVip(image: string): boolean {
  return /(^|\/)kube-vip(-iptables)?([:@]|$)/.test(image);
}

/** Values that are written down; what refers to fields, ConfigMaps or Secrets has none here. */
function environmentOf(container: JsonObject): Readonly<Record<string, string>> {
  const entries = asArray(container['env']).flatMap((each): readonly (readonly [string, string])[] => {
    const entry = asObject(each);
    const [name, value] = [asText(entry?.['name']), entry?.['value']];
    return name === undefined || typeof value !== 'string' ? [] : [[name, value]];
  });
  return Object.fromEntries(entries);
}

/** `--flag=value`, `--flag value`, and booleans that stand alone, after `manager`. */
function flagsOf(args: readonly string[]): Readonly<Record<string, string>> {
  const flags: Record<string, string> = {};
  for (const [index, arg] of args.entries()) {
    const parts = /^--([\w-]+)(?:=([^]*))?$/.exec(arg);
    const name = parts?.[1];
    const option = OPTIONS.find(
      ({ flag, flagAliases = [] }) => name !== undefined && (flag === name || isIn(flagAliases, name)),
    );
    if (name === undefined || option === undefined) continue;
    const next = args[index + 1];
    const isAlone = option.type.kind === 'boolean' && !/^(true|false|t|f|1|0)$/i.test(next ?? '');
    flags[name] = parts?.[2] ?? (isAlone ? 'true' : (next ?? ''));
  }
  return flags;
}

function isIn(names: readonly string[], name: string): boolean {
  return names.includes(name);
}

function mountsOf(spec: JsonObject, container: JsonObject): readonly HostMount[] {
  const volumes = asArray(spec['volumes']).filter(isObject);
  return asArray(container['volumeMounts']).flatMap((each) => {
    const mount = asObject(each);
    const host = asObject(volumes.find((volume) => volume['name'] === mount?.['name'])?.['hostPath']);
    const hostPath = asText(host?.['path']);
    if (hostPath === undefined) return [];
    return [{ hostPath, mountPath: asText(mount?.['mountPath']) ?? '', type: asText(host?.['type']) ?? '' }];
  });
}

function textsOf(value: unknown): readonly string[] {
  return asArray(value).flatMap((each) => asText(each) ?? []);
}

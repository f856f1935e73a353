/**
 * What of the configuration matters to a plan, from the same parser as the daemon's: which Services are ours, `svc_pools`,
 * where kube-vip's ConfigMap is, the control plane's addresses (which no Service gets). A plan is made whatever else is
 * wrong with the configuration; what is wrong with these settings is told as a problem of `Environment/<name>`.
 */

import { parseIp, type Ip } from '../base/ip.ts';
import type { Finding } from '../config/finding.ts';
import { parseConfig, type ConfigInput } from '../config/parse.ts';
import { OPTIONS, type OptionName } from '../config/schema.ts';
import type { ObjectProblem, ServiceRules } from '../services/model.ts';

export interface PlanSettings {
  readonly rules: ServiceRules;
  /** `svc_pools` as written. */
  readonly pools: string;
  /** kube-vip's ConfigMap. */
  readonly configMap: { readonly namespace: string; readonly name: string };
  /** Addresses of `address` that are no names. */
  readonly controlPlane: readonly Ip[];
  /** Names of the Lease that may be the election's, likeliest first. */
  readonly leases: readonly string[];
  readonly problems: readonly ObjectProblem[];
}

export function readSettings(input: ConfigInput): PlanSettings {
  const { values, problems, warnings } = parseConfig({ ...input, env: { ...input.env, svc_enable: 'true' } });
  const text = (name: OptionName): string => values[name].value;
  const isOn = (name: OptionName): boolean => text(name) === 'true';
  const namespace = text('cp_namespace');
  return {
    rules: {
      className: text('lb_class_name'),
      isClassLegacy: isOn('lb_class_legacy_handling'),
      isClassOnly: isOn('lb_class_only'),
      namespace: text('svc_namespace'),
      isSpread: isOn('svc_election'),
      ignoresExcludeLabel: isOn('svc_ignore_exclude_label'),
    },
    pools: text('svc_pools'),
    configMap: { namespace: text('svc_configmap_namespace') || namespace, name: text('svc_configmap') },
    controlPlane: [text('address'), text('vip_address')].flatMap(ipsOf),
    leases: (isOn('cp_enable') ? (['vip_leasename'] as const) : (['svc_leasename', 'vip_leasename'] as const)).map(
      (name) => (text(name).includes('/') ? text(name) : `${namespace}/${text(name)}`),
    ),
    problems: [...problems.filter(isOfServices), ...warnings.filter(isSlip)].map(problemOf),
  };
}

function ipsOf(list: string): readonly Ip[] {
  return list.split(',').flatMap((entry) => {
    const parsed = parseIp(entry.trim());
    return parsed.ok ? [parsed.value] : [];
  });
}

/** A configuration file that can't be read may have had any of them. */
function isOfServices({ name, code }: Finding): boolean {
  if (name === 'address' || code === 'CONFIG_FILE_UNREADABLE' || code === 'CONFIG_FILE_INVALID') return true;
  return OPTIONS.some((option) => option.name === name && option.section === 'services');
}

/** `svc_pool=…` does nothing, and whoever wrote it waits for addresses. */
function isSlip({ name, code }: Finding): boolean {
  return (code === 'CONFIG_NAME_MISSPELLED' || code === 'CONFIG_NAME_UNKNOWN') && /^(svc|lb_class)_/.test(name);
}

function problemOf({ name, code, message, remedy }: Finding): ObjectProblem {
  return { object: { kind: 'Environment', key: name }, code, message, remedy };
}

/** What would start Holdfast on this node, and with which settings: the static pods, and the configuration itself. */

import { valueOr } from '../fact.ts';
import type { Manifests } from '../facts.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { configOfPod, readVipPod, type VipPod } from '../static-pod.ts';
import { setting, type Subject } from '../subject.ts';

const CAPABILITIES_NEEDED = ['NET_ADMIN', 'NET_RAW'];

interface Found {
  readonly path: string;
  readonly pod: VipPod;
}

function vipPods({ pods }: Manifests): readonly Found[] {
  return pods.flatMap(({ path, raw }) => {
    const pod = readVipPod(raw);
    return pod === undefined ? [] : [{ path, pod }];
  });
}

export function checkManifestThere({ facts, isControlPlane }: Subject): readonly Finding[] {
  const code = 'MANIFEST_MISSING';
  const { manifests } = facts.files;
  if (facts.status.isKnown) return [fine(code, 'Holdfast runs')];
  if (!isControlPlane) return [fine(code, 'only Services are served: a DaemonSet is as good')];
  if (!manifests.isKnown) return [unsure(code, manifests)];
  const found = vipPods(manifests.value);
  const paths = found.map(({ path }) => path).join(', ');
  const evidence = `no file of ${manifests.value.folder} is a pod of Holdfast, and none answers on the status socket`;
  return conclude(code, {
    wrong: found.length === 0 ? [warning(code, evidence, { path: `${manifests.value.folder}/holdfast.yaml` })] : [],
    unknown: [],
    fine: `there is ${paths}`,
  });
}

export function checkManifestValid({ facts }: Subject): readonly Finding[] {
  const code = 'MANIFEST_INVALID';
  const { manifests } = facts.files;
  if (!manifests.isKnown) return [unsure(code, manifests)];
  const found = vipPods(manifests.value);
  const unreadable = manifests.value.unreadable.map(({ path, why }) =>
    warning(code, `${path} can't be read: ${why}`, { field: 'it', path }),
  );
  return conclude(code, {
    wrong: [...unreadable, ...found.flatMap((each) => faultsOf(each, setting(facts, 'vip_nodename')))],
    unknown: [],
    fine:
      found.length === 0
        ? 'there is no static pod of Holdfast'
        : `nothing is wrong with ${found.map(({ path }) => path).join(', ')}`,
  });
}

function faultsOf({ path, pod }: Found, hostname: string): readonly Finding[] {
  const { problems, warnings } = configOfPod(pod, hostname);
  const lacking = CAPABILITIES_NEEDED.filter(
    (name) => !pod.capabilities.includes(name) && !pod.capabilities.includes('ALL'),
  );
  const faults: Finding[] = problems.map(({ code, message, remedy }) => ({
    code,
    level: 'error',
    evidence: `${path}: ${message}`,
    remedy,
  }));
  for (const { code, message, remedy } of warnings) {
    if (code === 'CONFIG_NAME_MISSPELLED') {
      faults.push({ code, level: 'warning', evidence: `${path}: ${message}`, remedy });
    }
  }
  if (lacking.length > 0 && !pod.isPrivileged) {
    const field = 'securityContext.capabilities.add';
    faults.push(failing('MANIFEST_INVALID', `${path} does not add ${lacking.join(' and ')}`, { field, path }));
  }
  if (!pod.isHostNetwork) {
    const evidence = `${path} has no hostNetwork: true, so its addresses would be inside of the pod`;
    faults.push(failing('MANIFEST_INVALID', evidence, { field: 'spec.hostNetwork', path }));
  }
  return faults;
}

export function checkManifestOnce({ facts }: Subject): readonly Finding[] {
  const code = 'MANIFEST_DUPLICATE';
  const { manifests } = facts.files;
  if (!manifests.isKnown) return [unsure(code, manifests)];
  const found = vipPods(manifests.value);
  const paths = found.map(({ path }) => path).join(', ');
  const text = found.map(({ path, pod }) => `${path} (${pod.image || 'no image'})`).join(', ');
  return conclude(code, {
    wrong: found.length > 1 ? [failing(code, `each of these holds addresses: ${text}`, { paths })] : [],
    unknown: [],
    fine: found.length === 0 ? 'there is no static pod of Holdfast' : `there is one: ${paths}`,
  });
}

/** The settings this command found; those of a manifest are told with it. */
export function checkSettings({ facts }: Subject): readonly Finding[] {
  const code = 'CONFIG_VALUE_INVALID';
  const { parsed, isGiven, from } = facts.settings;
  if (!isGiven) {
    const why = `no settings of Holdfast are found (${from}): what depends on them is looked at as if all was on`;
    return [
      unsure(code, {
        isKnown: false,
        why,
        remedy:
          'Run this in the container of Holdfast, give the settings as flags, or name the manifests with --manifests.',
      }),
    ];
  }
  const isTold = valueOr(facts.files.manifests, undefined)?.pods.some(({ path }) => path === from) === true;
  return conclude(code, {
    wrong: isTold
      ? []
      : parsed.problems.map((problem) => ({
          code: problem.code,
          level: 'error',
          evidence: problem.message,
          remedy: problem.remedy,
        })),
    unknown: [],
    fine: `settings: ${from}`,
  });
}

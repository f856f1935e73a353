/**
 * `holdfast kubeadm init|join`, as kube-vip spells it: the static pod for the manifest folder of a kubeadm node. It is the
 * pod of `manifest pod`; the interface must be named and the control plane is meant. kube-vip's join refuses to work
 * unless admin.conf exists already, which on a node that has yet to join it cannot: here that is a warning.
 */

import { finding } from '../config/finding.ts';
import { EXIT_CONFIG, loadConfig, renderFindings, type CommandResult } from './config.ts';
import { runManifest, type ManifestInput } from './manifest.ts';

/** kube-vip's `join --config`. */
export const JOIN_CONFIG_DEFAULT = '/etc/kubernetes/admin.conf';

export function runKubeadm(stage: 'init' | 'join', input: ManifestInput): CommandResult {
  const isControlPlaneSaid = input.options['controlplane'] !== undefined || (input.env['cp_enable'] ?? '') !== '';
  const meant = isControlPlaneSaid ? input : { ...input, options: { ...input.options, controlplane: true } };
  const parsed = loadConfig(meant);
  if (parsed.values.vip_interface.value === '') {
    const missing = finding(
      'CONFIG_INTERFACE_MISSING',
      '--interface',
      `kubeadm ${stage} needs --interface (vip_interface)`,
    );
    return {
      stdout: '',
      stderr: renderFindings({ problems: [...parsed.problems, missing], warnings: parsed.warnings }),
      exitCode: EXIT_CONFIG,
    };
  }
  const result = runManifest('pod', meant);
  if (stage === 'init' || result.exitCode !== 0) return result;
  const path = typeof input.options['config'] === 'string' ? input.options['config'] : JOIN_CONFIG_DEFAULT;
  return isReadable(path, input.readFile) ? result : { ...result, stderr: `${result.stderr}${notThereYet(path)}` };
}

function isReadable(path: string, readFile: (path: string) => string): boolean {
  try {
    readFile(path);
    return true;
  } catch {
    return false;
  }
}

function notThereYet(path: string): string {
  return `note: ${path} does not exist here yet; \`kubeadm join --control-plane\` writes it\n`;
}

/**
 * `holdfast kubeadm init|join`, as kube-vip spells it: the static pod for the manifest folder of a kubeadm node. It is the
 * pod of `manifest pod`; the interface must be named and the control plane is meant. kube-vip's join refuses to work
 * unless admin.conf exists already, which on a node that has yet to join it cannot: here that is a note.
 */

import { finding } from '../config/finding.ts';
import { parseConfig } from '../config/parse.ts';
import { EXIT_CONFIG, renderFindings, type CommandResult } from './config.ts';
import { runManifest, type ManifestCommandOptions } from './manifest.ts';

/** kube-vip's `join --config`. */
export const JOIN_CONFIG_DEFAULT = '/etc/kubernetes/admin.conf';

export interface KubeadmCommandOptions extends ManifestCommandOptions {
  /** Whether a file can be read here: of join's --config. */
  readonly isReadable: (path: string) => boolean;
  /** join's --config. */
  readonly kubeconfigPath?: string | undefined;
}

export function runKubeadm(stage: 'init' | 'join', command: KubeadmCommandOptions): CommandResult {
  const { input } = command;
  const isSaid = input.flags['controlplane'] !== undefined || (input.env['cp_enable'] ?? '') !== '';
  const meant = isSaid ? input : { ...input, flags: { ...input.flags, controlplane: 'true' } };
  const parsed = parseConfig(meant);
  if (parsed.values.vip_interface.value === '') {
    const message = `kubeadm ${stage} needs --interface (vip_interface)`;
    const problems = [...parsed.problems, finding('CONFIG_INTERFACE_MISSING', '--interface', message)];
    return { stdout: '', stderr: renderFindings({ ...parsed, problems }), exitCode: EXIT_CONFIG };
  }
  const result = runManifest('pod', { ...command, input: meant });
  const path = command.kubeconfigPath ?? JOIN_CONFIG_DEFAULT;
  if (stage === 'init' || result.exitCode !== 0 || command.isReadable(path)) return result;
  const note = `note: ${path} does not exist here yet; \`kubeadm join --control-plane\` writes it\n`;
  return { ...result, stderr: `${result.stderr}${note}` };
}

/**
 * The commands that write manifests, `manifest pod|daemonset|rbac` and `kubeadm init|join`, as kube-vip spells them: the
 * settings' flags may stand before or after the last word.
 */

import { accessSync, constants } from 'node:fs';
import { Option as CommanderOption, type Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { parseBool } from '../config/value.ts';
import type { CommandResult } from './config.ts';
import { readConfigInput } from './config-input.ts';
import { addSettingFlags, type Flags } from './flags.ts';
import { JOIN_CONFIG_DEFAULT, runKubeadm } from './kubeadm.ts';
import { MANIFEST_FLAGS, runManifest, type ManifestFlags, type ManifestKind } from './manifest.ts';
import { VERSION } from './version.ts';

const KINDS: Readonly<Record<ManifestKind, string>> = {
  pod: 'a static pod for /etc/kubernetes/manifests',
  daemonset: 'a DaemonSet',
  rbac: 'service account, role and binding for a DaemonSet',
};

const STAGES = {
  init: 'the static pod for a node that is about to run `kubeadm init`',
  join: 'the static pod for a node that is about to run `kubeadm join --control-plane`',
} as const;

/** Flags that are true when they stand alone, as writeOutBooleans wants them. */
export function manifestBooleans(): readonly string[] {
  return MANIFEST_FLAGS.filter((flag) => flag.placeholder === undefined).map((flag) => flag.name);
}

/** Fills in the commands `manifest` and `kubeadm`; each result goes to `finish`. */
export function addManifestCommands(
  manifest: Command,
  kubeadm: Command,
  finish: (result: CommandResult) => void,
): void {
  const settings = addSettingFlags(manifest);
  for (const kind of ['pod', 'daemonset', 'rbac'] as const) {
    const command = manifest.command(kind).description(KINDS[kind]);
    const own = addOwnFlags(command, kind);
    addSettingFlags(command, settings);
    command.action(() => {
      finish(runManifest(kind, { input: readConfigInput(settings), flags: manifestFlags(own), version: VERSION }));
    });
  }
  const kubeadmSettings = addSettingFlags(kubeadm);
  for (const stage of ['init', 'join'] as const) {
    const command = kubeadm.command(stage).description(STAGES[stage]);
    const own = addOwnFlags(command, 'pod');
    if (stage === 'join') {
      command.option('--config <path>', `kubeconfig of the node (default: ${JOIN_CONFIG_DEFAULT})`);
    }
    addSettingFlags(command, kubeadmSettings);
    command.action((options: { config?: string }) => {
      finish(
        runKubeadm(stage, {
          input: readConfigInput(kubeadmSettings),
          flags: manifestFlags(own),
          version: VERSION,
          isReadable,
          kubeconfigPath: options.config,
        }),
      );
    });
  }
}

function addOwnFlags(command: Command, kind: ManifestKind): Flags {
  const given: Flags = {};
  for (const { name, placeholder, description, kinds } of MANIFEST_FLAGS) {
    if (!kinds.some((candidate) => candidate === kind)) continue;
    command.addOption(new CommanderOption(`--${name} <${placeholder ?? 'bool'}>`, description).helpGroup('Manifest:'));
    command.on(`option:${name}`, (value: string) => {
      given[name] = value;
    });
  }
  return given;
}

function manifestFlags(given: Flags): ManifestFlags {
  return {
    image: given['image'],
    name: given['name'],
    certificatesDir: given['certificatesDir'],
    inCluster: booleanFlag(given, 'inCluster'),
    taint: booleanFlag(given, 'taint'),
    role: booleanFlag(given, 'role'),
    rolebinding: booleanFlag(given, 'rolebinding'),
  };
}

function booleanFlag(given: Flags, name: string): boolean | undefined {
  const text = given[name];
  if (text === undefined) return undefined;
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new HoldfastError('COMMAND_INVALID', `--${name}: "${text}" is not true or false`, {
    context: { command: 'holdfast manifest' },
  });
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

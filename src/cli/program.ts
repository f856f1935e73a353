/**
 * The command line: which commands there are, what their flags mean, and how mistakes are told. Each command's module is
 * loaded when it is the one that runs, so that `holdfast version` costs what it needs and the daemon no table library.
 */

import { Command, CommanderError } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { CommandResult } from './config.ts';
import { addSettingFlags, writeOutBooleans } from './flags.ts';
import { crashText, errorText } from './operator-error.ts';
import { versionText } from './version.ts';

interface DoctorOptions {
  readonly json: boolean;
  readonly all: boolean;
  readonly only: readonly string[];
  readonly probe: boolean;
  readonly manifests: string;
  readonly kubernetes: string;
}

export const EXIT_ERROR = 1;
export const EXIT_USAGE = 2;
/** EX_SOFTWARE of sysexits.h. */
export const EXIT_CRASH = 70;

/** Exit codes of errors for which 1 says too little. */
const EXIT_CODES: Readonly<Record<string, number>> = { COMMAND_INVALID: EXIT_USAGE, NOT_RUNNING: 3 };

export interface Terminal {
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  readonly isColored: boolean;
}

/** Runs the command that `args` (without node and script) name, and returns the exit code. Never throws. */
export async function runProgram(args: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0;
  const exit = (code: number): void => {
    exitCode = code;
  };
  const program = buildProgram(terminal, exit);
  try {
    const booleans = await addManifests(program, args, terminal, exit);
    await program.parseAsync([...writeOutBooleans(args, booleans)], { from: 'user' });
    return exitCode;
  } catch (error) {
    return tell(toOperatorError(error, program, args), terminal);
  }
}

/** 0 for what is no error: `--help`, `--version`. */
function tell(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return 0;
  if (error instanceof HoldfastError) {
    terminal.writeError(errorText(error));
    return EXIT_CODES[error.code] ?? EXIT_ERROR;
  }
  terminal.writeError(crashText(error));
  return EXIT_CRASH;
}

function toOperatorError(error: unknown, program: Command, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError) || error.exitCode === 0) return error;
  const path = commandPath(program, args);
  const context = { command: path.map((command) => command.name()).join(' ') };
  if (error.code === 'commander.help') {
    const names = path.at(-1)?.commands.map((command) => command.name());
    return new HoldfastError('COMMAND_INVALID', `a command is missing: one of ${names?.join(', ')}`, { context });
  }
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new HoldfastError('COMMAND_INVALID', message, { context, cause: error });
}

/** holdfast, manifest, pod: the commands that `args` begin with, as far as they exist. */
function commandPath(program: Command, args: readonly string[]): readonly Command[] {
  const path = [program];
  for (const arg of args) {
    const next = path.at(-1)?.commands.find((candidate) => candidate.name() === arg);
    if (next === undefined) break;
    path.push(next);
  }
  return path;
}

function buildProgram(terminal: Terminal, exit: (code: number) => void): Command {
  const program = new Command('holdfast')
    .description("Holds the virtual IP of a Kubernetes cluster's API servers.")
    .version(versionText(), '--version', 'print the version')
    .exitOverride()
    .configureOutput({ writeOut: terminal.write, writeErr: () => undefined })
    .showSuggestionAfterError(true);
  addManager(program, terminal, exit);
  addConfig(program, terminal, exit);
  addStatus(program, terminal, exit);
  addDrain(program, terminal, exit);
  addPlan(program, terminal, exit);
  addExplain(program, terminal, exit);
  addDoctor(program, terminal, exit);
  addVersion(program, terminal);
  return program;
}

function addManager(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const command = program
    .command('manager')
    .description('run the daemon (every setting is also an environment variable)');
  const flags = addSettingFlags(command);
  command.action(async () => {
    const { runManagerCommand } = await import('./manager.ts');
    exit(await runManagerCommand({ flags, writeError: terminal.writeError }));
  });
}

function addConfig(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const command = program
    .command('config')
    .description('print the effective configuration and where each value came from (exit code 2 when it has problems)')
    .option('--json', 'print it as JSON', false)
    .option('--all', 'settings without effect and at their defaults as well', false);
  const flags = addSettingFlags(command);
  command.action(async (options: { json: boolean; all: boolean }) => {
    const { runConfig } = await import('./config.ts');
    const { readConfigInput } = await import('./config-input.ts');
    finish(runConfig({ input: readConfigInput(flags), isJson: options.json, isAll: options.all }), terminal, exit);
  });
}

/**
 * `manifest` and `kubeadm`: known by name always, with their flags and what they need only when one of them is asked for.
 * Returns their boolean flags.
 */
async function addManifests(
  program: Command,
  args: readonly string[],
  terminal: Terminal,
  exit: (code: number) => void,
): Promise<readonly string[]> {
  const manifest = program.command('manifest').description('print a manifest: pod, daemonset or rbac');
  const kubeadm = program.command('kubeadm').description('print the static pod for `kubeadm init` or `kubeadm join`');
  if (!args.some((arg) => arg === 'manifest' || arg === 'kubeadm')) return [];
  const { addManifestCommands, manifestBooleans } = await import('./manifest-program.ts');
  addManifestCommands(manifest, kubeadm, (result) => finish(result, terminal, exit));
  return manifestBooleans();
}

function finish(result: CommandResult, terminal: Terminal, exit: (code: number) => void): void {
  terminal.write(result.stdout);
  terminal.writeError(result.stderr);
  exit(result.exitCode);
}

function addStatus(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('status')
    .description("show who holds the addresses and this node's part (exit code 0 healthy, 1 degraded, 3 not running)")
    .option('--json', 'print the report as JSON', false)
    .option('--watch', 'go on printing as things change', false)
    .option('--socket <socket>', 'status socket: a path or @name [vip_status_socket]')
    .action(async (options: { json: boolean; watch: boolean; socket?: string }) => {
      const { runStatus, defaultSocket } = await import('./status.ts');
      exit(
        await runStatus({
          socket: options.socket ?? defaultSocket(process.env),
          isJson: options.json,
          isWatching: options.watch,
          isTerminal: terminal.isTerminal,
          isColored: terminal.isColored,
          write: terminal.write,
        }),
      );
    });
}

function addDrain(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('drain')
    .description(
      "give this node's addresses to another one, and take none until --undo or a restart (exit code 1: still held)",
    )
    .option('--undo', 'take part again', false)
    .option('--timeout <seconds>', 'how long to wait until nothing is held', '30')
    .option('--socket <socket>', 'status socket: a path or @name [vip_status_socket]')
    .action(async (options: { undo: boolean; timeout: string; socket?: string }) => {
      const { runDrain } = await import('./drain.ts');
      const { defaultSocket } = await import('./status.ts');
      const seconds = Number(options.timeout);
      if (!(seconds > 0 && seconds <= 86_400)) {
        const message = `--timeout ${options.timeout} is no time in seconds`;
        throw new HoldfastError('COMMAND_INVALID', message, { context: { command: 'holdfast drain' } });
      }
      exit(
        await runDrain({
          socket: options.socket ?? defaultSocket(process.env),
          isUndo: options.undo,
          timeoutMs: seconds * 1000,
          write: terminal.write,
        }),
      );
    });
}

function addPlan(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('plan')
    .description(
      'say which Service would get which address and which node would answer, from Kubernetes documents, without a cluster (exit code 0 all served, 1 something pending or refused, 2 unreadable)',
    )
    .requiredOption('-f, --filename <file...>', 'YAML or JSON: files, directories, or - for standard input')
    .option('--drain <node...>', 'as if these nodes were drained: what moves, and where to', [])
    .option('--json', 'print the plan as JSON', false)
    .action(async (options: { filename: string[]; drain: string[]; json: boolean }) => {
      const { runPlan } = await import('./plan.ts');
      const { readConfigInput } = await import('./config-input.ts');
      const { filename: paths, drain, json: isJson } = options;
      const { isColored } = terminal;
      finish(runPlan({ paths, drain, isJson, isColored, input: readConfigInput({}) }), terminal, exit);
    });
}

function addExplain(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('explain')
    .description(
      'explain an error CODE, or how it stands with `service NAMESPACE/NAME`, `address IP` or `vip`: asks the other nodes and the wire (exit code 0 all well, 1 something is not, 3 not running)',
    )
    .argument('<words...>', 'CODE, or: service NAMESPACE/NAME, address IP, vip')
    .option('--json', 'print it as JSON', false)
    .option('--socket <socket>', 'status socket: a path or @name [vip_status_socket]')
    .action(async (words: string[], options: { json: boolean; socket?: string }) => {
      const { runExplain } = await import('./explain.ts');
      const { defaultSocket } = await import('./status.ts');
      const { isColored, write } = terminal;
      const socket = options.socket ?? defaultSocket(process.env);
      exit(await runExplain({ words, socket, isJson: options.json, isColored, write }));
    });
}

function addDoctor(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const command = program
    .command('doctor')
    .description(
      'look for what is wrong with this node and its cluster, changing nothing (exit code 0 nothing wrong, 1 something is)',
    )
    .option('--json', 'print every finding as JSON', false)
    .option('--all', 'what was found in order as well', false)
    .option('--only <code...>', 'only checks and findings of these codes', [])
    .option('--no-probe', 'do not ask on the wire whether somebody has an address of the pools')
    .option('--manifests <folder>', "the kubelet's folder of static pods", '/etc/kubernetes/manifests')
    .option('--kubernetes <folder>', "kubeadm's folder of kubeconfigs", '/etc/kubernetes');
  const flags = addSettingFlags(command);
  command.action(async (options: DoctorOptions) => {
    const { runDoctor } = await import('./doctor.ts');
    const { readConfigInput } = await import('./config-input.ts');
    const { json: isJson, all: isAll, only, probe: isProbing } = options;
    const { manifests: manifestsFolder, kubernetes: kubernetesFolder } = options;
    const survey = { input: readConfigInput(flags), isProbing, manifestsFolder, kubernetesFolder };
    finish(await runDoctor({ ...survey, isJson, isAll, only, isColored: terminal.isColored }), terminal, exit);
  });
}

function addVersion(program: Command, terminal: Terminal): void {
  program
    .command('version')
    .description('print the version')
    .action(() => terminal.write(`${versionText()}\n`));
}

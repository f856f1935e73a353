import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addSettingFlags, writeOutBooleans } from '../../../src/cli/flags.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { VERSION } from '../../../src/cli/version.ts';
import { OPTIONS } from '../../../src/config/schema.ts';

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await runProgram(args, {
    write: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
    isTerminal: false,
    isColored: false,
  });
  return { code, out, err };
}

function parseFlags(...args: string[]): Record<string, string> {
  const command = new Command('test').exitOverride().configureOutput({ writeErr: () => undefined });
  const flags = addSettingFlags(command);
  command.parse([...writeOutBooleans(args)], { from: 'user' });
  return flags;
}

describe('the command line', () => {
  it('prints the version both ways', async () => {
    expect(await run('version')).toMatchObject({
      code: 0,
      out: expect.stringContaining(`holdfast ${VERSION}`),
      err: '',
    });
    expect(await run('--version')).toMatchObject({ code: 0, out: expect.stringContaining(VERSION), err: '' });
  });

  it('helps, grouped, with the variable beside each flag', async () => {
    const { code, out } = await run('manager', '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Virtual IP:\n.*--controlplane/);
    expect(out).toContain('[vip_leaseduration]');
  });

  it.each([
    [
      ['manager', '--interfce', 'eth0'],
      "unknown option '--interfce' (Did you mean --interface?)",
      'holdfast manager --help',
    ],
    [['statsu'], "unknown command 'statsu' (Did you mean status?)", 'holdfast --help'],
    [['manager', '--interface'], "option '--interface <text>' argument missing", 'holdfast manager --help'],
    [[], 'a command is missing: one of ', 'holdfast --help'],
    [['status', 'extra'], 'too many arguments', 'holdfast status --help'],
    [['manifest'], 'a command is missing: one of pod, daemonset, rbac', 'holdfast manifest --help'],
    [['manifest', 'podd'], "unknown command 'podd' (Did you mean pod?)", 'holdfast manifest --help'],
    [
      ['manifest', 'pod', '--imge', 'x'],
      "unknown option '--imge' (Did you mean --image?)",
      'holdfast manifest pod --help',
    ],
    [['manifest', 'rbac', '--role=maybe'], '--role: "maybe" is not true or false', 'holdfast manifest --help'],
  ])('tells %j in two lines, code 2', async (args, message, remedy) => {
    const { code, out, err } = await run(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^COMMAND_INVALID: [^\n]*\n {2}remedy: [^\n]*\n$/);
    expect(err).toContain(message);
    expect(err).toContain(remedy);
  });

  it('tells that nothing runs with code 3 and what to type next', async () => {
    const { code, err } = await run('status', '--socket', `@hf-g-nobody-${process.pid}`);
    expect(code).toBe(3);
    expect(err).toMatch(/^NOT_RUNNING: no Holdfast is running here[^\n]*\n {2}remedy: [^\n]*crictl[^\n]*\n$/);
  });

  it('runs as a program: exit code, and every problem of the configuration in two lines without a stack', async () => {
    const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
    const { code, text } = await new Promise<{ code: unknown; text: string }>((resolve) => {
      const args = [main, 'manager', '--controlplane', '--arp', '--address=not_an_ip/33', '--leaseDuration=soon'];
      execFile(process.execPath, args, { env: { PATH: '' } }, (error, stdout, stderr) =>
        resolve({ code: error?.code, text: stdout + stderr }),
      );
    });
    expect(code).toBe(2);
    expect(text).toContain('--leaseDuration: "soon" is not');
    expect(text.match(/remedy: /g)?.length).toBeGreaterThanOrEqual(2);
    expect(text).not.toMatch(/^\s+at /m);
  });
});

describe('commands of other rooms', () => {
  const settings = ['--controlplane', '--arp', '--address', '10.0.0.100'];

  it('print the configuration as JSON, with the source of each value', async () => {
    const { code, out } = await run('config', '--json', ...settings);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      values: { address: { value: '10.0.0.100', source: 'flag' } },
      problems: [],
    });
    expect(await run('config', '--controlplane', '--address', 'no/address')).toMatchObject({ code: 2 });
  });

  it("write manifests, with kube-vip's flags before or after the kind, booleans bare or with =", async () => {
    const after = await run('manifest', 'daemonset', ...settings, '--interface', 'eth0', '--inCluster', '--taint');
    expect(after).toMatchObject({ code: 0, out: expect.stringContaining('kind: DaemonSet') });
    const before = await run(
      'manifest',
      '--interface',
      'eth0',
      ...settings,
      'daemonset',
      '--inCluster=true',
      '--taint=true',
    );
    expect(before.out).toBe(after.out);
    expect(await run('manifest', 'rbac')).toMatchObject({
      code: 0,
      out: expect.stringContaining('kind: ServiceAccount'),
    });
  });

  it('write the static pod for kubeadm, which needs the interface', async () => {
    const pod = await run('kubeadm', 'init', ...settings, '--interface', 'eth0');
    expect(pod).toMatchObject({ code: 0, out: expect.stringContaining('kind: Pod') });
    expect(await run('kubeadm', 'join', ...settings)).toMatchObject({ code: 2, out: '' });
  });
});

describe('flags of settings', () => {
  it('come with =, as the next argument, and as bare booleans', () => {
    expect(parseFlags('--interface', 'eth0', '--address=10.0.0.1', '--arp', '--controlplane=true')).toEqual({
      interface: 'eth0',
      address: '10.0.0.1',
      arp: 'true',
      controlplane: 'true',
    });
  });

  it('take what follows a boolean only if it is a boolean word', () => {
    expect(parseFlags('--arp', 'false', '--controlplane')).toEqual({ arp: 'false', controlplane: 'true' });
    expect(writeOutBooleans(['manifest', '--arp', 'pod'])).toEqual(['manifest', '--arp=true', 'pod']);
  });

  it('leave a value alone that looks like a flag, and everything after --', () => {
    expect(writeOutBooleans(['--interface', '--arp'])).toEqual(['--interface', '--arp']);
    expect(writeOutBooleans(['--', '--arp'])).toEqual(['--', '--arp']);
  });

  it('know short flags, empty values and spellings from wrong documents', () => {
    expect(parseFlags('-n', 'kube-vip')).toEqual({ namespace: 'kube-vip' });
    expect(parseFlags('--prometheusHTTPServer=')).toEqual({ prometheusHTTPServer: '' });
    expect(parseFlags('--loseLeadershipTimeoutSeconds', '30')).toEqual({ loseLeadershipTimeoutSeconds: '30' });
  });

  it('keep the last of several', () => {
    expect(parseFlags('--address', '10.0.0.1', '--address', '10.0.0.2')).toEqual({ address: '10.0.0.2' });
  });

  it('exist for every setting of the table that has one', () => {
    const names = OPTIONS.flatMap((option) => option.flag ?? []);
    expect(names.length).toBeGreaterThan(90);
    for (const name of names) expect(parseFlags(`--${name}=1`)).toEqual({ [name]: '1' });
  });
});

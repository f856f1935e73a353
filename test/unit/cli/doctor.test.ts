import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/base/errors.ts';
import { runDoctor, type DoctorCommandOptions } from '../../../src/cli/doctor.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { known } from '../../../src/doctor/fact.ts';
import type { Finding } from '../../../src/doctor/finding.ts';
import { blind, facts, type Given } from '../doctor/facts.ts';

const WRONG: Given = {
  cluster: {
    kubeProxy: known({ mode: 'ipvs' }),
    daemonSets: known([{ metadata: { namespace: 'x', name: 'svclb-\u001b[2J' }, spec: {} }]),
  },
};

function doctor(
  given: Given | 'blind' = {},
  changes: Partial<DoctorCommandOptions> = {},
): ReturnType<typeof runDoctor> {
  return runDoctor({
    input: { env: {}, flags: {}, facts: { hostname: 'n1' } },
    manifestsFolder: '/m',
    kubernetesFolder: '/k',
    isProbing: true,
    isJson: false,
    isAll: false,
    only: [],
    isColored: false,
    gather: () => Promise.resolve(given === 'blind' ? blind() : facts(given)),
    ...changes,
  });
}

describe('holdfast doctor', () => {
  it('is one line when nothing is wrong, with exit code 0', async () => {
    const { stdout, exitCode } = await doctor();
    expect(stdout).toBe(
      '0 errors, 0 warnings; 0 checks could not be made wholly; 45 found nothing wrong (--all shows them). Settings: environment.\n',
    );
    expect(exitCode).toBe(0);
  });

  it('tells what is wrong with evidence and remedy, and exit code 1', async () => {
    const { stdout, exitCode } = await doctor(WRONG);
    expect(stdout).toMatch(/^error +STRICT_ARP_OFF +the ConfigMap kube-proxy has mode: ipvs/m);
    expect(stdout).toMatch(/^ +→ Set ipvs.strictARP: true in the ConfigMap kube-proxy/m);
    expect(stdout).toContain('2 errors, 0 warnings;');
    expect(exitCode).toBe(1);
  });

  it('lets no object redraw the terminal', async () => {
    const { stdout } = await doctor(WRONG);
    expect(stdout).toContain('DaemonSet x/svclb- [2J');
    expect(stdout).not.toContain('\u001b');
    expect((await doctor(WRONG, { isColored: true })).stdout).toContain('\u001b[31merror\u001b[39m');
  });

  it('tells what is not known once for each reason, which is nothing wrong: exit code 0', async () => {
    const { stdout, exitCode } = await doctor('blind');
    expect(stdout.match(/nobody looked$/gm)).toHaveLength(1);
    expect(stdout).toMatch(/^unknown +MANIFEST_MISSING|^unknown +STRICT_ARP_OFF/m);
    expect(stdout).toMatch(/\d+ checks could not be made wholly; 2 found nothing wrong/);
    expect(exitCode).toBe(0);
  });

  it('shows what is in order with --all', async () => {
    const { stdout } = await doctor({}, { isAll: true });
    expect(stdout.match(/^ok /gm)).toHaveLength(45);
    expect(stdout).not.toContain('--all');
  });

  it('prints every finding as JSON, each with code, level, evidence and remedy', async () => {
    const { stdout, exitCode } = await doctor(WRONG, { isJson: true });
    const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
    expect(findings.map((each) => Object.keys(each).join())).toEqual(findings.map(() => 'code,level,evidence,remedy'));
    expect(findings.filter(({ level }) => level === 'error')).toHaveLength(2);
    expect(findings.filter(({ level }) => level === 'ok').length).toBeGreaterThan(30);
    expect(exitCode).toBe(1);
  });

  it('looks only for what --only names, in any case; what is no code is a wrong command line', async () => {
    const { stdout, exitCode } = await doctor(WRONG, { only: ['clock_skew'] });
    expect([stdout, exitCode]).toEqual([expect.stringMatching(/^0 errors.* 1 found nothing wrong/), 0]);
    await expect(doctor({}, { only: ['NOPE'] })).rejects.toThrow(HoldfastError);
    await expect(doctor({}, { only: ['NOPE'] })).rejects.toMatchObject({ code: 'COMMAND_INVALID' });
  });

  it('has its flags, and exit code 2 for others', async () => {
    let out = '';
    const write = {
      isTerminal: false,
      isColored: false,
      write: (text: string): void => void (out += text),
      writeError: (text: string): void => void (out += text),
    };
    expect(await runProgram(['doctor', '--help'], write)).toBe(0);
    for (const flag of ['--json', '--all', '--only', '--no-probe', '--manifests', '--interface']) {
      expect(out).toContain(flag);
    }
    expect(await runProgram(['doctor', '--nope'], write)).toBe(2);
    expect(await runProgram(['doctor', '--only', 'NOPE'], write)).toBe(2);
  });
});

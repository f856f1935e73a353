import { describe, expect, test } from 'vitest';
import { runConfig } from '../../../src/cli/config.ts';
import type { ConfigInput } from '../../../src/config/parse.ts';
import { OPTIONS } from '../../../src/config/schema.ts';

const LEAST: ConfigInput = {
  env: { cp_enable: 'true', vip_arp: 'true', address: '192.0.2.10' },
  flags: {},
  facts: { hostname: 'n1' },
};
const SECRETS = {
  bgp_peerpass: 'hush-1',
  bgp_peers: '10.0.0.1:65000:hush-2:true,10.0.0.2:65000',
  vip_heartbeat_key: 'hush-3-hush-3-hush-3',
};

interface Report {
  readonly values: Readonly<Record<string, { readonly value: string; readonly source: string }>>;
  readonly problems: readonly Readonly<Record<string, string>>[];
  readonly warnings: readonly Readonly<Record<string, string>>[];
  readonly bgpPeers: readonly Readonly<Record<string, unknown>>[];
}

function report(env: Readonly<Record<string, string>>): Report {
  return JSON.parse(runConfig({ input: { ...LEAST, env: { ...LEAST.env, ...env } }, isJson: true }).stdout) as Report;
}

describe('holdfast config --json', () => {
  test('has exactly values, problems, warnings and bgpPeers', () => {
    const found = report({});
    expect(Object.keys(found)).toEqual(['values', 'problems', 'warnings', 'bgpPeers']);
    expect(Object.keys(found.values)).toEqual(OPTIONS.map(({ name }) => name));
    expect(found.values['address']).toEqual({ value: '192.0.2.10', source: 'env' });
    expect(found).toMatchObject({ problems: [], warnings: [], bgpPeers: [] });
  });

  test('describes problems and warnings by name, code, message and remedy', () => {
    const found = report({ port: 'x', vip_interfce: 'eth0' });
    expect(found.problems.map((problem) => Object.keys(problem))).toEqual([['name', 'code', 'message', 'remedy']]);
    expect(found.warnings.map((warning) => Object.keys(warning))).toEqual([['name', 'code', 'message', 'remedy']]);
  });

  test('masks every secret and shows the rest of the peers', () => {
    const found = report(SECRETS);
    expect(JSON.stringify(found)).not.toContain('hush');
    expect(found.values['bgp_peerpass']).toEqual({ value: '***', source: 'env' });
    expect(found.values['bgp_peers']?.value).toBe('10.0.0.1:65000:***:true,10.0.0.2:65000::false');
    expect(found.bgpPeers).toMatchObject([
      { address: '10.0.0.1', as: 65000, password: '***', multihop: true, port: 179 },
      { address: '10.0.0.2', password: '' },
    ]);
  });

  test('masks bgp_peers whole when it cannot be read', () => {
    const found = report({ bgp_peers: '10.0.0.1:65000:hush,hush:true' });
    expect(JSON.stringify(found)).not.toContain('hush');
    expect(found.values['bgp_peers']?.value).toBe('***');
  });

  test('masks the password of the single peer', () => {
    expect(JSON.stringify(report({ bgp_peeraddress: '10.0.0.1', bgp_peerpass: 'hush' }))).not.toContain('hush');
  });
});

describe('holdfast config', () => {
  test('exits 0, or 2 with problems', () => {
    expect(runConfig({ input: LEAST, isJson: false }).exitCode).toBe(0);
    expect(runConfig({ input: { ...LEAST, flags: { port: 'x' } }, isJson: false }).exitCode).toBe(2);
    expect(runConfig({ input: { ...LEAST, flags: { port: 'x' } }, isJson: true }).exitCode).toBe(2);
  });

  test('shows value and source of what has an effect, and findings with remedies', () => {
    const { stdout } = runConfig({
      input: { ...LEAST, env: { ...LEAST.env, ...SECRETS, vip_interfce: 'a' }, flags: { port: '7443' } },
      isJson: false,
    });
    expect(stdout).toMatch(/port +│ 7443 +│ flag/);
    expect(stdout).toMatch(/vip_subnet +│ 32 +│ default/);
    expect(stdout).toContain('warning CONFIG_NAME_MISSPELLED');
    expect(stdout).toContain('Rename vip_interfce to vip_interface.');
    expect(stdout).not.toContain('enable_upnp');
    expect(stdout).not.toContain('hush');
  });

  test('shows every setting when asked', () => {
    const { stdout } = runConfig({ input: LEAST, isJson: false, isAll: true });
    for (const { name } of OPTIONS) expect(stdout).toContain(`│ ${name} `);
  });
});

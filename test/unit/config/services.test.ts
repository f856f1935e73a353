import { describe, expect, test } from 'vitest';
import type { ServicesConfig } from '../../../src/config/config.ts';
import type { ServiceRules } from '../../../src/services/model.ts';
import { parseWith, parseEnv, problemsOf, warningsOf } from './parse-with.ts';

const SERVICES = { vip_arp: 'true', svc_enable: 'true' } as const;

function parseServices(env: Readonly<Record<string, string>>): ReturnType<typeof parseWith> {
  return parseWith({ env: { ...SERVICES, ...env } });
}

describe('Services', () => {
  test('are left alone unless they are asked for', () => {
    expect(parseEnv({}).config?.services).toBeUndefined();
  });

  test('have the defaults of kube-vip', () => {
    const { config, warnings, problems } = parseServices({});
    expect([problems, warnings]).toEqual([[], []]);
    expect(config?.isControlPlane).toBe(false);
    expect(config?.services).toEqual({
      isSpread: false,
      namespace: '',
      interfaceName: undefined,
      className: 'kube-vip.io/kube-vip-class',
      isClassLegacy: true,
      isClassOnly: false,
      ignoresExcludeLabel: false,
      pools: '',
      rebalancePerMinute: 0,
      configMap: { namespace: 'kube-system', name: 'kubevip' },
    });
  });

  test('take every setting', () => {
    const { config, warnings, problems } = parseServices({
      svc_election: 'true',
      svc_namespace: 'shop',
      vip_interface: 'eth0',
      vip_servicesinterface: 'eth1',
      lb_class_only: 'true',
      lb_class_name: '',
      lb_class_legacy_handling: 'false',
      svc_pools: '192.0.2.0/28,2001:db8::/124',
      svc_rebalance: '12',
      svc_ignore_exclude_label: 'true',
      svc_configmap: 'pools',
      svc_configmap_namespace: 'infra',
    });
    expect([problems, warnings]).toEqual([[], []]);
    expect(config?.services).toEqual({
      isSpread: true,
      namespace: 'shop',
      interfaceName: 'eth1',
      className: '',
      isClassLegacy: false,
      isClassOnly: true,
      ignoresExcludeLabel: true,
      pools: '192.0.2.0/28,2001:db8::/124',
      rebalancePerMinute: 12,
      configMap: { namespace: 'infra', name: 'pools' },
    });
  });

  test('are configured with all that chooses them (services/model.ts)', () => {
    const rules = (config: ServicesConfig): ServiceRules => config;
    const { config } = parseServices({});
    expect(config?.services && rules(config.services).className).toBe('kube-vip.io/kube-vip-class');
  });

  test.each([
    [{ vip_interface: 'eth0' }, 'eth0'],
    [{ vip_interface: 'eth0', vip_servicesinterface: 'auto' }, undefined],
    [{ vip_servicesinterface: 'auto' }, undefined],
    [{ vip_servicesinterface: 'bond0.7' }, 'bond0.7'],
  ])('with %j are answered on %s', (env, expected) => {
    expect(parseServices(env).config?.services?.interfaceName).toBe(expected);
  });

  test("read the variables of kube-vip's cloud provider", () => {
    const { config, warnings } = parseServices({ KUBEVIP_NAMESPACE: 'lb', KUBEVIP_CONFIG_MAP: 'vips' });
    expect(config?.services?.configMap).toEqual({ namespace: 'lb', name: 'vips' });
    expect(warnings).toEqual([]);
  });

  test('find the ConfigMap beside the Lease unless told otherwise', () => {
    expect(parseServices({ cp_namespace: 'lb' }).config?.services?.configMap.namespace).toBe('lb');
  });

  test.each([
    ['svc_leasename', 'a/b/c'],
    ['svc_namespace', 'Shop'],
    ['svc_namespace', 'a,b'],
    ['svc_configmap', 'Pools'],
    ['svc_configmap_namespace', 'in fra'],
    ['svc_rebalance', '1001'],
    ['svc_rebalance', '-1'],
    ['vip_servicesinterface', 'an-interface-too-long'],
  ])('refuse %s=%s', (name, value) => {
    expect(parseServices({ [name]: value }).problems.map((problem) => [problem.name, problem.code])).toEqual([
      [name, 'CONFIG_VALUE_INVALID'],
    ]);
  });
});

describe('the election', () => {
  test.each([
    [{ svc_leasename: 'infra/lb' }, 'infra', 'lb'],
    [{ svc_leasename: 'lb', cp_namespace: 'infra' }, 'infra', 'lb'],
    [{}, 'kube-system', 'plndr-svcs-lock'],
  ])('of Services alone, with %j, is held on %s/%s', (env, namespace, leaseName) => {
    const { config, warnings } = parseServices(env);
    expect(config?.election).toMatchObject({ namespace, leaseName });
    expect(warnings).toEqual([]);
  });

  test('with the control plane too is one, on its Lease', () => {
    const env = { svc_enable: 'true', vip_leasename: 'infra/both' };
    expect(parseEnv(env).config?.election).toMatchObject({ namespace: 'infra', leaseName: 'both' });
    expect(warningsOf({ ...env, svc_leasename: 'plndr-svcs-lock' })).toEqual([]);
    expect(warningsOf({ ...env, svc_leasename: 'infra/both' })).toEqual([]);
    expect(warningsOf({ ...env, svc_leasename: 'other' })).toEqual([['svc_leasename', 'CONFIG_UNUSED']]);
  });
});

describe('what is not looked at', () => {
  test('is a virtual IP without a control plane: said, and not held', () => {
    const { config, warnings } = parseServices({ address: '192.0.2.10' });
    expect(config?.vip.sources).toEqual([]);
    expect(warnings.map(({ name, code }) => [name, code])).toEqual([['address', 'CONFIG_UNUSED']]);
  });

  test('is what is said about Services while they are off', () => {
    expect(warningsOf({ svc_pools: '192.0.2.0/28', svc_election: 'true', lb_class_name: '' })).toEqual([
      ['svc_election', 'CONFIG_UNUSED'],
      ['lb_class_name', 'CONFIG_UNUSED'],
      ['svc_pools', 'CONFIG_UNUSED'],
    ]);
    expect(warningsOf({ svc_enable: 'true', svc_pools: '192.0.2.0/28' })).toEqual([]);
  });

  test('is no reason to refuse it', () => {
    expect(problemsOf({ svc_election: 'true' })).toEqual([]);
  });
});

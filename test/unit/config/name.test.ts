import { describe, expect, test } from 'vitest';
import { checkNames, editDistance, environmentNames, nearestName } from '../../../src/config/name.ts';

describe('names that are no settings', () => {
  test.each([
    ['vip_lease_duration', 'vip_leaseduration'],
    ['vip_leaseduraiton', 'vip_leaseduration'],
    ['vip_interfce', 'vip_interface'],
    ['VIP_INTERFACE', 'vip_interface'],
    ['Vip_Arp', 'vip_arp'],
    ['vip_arprate', 'vip_arpRate'],
    ['cp_enabled', 'cp_enable'],
    ['svc_enabel', 'svc_enable'],
    ['bgp_peer', 'bgp_peers'],
    ['bgp_router_id', 'bgp_routerid'],
    ['lb_fwd_method', 'lb_fwdmethod'],
    ['vip_cidr', 'vip_subnet'],
    ['annotations', 'annotation'],
    ['enableUPNP', 'enable_upnp'],
    ['adress', 'address'],
    ['prometheus_serve', 'prometheus_server'],
    ['CP_NAMESPACE', 'cp_namespace'],
    ['vip_probe_intervall', 'vip_probe_interval'],
  ])('%s: did you mean %s', (name, nearest) => {
    const [found, ...more] = checkNames({ [name]: 'x' });
    expect(more).toEqual([]);
    expect(found).toMatchObject({ name, code: 'CONFIG_NAME_MISSPELLED', remedy: `Rename ${name} to ${nearest}.` });
  });

  test.each(['vip_colour_of_the_cable', 'bgp_confederation_members'])('%s resembles nothing', (name) => {
    expect(checkNames({ [name]: 'x' })).toMatchObject([{ name, code: 'CONFIG_NAME_UNKNOWN' }]);
  });

  test.each([
    'PORT',
    'ADDRESS',
    'PATH',
    'HOSTNAME',
    'KUBERNETES_SERVICE_HOST',
    'KUBERNETES_PORT_443_TCP_ADDR',
    'VIP_SERVICE_HOST',
    'LB_PORT_80_TCP_PROTO',
    'BGP_SERVICE_PORT_HTTP',
    'http_proxy',
    'no_proxy',
    'NODE_VERSION',
    '_',
    'LS_COLORS',
    'host',
    'sport',
  ])('%s belongs to others', (name) => expect(checkNames({ [name]: 'x' })).toEqual([]));

  test('are not looked for among unset or empty ones', () => {
    expect(checkNames({ vip_interfce: '', vip_interfac: undefined })).toEqual([]);
  });

  test('no setting is taken for one', () => {
    expect(checkNames(Object.fromEntries(environmentNames().map((name) => [name, 'x'])))).toEqual([]);
  });

  test('are told in order of name', () => {
    expect(checkNames({ vip_b_b_b: 'x', vip_a_a_a: 'x' }).map(({ name }) => name)).toEqual(['vip_a_a_a', 'vip_b_b_b']);
  });
});

describe('edit distance', () => {
  test.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
    ['abcd', 'acbd', 1],
    ['ca', 'abc', 3], // optimal string alignment; unrestricted Damerau-Levenshtein has 2
  ])('%s to %s is %d', (a, b, expected) => expect(editDistance(a, b)).toBe(expected));

  test('has a bound for a name to be near', () => {
    expect(nearestName('completely_other', ['vip_interface'])).toBeUndefined();
  });
});

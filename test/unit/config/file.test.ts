import { describe, expect, test } from 'vitest';
import { LEAST, parseWith } from './parse-with.ts';

/** kube-vip bee5cfe4, pkg/kubevip/config_file_test.go, `Valid YAML config` less its services. */
const YAML = `
logging: 2
enableARP: true
enableControlPlane: true
address: "192.168.1.100"
port: 6443
interface: "eth0"
namespace: "kube-system"
instanceName: "release_a"
vipSubnet: "24"
leaseName: "test-lease"
leaseDuration: 15
renewDeadline: 10
retryPeriod: 2
prometheusHTTPServer: ":2112"
`;

const BGP = `
enableARP: true
enableControlPlane: true
address: 10.0.0.100
bgpConfig:
  routerID: "192.168.1.1"
  as: 65000
  sourceIF: "eth0"
  holdTime: 60
  keepaliveInterval: 20
  peers:
    - address: "192.168.1.2"
      as: 65001
      port: 179
      multiHop: false
    - {address: "192.168.1.3", as: 65002, port: 179, multiHop: true, password: hush}
`;

function parseFileText(text: string, path = '/etc/holdfast/config.yaml'): ReturnType<typeof parseWith> {
  return parseWith({ file: { path, text } });
}

describe('the configuration file', () => {
  test("takes kube-vip's keys", () => {
    const { config, values, problems } = parseFileText(YAML);
    expect(problems).toEqual([]);
    expect(config?.election.leaseName).toBe('test-lease');
    expect(config?.vip).toMatchObject({ interfaceName: 'eth0', sources: [{ prefixLength: 24 }] });
    expect(config?.observe.logLevel).toBe('warn');
    expect(values.address).toEqual({ value: '192.168.1.100', source: 'file' });
    expect(values.instance_name).toEqual({ value: 'release_a', source: 'file' });
  });

  test('may be JSON', () => {
    const text = JSON.stringify({
      enableARP: true,
      enableControlPlane: true,
      address: '10.0.0.100',
      port: 8443,
      leaseAnnotations: { a: 'b' },
    });
    const { config } = parseFileText(text, '/c.json');
    expect(config?.api.port).toBe(8443);
    expect(config?.election.annotations).toEqual({ a: 'b' });
  });

  test('takes the names of the variables, lists for addresses, and keys in any case', () => {
    const { config } = parseFileText(
      'cp_enable: true\nvip_arp: 1\nADDRESS: [192.0.2.1, "2001:db8::1"]\nlbport: 6443\n',
      '/c.yml',
    );
    expect(config?.vip.sources).toHaveLength(2);
  });

  test("takes the long form of kube-vip's peers", () => {
    const { values, bgpPeers, problems } = parseFileText(BGP);
    expect(problems).toEqual([]);
    expect(values.bgp_routerid.value).toBe('192.168.1.1');
    expect(values.bgp_hold_time.value).toBe('60');
    expect(bgpPeers).toMatchObject([
      { address: '192.168.1.2', as: 65001, multihop: false },
      { address: '192.168.1.3', as: 65002, multihop: true, password: 'hush' },
    ]);
    expect(values.bgp_peers.source).toBe('file');
  });

  test('gives way to bgp_peers of the environment', () => {
    const { bgpPeers } = parseWith({ env: { bgp_peers: '10.0.0.1:1' }, file: { path: '/c.yaml', text: BGP } });
    expect(bgpPeers).toMatchObject([{ address: '10.0.0.1' }]);
  });

  test.each([
    ['/c.json', '{"logging": 2, "invalid": }', 'not JSON'],
    ['/c.yaml', 'logging: 2\ninvalid: [unclosed', 'not YAML'],
    ['/c.yaml', 'a: 1\na: 2\n', 'not YAML'],
    ['/c.txt', 'logging=2', 'does not end in'],
    ['/c', 'logging: 2', 'does not end in'],
    ['/c.yaml', '- 1\n', 'not a mapping'],
    ['/c.json', '[]', 'not an object'],
  ])('%s with %j is a problem: %s', (path, text, message) => {
    const { problems } = parseWith({ env: LEAST, file: { path, text } });
    expect(problems).toMatchObject([{ name: 'config_file', code: 'CONFIG_FILE_INVALID' }]);
    expect(problems[0]?.message).toContain(message);
    expect(problems[0]?.message).not.toContain('\n');
  });

  test.each(['', '# nothing\n', '---\n'])('may be empty: %j', (text) => {
    expect(parseWith({ env: LEAST, file: { path: '/c.yaml', text } }).problems).toEqual([]);
  });

  test('that cannot be read is a problem', () => {
    const { problems } = parseWith({ env: LEAST, file: { path: '/c.yaml', error: 'ENOENT' } });
    expect(problems).toMatchObject([
      { code: 'CONFIG_FILE_UNREADABLE', remedy: expect.stringContaining('/c.yaml') as string },
    ]);
  });

  test('with a wrong value names the key as a setting', () => {
    const { problems } = parseWith({ env: LEAST, file: { path: '/c.yaml', text: 'port: many\ninterface: {a: 1}\n' } });
    expect(problems.map(({ name, code }) => [name, code])).toEqual([['port', 'CONFIG_VALUE_INVALID']]);
  });

  test('with unknown keys is read with warnings that know better', () => {
    const { warnings } = parseWith({
      env: LEAST,
      file: { path: '/c.yaml', text: 'leaseNmae: a\nbgpConfig: {routrID: b}\nloadBalancers: [{name: x}]\nfoo: 1\n' },
    });
    expect(warnings.map(({ name, code }) => [name, code])).toEqual([
      ['leaseNmae', 'CONFIG_NAME_MISSPELLED'],
      ['bgpConfig.routrID', 'CONFIG_NAME_MISSPELLED'],
      ['loadBalancers', 'CONFIG_NOT_SUPPORTED'],
      ['foo', 'CONFIG_NAME_UNKNOWN'],
    ]);
  });
});

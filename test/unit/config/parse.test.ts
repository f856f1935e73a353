import { describe, expect, test } from 'vitest';
import { OPTIONS } from '../../../src/config/schema.ts';
import { LEAST, parseEnv, parseWith, problemsOf, warningsOf } from './parse-with.ts';

describe('the effective configuration', () => {
  test('of the least environment has the defaults of kube-vip', () => {
    const { config, problems, warnings } = parseEnv({});
    expect(problems).toEqual([]);
    expect(warnings).toEqual([]);
    expect(config).toEqual({
      nodeName: 'node-1',
      isControlPlane: true,
      election: {
        namespace: 'kube-system',
        leaseName: 'plndr-cp-lock',
        identity: 'node-1',
        leaseDurationMs: 15_000,
        renewDeadlineMs: 10_000,
        retryPeriodMs: 2_000,
        annotations: {},
      },
      vip: {
        sources: [
          {
            kind: 'ip',
            ip: { family: 'ipv4', text: '192.0.2.10', bytes: Uint8Array.of(192, 0, 2, 10) },
            prefixLength: 32,
          },
        ],
        interfaceName: undefined,
        allowInterfaceNotUp: false,
        loopbackGlobalScope: false,
        refreshIntervalMs: 3_000,
        lifetimeSeconds: 3,
        probeCount: 3,
        probeIntervalMs: 40,
        conflictTimeoutMs: 30_000,
        conflictPolicy: 'defend',
        nameRefreshMs: 30_000,
      },
      services: undefined,
      api: {
        kubeconfigPath: '/etc/kubernetes/admin.conf',
        isKubeconfigExplicit: false,
        endpointOverride: undefined,
        port: 6443,
        timeoutMs: 2_000,
      },
      heartbeat: {
        isEnabled: true,
        intervalMs: 100,
        multiplier: 3,
        port: 6460,
        keys: [],
        priority: 100,
        isPreempting: false,
      },
      apiHealth: { intervalMs: 1_000, rise: 3, fall: 2 },
      observe: {
        logLevel: 'info',
        logFormat: 'auto',
        metricsAddress: ':2112',
        healthPort: 0,
        statusSocket: '@holdfast',
      },
    });
  });

  test('takes every implemented setting', () => {
    const { config, problems } = parseEnv({
      vip_nodename: 'Cp-1',
      vip_interface: 'bond0.200',
      vip_subnet: '24',
      port: '7443',
      vip_leasename: 'infra/vip',
      vip_leaseduration: '5',
      vip_renewdeadline: '3',
      vip_retryperiod: '1',
      vip_leaseannotations: '{"a":"b"}',
      vip_allow_interface_not_up: 'T',
      vip_interfaceloglobal: '1',
      vip_arpRate: '750',
      vip_address_lifetime: '2',
      vip_probe_count: '5',
      vip_probe_interval: '20',
      vip_conflict_timeout: '1m30s',
      vip_conflict_policy: 'yield',
      vip_dns_refresh: '5s',
      vip_api_timeout: '800ms',
      k8s_config_file: '/root/.kube/config',
      kubernetes_addr: 'https://10.0.0.5',
      vip_loglevel: '-4',
      log_format: 'json',
      prometheus_server: '127.0.0.1:9100',
      health_check_port: '8080',
      vip_status_socket: '/run/holdfast.sock',
      vip_heartbeat: 'false',
      vip_heartbeat_interval: '50',
      vip_heartbeat_multiplier: '5',
      vip_heartbeat_port: '7000',
      vip_heartbeat_key: ' the-new-one-of-two , the-old-one-of-two,',
      vip_priority: '255',
      vip_preempt: 'true',
      vip_api_health_interval: '200',
      vip_api_health_rise: '4',
      vip_api_health_fall: '1',
    });
    expect(problems).toEqual([]);
    expect(config?.nodeName).toBe('Cp-1');
    expect(config?.election).toEqual({
      namespace: 'infra',
      leaseName: 'vip',
      identity: 'Cp-1',
      leaseDurationMs: 5_000,
      renewDeadlineMs: 3_000,
      retryPeriodMs: 1_000,
      annotations: { a: 'b' },
    });
    expect(config?.vip).toMatchObject({
      sources: [{ prefixLength: 24 }],
      interfaceName: 'bond0.200',
      allowInterfaceNotUp: true,
      loopbackGlobalScope: true,
      refreshIntervalMs: 750,
      lifetimeSeconds: 2,
      probeCount: 5,
      probeIntervalMs: 20,
      conflictTimeoutMs: 90_000,
      conflictPolicy: 'yield',
      nameRefreshMs: 5_000,
    });
    expect(config?.api).toEqual({
      kubeconfigPath: '/root/.kube/config',
      isKubeconfigExplicit: true,
      endpointOverride: 'https://10.0.0.5:7443',
      port: 7443,
      timeoutMs: 800,
    });
    expect(config?.observe).toEqual({
      logLevel: 'debug',
      logFormat: 'json',
      metricsAddress: '127.0.0.1:9100',
      healthPort: 8080,
      statusSocket: '/run/holdfast.sock',
    });
    expect(config?.heartbeat).toEqual({
      isEnabled: false,
      intervalMs: 50,
      multiplier: 5,
      port: 7000,
      keys: ['the-new-one-of-two', 'the-old-one-of-two'],
      priority: 255,
      isPreempting: true,
    });
    expect(config?.apiHealth).toEqual({ intervalMs: 200, rise: 4, fall: 1 });
  });

  test('takes the host name in lower case for the identity, an explicit one as it is', () => {
    expect(parseWith({ env: LEAST, facts: { hostname: 'Node-A.Example' } }).config?.election.identity).toBe(
      'node-a.example',
    );
  });

  test('has an entry with a source for every row of the table', () => {
    const { values } = parseEnv({ port: '1' });
    expect(Object.keys(values)).toEqual(OPTIONS.map(({ name }) => name));
    expect(values.port).toEqual({ value: '1', source: 'env' });
    expect(values.dns_mode).toEqual({ value: 'first', source: 'default' });
    expect(values.vip_subnet).toEqual({ value: '32', source: 'default' });
  });
});

describe('precedence', () => {
  const file = { path: '/c.yaml', text: 'leaseName: of-file\nport: 1111\ninterface: eth9\n' };

  test('is flag, environment, file, default', () => {
    const { values } = parseWith({
      env: { ...LEAST, vip_leasename: 'of-env', port: '2222' },
      flags: { leaseName: 'of-flag' },
      file,
    });
    expect(values.vip_leasename).toEqual({ value: 'of-flag', source: 'flag' });
    expect(values.port).toEqual({ value: '2222', source: 'env' });
    expect(values.vip_interface).toEqual({ value: 'eth9', source: 'file' });
    expect(values.cp_namespace).toEqual({ value: 'kube-system', source: 'default' });
  });

  test('lets the file change what kube-vip has a flag default for', () => {
    expect(parseWith({ env: LEAST, file }).config?.api.port).toBe(1111);
  });

  test('warns where a flag and the environment differ, for kube-vip would take the environment', () => {
    const { warnings } = parseWith({ env: { ...LEAST, port: '2' }, flags: { port: '3' } });
    expect(warnings.map(({ name, code }) => [name, code])).toEqual([['port', 'CONFIG_OVERRIDDEN']]);
  });

  test('treats an empty variable as unset', () => {
    expect(parseEnv({ port: '', vip_leaseduration: '', prometheus_server: '' }).config?.observe.metricsAddress).toBe(
      ':2112',
    );
  });

  test('lets only the flag turn metrics off', () => {
    const { config, values } = parseWith({ env: LEAST, flags: { prometheusHTTPServer: '' } });
    expect(config?.observe.metricsAddress).toBeUndefined();
    expect(values.prometheus_server).toEqual({ value: '', source: 'flag' });
  });

  test('lets lb_class_name be set to empty', () => {
    expect(parseEnv({ lb_class_name: '' }).values.lb_class_name).toEqual({ value: '', source: 'env' });
  });

  test('reads the short flag and the flag that kube-vip documents wrongly', () => {
    const { values, warnings } = parseWith({ env: LEAST, flags: { n: 'infra', servicesInterface: 'eth1' } });
    expect(values.cp_namespace).toEqual({ value: 'infra', source: 'flag' });
    expect(values.vip_servicesinterface.value).toBe('eth1');
    expect(warnings[0]).toMatchObject({ name: '--servicesInterface', code: 'CONFIG_NAME_MISSPELLED' });
  });
});

describe('modes', () => {
  test('without any assume ARP, with a warning', () => {
    expect(parseEnv({ vip_arp: '' }).config).toBeDefined();
    expect(warningsOf({ vip_arp: '' })).toEqual([['vip_arp', 'CONFIG_ASSUMED']]);
    expect(parseEnv({ vip_arp: '' }).values.vip_arp).toEqual({ value: 'true', source: 'default' });
  });

  test.each(['bgp_enable', 'vip_routingtable', 'vip_wireguard', 'lb_enable'])('%s beside ARP is a warning', (name) => {
    expect(problemsOf({ [name]: 'true' })).toEqual([]);
    expect(warningsOf({ [name]: 'true' })).toEqual([[name, 'CONFIG_NOT_SUPPORTED']]);
  });

  test.each([
    ['bgp_enable', { vip_arp: '', bgp_enable: 'true' }, 'bgp_enable'],
    ['routing table', { vip_arp: 'false', vip_routingtable: 'true' }, 'vip_routingtable'],
    ['ARP switched off', { vip_arp: 'false' }, 'vip_arp'],
    ['services by BGP', { cp_enable: '', svc_enable: 'true', vip_arp: '', bgp_enable: 'true' }, 'bgp_enable'],
    ['nothing', { cp_enable: '', address: '' }, 'cp_enable'],
  ])('with nothing left to do are a problem: %s', (_, env, name) => {
    expect(problemsOf(env)).toEqual([[name, 'CONFIG_NOTHING_TO_DO']]);
  });

  test('an election on etcd is refused', () => {
    const { problems } = parseWith({ env: LEAST, flags: { leaderElectionType: 'etcd' } });
    expect(problems.map(({ code }) => code)).toEqual(['CONFIG_NOTHING_TO_DO']);
  });
});

describe('times of the election', () => {
  test.each([
    ['15, 10, 2', '15', '10', '2'],
    ['5, 3, 1', '5', '3', '1'],
    ['3, 2, 1', '3', '2', '1'],
  ])('%s are fine', (_, lease, renew, retry) => {
    expect(problemsOf({ vip_leaseduration: lease, vip_renewdeadline: renew, vip_retryperiod: retry })).toEqual([]);
  });

  test.each([
    ['the deadline is not below the duration (client-go)', '10', '10', '2', 'vip_renewdeadline'],
    ['the deadline is not above 1.2 times the period (client-go)', '15', '6', '5', 'vip_retryperiod'],
    ['the Lease is shorter than kernel lifetimes allow', '2', '1', '0', 'vip_retryperiod'],
  ])('are refused when %s', (_, lease, renew, retry, name) => {
    expect(
      problemsOf({ vip_leaseduration: lease, vip_renewdeadline: renew, vip_retryperiod: retry }).map(
        ([problem]) => problem,
      ),
    ).toContain(name);
  });

  test('are refused below 3 s', () => {
    expect(problemsOf({ vip_leaseduration: '2', vip_renewdeadline: '2', vip_retryperiod: '1' })).toEqual([
      ['vip_leaseduration', 'CONFIG_LEASE_TIMES'],
      ['vip_renewdeadline', 'CONFIG_LEASE_TIMES'],
    ]);
  });

  test('bound the lifetime of the address', () => {
    expect(problemsOf({ vip_address_lifetime: '16s' })).toEqual([['vip_address_lifetime', 'CONFIG_LEASE_TIMES']]);
    expect(problemsOf({ vip_address_lifetime: '2500ms' })).toEqual([['vip_address_lifetime', 'CONFIG_VALUE_INVALID']]);
  });

  test('bound the deadline of an API call to half of the renew deadline', () => {
    const env = { vip_leaseduration: '5', vip_renewdeadline: '3', vip_retryperiod: '1' };
    expect(parseEnv(env).config?.api.timeoutMs).toBe(1_500);
    expect(warningsOf(env)).toEqual([]);
    expect(warningsOf({ ...env, vip_api_timeout: '3s' })).toEqual([['vip_api_timeout', 'CONFIG_VALUE_ADJUSTED']]);
  });
});

describe('traps of kube-vip', () => {
  test('vip_arpRate below 500 becomes 3000, with a warning (pkg/arp/arp.go)', () => {
    expect(parseEnv({ vip_arpRate: '499' }).config?.vip.refreshIntervalMs).toBe(3_000);
    expect(warningsOf({ vip_arpRate: '499' })).toEqual([['vip_arpRate', 'CONFIG_VALUE_ADJUSTED']]);
    expect(parseEnv({ vip_arpRate: '500' }).config?.vip.refreshIntervalMs).toBe(500);
  });

  test('vip_loseleadership="30" of its manifest generator does not end the process (#1719)', () => {
    expect(parseEnv({ vip_loseleadership: '30' }).config).toBeDefined();
    expect(warningsOf({ vip_loseleadership: '30' })[0]).toEqual(['vip_loseleadership', 'CONFIG_VALUE_ADJUSTED']);
  });

  test('vip_address needs no vip_subnet, and is deprecated', () => {
    const { config, warnings } = parseEnv({ address: '', vip_address: '192.0.2.9' });
    expect(config?.vip.sources).toMatchObject([{ ip: { text: '192.0.2.9' }, prefixLength: 32 }]);
    expect(warnings.map(({ code }) => code)).toEqual(['CONFIG_DEPRECATED']);
  });

  test('address wins over vip_address', () => {
    expect(parseEnv({ vip_address: '192.0.2.9' }).config?.vip.sources).toMatchObject([{ ip: { text: '192.0.2.10' } }]);
  });

  test.each([
    [{ instance_name: 'low' }, 'low'],
    [{ INSTANCE_NAME: 'UP' }, 'UP'],
    [{ instance_name: 'low', INSTANCE_NAME: 'UP' }, 'low'],
  ])('instance_name %j is %s', (env, expected) => {
    expect(parseEnv(env).values.instance_name.value).toBe(expected);
  });

  test.each([
    [undefined, 'false'],
    ['true', 'true'],
    ['false', 'false'],
  ])('vip_skipdad %s is %s', (text, expected) => {
    const parsed = parseEnv(text === undefined ? {} : { vip_skipdad: text });
    expect(parsed.values.vip_skipdad.value).toBe(expected);
    expect(parsed.problems).toEqual([]);
  });

  test('vip_skipdad "not-a-bool" is a problem', () => {
    expect(problemsOf({ vip_skipdad: 'not-a-bool' })).toEqual([['vip_skipdad', 'CONFIG_VALUE_INVALID']]);
  });

  test('the namespace of the service account wins over cp_namespace, as there', () => {
    const parsed = parseWith({
      env: { ...LEAST, cp_namespace: 'infra' },
      facts: { hostname: 'n', inClusterNamespace: 'vip-system' },
    });
    expect(parsed.config?.election.namespace).toBe('vip-system');
    expect(parsed.warnings.map(({ name, code }) => [name, code])).toEqual([['cp_namespace', 'CONFIG_VALUE_ADJUSTED']]);
  });

  test('vip_leasename=namespace/name wins over both', () => {
    const parsed = parseWith({
      env: { ...LEAST, vip_leasename: 'a/b' },
      facts: { hostname: 'n', inClusterNamespace: 'c' },
    });
    expect(parsed.config?.election).toMatchObject({ namespace: 'a', leaseName: 'b' });
  });
});

describe('single forms', () => {
  const long = 'a'.repeat(243);
  test.each(['release_01.prod-a', long])('instance_name %s is fine', (text) => {
    expect(problemsOf({ instance_name: text })).toEqual([]);
  });
  test.each([`${long}a`, 'a b', 'a/b', 'a$', 'a@b', 'a\nb', 'a\0b', 'à'])('instance_name %j is refused', (text) => {
    expect(problemsOf({ instance_name: text })).toEqual([['instance_name', 'CONFIG_VALUE_INVALID']]);
  });

  test.each(['http://localhost:6443/livez', 'https://localhost:6443/livez', 'https://127.0.0.1:6443/readyz?verbose'])(
    'control_plane_health_check_address %s is fine',
    (text) => expect(problemsOf({ control_plane_health_check_address: text })).toEqual([]),
  );
  test.each(['not-a-url', 'ftp://localhost/file', 'tcp://localhost:6443', 'localhost:6443/livez'])(
    'control_plane_health_check_address %s is refused',
    (text) => {
      expect(problemsOf({ control_plane_health_check_address: text })).toEqual([
        ['control_plane_health_check_address', 'CONFIG_VALUE_INVALID'],
      ]);
    },
  );

  test.each([
    ['https://127.0.0.1:6443', '9999', 'https://127.0.0.1:6443'],
    ['https://localhost', '6443', 'https://localhost:6443'],
    ['https://localhost:443', '6443', 'https://localhost:443'],
    ['10.0.0.5:6444', '6443', 'https://10.0.0.5:6444'],
    ['https://[fd00::1]:6443', '1', 'https://[fd00::1]:6443'],
  ])('kubernetes_addr %s with port %s is %s', (addr, port, expected) => {
    expect(parseEnv({ kubernetes_addr: addr, port }).config?.api.endpointOverride).toBe(expected);
  });
  test.each(['://not-a-url', 'https://', 'https://a/b', 'https://u:p@a', 'ftp://a'])(
    'kubernetes_addr %s is refused',
    (text) => {
      expect(problemsOf({ kubernetes_addr: text })).toEqual([['kubernetes_addr', 'CONFIG_VALUE_INVALID']]);
    },
  );

  test.each([
    ['port', '0'],
    ['port', '65536'],
    ['port', '0x10'],
    ['health_check_port', '80'],
    ['vip_leaseduration', '15s'],
    ['vip_leaseannotations', '{"a":1}'],
    ['vip_leaseannotations', '{a}'],
    ['dns_mode', 'Dual'],
    ['vip_loglevel', 'loud'],
    ['prometheus_server', '2112'],
    ['prometheus_server', ':0'],
    ['vip_leasename', 'a/b/c'],
    ['vip_leasename', 'A'],
    ['cp_namespace', 'a.b'],
    ['vip_nodename', 'two words'],
    ['vip_interface', 'interface-too-long'],
    ['vip_status_socket', 'relative'],
    ['k8s_config_file', 'admin.conf'],
    ['vip_conflict_policy', 'fight'],
    ['bgp_as', '-1'],
  ])('%s=%s is refused', (name, text) => {
    expect(problemsOf({ [name]: text })).toEqual([[name, 'CONFIG_VALUE_INVALID']]);
  });

  test('bgp_sourceif and bgp_sourceip exclude each other', () => {
    expect(problemsOf({ bgp_sourceif: 'eth0', bgp_sourceip: '10.0.0.1' })).toEqual([
      ['bgp_sourceif', 'CONFIG_CONFLICT'],
    ]);
  });
});

describe('problems', () => {
  test('are all told at once, each with a remedy', () => {
    const { config, problems } = parseEnv({
      vip_arp: 'yes',
      port: 'x',
      address: '10.0.0.010,224.0.0.1',
      vip_leaseduration: '2',
      bgp_peers: 'a',
    });
    expect(config).toBeUndefined();
    expect(problems.map(({ name, code }) => [name, code])).toEqual([
      ['vip_arp', 'CONFIG_VALUE_INVALID'],
      ['port', 'CONFIG_VALUE_INVALID'],
      ['address', 'CONFIG_ADDRESS_INVALID'],
      ['address', 'CONFIG_ADDRESS_UNUSABLE'],
      ['vip_leaseduration', 'CONFIG_LEASE_TIMES'],
      ['vip_renewdeadline', 'CONFIG_LEASE_TIMES'],
      ['bgp_peers', 'CONFIG_BGP_PEERS_INVALID'],
    ]);
    for (const { remedy } of problems) expect(remedy).not.toMatch(/\?|\{/);
  });

  test('name a flag as the user spelled it', () => {
    const { problems } = parseWith({ env: LEAST, flags: { port: 'x' } });
    expect(problems).toEqual([
      {
        name: '--port',
        code: 'CONFIG_VALUE_INVALID',
        message: '--port: "x" is not a whole number from 1 to 65535',
        remedy: 'Set --port to a whole number from 1 to 65535.',
      },
    ]);
  });

  test.each([
    ['vip_heartbeat_key', { vip_heartbeat_key: 'too-short' }],
    ['vip_heartbeat_key', { vip_heartbeat_key: 'long-enough-for-a-key,too-short' }],
    ['vip_heartbeat_interval', { vip_heartbeat_interval: '5s' }],
    ['vip_heartbeat_interval', { vip_heartbeat_interval: '1s', vip_heartbeat_multiplier: '10' }],
    ['vip_nodename', { vip_nodename: 'knöten' }],
  ] as const)('name %s when heartbeats with %o could not be relied on', (name, env) => {
    expect(problemsOf(env)).toEqual([[name, 'CONFIG_VALUE_INVALID']]);
    expect(problemsOf({ ...env, vip_heartbeat: 'false' })).toEqual([]);
  });

  test('never repeat a secret', () => {
    const { problems, warnings } = parseEnv({
      bgp_peers: '10.0.0.1:65000:hush,hush2:true',
      bgp_peerpass: 'hush',
      vip_heartbeat_key: 'hush',
    });
    expect(problems).toHaveLength(2);
    expect(JSON.stringify([problems, warnings])).not.toContain('hush');
  });
});

describe('accepted settings', () => {
  const accepted = OPTIONS.filter((option) => option.unsupported !== undefined && option.isFlagOnly !== true);

  test('are there to be checked', () => expect(accepted.length).toBeGreaterThan(55));

  test.each(accepted.map(({ name }) => name))('%s at its default says nothing', (name) => {
    const option = accepted.find((candidate) => candidate.name === name);
    expect(warningsOf({ [name]: option?.default ?? '' })).toEqual([]);
  });

  test.each(accepted.map(({ name }) => name))('%s set to something else warns and names it', (name) => {
    const option = accepted.find((candidate) => candidate.name === name);
    const other = {
      boolean: String(option?.default !== 'true'),
      integer: '7',
      duration: '7s',
      url: 'http://a',
      text: 'eth1',
    };
    const kind = option?.type.kind ?? 'text';
    const text =
      option?.type.kind === 'choice'
        ? option.type.choices.find((choice) => choice !== option.default)
        : name === 'bgp_peers'
          ? '10.0.0.1:65000'
          : other[kind as keyof typeof other];
    const { warnings, config } = parseEnv({ [name]: text ?? '' });
    expect(config).toBeDefined();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ name, code: 'CONFIG_NOT_SUPPORTED' });
  });
});

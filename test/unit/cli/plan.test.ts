import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { array, assert as check, constantFrom, jsonValue, oneof, property, record } from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HoldfastError } from '../../../src/base/errors.ts';
import { splitDocuments } from '../../../src/cli/plan-documents.ts';
import type { PlanFiles } from '../../../src/cli/plan-files.ts';
import type { PlanReport } from '../../../src/cli/plan-report.ts';
import { runPlan } from '../../../src/cli/plan.ts';
import { runProgram } from '../../../src/cli/program.ts';

const VECTORS = fileURLToPath(new URL('../../vectors/plan', import.meta.url));

interface Case {
  readonly why: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly drain?: readonly string[];
  readonly exitCode: number;
}

interface Given {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly drain?: readonly string[] | undefined;
  readonly isJson?: boolean;
}

/** Texts by file name, as they are given to -f. */
type Texts = Readonly<Record<string, string>>;

function plan(texts: Texts, { env = {}, drain = [], isJson = true }: Given = {}): ReturnType<typeof runPlan> {
  const files: PlanFiles = { texts: Object.entries(texts).map(([name, text]) => ({ name, text })), failures: [] };
  const input = { env, flags: {}, facts: { hostname: 'here' } };
  return runPlan({ paths: [], drain, isJson, isColored: false, input, read: () => files });
}

function report(texts: Texts, given: Given = {}): PlanReport {
  return JSON.parse(plan(texts, given).stdout) as PlanReport;
}

function readCase(name: string): { readonly texts: Texts; readonly about: Case; readonly expected: unknown } {
  const folder = join(VECTORS, name);
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const inputs = readdirSync(folder).filter((file) => file !== 'case.json' && file !== 'expected.json');
  return {
    texts: Object.fromEntries(inputs.map((file) => [file, read(file)])),
    about: JSON.parse(read('case.json')) as Case,
    expected: JSON.parse(read('expected.json')),
  };
}

const CASES = readdirSync(VECTORS, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

describe('a plan', () => {
  test('is checked against all the vectors there are', () => {
    expect(CASES).toHaveLength(21);
  });

  test.each(CASES)('is as expected: %s', (name) => {
    const { texts, about, expected } = readCase(name);
    const { stdout, stderr, exitCode } = plan(texts, about);
    const found = JSON.parse(stdout) as PlanReport;
    expect(decisions(found)).toEqual(expected);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: about.exitCode });
    for (const text of words(found)) {
      expect(text).toMatch(/^\S.{4,}/);
      expect(text).not.toMatch(/\{\w+\}|undefined|\[object/);
    }
  });

  test.each(CASES)('is the same to the byte whatever the order of files, and of documents in them: %s', (name) => {
    const { texts, about } = readCase(name);
    const reversed = Object.fromEntries(Object.entries(texts).toReversed());
    for (const isJson of [true, false]) {
      expect(plan(reversed, { ...about, isJson })).toEqual(plan(texts, { ...about, isJson }));
    }
    // the table tells where an object is: by the number of the document
    const backwards = Object.entries(texts).map(([file, text]) => [file, backwardsText(file, text)]);
    expect(plan(Object.fromEntries(backwards), about)).toEqual(plan(texts, about));
  });
});

function backwardsText(file: string, text: string): string {
  const documents = file.endsWith('.json') ? [text] : splitDocuments(text);
  return documents
    .toReversed()
    .map((document) => (document.startsWith('---') ? document : `---\n${document}`))
    .join('');
}

/** What is decided, by code: words may get better. */
function decisions({ allocations, pending, owners, problems }: PlanReport): unknown {
  return {
    allocations,
    pending: pending.map(({ service, reasons }) => ({
      service,
      reasons: reasons.map(({ pool, code }) => `${pool} ${code}`.trim()),
    })),
    owners: owners.map(({ address, node, candidates }) => ({
      address,
      node,
      candidates: candidates.map((each) => `${each.node} ${each.eligible ? 'may' : (each.reason.split(':')[0] ?? '')}`),
    })),
    problems: [...new Set(problems.map(({ object, code }) => `${object} ${code}`))],
  };
}

function words({ pending, owners, problems }: PlanReport): readonly string[] {
  return [
    ...pending.flatMap(({ reasons }) => reasons.map(({ message }) => message)),
    ...owners.flatMap(({ candidates }) => candidates.map(({ reason }) => reason)),
    ...problems.flatMap(({ message, remedy }) => [message, remedy]),
  ];
}

const SERVICE = `apiVersion: v1
kind: Service
metadata: {namespace: a, name: web, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {type: LoadBalancer, ports: [{port: 80}]}
`;
const NODE = 'apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n';
const ENV = { svc_pools: '192.0.2.100-192.0.2.101', svc_election: 'true' };

describe('the JSON', () => {
  test('has exactly the fields of the contract, in its order', () => {
    const found = report(
      {
        'x.yaml': `${SERVICE}---\n${SERVICE.replace('web', 'other').replace('spec: {', 'spec: {loadBalancerIP: x, ')}---\n${NODE}`,
      },
      { env: { ...ENV, svc_pools: '192.0.2.100,x' } },
    );
    expect(Object.keys(found)).toEqual(['allocations', 'pending', 'owners', 'problems']);
    expect(found.allocations.map((each) => Object.keys(each))).toEqual([['service', 'addresses', 'pool', 'from']]);
    expect(found.pending.map((each) => Object.keys(each))).toEqual([['service', 'reasons']]);
    expect(found.pending[0]?.reasons.map((each) => Object.keys(each))).toEqual([['pool', 'code', 'message']]);
    expect(found.owners.map((each) => Object.keys(each))).toEqual([['address', 'node', 'candidates']]);
    expect(found.owners[0]?.candidates.map((each) => Object.keys(each))).toEqual([['node', 'eligible', 'reason']]);
    expect(Object.keys(found.problems[0] ?? {})).toEqual(['object', 'code', 'message', 'remedy']);
    expect(found.problems[0]).toMatchObject({ object: 'Environment/svc_pools', code: 'POOL_INVALID' });
  });

  test('lists addresses without owners when there is no Node among the documents', () => {
    expect(report({ 'x.yaml': SERVICE }, { env: ENV }).owners).toEqual([
      { address: '192.0.2.100', node: null, candidates: [] },
    ]);
  });

  test('tells two pools of one name apart, and no others', () => {
    const pool = (kind: string): string =>
      kind === 'IPAddressPool'
        ? 'apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {namespace: m, name: lan}\nspec: {addresses: [192.0.2.110/32]}\n'
        : 'apiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: lan}\nspec: {blocks: [{cidr: 192.0.2.120/32}]}\n';
    const text = `${SERVICE}---\n${pool('IPAddressPool')}`;
    expect(report({ 'x.yaml': text }).allocations).toMatchObject([{ pool: 'lan' }]);
    expect(report({ 'x.yaml': `${text}---\n${pool('Cilium')}` }).allocations).toMatchObject([{ pool: 'metallb/lan' }]);
  });

  test('shows the owners as they are after a drain, and who is stuck to its node stays', () => {
    const nodes = ['n1', 'n2', 'n3'].map((name) => NODE.replace('n1', name)).join('---\n');
    const services = Array.from({ length: 12 }, (_, index) => SERVICE.replace('web', `web-${index}`)).join('---\n');
    const texts = { 'x.yaml': `${nodes}---\n${services}` };
    const env = { ...ENV, svc_pools: '192.0.2.100-192.0.2.120' };
    const before = new Map(report(texts, { env }).owners.map(({ address, node }) => [address, node]));
    const after = report(texts, { env, drain: ['n2'] }).owners;
    expect([...before.values()]).toContain('n2');
    for (const { address, node, candidates } of after) {
      if (before.get(address) !== 'n2') expect(node).toBe(before.get(address));
      expect(['n1', 'n3']).toContain(node);
      expect(candidates.find((each) => each.node === 'n2')).toEqual({
        node: 'n2',
        eligible: false,
        reason: 'NODE_DRAINING: is being drained',
      });
    }
  });
});

describe('the exit code', () => {
  test('is 0 when all are served, also when there is nothing to serve or an object is ignored', () => {
    expect(plan({ 'x.yaml': SERVICE }, { env: ENV }).exitCode).toBe(0);
    expect(plan({ 'x.yaml': '' }).exitCode).toBe(0);
    expect(plan({ 'x.yaml': 'apiVersion: v1\nkind: Pod\n' }, { isJson: false }).stdout).toBe(
      '0 Services: 0 served, 0 pending. 1 object of other kinds not looked at.\n',
    );
  });

  test('is 1 when a Service is pending, refused though it keeps what it has, or no use at all', () => {
    expect(plan({ 'x.yaml': SERVICE }).exitCode).toBe(1);
    const refused = `${SERVICE.replace('spec: {', 'spec: {loadBalancerIP: x, ')}status: {loadBalancer: {ingress: [{ip: 192.0.2.100}]}}\n`;
    const kept = plan({ 'x.yaml': refused }, { env: ENV });
    expect(kept.exitCode).toBe(1);
    expect(JSON.parse(kept.stdout)).toMatchObject({ allocations: [{ from: 'kept' }], pending: [] });
    expect(plan({ 'x.yaml': SERVICE.replace(', name: web', '') }, { env: ENV }).exitCode).toBe(1);
    expect(plan({ 'x.yaml': SERVICE.replace('v1', 'apps/v1') }, { env: ENV }).exitCode).toBe(1);
  });

  test('is 1 when something among the objects is none, which is in nobody’s way and told where it stands', () => {
    const { stdout, exitCode } = plan({ 'x.yaml': `kind: Service\n---\nhello\n---\n${SERVICE}` }, { env: ENV });
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      allocations: [{ service: 'a/web' }],
      problems: [
        { object: 'Document/x.yaml, document 2', code: 'INPUT_UNREADABLE' },
        { object: 'Service/default/?', code: 'INPUT_UNREADABLE' },
      ],
    });
  });

  test('is 1 when a Service keeps what it has because what it asks for cannot be had, and says so', () => {
    const has = `status: {loadBalancer: {ingress: [{ip: 192.0.2.100}]}}\n`;
    for (const [wish, code] of [
      ['metallb.io/loadBalancerIPs: 192.0.2.9', 'ADDRESS_OUTSIDE'],
      ['metallb.io/address-pool: other', 'POOL_UNKNOWN'],
    ] as const) {
      const text = SERVICE.replace('metadata: {', `metadata: {annotations: {${wish}}, `);
      const { stdout, exitCode } = plan({ 'x.yaml': `${text}${has}` }, { env: ENV });
      expect(exitCode).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({
        allocations: [{ addresses: ['192.0.2.100'], from: 'kept' }],
        problems: [{ object: 'Service/a/web', code }],
      });
    }
    for (const [policy, code] of [
      ['RequireDualStack', 1],
      ['PreferDualStack', 0],
    ] as const) {
      const text = SERVICE.replace('spec: {', `spec: {ipFamilyPolicy: ${policy}, ipFamilies: [IPv4, IPv6], `);
      const { stdout, exitCode } = plan({ 'x.yaml': `${text}${has}` }, { env: ENV });
      expect(exitCode).toBe(code);
      expect(JSON.parse(stdout)).toMatchObject({ problems: [{ code: 'DUAL_STACK_INCOMPLETE' }] });
    }
    const granted = SERVICE.replace('metadata: {', 'metadata: {annotations: {metallb.io/address-pool: svc_pools}, ');
    expect(plan({ 'x.yaml': `${granted}${has}` }, { env: ENV }).exitCode).toBe(0);
  });

  test('is 2, with nothing on standard output and one line and remedy for each, when something cannot be read', () => {
    const { stdout, stderr, exitCode } = plan(
      { 'a.yaml': `${SERVICE}---\nkind: [\n`, 'b.yaml': 'hello' },
      { env: ENV },
    );
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 });
    expect(stderr.split('\n').filter((line) => line.startsWith('INPUT_UNREADABLE: '))).toEqual([
      expect.stringContaining('a.yaml, document 2, line 7: not YAML: '),
      'INPUT_UNREADABLE: b.yaml, document 1: not a Kubernetes object, but a text',
    ]);
    expect(stderr.match(/^ {2}remedy: /gm)).toHaveLength(2);
  });

  test('is 2 for a drain of a node that is not among the documents', () => {
    const error = (texts: Texts): unknown => {
      try {
        return plan(texts, { env: ENV, drain: ['n9'] });
      } catch (thrown) {
        return thrown;
      }
    };
    expect(error({ 'x.yaml': NODE })).toBeInstanceOf(HoldfastError);
    expect(error({ 'x.yaml': NODE })).toMatchObject({
      code: 'COMMAND_INVALID',
      message: '--drain n9: no such Node; Nodes are n1',
    });
    expect(error({ 'x.yaml': SERVICE })).toMatchObject({ message: expect.stringContaining('there is no Node') });
  });
});

describe('objects of any shape', () => {
  const name = constantFrom('a', 'b', 'kubevip', 'plndr-cp-lock', '', 7, null);
  const types = [
    ['v1', 'Service'],
    ['v1', 'ConfigMap'],
    ['v1', 'Node'],
    ['v1', 'Namespace'],
    ['discovery.k8s.io/v1', 'EndpointSlice'],
    ['coordination.k8s.io/v1', 'Lease'],
    ['metallb.io/v1beta1', 'IPAddressPool'],
    ['metallb.io/v1beta1', 'L2Advertisement'],
    ['metallb.io/v1beta1', 'BGPAdvertisement'],
    ['cilium.io/v2', 'CiliumLoadBalancerIPPool'],
    ['cilium.io/v2alpha1', 'CiliumL2AnnouncementPolicy'],
  ] as const;
  const object = record({
    type: constantFrom(...types),
    metadata: oneof(jsonValue(), record({ name, namespace: name, labels: jsonValue(), annotations: jsonValue() })),
    spec: oneof(
      jsonValue(),
      record({
        type: constantFrom('LoadBalancer', 1),
        addresses: jsonValue(),
        blocks: jsonValue(),
        ports: jsonValue(),
      }),
    ),
    status: jsonValue(),
    data: jsonValue(),
    endpoints: jsonValue(),
  });

  test('end in an answer that holds the contract', () => {
    check(
      property(array(object, { maxLength: 12 }), (objects) => {
        const items = objects.map(({ type: [apiVersion, kind], ...rest }) => ({ apiVersion, kind, ...rest }));
        const texts = { 'x.json': JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) };
        const { stdout, exitCode } = plan(texts, { env: ENV });
        expect(Object.keys(JSON.parse(stdout) as object)).toEqual(['allocations', 'pending', 'owners', 'problems']);
        expect([0, 1]).toContain(exitCode);
        expect(plan(texts, { env: ENV, isJson: false }).stdout).toMatch(/\d+ Services?: \d+ served/);
      }),
      { numRuns: 60 },
    );
  });
});

describe('settings', () => {
  test('that are wrong are problems, and the plan is made with what is right', () => {
    const env = { ...ENV, lb_class_only: 'perhaps', svc_pool: 'x', bgp_as: 'x', vip_interface: 'eth0' };
    const found = report({ 'x.yaml': SERVICE }, { env });
    expect(found.allocations).toHaveLength(1);
    expect(found.problems.map(({ object, code }) => `${object} ${code}`)).toEqual([
      'Environment/lb_class_only CONFIG_VALUE_INVALID',
      'Environment/svc_pool CONFIG_NAME_MISSPELLED',
    ]);
  });

  test('in a file that cannot be read are missed aloud', () => {
    const input = { env: ENV, flags: {}, file: { path: 'c.yaml', error: 'ENOENT' }, facts: { hostname: 'here' } };
    const read = (): PlanFiles => ({ texts: [], failures: [] });
    const { stdout, exitCode } = runPlan({ paths: [], drain: [], isJson: true, isColored: false, input, read });
    expect(JSON.parse(stdout)).toMatchObject({ problems: [{ code: 'CONFIG_FILE_UNREADABLE' }] });
    expect(exitCode).toBe(0);
  });

  test('say which ConfigMap is kube-vip’s', () => {
    const map =
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: net, name: pools}\ndata: {cidr-global: 192.0.2.64/30}\n';
    const texts = { 'x.yaml': `${SERVICE}---\n${map}` };
    expect(report(texts).pending).toHaveLength(1);
    const strayed = map.replace('name: pools', 'name: kubevip');
    expect(report({ 'x.yaml': `${SERVICE}---\n${strayed}` })).toMatchObject({
      pending: [{ service: 'a/web' }],
      problems: [{ object: 'ConfigMap/net/kubevip', message: expect.stringContaining('namespace kube-system') }],
    });
    const env = { KUBEVIP_NAMESPACE: 'net', KUBEVIP_CONFIG_MAP: 'pools' };
    expect(report(texts, { env }).allocations).toMatchObject([{ pool: 'cidr-global' }]);
  });
});

describe('the table', () => {
  const nodes = `${NODE}---\n${NODE.replace('n1', 'n2')}`;

  test('says who gets what, who would answer and what would be next', () => {
    const { stdout } = plan({ 'x.yaml': `${SERVICE}---\n${NODE}` }, { env: ENV, isJson: false });
    expect(stdout).toBe(
      `${[
        'SERVICE  ADDRESSES    POOL       HOW',
        'a/web    192.0.2.100  svc_pools  new',
        '',
        'ADDRESS      NODE  NEXT  NOT',
        '192.0.2.100  n1',
        '',
        '1 Service: 1 served, 0 pending. 1 address: n1 1.',
        'No EndpointSlice among the documents: whether Pods can serve is not asked.',
      ].join('\n')}\n`,
    );
  });

  test('says what moves and what to do about what is pending', () => {
    const hosted = SERVICE.replace('metadata: {', 'metadata: {annotations: {kube-vip.io/vipHost: n1}, ');
    const texts = { 'x.yaml': `${hosted}---\n${SERVICE.replace('web', 'young')}---\n${nodes}` };
    const { stdout } = plan(texts, { env: { ...ENV, svc_pools: '192.0.2.100' }, drain: ['n1'], isJson: false });
    expect(stdout).toContain('192.0.2.100  n1    moves to n2');
    expect(stdout).toContain('a/young  svc_pools  POOL_FULL: ');
    expect(stdout).toContain('What to do\nPOOL_FULL: Add a range to the pool');
    expect(stdout).toContain('1 address moves.');
  });

  test('shows nothing that could redraw a terminal', () => {
    const evil = SERVICE.replace('spec: {', 'spec: {loadBalancerClass: "\\e[2J\\u202e", ');
    const { stdout } = plan({ 'x.yaml': evil }, { env: ENV, isJson: false });
    expect(stdout).toContain('NOT OURS');
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('the command line', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hf-plan-'));
    writeFileSync(join(folder, 'a.yaml'), SERVICE);
    writeFileSync(join(folder, 'b.yaml'), NODE);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
    let out = '';
    let err = '';
    const code = await runProgram(['plan', ...args], {
      write: (text) => void (out += text),
      writeError: (text) => void (err += text),
      isTerminal: false,
      isColored: false,
    });
    return { code, out, err };
  }

  test('takes several files, one -f or several, and directories', async () => {
    const [a, b] = [join(folder, 'a.yaml'), join(folder, 'b.yaml')];
    const once = await run('-f', a, b, '--json');
    expect(once).toMatchObject({ code: 1, err: '' });
    expect(await run('-f', b, '--json', '-f', a)).toEqual(once);
    expect(await run('--filename', folder, '--json')).toEqual(once);
  });

  test('without -f, or with a file that is not there, is an answer of two lines and code 2', async () => {
    expect(await run('--json')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^COMMAND_INVALID: .*-f.*\n {2}remedy: Run `holdfast plan --help`\.\n$/),
    });
    expect(await run('-f', join(folder, 'gone.yaml'))).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^INPUT_UNREADABLE: .*gone\.yaml cannot be read: there is no such file\n {2}remedy: /),
    });
    expect(await run('-f', folder, '--drain', 'n1', '--drain', 'n7')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--drain n7'),
    });
  });

  test('waits for standard input that is slow and is read without waiting', async () => {
    const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
    // Whoever shares the pipe may have set O_NONBLOCK: here the shell's other child, Node itself.
    const nonblocking = `const { stdin } = process; stdin.pause(); require('child_process').spawnSync(process.execPath, ['${main}', 'plan', '-f', '-', '--json'], { stdio: ['inherit', 'inherit', 'inherit'] })`;
    const command = `( sleep 0.3; printf '%s' "$1"; sleep 0.3; printf '%s' "$2" ) | "$0" -e "$3"`;
    const env = { PATH: process.env['PATH'], svc_pools: '192.0.2.0/24' };
    const args = ['-c', command, process.execPath, SERVICE, `---\n${SERVICE.replace('web', 'late')}`, nonblocking];
    const child = spawn('sh', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) text += String(chunk);
    expect((JSON.parse(text) as PlanReport).allocations).toHaveLength(2);
  }, 30_000);

  test('reads standard input and the environment, and writes all of a long answer into a pipe', async () => {
    const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
    const env = { PATH: process.env['PATH'], svc_pools: '192.0.2.0/24,198.51.100.0/24' };
    // a pipe of the shell's: Node's own between processes are sockets, which take more at once
    const command = '"$0" "$1" plan -f - --json | cat';
    const child = spawn('sh', ['-c', command, process.execPath, main], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    const services = Array.from({ length: 400 }, (_, index) => SERVICE.replace('web', `web-${index}`));
    const nodes = Array.from({ length: 40 }, (_, index) => NODE.replace('n1', `n${index}`));
    child.stdin.end([...services, ...nodes].join('---\n'));
    let text = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) text += String(chunk);
    expect(text.length).toBeGreaterThan(1_000_000);
    expect((JSON.parse(text) as PlanReport).allocations).toHaveLength(400);
  }, 30_000);
});

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  FAILURES_MAX,
  MISFITS_MAX,
  YAML_DOCUMENT_MAX,
  readDocuments,
  splitDocuments,
  type PlanDocuments,
} from '../../../src/cli/plan-documents.ts';
import { readFiles } from '../../../src/cli/plan-files.ts';
import { asObject } from '../../../src/base/json.ts';
import { collectObjects } from '../../../src/cli/plan-objects.ts';

function read(text: string, name = 'x.yaml'): PlanDocuments {
  return readDocuments([{ name, text }]);
}

/** Everything that is wrong, as it is told when nothing else can be read. */
function complaints(text: string): readonly string[] {
  const { failures, misfits } = read(text);
  return [...failures, ...misfits.map(({ where, saying }) => `${where}: ${saying}`)];
}

function kinds({ documents }: PlanDocuments): readonly string[] {
  return documents.map(({ where, kind }) => `${where}: ${kind}`);
}

const NODE = 'apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n';

describe('documents', () => {
  test('are found in YAML with comments, directives, empty documents and document ends', () => {
    const found = read(`# a comment\n%YAML 1.2\n---\n${NODE}---\n---\n# nothing\n--- # more\n${NODE}...\n---\n${NODE}`);
    expect(found.failures).toEqual([]);
    expect(kinds(found)).toEqual(['x.yaml, document 1: Node', 'x.yaml, document 4: Node', 'x.yaml, document 5: Node']);
  });

  test('are split at lines of ---, and nowhere else', () => {
    const text = 'data:\n  pem: |\n    ----BEGIN\n    ---\n  x: "---"\n---\nb: 1\n';
    expect(splitDocuments(text)).toEqual([text.slice(0, -9), '---\nb: 1\n']);
    expect(read(`\uFEFF${NODE}`).documents).toHaveLength(1);
    expect(read(NODE.replaceAll('\n', '\r\n') + '---\r\n' + NODE).documents).toHaveLength(2);
  });

  test('may use anchors, aliases and merge keys, as kubectl reads them', () => {
    const text = 'apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: &l {x: "1"}}\nspec: {<<: *l, y: *l}\n';
    expect(read(text).documents[0]?.raw).toMatchObject({ spec: { x: '1', y: { x: '1' } } });
  });

  test('are the items of lists, of kubectl and of the API, and in lists', () => {
    const list = { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'Node' }] };
    expect(kinds(read(JSON.stringify(list), 'all.json'))).toEqual(['all.json, item 1: Node']);
    const bare = { apiVersion: 'v1', kind: 'ServiceList', items: [{ metadata: { name: 'a' } }] };
    const [service] = read(JSON.stringify({ ...list, items: [bare] })).documents;
    expect(service).toMatchObject({ where: 'x.yaml, item 1, item 1', kind: 'Service', apiVersion: 'v1' });
  });

  test('may be JSON in one piece or several, however the file is called', () => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Node' });
    expect(kinds(read(`${json}\n---\n${json}`))).toHaveLength(2);
    expect(kinds(read(JSON.stringify({ apiVersion: 'v1', kind: 'Node' }, undefined, 2)))).toHaveLength(1);
  });

  test('may be JSON objects one after the other, as several `kubectl get -o json` leave them in a file', () => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'a', labels: { x: '}"{\\' } } });
    expect(kinds(read(`${json}\n${json}${json}\n`))).toEqual([1, 2, 3].map((n) => `x.yaml, document ${n}: Node`));
    expect(read(`${json} ${json} }`).failures).toHaveLength(1);
    expect(read(`${json} ${json} x`).failures).toHaveLength(1);
  });

  test.each([
    [`${NODE}---\nkind: [\n`, 'x.yaml, document 2, line 6: not YAML: '],
    ['{"kind": "Node",}\n{', 'x.yaml, document 1, line 2: not YAML: '],
    ['\tkind: Node', 'x.yaml, document 1, line 1: not YAML: Tabs'],
    ['kind: A\nkind: B\n', 'x.yaml, document 1, line 2: not YAML: Map keys must be unique'],
    ['hello', 'x.yaml, document 1: not a Kubernetes object, but a text'],
    ['- a\n', 'x.yaml, document 1: not a Kubernetes object, but a list (a Kubernetes list has kind: List and items)'],
    ['apiVersion: v1\n', 'x.yaml, document 1: not a Kubernetes object: it has no kind'],
    ['kind: 7\napiVersion: v1\n', 'x.yaml, document 1: not a Kubernetes object: it has no kind'],
    ['kind: Node\n', 'x.yaml, document 1: not a Kubernetes object: it has no apiVersion'],
    ['apiVersion: v1\nkind: List\nitems: [3]\n', 'x.yaml, document 1, item 1: not a Kubernetes object, but a number'],
    ['apiVersion: v1\nkind: List\nitems: 7\n', 'x.yaml, document 1: a List whose items are no list'],
    ['a: *nope\n', 'x.yaml, document 1, line 1: Unresolved alias'],
  ])('that cannot be read are named: %j', (text, message) => {
    expect(complaints(text)[0]).toContain(message);
    expect(complaints(text).join('')).not.toContain('\n');
  });

  test('that are YAML but no objects are left out, and in nobody’s way', () => {
    const list = 'apiVersion: v1\nkind: List\nitems: [null, 5, {kind: Node}, {apiVersion: v1, kind: Node}]\n';
    const found = read(`hello\n---\n${list}---\na: *nope\n---\n${NODE}`);
    expect(found.failures).toEqual([]);
    expect(found.misfits.map(({ where }) => where)).toEqual([
      'x.yaml, document 1',
      'x.yaml, document 2, item 2',
      'x.yaml, document 2, item 3',
      'x.yaml, document 3, line 6',
    ]);
    expect(kinds(found)).toEqual(['x.yaml, document 2, item 4: Node', 'x.yaml, document 4: Node']);
  });

  test('that explode by aliases, contain themselves or nest without end are refused', () => {
    const levels = Array.from(
      { length: 12 },
      (_, level) => `a${level}: &a${level} [${`*a${level - 1},`.repeat(10)}]\n`,
    );
    const bomb = `a0: &a0 [x]\n${levels.slice(1).join('')}${NODE}`;
    expect(complaints(bomb)).toEqual([
      'x.yaml, document 1, line 1: its aliases (*name) repeat each other too often to be read',
    ]);
    expect(complaints(`a: &x {b: *x}\n${NODE}`)[0]).toContain('an alias contains itself');
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    expect(complaints(`{"apiVersion":"v1","kind":"Node","x":${deep}}`)[0]).toContain('nested more than 256 deep');
    expect(read('['.repeat(20_000)).failures[0]).toContain('nested too deeply');
    const lists = Array.from({ length: 9 }).reduce<object>(
      (inner) => ({ apiVersion: 'v1', kind: 'List', items: [inner] }),
      {},
    );
    expect(complaints(JSON.stringify(lists))[0]).toContain('lists in more than 4 lists');
  });

  test('that are too large as YAML are refused with what to do instead, and read as JSON', () => {
    const filler = 'x'.repeat(YAML_DOCUMENT_MAX);
    expect(read(`${NODE}x: ${filler}`).failures[0]).toContain('`kubectl get … -o json`');
    expect(read(JSON.stringify({ apiVersion: 'v1', kind: 'Node', x: filler })).documents).toHaveLength(1);
  });

  test('name so many failures and no more', () => {
    const { failures } = read('a: [\n---\n'.repeat(100));
    expect(failures).toHaveLength(FAILURES_MAX + 1);
    expect(failures.at(-1)).toBe('and more, which are not shown');
    const { misfits } = read('hello\n---\n'.repeat(300));
    expect(misfits).toHaveLength(MISFITS_MAX + 1);
    expect(misfits.at(-1)?.saying).toBe('and more that is no object: it is not shown');
  });
});

describe('files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hf-plan-'));
    for (const name of ['b.yaml', 'a.yml', 'c.json', 'notes.txt']) writeFileSync(join(folder, name), NODE);
    mkdirSync(join(folder, 'd.yaml'));
    mkdirSync(join(folder, 'empty'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'e.yaml'));
    writeFileSync(join(folder, 'utf16'), Uint8Array.of(0xff, 0xfe, 0x61, 0x00));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('of a directory are its YAML and JSON, in order of name; each file is read once', () => {
    const { texts } = readFiles([folder, join(folder, 'a.yml')]);
    expect(texts.map(({ name }) => name.slice(folder.length + 1))).toEqual(['a.yml', 'b.yaml', 'c.json']);
  });

  test('come in order of name, whatever the order they are given in', () => {
    const names = ['c.json', 'a.yml'].map((name) => join(folder, name));
    expect(readFiles(names)).toEqual(readFiles(names.toReversed()));
  });

  test('that cannot be read are named with the reason', () => {
    const { failures } = readFiles([join(folder, 'gone'), join(folder, 'empty'), join(folder, 'utf16'), folder]);
    expect(failures).toEqual([
      `${folder}/e.yaml cannot be read: there is no such file`,
      `${folder}/empty has no file *.yaml, *.yml or *.json`,
      `${folder}/gone cannot be read: there is no such file`,
      `${folder}/utf16 cannot be read: it is no text in UTF-8`,
    ]);
  });
});

describe('objects', () => {
  function collect(...texts: readonly string[]): ReturnType<typeof collectObjects> {
    const { documents, failures } = readDocuments(texts.map((text, index) => ({ name: `f${index}.yaml`, text })));
    expect(failures).toEqual([]);
    return collectObjects(documents);
  }

  test('come in order of key, and kinds that do not matter are counted', () => {
    const found = collect(
      `${NODE.replace('n1', 'n2')}---\n${NODE}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n`,
    );
    expect(found.ofKind('Node').map((raw) => raw['metadata'])).toEqual([{ name: 'n1' }, { name: 'n2' }]);
    expect(found).toMatchObject({ ignored: 1, problems: [] });
    expect(found.ofKind('Service')).toEqual([]);
  });

  test.each([
    ['metallb.io/v1', 'IPAddressPool', 'is read as metallb.io/v1beta1'],
    ['v1', 'IPAddressPool', 'is read as metallb.io/v1beta1'],
    ['apps/v1', 'Service', 'is read as v1'],
    ['discovery.k8s.io/v1beta1', 'EndpointSlice', 'is read as discovery.k8s.io/v1'],
    ['cilium.io/v3', 'CiliumLoadBalancerIPPool', 'is read as cilium.io/v2 or cilium.io/v2alpha1'],
    ['metallb.io/v1beta1', 'AddressPool', 'is the former name of IPAddressPool'],
  ])('of %s %s are refused with the version that is read', (apiVersion, kind, message) => {
    const found = collect(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: a, namespace: b}\n`);
    expect(found.problems).toMatchObject([{ object: { kind }, code: 'OBJECT_INVALID' }]);
    expect(found.problems[0]?.message).toContain(message);
    expect(found.problems[0]?.remedy).toMatch(/^Correct (apiVersion|kind) of .*; until then it counts as absent\.$/);
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    'of the kind %s, which every JavaScript object has, are of no kind that matters',
    (kind) => {
      const found = collect(`apiVersion: v1\nkind: ${kind}\nmetadata: {name: a}\n`);
      expect(found).toMatchObject({ ignored: 1, problems: [] });
    },
  );

  test("of somebody else's API with one of our kinds' names are ignored", () => {
    const found = collect('apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n');
    expect(found).toMatchObject({ ignored: 1, problems: [] });
  });

  test('given twice alike are one; otherwise the later file counts, and it is told', () => {
    expect(collect(NODE, NODE)).toMatchObject({ problems: [] });
    const found = collect(NODE, `${NODE}spec: {unschedulable: true}\n`);
    expect(found.ofKind('Node')).toMatchObject([{ spec: { unschedulable: true } }]);
    expect(found.problems).toEqual([
      {
        object: { kind: 'Node', key: 'n1' },
        code: 'OBJECT_DUPLICATE',
        message:
          'given twice with different contents, in f0.yaml, document 1 and in f1.yaml, document 1: the latter is used',
        remedy: 'Remove Node n1 from one of the two: f1.yaml, document 1 is used.',
      },
    ]);
  });

  test('of the cluster given twice: the newer one counts, wherever it is', () => {
    const old = 'apiVersion: v1\nkind: Node\nmetadata: {name: n1, resourceVersion: "99"}\n';
    const young =
      'apiVersion: v1\nkind: Node\nmetadata: {name: n1, resourceVersion: "100"}\nspec: {unschedulable: true}\n';
    for (const order of [
      [old, young],
      [young, old],
    ]) {
      const found = collect(...order);
      expect(found.ofKind('Node')).toMatchObject([{ spec: { unschedulable: true } }]);
      expect(found.problems).toHaveLength(1);
    }
  });

  test('without a name are told apart by their decoders', () => {
    const found = collect('apiVersion: v1\nkind: Node\n', 'apiVersion: v1\nkind: Node\nspec: {}\n');
    expect(found.ofKind('Node')).toHaveLength(2);
    expect(found.problems).toEqual([]);
  });

  test('of the cluster that somebody wrote anew are as kubectl apply would leave them', () => {
    const last = JSON.stringify({ metadata: { annotations: { gone: '1' } }, spec: {} });
    const live = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'web',
        uid: 'u',
        creationTimestamp: '2026-01-01T00:00:00Z',
        labels: { theirs: '1' },
        annotations: {
          gone: '1',
          'kube-vip.io/vipHost': 'n2',
          'kubectl.kubernetes.io/last-applied-configuration': last,
        },
      },
      spec: { type: 'LoadBalancer', clusterIP: '10.96.0.9', loadBalancerIP: '192.0.2.1' },
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
    };
    const written =
      'apiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {new: "1"}}\nspec: {type: LoadBalancer}\n';
    for (const order of [
      [JSON.stringify(live), written],
      [written, JSON.stringify(live)],
    ]) {
      const found = collect(...order);
      expect(found.problems).toEqual([]);
      const [service] = found.ofKind('Service');
      expect(service).toMatchObject({
        metadata: { uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z', labels: { theirs: '1' } },
        spec: { type: 'LoadBalancer', clusterIP: '10.96.0.9' },
        status: live.status,
      });
      const annotations = asObject(asObject(service?.['metadata'])?.['annotations']);
      expect(annotations).toMatchObject({ new: '1', 'kube-vip.io/vipHost': 'n2' });
      expect(annotations).not.toHaveProperty('gone');
      expect(service?.['spec']).not.toHaveProperty('loadBalancerIP');
    }
  });
});

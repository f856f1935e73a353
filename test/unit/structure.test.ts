/**
 * The source keeps to the structure that scripts/tidy.ts describes, and tidy.ts can tell: each rule is broken once.
 */

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { checkDependencies, checkSource, checkText, checkTree } from '../../scripts/tidy.ts';

const header = '/** What this is. */\n';

function complaints(path: string, text: string): string[] {
  return checkSource(path, header + text).map((each) => each.message);
}

describe('the source tree', () => {
  const { findings, sources } = checkTree(join(import.meta.dirname, '..', '..'));

  it('was read', () => {
    expect(sources).toBeGreaterThan(100);
  });

  it('keeps to the structure', () => {
    const errors = findings.filter((each) => each.level === 'error');
    expect(errors.map((each) => `${each.path}:${each.line} ${each.message}`)).toEqual([]);
  });
});

describe('who may import whom', () => {
  it.each([
    ['src/base/x.ts', '../protocol/arp/codec.ts', 'base may not import protocol'],
    ['src/leader/x.ts', '../vip/vip.ts', 'leader may not import vip'],
    ['src/agent/x.ts', '../kube/client.ts', 'agent may not import kube'],
    ['src/kube/x.ts', '../runtime/loop.ts', 'kube may not import runtime'],
    ['src/kube/x.ts', '../agent/effect.ts', 'kube may import only types of agent'],
    ['src/system/x.ts', '../kube/client.ts', 'system may not import kube'],
    ['src/runtime/x.ts', '../cli/program.ts', 'runtime may not import cli'],
    ['src/protocol/bgp/x.ts', '../bfd/codec.ts', 'protocol/bgp may not import protocol/bfd'],
    ['src/cli/x.ts', '../../test/lab/node.ts', 'src may not import test/lab/node.ts'],
    ['test/sim/x.ts', '../../src/kube/client.ts', 'the simulator may not import src/kube/client.ts'],
    ['src/cli/x.ts', './y.js', 'import of ./y.js: name the .ts file'],
  ])('%s refuses %s', (path, from, message) => {
    expect(complaints(path, `import { y } from '${from}';\nexport const z = y;`)).toEqual([message]);
    expect(complaints(path, `export const z = () => import('${from}');`)).toEqual([message]);
    expect(complaints(path, `export { y } from '${from}';\nexport const z = 1;`)).toEqual([message]);
  });

  it.each([
    ['src/kube/x.ts', `import type { Effect } from '../agent/effect.ts';\nexport type T = Effect;`],
    ['src/kube/x.ts', `import { type Effect } from '../agent/effect.ts';\nexport type T = Effect;`],
    ['src/protocol/arp/x.ts', `import { y } from '../ethernet/frame.ts';\nexport const z = y;`],
    ['src/runtime/x.ts', `import { y } from '../agent/step.ts';\nexport const z = y;`],
    ['test/sim/x.ts', `import { y } from '../../src/agent/step.ts';\nexport const z = y;`],
  ])('%s may: %s', (path, text) => {
    expect(complaints(path, text)).toEqual([]);
  });
});

describe('pure folders', () => {
  it.each([
    [`import { readFileSync } from 'node:fs';\nexport const z = readFileSync;`, 'node:fs in a pure folder'],
    [`import pino from 'pino';\nexport const z = pino;`, 'pino in a pure folder'],
    [`import ip from 'ipaddr.js';\nexport const z = ip;`, 'ipaddr.js in a pure folder'],
    ['export const z = () => Date.now();', 'Date in a pure folder'],
    ['export const z = () => Math.random();', 'Math.random in a pure folder'],
    ['export const z = () => setTimeout(() => 1, 1);', 'setTimeout in a pure folder'],
    ['export const z = () => process.pid;', 'process in a pure folder'],
    ['export const z = () => console.log(1);', 'console in a pure folder'],
    ['export const z = () => fetch("x");', 'fetch in a pure folder'],
    ['export const z = () => globalThis;', 'globalThis in a pure folder'],
  ])('refuse %s', (text, message) => {
    expect(complaints('src/vip/x.ts', text)).toContain(message);
  });

  it('may use these words for things of their own, and in comments and strings', () => {
    const text = `// process, Date.now()\nexport const z = (x: { process: number }) => ({ fetch: x.process, t: 'Date' });`;
    expect(complaints('src/vip/x.ts', text)).toEqual([]);
  });

  it('leave the parsers to base/ip.ts and config', () => {
    expect(complaints('src/base/ip.ts', `import ip from 'ipaddr.js';\nexport const z = ip;`)).toEqual([]);
    expect(complaints('src/config/file.ts', `import { parse } from 'yaml';\nexport const z = parse;`)).toEqual([]);
  });
});

describe('modules', () => {
  it.each([
    ['src/kube/utils.ts', 'export const z = 1;', '"utils" does not say what is in the file'],
    ['src/kube/LeaseCodec.ts', 'export const z = 1;', 'the file name is not kebab-case'],
    ['src/attic/x.ts', 'export const z = 1;', 'the file is in no room of scripts/tidy.ts'],
    ['src/kube/x.ts', `export { y } from './y.ts';`, 'the file only forwards exports (a barrel)'],
    ['src/kube/x.ts', `export * from './y.ts';\nexport const z = 1;`, 'export * hides what is exported'],
    [
      'src/kube/x.ts',
      'let z = 1;\nexport const y = () => (z += 1);',
      'module-level let: state belongs to whoever makes it',
    ],
    ['src/kube/x.ts', 'export const z = [1];\nz.push(2);', 'work at import: put it in a function'],
    [
      'src/kube/x.ts',
      `import { KubeConfig } from '@kubernetes/client-node';\nexport const z = KubeConfig;`,
      '@kubernetes/client-node is loaded on demand, by import() in src/kube/exotic-credentials.ts; elsewhere import its types',
    ],
    ['src/kube/x.ts', `import fs from 'fs';\nexport const z = fs;`, 'import of fs: write node:fs'],
  ])('%s: %s', (path, text, message) => {
    expect(complaints(path, text)).toContain(message);
  });

  it('have a header', () => {
    expect(checkSource('src/kube/x.ts', 'export const z = 1;\n')).toHaveLength(1);
  });

  it('are warned when they or their functions grow long', () => {
    const long = `export function z() {\n${'  z();\n'.repeat(400)}}\n`;
    expect(checkSource('src/kube/x.ts', header + long).map((each) => each.level)).toEqual(['warning', 'warning']);
  });
});

describe('any file', () => {
  // In two halves each, because this file is checked like any other.
  it.each([
    ['"resolved', '": "https://registry.example.org/x.tgz"'],
    ['regis', 'try=https://registry.example.org/'],
    ['FIX', 'ME later'],
    ['it.', "only('x', () => {});"],
    ['see /home/someone', '/src/'],
  ])('may not say %s%s', (...halves) => {
    expect(checkText('README.md', `line one\n${halves.join('')}\n`, ['/home/someone/'])).toMatchObject([
      { line: 2, level: 'error' },
    ]);
  });
});

describe('dependencies', () => {
  it('are pinned, described, and declared when imported', () => {
    const manifest = { dependencies: { pino: '^10.0.0', yaml: '2.9.1' } };
    const messages = checkDependencies(manifest, '`pino`', new Set(['pino', 'ajv'])).map((each) => each.message);
    expect(messages).toEqual([
      'pino is not pinned to one version',
      'nothing is said about yaml',
      'src imports ajv, which is not among the dependencies',
    ]);
  });
});

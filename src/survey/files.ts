/**
 * Files of a node that the doctor reads: static pod manifests, kubeadm's kubeconfigs, keepalived's configuration. Of a kubeconfig only the server is
 * kept. What is a folder, empty or out of reach is said as such; nothing here throws.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { asObject, isObject, parseJson, type JsonObject } from '../base/json.ts';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import type { FileFacts, KubeconfigFile, Manifests, StaticPodFile } from '../doctor/facts.ts';
import { parseKubeconfig } from '../kube/kubeconfig.ts';

export const MANIFESTS_FOLDER = '/etc/kubernetes/manifests';
export const KUBERNETES_FOLDER = '/etc/kubernetes';
const KEEPALIVED_CONF = '/etc/keepalived/keepalived.conf';
const KUBECONFIGS = ['admin.conf', 'super-admin.conf', 'kubelet.conf'];
/** A manifest or kubeconfig is some KiB. */
const FILE_BYTES_MAX = 1 << 20;
/** Of one folder; the kubelet's has a handful. */
const FILES_MAX = 200;

/** As the kubelet reads its folder: every file whose name doesn't begin with a dot (pkg/kubelet/config/file.go). */
export function readManifests(folder: string): Fact<Manifests> {
  let names: readonly string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    return unknown(
      `${folder} can't be read: ${reasonOf(error)}`,
      'Run this on the node, or name its folder with --manifests.',
    );
  }
  const pods: StaticPodFile[] = [];
  const unreadable: { readonly path: string; readonly why: string }[] = [];
  for (const name of names.slice(0, FILES_MAX)) {
    const path = join(folder, name);
    const read = readDocuments(path);
    if (typeof read === 'string') unreadable.push({ path, why: read });
    else pods.push(...read.filter(({ kind }) => kind === 'Pod').map((raw) => ({ path, raw })));
  }
  if (names.length > FILES_MAX) unreadable.push({ path: folder, why: `it has more than ${FILES_MAX} files` });
  return known({ folder, pods, unreadable });
}

/** keepalived's configuration, without what it includes. */
export function readKeepalived(path = KEEPALIVED_CONF): FileFacts['keepalived'] {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return known(undefined);
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) return unknown(`${path} is no file that can be read whole`);
    return known({ path, text: readFileSync(path, 'utf8') });
  } catch (error) {
    return unknown(`${path} can't be read: ${reasonOf(error)}`, 'Run this on the node, as root.');
  }
}

/** kubeadm's files in `folder`. */
export function readKubeconfigs(folder: string): readonly KubeconfigFile[] {
  return KUBECONFIGS.map((name) => readKubeconfigFile(join(folder, name)));
}

function readKubeconfigFile(path: string): KubeconfigFile {
  const file = (state: KubeconfigFile['state'], why = '', server?: string): KubeconfigFile => ({
    path,
    state,
    why,
    server,
  });
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return file('absent');
    if (stat.isDirectory()) return file('folder', 'it is a folder');
    if (stat.size === 0) return file('empty', 'it is empty');
  } catch (error) {
    return file('unreadable', reasonOf(error));
  }
  const read = readDocuments(path);
  if (typeof read === 'string') return file(/^E[A-Z]+$/.test(read) ? 'unreadable' : 'invalid', read);
  const parsed = parseKubeconfig(read[0], { path, allowInsecure: true });
  return parsed.ok ? file('read', '', parsed.value.server) : file('invalid', parsed.detail ?? parsed.reason);
}

/** The YAML or JSON mappings in a file, or why there are none. */
function readDocuments(path: string): readonly JsonObject[] | string {
  try {
    const stat = statSync(path);
    // Reading a pipe would wait for whoever writes into it.
    if (!stat.isFile()) return 'it is no file';
    if (stat.size > FILE_BYTES_MAX) return `it is larger than ${FILE_BYTES_MAX >> 10} KiB`;
    return parseText(readFileSync(path, 'utf8'));
  } catch (error) {
    return reasonOf(error);
  }
}

/** YAML, of which JSON is a part. */
export function parseText(text: string): readonly JsonObject[] | string {
  const json = parseJson(text);
  if (isObject(json)) return [json];
  const documents = parseAllDocuments(text, { logLevel: 'silent', uniqueKeys: false });
  const objects: JsonObject[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const [fault] = document.errors;
    if (fault !== undefined) return fault.message.split('\n')[0] ?? 'it is no YAML';
    try {
      objects.push(asObject(document.toJS({ maxAliasCount: 100 })) ?? {});
    } catch (error) {
      return reasonOf(error);
    }
  }
  return objects;
}

/** EACCES, ENOENT, … or the message. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}

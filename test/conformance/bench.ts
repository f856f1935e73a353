/** A client of a real API server with the service account's name, and so with exactly the rights that our manifests give. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { generatedFiles } from '../../scripts/docs.ts';
import { asObject, type JsonObject } from '../../src/base/json.ts';
import { openApiClient, type ApiClient } from '../../src/kube/client.ts';
import { openCredentials } from '../../src/kube/credentials.ts';
import type { ApiClient as AdminClient } from '../lab/api-client.ts';
import { issue } from '../lab/certificates.ts';
import { kubeconfigText } from '../lab/kubeconfig.ts';
import type { RealApi } from '../lab/real-api.ts';
import { readDocuments } from '../unit/config/manifest-reader.ts';
import { memoryLog, type MemoryLog } from '../unit/kube/scripted-api.ts';

export interface Bench {
  readonly client: ApiClient;
  readonly log: MemoryLog;
}

/** `closers` get what is to be called at the end. */
export async function openBench(api: RealApi, closers: (() => unknown)[]): Promise<Bench> {
  const [user, groups] = SERVICE_ACCOUNT;
  const path = join(api.folder, 'holdfast.conf');
  const client = issue(api.authority, { name: user, groups, usage: 'client' });
  writeFileSync(path, kubeconfigText({ server: api.url('solo'), user, authority: api.authority, client }));
  const log = memoryLog();
  const credentials = await openCredentials({ kubeconfigPath: path, environment: {}, log: log.log });
  closers.push(() => credentials.close());
  const endpoints = { isControlPlane: false, port: api.port('solo'), vips: [] };
  const opened = openApiClient({ credentials, endpoints, log: log.log });
  closers.push(() => opened.close());
  return { client: opened, log };
}

const SERVICE_ACCOUNT: readonly [user: string, groups: readonly string[]] = [
  'system:serviceaccount:kube-system:holdfast',
  ['system:serviceaccounts', 'system:serviceaccounts:kube-system'],
];

/** Applies one of our manifests of roles and bindings. */
export async function giveRights(admin: AdminClient, manifest: string): Promise<void> {
  for (const { kind, ...document } of readDocuments(generatedFiles().get(manifest) ?? '')) {
    const namespace = document.metadata.namespace ?? '';
    const within = namespace === '' ? '' : `/namespaces/${namespace}`;
    const root = kind === 'ServiceAccount' ? '/api/v1' : '/apis/rbac.authorization.k8s.io/v1';
    await insist(admin, 'POST', `${root}${within}/${kind.toLowerCase()}s`, { body: { kind, ...document } });
  }
}

/** The answer's body; throws where it is a failure. */
export async function insist(
  admin: AdminClient,
  method: string,
  path: string,
  { body, contentType }: { readonly body?: unknown; readonly contentType?: string | undefined } = {},
): Promise<JsonObject> {
  const parts = { ...(body === undefined ? {} : { body }), ...(contentType === undefined ? {} : { contentType }) };
  const answer = await admin.request(method, path, parts);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
  return asObject(answer.body) ?? {};
}

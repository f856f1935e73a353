/** kubeconfig files as kubeadm writes them, but in JSON (which is YAML). */

import { readFileSync } from 'node:fs';

import type { ApiAccess } from './api-client.ts';
import type { Certificate } from './certificates.ts';

export interface KubeconfigParts {
  readonly server: string;
  readonly user: string;
  readonly authority?: Certificate | undefined;
  readonly client?: Certificate | undefined;
  readonly token?: string | undefined;
  readonly tlsServerName?: string | undefined;
}

export function kubeconfigText(parts: KubeconfigParts): string {
  const { user } = parts;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'kubernetes',
        cluster: {
          server: parts.server,
          'certificate-authority-data': base64(parts.authority?.certificatePem),
          'tls-server-name': parts.tlsServerName,
        },
      },
    ],
    users: [
      {
        name: user,
        user: {
          'client-certificate-data': base64(parts.client?.certificatePem),
          'client-key-data': base64(parts.client?.keyPem),
          token: parts.token,
        },
      },
    ],
    contexts: [{ name: `${user}@kubernetes`, context: { cluster: 'kubernetes', user } }],
    'current-context': `${user}@kubernetes`,
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function base64(text: string | undefined): string | undefined {
  return text === undefined ? undefined : Buffer.from(text).toString('base64');
}

/** The access that a kubeconfig written by kubeconfigText gives. */
export function readKubeconfig(path: string): ApiAccess {
  // What kubeconfigText writes.
  const { clusters, users } = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly clusters: readonly [{ readonly cluster: Readonly<Record<string, string>> }];
    readonly users: readonly [{ readonly user: Readonly<Record<string, string>> }];
  };
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const text = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString();
  return {
    server: cluster['server'] ?? '',
    authority: { certificatePem: text(cluster['certificate-authority-data']) },
    client: { certificatePem: text(user['client-certificate-data']), keyPem: text(user['client-key-data']) },
  };
}

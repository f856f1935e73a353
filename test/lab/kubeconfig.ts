/** kubeconfig files as kubeadm writes them, but in JSON (which is YAML). */

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

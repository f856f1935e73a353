/**
 * Credentials that a kubeconfig leaves to a program or provider (`exec`, `auth-provider`): the work of
 * @kubernetes/client-node, which this file alone imports, and only when such a kubeconfig is met. It costs some 40 MB of
 * memory then; plain kubeconfigs never load it.
 */

import type { RequestOptions } from 'node:https';
import { HoldfastError } from '../base/errors.ts';

export interface PluginCredentials {
  readonly authorization: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Runs the plugin of the kubeconfig's current user. Throws HoldfastError KUBECONFIG_INVALID when it fails. */
export async function runCredentialPlugin(text: string, path: string): Promise<PluginCredentials> {
  try {
    const { KubeConfig } = await import('@kubernetes/client-node');
    const config = new KubeConfig();
    config.loadFromString(text);
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return {
      authorization: headerText(options.headers, 'authorization'),
      cert: pemText(options.cert),
      key: pemText(options.key),
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('KUBECONFIG_INVALID', `${path}: the credential plugin failed: ${reason}`, {
      context: { path },
      cause,
    });
  }
}

function headerText(headers: RequestOptions['headers'], name: string): string | undefined {
  if (headers === undefined || Array.isArray(headers)) return undefined;
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() === name && typeof value === 'string') return value;
  }
  return undefined;
}

function pemText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString() : undefined;
}

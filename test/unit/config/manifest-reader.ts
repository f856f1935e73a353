/** Reads manifests back, as the API and the kubelet would. */

import type { V1ObjectMeta, V1PodSpec, V1PolicyRule, RbacV1Subject } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';

export interface ManifestDocument {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: V1ObjectMeta & { readonly name: string };
  readonly spec?: unknown;
  readonly rules?: readonly V1PolicyRule[];
  readonly subjects?: readonly RbacV1Subject[];
}

/** Every document of `text`, which must be YAML without errors or warnings. */
export function readDocuments(text: string): readonly ManifestDocument[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0 || document.warnings.length > 0) {
      throw new Error(String(document.errors[0] ?? document.warnings[0]));
    }
    return document.toJS() as ManifestDocument;
  });
}

/** Spec of the pod, or of the pod in the template. */
export function podSpecOf(text: string): V1PodSpec {
  const [document] = readDocuments(text);
  if (document === undefined) throw new Error('there is no document');
  if (document.kind === 'Pod') return document.spec as V1PodSpec;
  return (document.spec as { readonly template: { readonly spec: V1PodSpec } }).template.spec;
}

/** Environment and arguments of its only container on `node`; of two variables of one name the last one counts. */
export function environmentOf(
  spec: V1PodSpec,
  node: string,
): { readonly env: Record<string, string>; readonly args: readonly string[] } {
  const env: Record<string, string> = {};
  for (const { name, value, valueFrom } of spec.containers[0]?.env ?? []) {
    env[name] = valueFrom?.fieldRef?.fieldPath === 'spec.nodeName' ? node : (value ?? '');
  }
  return { env, args: spec.containers[0]?.args ?? [] };
}

/** A Namespace, decoded: only its labels matter, and the one with its name is always among them. */

import type { Decoding, NamespaceObject } from '../model.ts';
import { NAMESPACE_NAME_LABEL } from '../scope.ts';
import { labelOf } from '../selector.ts';
import { decodeObject, type OpenObject } from './metadata.ts';
import { textsOf } from './part.ts';

export function decodeNamespace(raw: unknown): Decoding<NamespaceObject> {
  return decodeObject('Namespace', raw, readNamespace);
}

function readNamespace({ metadata, name }: OpenObject): NamespaceObject {
  const labels = textsOf(metadata, 'labels');
  if (labelOf(labels, NAMESPACE_NAME_LABEL) === name) return { name, labels };
  return { name, labels: { ...labels, [NAMESPACE_NAME_LABEL]: name } };
}

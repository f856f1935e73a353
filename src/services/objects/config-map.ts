/** A ConfigMap, decoded: its texts. What they mean is for whoever asked for that ConfigMap (pools/). */

import type { Decoding, Labels } from '../model.ts';
import { createdAtOf, decodeObject, type OpenObject } from './metadata.ts';
import { textOf, textsOf } from './part.ts';

/** Characters of a ConfigMap's data, which is what the API server allows (1 MiB); entries beyond are left out and named. */
export const CONFIG_MAP_LENGTH_MAX = 1_048_576;

export interface ConfigMapObject {
  readonly key: string;
  readonly uid: string;
  readonly data: Labels;
  readonly resourceVersion: string;
  /** As ServiceObject.createdAt. */
  readonly createdAt: string;
}

export function decodeConfigMap(raw: unknown): Decoding<ConfigMapObject> {
  return decodeObject('ConfigMap', raw, readConfigMap);
}

function readConfigMap({ root, metadata, key }: OpenObject): ConfigMapObject {
  return {
    key,
    uid: textOf(metadata, 'uid'),
    data: textsOf(root, 'data', CONFIG_MAP_LENGTH_MAX),
    resourceVersion: textOf(metadata, 'resourceVersion'),
    createdAt: createdAtOf(metadata),
  };
}

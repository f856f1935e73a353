/** A node's share of the addresses, as its annotation says. */

import { ERRORS, fillRemedy } from '../base/errors.ts';
import type { Decoding, NodeObject } from './model.ts';
import { shown } from './objects/shown.ts';
import { labelOf } from './selector.ts';

export const WEIGHT_ANNOTATION = 'holdfast.io/weight';
const WEIGHT_MAX = 100;
const WEIGHT_DEFAULT = 1;

/** 0–100, 1 unless said; what can't be read is told and counts as 1. */
export function nodeWeight(node: NodeObject): Decoding<number> & { readonly value: number } {
  const text = labelOf(node.annotations, WEIGHT_ANNOTATION)?.trim();
  if (text === undefined || text === '') return { value: WEIGHT_DEFAULT, problems: [] };
  if (/^\d{1,3}$/.test(text) && Number(text) <= WEIGHT_MAX) return { value: Number(text), problems: [] };
  const field = `metadata.annotations["${WEIGHT_ANNOTATION}"]`;
  const object = { kind: 'Node', key: node.name };
  const message = `${field} is ${shown(text)}, not a whole number from 0 to ${WEIGHT_MAX}: ${WEIGHT_DEFAULT} is used`;
  const remedy = fillRemedy(ERRORS.OBJECT_INVALID.remedy, { field, object: `Node ${node.name}` });
  return { value: WEIGHT_DEFAULT, problems: [{ object, code: 'OBJECT_INVALID', message, remedy }] };
}

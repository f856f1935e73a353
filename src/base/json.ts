/**
 * Reading JSON that somebody else wrote: each accessor answers a value of the wanted type or undefined, so that no
 * shape is believed before it is looked at. The one place where parsed JSON gets its first type.
 */

export type JsonObject = { readonly [key: string]: unknown };

/** Parses JSON; undefined when the text is no JSON (JSON `null` is null). */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): JsonObject | undefined {
  return isObject(value) ? value : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** A non-empty string, else undefined. */
export function asText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function asInteger(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

/** The string values of a map; entries of other types are left out. */
export function asTextMap(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(asObject(value) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** `value.metadata[key]` as a non-empty string. */
export function metadataText(value: unknown, key: string): string | undefined {
  return asText(asObject(asObject(value)?.['metadata'])?.[key]);
}

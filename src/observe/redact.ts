/**
 * Keeps secrets out of logs and reports: a field is hidden by its name, and a text by what a credential looks like,
 * wherever it is nested. Pure. Deliberately broad: a hidden harmless word costs nothing.
 */

export const REDACTED = '[redacted]';

/** Field names that hold secrets, in any spelling: `bgpPassword`, `client-key-data`, `vip_heartbeat_key`, `Authorization`. */
const SECRET_NAME =
  /pass(word|phrase|wd)|secret|token|authorization|cookie|credential|private[-_]?key|key[-_]?data|hmac|peerpass$|(^|[-_])(key|pass)$/i;
/** The same in camel case: `heartbeatKey`, `peerPass`, but not `monkey` or `bypass`. */
const SECRET_CAMEL_NAME = /[a-z](Key|Pass)$/;
/** Names that match by their form but hold nothing secret. */
const HARMLESS_NAME = /^(secretName|secret_name|tokenPath|token_path|tokenFile|keyPath|keyFile)$/;

const SECRET_TEXTS: readonly RegExp[] = [
  // PEM private keys (RFC 7468 §10, §13 and OpenSSL's forms), also when cut short
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  // Authorization header values (RFC 6750 §2.1, RFC 7617)
  /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi,
  // JSON Web Tokens: service account tokens among them (RFC 7519: three base64url parts, the first an object)
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g,
  // user:password@ in a URL (RFC 3986 §3.2.1)
  /(?<=:\/\/)[^\s/:@]+:[^\s/@]+(?=@)/g,
];

/** Objects nested deeper are replaced as a whole; a log line has no business being deeper. */
const DEPTH_MAX = 6;
/** Elements of an array that are kept. */
const ELEMENTS_MAX = 64;
const TEXT_LENGTH_MAX = 8192;

/** `text` without anything that looks like a credential, cut at TEXT_LENGTH_MAX. */
export function redactText(text: string): string {
  let result = text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text;
  for (const pattern of SECRET_TEXTS) result = result.replace(pattern, REDACTED);
  return result;
}

export function isSecretName(name: string): boolean {
  return (SECRET_NAME.test(name) || SECRET_CAMEL_NAME.test(name)) && !HARMLESS_NAME.test(name);
}

/** A copy of `fields` fit for a log: secrets hidden, octets as their count, errors as plain values, bounded in depth. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactRecord(fields, 0);
}

function redactRecord(record: object, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(record)) {
    if (value === undefined) continue;
    result[name] = isSecretName(name) && value !== '' ? REDACTED : redactValue(value, depth + 1);
  }
  return result;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return `[${value.length} octets]`;
  if (value instanceof Error) return redactError(value, depth);
  if (depth > DEPTH_MAX) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, ELEMENTS_MAX).map((element) => redactValue(element, depth + 1));
  return redactRecord(value, depth);
}

/** code and remedy of a HoldfastError say all; anything else is our bug or the runtime's, and keeps its stack. */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = { type: error.name, message: redactText(error.message) };
  if ('code' in error && typeof error.code === 'string') result['code'] = error.code;
  if ('remedy' in error && typeof error.remedy === 'string') result['remedy'] = error.remedy;
  else if (error.stack !== undefined) result['stack'] = redactText(error.stack);
  if (error.cause !== undefined && depth <= DEPTH_MAX) result['cause'] = redactValue(error.cause, depth + 1);
  return result;
}

/**
 * One row of the schema table: a setting with all its spellings. The rows live in `schema/*.ts`, by topic; `schema.ts`
 * joins them. Parsing, `holdfast config`, the flags of the command line, the manifests and docs/configuration.md are all
 * made from the rows, so a setting cannot exist in one of them only.
 */

/** Form of a value. Bounds are inclusive; a duration's bounds are milliseconds, whatever its unit. */
export type OptionType =
  | { readonly kind: 'text' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'integer'; readonly min: number; readonly max: number }
  /** A bare number counts in `unit`; Go's duration words (`1.5s`, `300ms`, `1m30s`) are understood as well. */
  | { readonly kind: 'duration'; readonly unit: 's' | 'ms'; readonly minMs: number; readonly maxMs: number }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** A JSON object whose values are strings. */
  | { readonly kind: 'json-map' }
  /** An http or https URL with a host. */
  | { readonly kind: 'url' }
  /** `host:port`, `[v6]:port` or `:port`. */
  | { readonly kind: 'listen' }
  /** slog's number (-4 debug, 0 info, 4 warn, 8 error) or the word. */
  | { readonly kind: 'log-level' };

export const SECTIONS = [
  { id: 'address', title: 'Virtual IP' },
  { id: 'election', title: 'Election' },
  { id: 'safety', title: 'Claim, conflict and lifetime' },
  { id: 'api', title: 'Kubernetes API' },
  { id: 'observe', title: 'Logs, metrics and health' },
  { id: 'heartbeat', title: 'Heartbeats and planned handover' },
  { id: 'services', title: 'Services of type LoadBalancer' },
  { id: 'balancer', title: 'Control-plane load balancer and health checks' },
  { id: 'bgp', title: 'BGP' },
  { id: 'routing', title: 'Routing table and WireGuard' },
] as const;

export type Section = (typeof SECTIONS)[number]['id'];

export interface Option {
  /** The environment variable, and the setting's name everywhere; for a flag-only setting the flag's name. */
  readonly name: string;
  readonly isFlagOnly?: boolean;
  /** Other environment names that mean the same and are read when `name` is unset. */
  readonly aliases?: readonly string[];
  /** Long flag without dashes, as kube-vip spells it. */
  readonly flag?: string;
  readonly shortFlag?: string;
  /** Spellings of the flag found in documents that never worked; accepted here with a warning. */
  readonly flagAliases?: readonly string[];
  /** Keys of the configuration file, dotted for nested ones, compared without regard to case. */
  readonly fileKeys?: readonly string[];
  readonly section: Section;
  readonly type: OptionType;
  /** As one would write it; '' = unset. */
  readonly default: string;
  /** How an empty default is derived, for the documents. */
  readonly derived?: string;
  /** Sources from which an empty value is a value; everywhere else empty means unset. */
  readonly keepsEmptyFrom?: readonly ('flag' | 'env')[];
  readonly doc: string;
  readonly isSecret?: boolean;
  /** Holdfast's own, unknown to kube-vip. */
  readonly isOwn?: boolean;
  /** Absent: implemented. Else accepted without effect, and this is what the warning says about a non-default value. */
  readonly unsupported?: string;
}

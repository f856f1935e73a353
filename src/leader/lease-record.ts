/**
 * A `coordination.k8s.io/v1` Lease as the election sees it. Times inside it were written by other machines' clocks: they
 * are carried and shown, never compared (client-go's rule, and ours).
 */

export interface LeaseRecord {
  /** spec.holderIdentity; '' when released. */
  readonly holder: string;
  /** spec.leaseDurationSeconds × 1000. */
  readonly durationMs: number;
  /** spec.leaseTransitions. */
  readonly transitions: number;
  /** spec.acquireTime and spec.renewTime as RFC 3339 text with microseconds ('' when absent). */
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** metadata.resourceVersion; '' for a Lease not created yet. Opaque: compared for equality only. */
  readonly resourceVersion: string;
}

/** Why an API call did not do what was asked; the one closed list that the core decides by. */
export type ApiFailureKind =
  | 'conflict' // 409 on update: somebody else wrote first
  | 'already-exists' // 409 on create
  | 'not-found' // 404
  | 'forbidden' // 403
  | 'unauthorized' // 401
  | 'invalid' // other 4xx
  | 'throttled' // 429, or 503 with Retry-After
  | 'server-error' // 5xx
  | 'timeout' // no answer before the deadline: it may have happened or not
  | 'unreachable'; // no connection to any endpoint: it has not happened

/**
 * What can go wrong on purpose: rules that requests are held against, first match first. A rule with a count wears out.
 */

export interface FaultRule {
  /** HTTP methods it applies to; default all. A watch has the method WATCH. */
  readonly methods?: readonly string[];
  /** Part of the path it applies to, such as `/leases/`; default all. */
  readonly path?: string;
  /** Name of the user (certificate common name or token) it applies to; default all. */
  readonly user?: string;
  /**
   * delay: answer later. status: answer this code, without doing anything. hang: never answer. reset: cut the connection.
   * lose: do it, but cut the connection instead of answering.
   */
  readonly action:
    | { readonly kind: 'delay'; readonly ms: number }
    | { readonly kind: 'status'; readonly code: number; readonly retryAfterSeconds?: number }
    | { readonly kind: 'hang' }
    | { readonly kind: 'reset' }
    | { readonly kind: 'lose' };
  /** How many requests it applies to before it is gone; default without end. */
  readonly count?: number;
}

export interface FaultSubject {
  readonly method: string;
  readonly path: string;
  readonly user: string;
}

export class Faults {
  #rules: { rule: FaultRule; left: number }[] = [];

  /** Replaces all rules; an empty list is a healthy server. */
  set(rules: readonly FaultRule[]): void {
    this.#rules = rules.map((rule) => ({ rule, left: rule.count ?? Number.POSITIVE_INFINITY }));
  }

  /** The rule for this request, which counts as used. */
  take(subject: FaultSubject): FaultRule | undefined {
    const entry = this.#rules.find(({ rule }) => applies(rule, subject));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    if (entry.left <= 0) this.#rules = this.#rules.filter((other) => other !== entry);
    return entry.rule;
  }
}

/** Every write is refused with this status: an etcd without quorum, or out of space. */
export function refuseWrites(code = 500): FaultRule {
  return { methods: ['POST', 'PUT', 'PATCH', 'DELETE'], action: { kind: 'status', code } };
}

function applies(rule: FaultRule, { method, path, user }: FaultSubject): boolean {
  return (
    (rule.methods?.includes(method) ?? true) &&
    (rule.path === undefined || path.includes(rule.path)) &&
    (rule.user === undefined || rule.user === user)
  );
}

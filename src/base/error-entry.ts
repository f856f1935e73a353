/** One row of the tables of error codes (errors.ts, service-errors.ts, doctor-errors.ts). */

export interface ErrorEntry {
  /** One sentence: what is wrong. */
  readonly summary: string;
  /** What an operator types or changes next. `{name}` is replaced from the context. */
  readonly remedy: string;
}

/** One thing the doctor looks at. Its code is the one of what it may find first; a finding may have a narrower one. */

import type { ErrorCode } from '../base/errors.ts';
import type { Finding } from './finding.ts';
import type { Subject } from './subject.ts';

export interface Check {
  readonly code: ErrorCode;
  /** Never empty: what is wrong, what isn't known, or that all is well. */
  readonly run: (subject: Subject) => readonly Finding[];
}

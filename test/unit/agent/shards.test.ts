import { expect, it } from 'vitest';

import {
  draftOf,
  dueInDraft,
  emptyShards,
  finishDraft,
  putInDraft,
  type Shards,
} from '../../../src/agent/services/shards.ts';
import { monotonic, type MonotonicMs } from '../../../src/base/time.ts';

const deadlineOf = (value: MonotonicMs): MonotonicMs => value;
const COUNT = 2_000;

it('of more that is due than a turn can do, what has waited longest comes first: nobody waits for ever', () => {
  let table: Shards<MonotonicMs> = filled();
  const done = new Map<string, number>();
  // What was done is due again at once, as if there were always more than a turn can do.
  for (let turn = 1; turn <= 60; turn += 1) {
    const now = monotonic(1_000 + turn);
    const draft = draftOf(table);
    for (const key of dueInDraft(draft, { deadlineOf, now, limit: 64 })) {
      done.set(key, (done.get(key) ?? 0) + 1);
      putInDraft(draft, key, now);
    }
    table = finishDraft(draft, deadlineOf);
  }
  expect(done.size, 'each had its turn').toBe(COUNT);
});

function filled(): Shards<MonotonicMs> {
  const draft = draftOf<MonotonicMs>(emptyShards());
  for (let index = 0; index < COUNT; index += 1) {
    putInDraft(draft, `10.0.${index >> 8}.${index & 255}`, monotonic(1_000));
  }
  return finishDraft(draft, deadlineOf);
}

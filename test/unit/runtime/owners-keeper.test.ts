/** The record of owners, as a process lives with it: a scripted record, and what the process takes it for. */

import { beforeEach, describe, expect, it } from 'vitest';

import type {
  OwnersRecord,
  OwnersRecordApi,
  OwnersResult,
  OwnersWriteResult,
} from '../../../src/kube/owners-record.ts';
import type { Reflector } from '../../../src/kube/reflector.ts';
import { SILENT_LOG } from '../../../src/observe/log.ts';
import { keepOwners, type OwnersKeeper } from '../../../src/runtime/services/owners-keeper.ts';
import { encodeAssignment, type Assignment } from '../../../src/services/assignment.ts';
import { until } from '../kube/scripted-api.ts';

class ScriptedRecord implements OwnersRecordApi {
  readonly name = 'holdfast-owners-test';
  tell: (record: OwnersRecord | undefined) => void = () => undefined;
  stored: OwnersRecord | undefined;
  readonly written: string[] = [];
  /** What a write is answered with instead. */
  refusal: OwnersWriteResult | undefined;

  read(): Promise<OwnersResult> {
    return Promise.resolve({ ok: true, record: this.stored, resourceVersion: this.stored?.resourceVersion });
  }

  write({ epoch, text }: Pick<OwnersRecord, 'epoch' | 'text'>): Promise<OwnersWriteResult> {
    if (this.refusal !== undefined) return Promise.resolve(this.refusal);
    this.written.push(text);
    this.stored = { epoch, text, resourceVersion: String(100 + epoch) };
    return Promise.resolve({ ok: true, record: this.stored });
  }

  watch(listener: (record: OwnersRecord | undefined) => void): Reflector {
    this.tell = listener;
    return { stop: () => undefined } as Reflector;
  }
}

/** So many addresses, all of one node: more than are read in one slice. */
function assignmentOf(count: number, node: string): Assignment {
  return new Map(
    Array.from({ length: count }, (_, index) => [`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, node]),
  );
}

function recordOf(epoch: number, assignment: Assignment): OwnersRecord {
  return { epoch, text: encodeAssignment(assignment), resourceVersion: String(epoch) };
}

describe('the record of owners', () => {
  let api: ScriptedRecord;
  let owners: OwnersKeeper;
  /** Of the assignments that there were, one after the other. */
  let sizes: number[];

  beforeEach(() => {
    api = new ScriptedRecord();
    sizes = [];
    owners = keepOwners({
      api,
      log: SILENT_LOG,
      onChange: () => {
        const { size } = owners.assignment;
        if (sizes.at(-1) !== size) sizes.push(size);
      },
    });
    owners.start();
  });

  it('is known when all of it is read, and not before', async () => {
    const all = assignmentOf(16_000, 'n1');
    api.tell(recordOf(3, all));
    while (!owners.isKnown) {
      expect(owners.assignment.size).toBe(0);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    expect([owners.assignment.size, owners.epoch]).toEqual([16_000, 3]);
    expect(sizes).toEqual([16_000]);
    owners.close();
  });

  it('is the last one told, however long one before it takes to read', async () => {
    api.tell(recordOf(1, assignmentOf(16_000, 'n1')));
    api.tell(recordOf(2, assignmentOf(1, 'n2')));
    await until(() => sizes.length === 2, 'both are read');
    expect(sizes).toEqual([16_000, 1]);
    expect([...owners.assignment]).toEqual([['10.0.0.0', 'n2']]);
    owners.close();
  });

  it('that there is none is known, and then it is written', async () => {
    api.tell(undefined);
    await until(() => owners.isKnown, 'it is known');
    const mine = assignmentOf(2, 'n1');
    owners.write(mine);
    await until(() => api.written.length === 1, 'it is written');
    await until(() => owners.epoch === 1, 'it is taken in');
    expect([...owners.assignment]).toEqual([...mine]);
    owners.close();
  });

  it('is not written over what another wrote meanwhile: that is read first', async () => {
    api.tell(recordOf(1, assignmentOf(1, 'n1')));
    await until(() => owners.isKnown, 'it is known');
    api.stored = recordOf(2, assignmentOf(3, 'n2'));
    api.refusal = { ok: false, failure: 'conflict', code: 'API_REQUEST_FAILED', message: 'another version' };
    owners.write(assignmentOf(1, 'n3'));
    await until(() => owners.epoch === 2, 'the other one is read');
    expect([owners.assignment.size, api.written]).toEqual([3, []]);
    owners.close();
  });

  it('that is behind what we wrote ourselves is no news', async () => {
    api.tell(undefined);
    await until(() => owners.isKnown, 'it is known');
    owners.write(assignmentOf(2, 'n1'));
    await until(() => owners.epoch === 1, 'it is written');
    api.tell({ ...recordOf(0, assignmentOf(5, 'n2')), resourceVersion: '7' });
    api.tell(recordOf(200, assignmentOf(3, 'n2')));
    await until(() => owners.epoch === 200, 'what came after it is read');
    expect(sizes).toEqual([0, 2, 3]);
    owners.close();
  });
});

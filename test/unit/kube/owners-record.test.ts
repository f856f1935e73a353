import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  decodeOwners,
  openOwnersRecord,
  OWNERS_TEXT_MAX,
  ownersRecordName,
  type OwnersRecord,
  type OwnersRecordApi,
} from '../../../src/kube/owners-record.ts';
import { startEmbedded, type Embedded } from './embedded.ts';
import { until } from './scripted-api.ts';

const CONFIG_MAPS = '/api/v1/namespaces/kube-system/configmaps';
const NAME = 'holdfast-owners-plndr-cp-lock';
const closers: (() => void)[] = [];
let embedded: Embedded;

beforeEach(async () => {
  embedded = await startEmbedded();
});

afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await embedded.close();
});

function open(): OwnersRecordApi {
  return openOwnersRecord({
    client: embedded.client,
    namespace: 'kube-system',
    leaseName: 'plndr-cp-lock',
    deadlineMs: 1000,
    log: embedded.log.log,
  });
}

async function write(owners: OwnersRecordApi, epoch: number, over?: string): Promise<OwnersRecord> {
  const result = await owners.write({ epoch, text: `assignment ${epoch}` }, over);
  if (!result.ok) throw new Error(result.message);
  return result.record;
}

describe('the record of owners', () => {
  it('is made, read and written over', async () => {
    const owners = open();
    expect(await owners.read()).toEqual({ ok: true, record: undefined, resourceVersion: undefined });
    const first = await write(owners, 1);
    expect(await owners.read()).toEqual({ ok: true, record: first, resourceVersion: first.resourceVersion });
    const second = await write(owners, 2, first.resourceVersion);
    expect(second).toMatchObject({ epoch: 2, text: 'assignment 2' });
    expect(await embedded.read(`${CONFIG_MAPS}/${NAME}`)).toMatchObject({
      metadata: { labels: { 'app.kubernetes.io/managed-by': 'holdfast' } },
      data: { epoch: '2', owners: 'assignment 2' },
    });
  });

  it('has one writer: who wrote from an older version, or makes it again, is refused', async () => {
    const [one, other] = [open(), open()];
    const first = await write(one, 1);
    await write(other, 2, first.resourceVersion);
    expect(await one.write({ epoch: 2, text: 'mine' }, first.resourceVersion)).toMatchObject({ failure: 'conflict' });
    expect(await one.write({ epoch: 1, text: 'mine' }, undefined)).toMatchObject({ failure: 'already-exists' });
    expect(await one.write({ epoch: 1, text: 'mine' }, '')).toMatchObject({ failure: 'already-exists' });
    expect(await one.read()).toMatchObject({ record: { text: 'assignment 2' } });
  });

  it('knows its own write again whose answer was lost', async () => {
    const owners = open();
    const first = await write(owners, 1);
    embedded.api.faults.set([{ methods: ['PUT'], action: { kind: 'lose' }, count: 1 }]);
    const result = await owners.write({ epoch: 2, text: 'assignment 2' }, first.resourceVersion);
    expect(result).toMatchObject({ ok: true, record: { epoch: 2 } });
    expect(await owners.read()).toMatchObject({ record: { epoch: 2 } });
  });

  it('is watched: by name, with its end, and what cannot be read is none', async () => {
    await embedded.write('POST', CONFIG_MAPS, { metadata: { name: 'other' }, data: { epoch: '9', owners: '' } });
    const told: (OwnersRecord | undefined)[] = [];
    const owners = open();
    const reflector = owners.watch((record) => told.push(record));
    closers.push(() => reflector.stop());
    await until(() => told.length === 1, 'that there is none');
    await write(owners, 1);
    await until(() => told.length === 2, 'the first');
    await embedded.write('PATCH', `${CONFIG_MAPS}/${NAME}`, { data: { epoch: 'one' } });
    await until(() => told.length === 3, 'the one that is none');
    await embedded.write('DELETE', `${CONFIG_MAPS}/${NAME}`);
    await until(() => told.length === 4, 'its end');
    expect(told.map((record) => record?.epoch)).toEqual([undefined, 1, undefined, undefined]);
    const warnings = embedded.log.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ fields }) => fields['remedy'])).toEqual([
      'Delete the ConfigMap: `kubectl -n kube-system delete configmap holdfast-owners-plndr-cp-lock`; a new one is made.',
    ]);
  });

  it('can be mended by writing over what cannot be read', async () => {
    await embedded.write('POST', CONFIG_MAPS, { metadata: { name: NAME }, data: {} });
    const owners = open();
    const found = await owners.read();
    if (!found.ok) throw new Error(found.message);
    expect(found.record).toBeUndefined();
    expect(await owners.write({ epoch: 1, text: '' }, found.resourceVersion)).toMatchObject({ ok: true });
  });

  it('holds 5,000 addresses, and refuses more than may be stored without asking', async () => {
    const owners = open();
    const text = 'x'.repeat(OWNERS_TEXT_MAX);
    expect(await owners.write({ epoch: 1, text }, undefined)).toMatchObject({ ok: true, record: { epoch: 1 } });
    expect(await owners.write({ epoch: 2, text: `${text}x` }, '1')).toMatchObject({ ok: false, failure: 'invalid' });
    expect(await owners.write({ epoch: 2, text: 'é'.repeat(OWNERS_TEXT_MAX - 9) }, '1')).toMatchObject({ ok: false });
    expect(embedded.api.requests.get('PUT configmaps')).toBeUndefined();
  });
});

describe('the name of the record', () => {
  it('is that of the Lease, cut with a mark where it is too long', () => {
    expect(ownersRecordName('plndr-cp-lock')).toBe(NAME);
    const [one, other] = [ownersRecordName('a'.repeat(253)), ownersRecordName(`${'a'.repeat(252)}b`)];
    expect(one.length).toBeLessThanOrEqual(253);
    expect(one).not.toBe(other);
  });
});

describe('a record', () => {
  it.each([
    [{}],
    [{ data: { epoch: '1' } }],
    [{ data: { epoch: '-1', owners: '' } }],
    [{ data: { epoch: '1e3', owners: '' } }],
    [{ data: { epoch: '1234567890123456', owners: '' } }],
    [{ data: { epoch: 1, owners: '' } }],
    [{ data: { epoch: '1', owners: 7 } }],
    [{ data: [] }],
  ])('like %j is none', (raw) => {
    expect(decodeOwners({ metadata: { resourceVersion: '1' }, ...raw })).toBeUndefined();
  });
});

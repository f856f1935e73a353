import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ApiResult } from '../../../src/kube/api-result.ts';
import type { ApiClient } from '../../../src/kube/client.ts';
import { followDiscovery, type Discovery, type ServedResources } from '../../../src/kube/discovery.ts';

const VERSION = 'metallb.io/v1beta1';

let discovery: Discovery;
/** What is installed, plural by plural. */
let installed: readonly string[];
let isAway: boolean;
/** Times since the start at which it was asked, ms. */
let asked: number[];
let served: ServedResources[];

function answerTo(path: string): ApiResult {
  if (path === '/apis') asked.push(Math.round(performance.now()));
  if (isAway) return { ok: false, failure: 'unreachable', code: 'API_UNREACHABLE', message: 'away' };
  const versions = installed.length === 0 ? [] : [{ groupVersion: VERSION }];
  const groups = { groups: [{ name: 'metallb.io', versions }] };
  const body = path === '/apis' ? groups : { resources: installed.map((name) => ({ name })) };
  return { ok: true, status: 200, body, endpoint: 'one' };
}

const client: Pick<ApiClient, 'request' | 'onReconnect'> = {
  request: ({ path }) => Promise.resolve(answerTo(path)),
  onReconnect: () => () => undefined,
};

function follow(): void {
  discovery = followDiscovery({
    client: client as ApiClient,
    wanted: ['ipaddresspools', 'l2advertisements'].map((resource) => ({ resource, groupVersions: [VERSION] })),
    deadlineMs: 1_000,
    random: () => 0.5,
    onServed: (answer) => served.push(answer),
  });
}

/** Times of those asked since this was last called. */
async function after(ms: number): Promise<readonly number[]> {
  await vi.advanceTimersByTimeAsync(ms);
  return asked.splice(0);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  installed = [];
  isAway = false;
  asked = [];
  served = [];
});

afterEach(() => {
  discovery.stop();
  vi.useRealTimers();
});

describe('what is installed is asked for', () => {
  it('once a minute while nothing changes', async () => {
    follow();
    expect(await after(179_000)).toEqual([0, 60_000, 120_000]);
  });

  it('a few times more after news: what was installed second is seen within a second', async () => {
    follow();
    await after(30_000);
    installed = ['ipaddresspools'];
    await after(30_500);
    expect(served.at(-1)?.size).toBe(1);
    installed = ['ipaddresspools', 'l2advertisements'];
    expect(await after(1_000)).toEqual([61_000]);
    expect(served.at(-1)?.size).toBe(2);
    expect(await after(150_000)).toEqual([62_000, 64_000, 68_000, 76_000, 136_000, 196_000]);
  });

  it('at once and a few times more where something is expected, however often in one second', async () => {
    follow();
    await after(30_000);
    for (let count = 0; count < 100; count += 1) discovery.expect();
    expect(await after(120_000)).toEqual([30_000, 31_000, 33_000, 37_000, 45_000, 105_000]);
  });

  it('as often when the API comes back', async () => {
    follow();
    await after(30_000);
    isAway = true;
    discovery.expect();
    await after(10_000);
    isAway = false;
    await after(30_000);
    // The first, and five of those that were wanted before it went away.
    expect(served).toHaveLength(6);
    expect(await after(60_000)).toHaveLength(1);
  });
});

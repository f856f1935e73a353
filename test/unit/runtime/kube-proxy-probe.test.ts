import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';

import { openKubeProxyProbe, type KubeProxyProbe } from '../../../src/runtime/services/kube-proxy-probe.ts';

const INTERVAL_MS = 5;

let server: Server | undefined;
let probe: KubeProxyProbe | undefined;
let asked = 0;

afterEach(async () => {
  probe?.close();
  await stop();
});

async function stop(): Promise<void> {
  if (server === undefined) return;
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  server = undefined;
}

/** Answers with these, the last one for ever. */
async function start(statuses: readonly number[], port = 0): Promise<number> {
  let count = 0;
  server = createServer((_, response) => {
    asked += 1;
    response.statusCode = statuses[Math.min(count, statuses.length - 1)] ?? 200;
    count += 1;
    response.end();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** What it says, one after the other. */
function watch(port: number): { next(): Promise<boolean> } {
  const said: boolean[] = [];
  const waiting: ((isHealthy: boolean) => void)[] = [];
  probe = openKubeProxyProbe({
    port,
    intervalMs: INTERVAL_MS,
    onChange: (isHealthy) => {
      const first = waiting.shift();
      if (first === undefined) said.push(isHealthy);
      else first(isHealthy);
    },
  });
  return {
    next: () => {
      const first = said.shift();
      return first === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(first);
    },
  };
}

describe("kube-proxy's health", () => {
  it('is bad with the third bad answer in a row, and good with the first good one', async () => {
    asked = 0;
    const said = watch(await start([200, 503, 503, 200, 503, 503, 503, 200]));
    expect(await said.next()).toBe(true);
    expect(await said.next()).toBe(false);
    expect(asked).toBe(7);
    expect(await said.next()).toBe(true);
  });

  it('is bad when nobody listens any more where somebody did, and good when somebody does again', async () => {
    const port = await start([200]);
    const said = watch(port);
    expect(await said.next()).toBe(true);
    await stop();
    expect(await said.next()).toBe(false);
    await start([200], port);
    expect(await said.next()).toBe(true);
  });

  it('is not known where nobody ever listened', async () => {
    const port = await start([200]);
    await stop();
    const said = watch(port);
    const silence = new Promise((resolve) => setTimeout(() => resolve('nothing'), INTERVAL_MS * 20));
    expect(await Promise.race([said.next(), silence])).toBe('nothing');
  });
});

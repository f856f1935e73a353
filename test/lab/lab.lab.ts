/** The lab itself: that what it says of a cluster is so. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { Capture } from './capture.ts';
import { nowMs, sleep } from './clock.ts';
import { HolderWatch } from './holders.ts';
import { Lab } from './lab.ts';
import { NETNS_FOLDER } from './namespace.ts';
import { startEcho, UdpProber } from './prober.ts';
import { waitFor } from './process.ts';

let lab: Lab;
let vips: readonly string[];
let holders: HolderWatch;
let capture: Capture;
let prober: UdpProber;

beforeAll(async () => {
  lab = new Lab({ prefix: 'hf-self' });
  vips = [lab.ipv4(50), lab.ipv6(50)];
  holders = new HolderWatch(lab, vips);
  capture = new Capture(lab);
  for (const node of lab.nodes) await startEcho(lab, node);
  prober = new UdpProber(lab, { targets: vips });
});
afterAll(async () => {
  holders.close();
  capture.close();
  await lab.close();
});

function address(action: 'add' | 'del', name: string): void {
  const lines = vips.map((vip) =>
    vip.includes(':')
      ? `addr ${action} ${vip}/128 dev eth0${action === 'add' ? ' nodad' : ''}`
      : `addr ${action} ${vip}/32 dev eth0`,
  );
  execFileSync('ip', ['-n', lab.node(name).namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Makes the client forget who it believed to have the addresses, as an announcement would. */
function forget(): void {
  execFileSync('ip', ['-n', lab.client.namespace, 'neigh', 'flush', 'all']);
}

test('an outage made by hand is measured, with who answered before and after, in both families', async () => {
  address('add', 'n1');
  await Promise.all(vips.map((vip) => prober.answered(vip, 0)));
  const startMs = nowMs();
  address('del', 'n1');
  await sleep(300);
  address('add', 'n2');
  forget();
  await Promise.all(vips.map((vip) => prober.answered(vip, nowMs())));
  const lastedMs = nowMs() - startMs;
  for (const vip of vips) {
    const { longestMs, outages, lost } = await prober.summary(vip, startMs);
    expect(longestMs).toBeGreaterThan(290);
    expect(longestMs).toBeLessThan(lastedMs + 1000);
    expect(lost).toBeGreaterThan(50);
    expect(outages[0]).toMatchObject({ from: 'n1', to: 'n2' });
    expect(holders.now(vip)).toEqual(['n2']);
    expect(holders.longestOverlapMs(vip, startMs)).toBe(0);
  }
});

test('two holders are seen by the kernels and on the wire, and not when one is apart', async () => {
  const startMs = nowMs();
  capture.ask(vips);
  address('add', 'n3');
  await sleep(200);
  address('del', 'n2');
  await holders.until((lists) => lists.every((list) => list.join() === 'n3'));
  for (const vip of vips) {
    expect(holders.longestOverlapMs(vip, startMs)).toBeGreaterThan(150);
    expect(holders.longestOverlapMs(vip, startMs, ['n2'])).toBe(0);
    expect(capture.longestSharedMs(vip, startMs)).toBeGreaterThan(100);
    expect(capture.longestSharedMs(vip, startMs, ['n2'])).toBe(0);
  }
});

test('a cut keeps the carrier, a pulled cable takes it, and healing brings both back', async () => {
  const node = lab.node('n3');
  const carrier = (): boolean =>
    execFileSync('ip', ['-n', node.namespace, 'link', 'show', 'eth0'], { encoding: 'utf8' }).includes('LOWER_UP');
  const [vip = ''] = vips;
  const answers = async (): Promise<boolean> => (await prober.summary(vip, nowMs() - 60, nowMs())).lost === 0;
  for (const [sever, keepsCarrier] of [
    [() => lab.cut(node), true],
    [() => lab.unplug(node), false],
  ] as const) {
    sever();
    expect(carrier()).toBe(keepsCarrier);
    await sleep(150);
    expect(prober.answeringNow(vip)).toBeUndefined();
    lab.heal(node);
    expect(carrier()).toBe(true);
    const healedMs = nowMs();
    forget();
    await prober.answered(vip, healedMs);
    await waitFor('a steady answer', answers, { everyMs: 50 });
  }
});

test('isolated nodes reach everybody but each other', async () => {
  const [a, b, c] = [lab.node('n1'), lab.node('n2'), lab.node('n3')];
  const reaches = (from: typeof a, to: typeof a): boolean => {
    // A neighbour's answer is all that is asked: bash opens a TCP connection that nobody listens to.
    const script = `exec 3<>/dev/tcp/${to.ipv4}/9`;
    try {
      const argv = [`--net=${NETNS_FOLDER}/${from.namespace}`, 'timeout', '1', 'bash', '-c', script];
      execFileSync('nsenter', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
      return true;
    } catch (error) {
      return String(error).includes('Connection refused');
    }
  };
  lab.isolate([a, b]);
  expect([reaches(a, b), reaches(a, c), reaches(b, c)]).toEqual([false, true, true]);
  lab.isolate([a, b], false);
  // A failed neighbour is asked for anew only after a while.
  await waitFor('a way from n1 to n2', () => reaches(a, b));
});

test('power off takes the processes and the addresses; power on gives the same hardware address', async () => {
  const node = lab.node('n3');
  const sleeper = lab.spawn(node, ['sleep', '1000']);
  await lab.powerOff(node);
  expect(sleeper.end).toMatchObject({ signal: 'SIGKILL' });
  for (const vip of vips) expect(holders.now(vip)).toEqual([]);
  lab.heal(node);
  const link = execFileSync('ip', ['-n', node.namespace, 'link', 'show', 'eth0'], { encoding: 'utf8' });
  expect(link).toContain(node.mac);
  expect(lab.addresses(node).map((entry) => entry.address)).toContain(node.ipv4);
});

test('what a killed lab left behind is removed by the next one, and a living lab is left alone', async () => {
  const script = `
    import { Lab } from ${JSON.stringify(join(import.meta.dirname, 'lab.ts'))};
    const lab = new Lab({ prefix: 'hf-stale', nodes: 1 });
    lab.spawn(lab.nodes[0], ['sleep', '1000']);
    console.log('up');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const left = (): readonly string[] => readdirSync(NETNS_FOLDER).filter((name) => name.startsWith('hf-stale-'));
  expect(left()).toHaveLength(3);
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  expect(left()).toHaveLength(3);
  const next = new Lab({ prefix: 'hf-next', nodes: 1 });
  expect(left()).toEqual([]);
  expect(readdirSync(NETNS_FOLDER)).toContain(lab.switchNamespace);
  await next.close();
  expect(readdirSync(NETNS_FOLDER).filter((name) => name.startsWith('hf-next-'))).toEqual([]);
});

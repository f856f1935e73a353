/**
 * client-go's LeaderElector (what kube-vip and Kubernetes' own components elect with) as a peer on the same Lease, on a
 * real API: whoever of the two kinds has it, the other follows, and there is no moment at which the peer leads while a
 * virtual IP is held.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { KUBERNETES_VERSION, provideAsset } from '../../scripts/assets.ts';
import { nowMs, sleep } from '../lab/clock.ts';
import { Cluster } from '../lab/cluster.ts';
import type { LabNode } from '../lab/lab.ts';
import { waitFor, type LabProcess } from '../lab/process.ts';

/** Lease duration of both kinds, ms: 5/3/1 s. */
const LEASE_MS = 5000;

interface Span {
  readonly fromMs: number;
  toMs: number;
}

/** A client-go candidate, and the times in which it believes to lead. */
class Peer {
  readonly program: LabProcess;
  readonly leading: Span[] = [];

  constructor(cluster: Cluster, node: LabNode, binary: string) {
    const real = cluster.realApi();
    const argv = ['-kubeconfig', real.superAdminConf(node.name), '-server', real.url(node.name)];
    this.program = cluster.lab.spawn(node, [binary, ...argv, '-identity', `client-go@${node.name}`], {
      name: `client-go@${node.name}`,
      onLine: ({ text, atMs }) => {
        if (/"event":"started"/.test(text)) this.leading.push({ fromMs: atMs, toMs: Number.POSITIVE_INFINITY });
        if (/"event":"stopped"/.test(text)) this.#close(atMs);
      },
    });
  }

  get isLeading(): boolean {
    return this.leading.at(-1)?.toMs === Number.POSITIVE_INFINITY;
  }

  /** Ends it at once; from then on it leads nothing. */
  async kill(): Promise<void> {
    this.program.kill('SIGKILL');
    this.#close(nowMs());
    await this.program.ended;
  }

  async leads(deadlineMs = 20_000): Promise<void> {
    await waitFor(`${this.program.name} to lead`, () => this.isLeading, { deadlineMs, everyMs: 5 });
  }

  #close(atMs: number): void {
    const last = this.leading.at(-1);
    if (last !== undefined && last.toMs === Number.POSITIVE_INFINITY) last.toMs = atMs;
  }
}

describe.each([[['ipv4', 'ipv6'] as const], [['ipv6'] as const]])('client-go on the same Lease, %s', (families) => {
  let cluster: Cluster;
  let binary: string;
  const peers: Peer[] = [];
  const start = (node: LabNode): Peer => {
    const peer = new Peer(cluster, node, binary);
    peers.push(peer);
    return peer;
  };
  const held = (): boolean => cluster.vips.some((vip) => cluster.holders.now(vip).length > 0);

  beforeAll(async () => {
    console.log(`client-go v0${KUBERNETES_VERSION.slice(1)}`);
    binary = await provideAsset('client-go-peer');
    cluster = await Cluster.create({ api: 'real', families });
  });
  afterAll(async () => {
    await cluster.close();
  });

  /** Every time a virtual IP was held while a peer led, ms; the tests end with asking it. */
  const sharedMs = (): number => {
    let longest = 0;
    for (const vip of cluster.vips) {
      const changes = cluster.holders.since(vip, 0);
      for (const [index, change] of changes.entries()) {
        if (change.holders.length === 0) continue;
        const untilMs = changes[index + 1]?.atMs ?? nowMs();
        for (const span of peers.flatMap((peer) => peer.leading)) {
          longest = Math.max(longest, Math.min(untilMs, span.toMs) - Math.max(change.atMs, span.fromMs));
        }
      }
    }
    return longest;
  };

  test('Holdfast follows a client-go leader, and takes over as soon as that releases the Lease', async () => {
    const [first, ...others] = cluster.lab.nodes;
    if (first === undefined) throw new Error('no nodes');
    const peer = start(first);
    await peer.leads();
    for (const node of others) await cluster.startCandidate(node);
    // Longer than a Lease, so that one who didn't honour renewals would have taken it.
    await sleep(LEASE_MS + 1500);
    expect(held()).toBe(false);
    expect(peer.isLeading).toBe(true);
    peer.program.kill('SIGTERM');
    const stoppedMs = nowMs();
    await cluster.settled();
    expect(nowMs() - stoppedMs).toBeLessThan(10_000);
    await peer.program.ended;
    expect(sharedMs()).toBe(0);
  });

  test('a client-go candidate follows Holdfast, and leads once Holdfast lets go', async () => {
    const [first, ...others] = cluster.lab.nodes;
    if (first === undefined) throw new Error('no nodes');
    const peer = start(first);
    await peer.program.waitForLine(/"event":"observed"/);
    await sleep(LEASE_MS + 1500);
    expect(peer.isLeading).toBe(false);
    expect(held()).toBe(true);
    for (const node of others) cluster.manager(node).kill('SIGTERM');
    await peer.leads();
    expect(held()).toBe(false);
    expect(sharedMs()).toBe(0);
  });

  test('a client-go leader that dies is waited for, until its Lease has run out', async () => {
    for (const node of cluster.lab.nodes.slice(1)) await cluster.startCandidate(node);
    const peer = peers.at(-1);
    expect(peer?.isLeading).toBe(true);
    await peer?.kill();
    const killedMs = nowMs();
    await cluster.settled();
    const tookMs = nowMs() - killedMs;
    // Its last renewal was up to a retry period ago when it was killed.
    expect(tookMs).toBeGreaterThan(LEASE_MS - 1500);
    expect(tookMs).toBeLessThan(LEASE_MS + 15_000);
    expect(sharedMs()).toBe(0);
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    '%s of the holder: its addresses are gone before client-go leads',
    async (signal) => {
      const holder = await cluster.settled();
      const [candidate] = cluster.lab.nodes;
      if (candidate === undefined) throw new Error('no nodes');
      const peer = start(candidate);
      await peer.program.waitForLine(/"event":"observed"/);
      // The other Holdfast goes first, so that only client-go is left to take over.
      for (const node of cluster.lab.nodes.slice(1)) {
        if (node !== holder && cluster.manager(node).isRunning) await cluster.manager(node).stop();
      }
      cluster.manager(holder).kill(signal);
      await peer.leads();
      expect(held()).toBe(false);
      cluster.manager(holder).thaw();
      await sleep(1500);
      expect(held(), 'one that was frozen finds its tenure gone').toBe(false);
      expect(peer.isLeading).toBe(true);
      for (const node of cluster.lab.nodes.slice(1)) {
        if (!cluster.manager(node).isRunning) await cluster.startCandidate(node);
      }
      peer.program.kill('SIGTERM');
      await cluster.settled();
      await peer.program.ended;
      expect(sharedMs()).toBe(0);
    },
  );
});

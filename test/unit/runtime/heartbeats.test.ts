import { createHmac } from 'node:crypto';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { SILENT_LOG } from '../../../src/observe/log.ts';
import { openHeartbeats } from '../../../src/runtime/heartbeats.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { hex } from '../../vectors/neighbor/vectors.ts';
import { until } from '../kube/scripted-api.ts';
import { beat, BEAT, CLUSTER, introduce, KEY, KEY_2, station, voter, type Station } from './station.ts';
import { freeUdpPort, openMiddleman, type Middleman } from './udp.ts';

describe('two nodes', () => {
  it('hear each other once each has shown that it hears the other', async () => {
    const [a, b] = [await station('n1'), await station('n2')];
    await beat(a, b);
    expect([b.heard.length, b.drops]).toEqual([0, ['unproven-yet']]);
    await beat(b, a);
    expect(a.heard).toEqual([{ ...BEAT, sender: 'n2', incarnation: b.beats.incarnation, sequence: 1 }]);
    await beat(a, b);
    expect(b.heard).toEqual([{ ...BEAT, sender: 'n1', incarnation: a.beats.incarnation, sequence: 2 }]);
    expect([...a.lines, ...b.lines]).toEqual([]);
  });

  it('carry everything that a heartbeat says', async () => {
    const [a, b] = [await station('n1'), await station('n2')];
    await introduce(a, b);
    const said = {
      ...BEAT,
      epoch: 9,
      hears: 0x1ff,
      supports: 8,
      term: 77,
      isDraining: true,
      isHolding: true,
      isLeading: true,
      isProvisional: false,
      misses: [],
      intervalMs: 100,
      priority: 255,
    };
    a.beats.send([voter(b)], said);
    await until(() => b.heard.length === 1, 'a heartbeat');
    expect(b.heard[0]).toMatchObject(said);
  });

  it('use both families, and the copy over the other one is silent', async () => {
    const [a, b] = [await station('n1'), await station('n2')];
    await introduce(a, b);
    for (let count = 0; count < 5; count += 1) a.beats.send([voter(b, ['::1', '127.0.0.1', '127.0.0.2'])], BEAT);
    await until(() => b.heard.length === 5, 'five heartbeats');
    a.beats.send([voter(b, ['::1'])], BEAT);
    await until(() => b.heard.length === 6, 'one over IPv6 alone');
    expect([b.drops, b.lines]).toEqual([[], []]);
  });

  it('say nothing before key and cluster id are known', async () => {
    const a = await station('n1');
    const middleman = await openMiddleman();
    onTestFinished(() => middleman.close());
    const late = openHeartbeats({
      netfd: loadNetfd(),
      self: 'n3',
      port: await freeUdpPort(),
      silentAfterMs: 300,
      log: SILENT_LOG,
      onHeartbeat: () => undefined,
      onDrop: () => undefined,
      ownPrefixes: () => [],
    });
    onTestFinished(() => late.close());
    const to = [{ name: 'x', addresses: ['127.0.0.1'], port: middleman.port }];
    late.send(to, BEAT);
    late.setKeys([KEY]);
    late.send(to, BEAT);
    expect(late.isReady).toBe(false);
    late.setClusterId(CLUSTER);
    expect(late.isReady).toBe(true);
    a.beats.send(to, BEAT);
    await until(() => middleman.seen.length === 1, "n1's heartbeat alone");
  });

  it('find each other again after one was started over, and what was recorded of its former run proves nothing', async () => {
    const a = await station('n1');
    const b = await station('n2');
    const middleman = await openMiddleman();
    onTestFinished(() => middleman.close());
    await introduce(a, b);
    middleman.onDatagram = (datagram) => middleman.send(datagram, b.port);
    await beat(a, b, middleman.port);
    await until(() => b.heard.length === 1, 'the relayed heartbeat');
    const recorded = [...middleman.seen];
    a.beats.close();
    const again = await station('n1', { port: a.port });
    await introduce(again, b);
    for (const datagram of recorded) middleman.send(datagram, b.port);
    await until(() => b.drops.length === recorded.length, 'the replays');
    expect([b.heard.length, b.drops]).toEqual([0, ['replayed']]);
    expect(b.lines).toMatchObject([{ reason: 'replayed', peer: 'n1', count: 1 }]);
    await beat(again, b);
    expect(b.heard.length).toBe(1);
  });
});

describe('a datagram that says nothing of now', () => {
  let [a, b]: [Station, Station] = [undefined as never, undefined as never];
  let middleman: Middleman = undefined as never;

  /** One datagram of a's that has not reached b. */
  async function intercept(): Promise<Uint8Array> {
    const before = middleman.seen.length;
    await beat(a, b, middleman.port);
    await until(() => middleman.seen.length > before, 'a datagram in the middle');
    return middleman.seen.at(-1) ?? new Uint8Array(0);
  }

  async function deliver(datagram: Uint8Array): Promise<void> {
    const before = b.drops.length + b.heard.length;
    middleman.send(datagram, b.port);
    await until(() => b.drops.length + b.heard.length > before, 'an arrival');
  }

  beforeEach(async () => {
    [a, b] = [await station('n1'), await station('n2')];
    middleman = await openMiddleman();
    onTestFinished(() => middleman.close());
    await introduce(a, b);
  });

  it('is dropped when it is forged, whichever octet was changed', async () => {
    const datagram = await intercept();
    const reasons = new Set<string>();
    for (let offset = 0; offset < datagram.length; offset += 1) {
      const forged = Uint8Array.from(datagram);
      forged[offset] = (forged[offset] ?? 0) ^ 0x01;
      await deliver(forged);
      reasons.add(b.drops.at(-1) ?? '');
    }
    expect(b.heard).toEqual([]);
    expect(b.drops.length).toBe(datagram.length);
    // A name that seems longer has the tag's octets read as lengths: what comes of that is up to the tag.
    reasons.delete('bad-length');
    expect([...reasons].sort()).toEqual(
      ['bad-version', 'forged', 'foreign-cluster', 'not-heartbeat', 'truncated', 'unknown-key'].sort(),
    );
    await deliver(datagram);
    expect(b.heard.length).toBe(1);
  });

  it('is dropped when it was heard before, or overtaken long ago', async () => {
    const first = await intercept();
    await deliver(first);
    expect(b.heard.length).toBe(1);
    await deliver(first);
    expect(b.drops).toEqual(['replayed']);
    const old = await intercept();
    for (let count = 0; count < 70; count += 1) await beat(a, b);
    await deliver(old);
    expect([b.heard.length, b.drops]).toEqual([71, ['replayed', 'replayed']]);
    expect(b.lines).toEqual([
      { component: 'heartbeat', peer: 'n1', reason: 'replayed', count: 1, meaning: expect.any(String) as string },
    ]);
  });

  it('is silent when it was only overtaken by a few', async () => {
    const late = await intercept();
    await beat(a, b);
    middleman.send(late, b.port);
    await beat(a, b);
    await beat(a, b);
    expect([b.heard.map((one) => one.sequence), b.drops]).toEqual([[4, 5, 6], []]);
  });

  it('is dropped when it is cut, of a later version, or something else', async () => {
    const datagram = await intercept();
    await deliver(datagram.subarray(0, 60));
    await deliver(Uint8Array.from([...datagram.subarray(0, 4), 3, 3, 3, ...datagram.subarray(7)]));
    await deliver(new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'));
    await deliver(new Uint8Array(2000));
    expect(b.drops).toEqual(['truncated', 'future-version', 'not-heartbeat', 'oversized']);
    expect(b.lines.map((line) => [line.reason, line.peer])).toEqual(b.drops.map((reason) => [reason, '127.0.0.1']));
  });

  it('is dropped when it is of another cluster, or under another key', async () => {
    const foreign = await station('n1', { cluster: 'ffffffff-89ab-cdef-0123-456789abcdef' });
    const keyed = await station('n1', { key: KEY_2 });
    await beat(foreign, b);
    await beat(keyed, b);
    expect(b.drops).toEqual(['foreign-cluster', 'unknown-key']);
  });

  it('is dropped when it has waited for longer than silence takes', async () => {
    const hasty = await station('n3', { silentAfterMs: -1 });
    await beat(a, hasty);
    expect([hasty.heard, hasty.drops]).toEqual([[], ['stale']]);
  });

  it('is dropped when it names this very node', async () => {
    await beat(await station('n2'), b);
    expect(b.drops).toEqual(['duplicate-name']);
    b.beats.send([voter(b)], BEAT);
    await until(() => b.drops.length === 2, 'its own heartbeat');
    expect(b.drops).toEqual(['duplicate-name', 'reflected']);
    expect(b.lines.map((line) => line.reason)).toEqual(['duplicate-name']);
  });

  it('is told of when it goes on proving nothing', async () => {
    const deaf = await station('n9');
    for (let count = 0; count < 60; count += 1) await beat(deaf, b);
    expect(b.drops.filter((reason) => reason === 'unproven-yet').length).toBe(50);
    expect(b.lines.map((line) => [line.reason, line.peer])).toEqual([['unproven', 'n9']]);
  });

  it('from an echo that is no longer recent proves nothing', async () => {
    const restarted = await station('n1');
    const hold = await openMiddleman();
    onTestFinished(() => hold.close());
    await beat(restarted, b);
    await beat(b, restarted);
    await beat(restarted, b, hold.port);
    await until(() => hold.seen.length === 1, 'the proof, held back');
    for (let count = 0; count < 50; count += 1) b.beats.send([voter(a)], BEAT);
    const before = [b.heard.length, b.drops.length];
    hold.send(hold.seen[0] ?? new Uint8Array(0), b.port);
    await until(() => b.heard.length + b.drops.length > before.reduce((sum, each) => sum + each), 'the late proof');
    expect([b.heard.length, b.drops.length, b.drops.at(-1)]).toEqual([before[0], (before[1] ?? 0) + 1, 'unproven-yet']);
  });
});

describe('a peer of a later version that still reads ours', () => {
  it('is understood, and answered in the version that both read', async () => {
    const b = await station('n2');
    const future = await openMiddleman();
    onTestFinished(() => future.close());
    // Version 1, by hand, from a sender that reads versions 1 to 3.
    const own = (sequence: number, echo: Uint8Array): Uint8Array => {
      const covered = Buffer.concat([
        hex('48466862 01 01 03 03'),
        Buffer.from(CLUSTER.replaceAll('-', ''), 'hex'),
        hex('1122334455667788'),
        Buffer.from([0, 0, 0, sequence]),
        echo,
        hex('00000001 0003 ff 64 00000004'),
        // sha256 of thirty-two octets 01, by sha256sum: 72cd6e84…
        hex('72cd6e84'),
        hex('02'),
        Buffer.from('n7'),
      ]);
      return Buffer.concat([covered, createHmac('sha256', KEY).update(covered).digest()]);
    };
    future.send(own(1, new Uint8Array(8)), b.port);
    await until(() => b.drops.length === 1, 'its first heartbeat');
    expect(b.drops).toEqual(['unproven-yet']);
    b.beats.send([{ name: 'n7', addresses: ['127.0.0.1'], port: future.port }], BEAT);
    await until(() => future.seen.length === 1, 'an answer');
    const answer = future.seen[0] ?? new Uint8Array(0);
    expect([...answer.subarray(4, 7)]).toEqual([2, 1, 2]);
    // The answer echoes it: first half of its incarnation, and its number.
    expect(answer.subarray(36, 44)).toEqual(hex('11223344 00000001'));
    future.send(own(2, Buffer.concat([answer.subarray(24, 28), answer.subarray(32, 36)])), b.port);
    await until(() => b.heard.length === 1, 'its second heartbeat');
    expect(b.heard[0]).toMatchObject({ sender: 'n7', incarnation: '1122334455667788', sequence: 2 });
  });
});

describe('a flood', () => {
  it('of forged datagrams from many addresses is counted in full and told in a few lines', async () => {
    const b = await station('n2');
    const middleman = await openMiddleman();
    onTestFinished(() => middleman.close());
    for (let count = 0; count < 40; count += 1) {
      const before = b.drops.length;
      middleman.send(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, count), b.port);
      await until(() => b.drops.length > before, 'an arrival');
    }
    expect([b.drops.length, b.lines.length]).toEqual([40, 1]);
    b.later = 61_000;
    middleman.send(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), b.port);
    await until(() => b.lines.length === 2, 'a second line');
    expect(b.lines[1]).toMatchObject({ reason: 'not-heartbeat', peer: '127.0.0.1', count: 40 });
  });
});

describe('a key that changes', () => {
  it('costs no heartbeat, whoever sees it first', async () => {
    const [a, b] = [await station('n1'), await station('n2')];
    await introduce(a, b);
    const exchange = async (): Promise<void> => {
      const before = [a.heard.length, b.heard.length];
      await beat(a, b);
      await beat(b, a);
      expect([a.heard.length, b.heard.length]).toEqual(before.map((count) => count + 1));
    };
    a.beats.setKeys([KEY_2, KEY]);
    await exchange();
    a.later = 9000;
    await exchange();
    b.beats.setKeys([KEY_2, KEY]);
    a.later = 11_000;
    await exchange();
    b.later = 11_000;
    await exchange();
    for (const one of [a, b]) one.beats.setKeys([KEY_2]);
    await exchange();
    for (const one of [a, b]) one.later = 60_000;
    await exchange();
    expect([a.drops, b.drops]).toEqual([[], []]);
    await beat(await station('n3'), b);
    expect(b.drops).toEqual(['unknown-key']);
  });
});

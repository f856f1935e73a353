/** Questions between two nodes over real sockets: who is answered, who isn't, and what a recorded question is worth. */

import { createHmac } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';

import { SILENT_LOG } from '../../../src/observe/log.ts';
import { decodeHeartbeat } from '../../../src/protocol/heartbeat/heartbeat.ts';
import { encodeInquiry, isInquiry, type InquiryReply, type Question } from '../../../src/protocol/heartbeat/inquiry.ts';
import { openHeartbeats } from '../../../src/runtime/heartbeats.ts';
import { ANSWER_TIMEOUT_MS } from '../../../src/runtime/inquiries.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { hex } from '../../vectors/neighbor/vectors.ts';
import { ip } from '../base/values.ts';
import { until } from '../kube/scripted-api.ts';
import { beat, BEAT, CLUSTER, introduce, KEY, SILENT_AFTER_MS, station, voter, type Station } from './station.ts';
import { freeUdpPort, openMiddleman, type Middleman } from './udp.ts';

const QUESTION: Question = { subject: 'wire', address: ip('192.0.2.10') };
function notHeld(): Promise<InquiryReply> {
  return Promise.resolve({ kind: 'not-held' });
}

/** Stands between a and b: a sends to it what it would send to b. */
async function between(a: Station): Promise<Middleman> {
  const middleman = await openMiddleman();
  onTestFinished(() => middleman.close());
  a.beats.send([{ name: 'n2', addresses: ['127.0.0.1'], port: middleman.port }], BEAT);
  await until(() => middleman.seen.length === 1, 'a heartbeat on its way');
  return middleman;
}

describe('a node that is heard', () => {
  it('is asked, and what it says comes back', async () => {
    const reply: InquiryReply = { kind: 'unaskable', reason: 'no-carrier', interfaceName: 'eth0' };
    const [a, b] = [
      await station('n1', { answer: notHeld }),
      await station('n2', { answer: () => Promise.resolve(reply) }),
    ];
    await introduce(a, b);
    expect(await a.beats.inquire('n2', QUESTION)).toEqual({ ok: true, reply });
    expect(b.asked).toEqual([QUESTION]);
    expect(await b.beats.inquire('n1', QUESTION)).toEqual({ ok: true, reply: { kind: 'not-held' } });
    expect([a.drops, b.drops]).toEqual([[], []]);
  });

  it('answers several questions at once, each with its own', async () => {
    const b = await station('n2', {
      answer: ({ address }) => {
        const afterMicros = address.bytes.at(-1) ?? 0;
        const { promise, resolve } = Promise.withResolvers<InquiryReply>();
        const reply = { kind: 'refused', reason: afterMicros % 2 === 0 ? 'busy' : 'not-ours' } as const;
        setTimeout(() => resolve(reply), 20 - afterMicros);
        return promise;
      },
    });
    const a = await station('n1', { answer: notHeld });
    await introduce(a, b);
    const hosts = [1, 2, 3, 4, 5, 6];
    const answers = await Promise.all(
      hosts.map((host) => a.beats.inquire('n2', { subject: 'wire', address: ip(`192.0.2.${host}`) })),
    );
    expect(answers.map((each) => (each.ok && each.reply.kind === 'refused' ? each.reply.reason : ''))).toEqual(
      hosts.map((host) => (host % 2 === 0 ? 'busy' : 'not-ours')),
    );
  });

  it('is not asked when its heartbeats do not say that it answers: it is of an earlier version', async () => {
    const [a, b] = [await station('n1', { answer: notHeld }), await station('n2')];
    await introduce(a, b);
    const seen = b.drops.length;
    expect(await a.beats.inquire('n2', QUESTION)).toEqual({ ok: false, reason: 'unable' });
    await beat(a, b);
    expect(b.drops.length).toBe(seen);
  });

  it('is not asked any more once it is silent', async () => {
    const usual = { answer: notHeld, silentAfterMs: 2_000 };
    const [a, b] = [await station('n1', usual), await station('n2', usual)];
    await introduce(a, b);
    // Heard each 300 ms or each 3 s: those without a vote speak seldom.
    a.later = 2_500;
    expect(await a.beats.inquire('n2', QUESTION)).toEqual({ ok: true, reply: { kind: 'not-held' } });
    a.later = 3_500;
    expect(await a.beats.inquire('n2', QUESTION)).toEqual({ ok: false, reason: 'unheard' });
    expect(await a.beats.inquire('n9', QUESTION)).toEqual({ ok: false, reason: 'unheard' });
  });

  it('and says nothing is waited for no longer than the time for it', async () => {
    const [a, b] = [
      await station('n1', { answer: notHeld }),
      await station('n2', { answer: () => new Promise(() => {}) }),
    ];
    await introduce(a, b);
    const from = performance.now();
    expect(await a.beats.inquire('n2', QUESTION)).toEqual({ ok: false, reason: 'no-answer' });
    expect(performance.now() - from).toBeGreaterThan(ANSWER_TIMEOUT_MS - 50);
  });
});

describe('a question', () => {
  it('is nothing without a key', async () => {
    const beats = openHeartbeats({
      netfd: loadNetfd(),
      self: 'n1',
      port: await freeUdpPort(),
      silentAfterMs: 2_000,
      log: SILENT_LOG,
      onHeartbeat: () => {},
      onDrop: () => {},
      ownPrefixes: () => [],
    });
    onTestFinished(() => beats.close());
    expect(await beats.inquire('n2', QUESTION)).toEqual({ ok: false, reason: 'not-ready' });
  });

  it('that was recorded is answered once, and its octets changed not at all', async () => {
    const [a, b] = [await station('n1', { answer: notHeld }), await station('n2', { answer: notHeld })];
    await introduce(a, b);
    const middleman = await between(a);
    void a.beats.inquire('n2', QUESTION);
    await until(() => middleman.seen.length === 2, 'the question on its way');
    const recorded = middleman.seen[1] ?? new Uint8Array(0);
    expect(isInquiry(recorded)).toBe(true);
    middleman.send(recorded, b.port);
    await until(() => b.asked.length === 1, 'the question');
    middleman.send(recorded, b.port);
    for (const [offset, reason] of [
      [60, 'forged'],
      [6, 'foreign-cluster'],
      [42, 'unknown-key'],
      [4, 'inquiry-other-version'],
    ] as const) {
      const copy = Uint8Array.from(recorded);
      copy[offset] = (copy[offset] ?? 0) ^ 1;
      middleman.send(copy, b.port);
      await until(() => b.drops.includes(reason), reason);
    }
    expect(b.asked.length).toBe(1);
  });

  it('that was held back until what it echoes is old proves nothing', async () => {
    const [a, b] = [await station('n1', { answer: notHeld }), await station('n2', { answer: notHeld })];
    await introduce(a, b);
    const middleman = await between(a);
    void a.beats.inquire('n2', QUESTION);
    await until(() => middleman.seen.length === 2, 'the question on its way');
    for (let count = 0; count < 60; count += 1) b.beats.send([voter(a)], BEAT);
    middleman.send(middleman.seen[1] ?? new Uint8Array(0), b.port);
    await until(() => b.drops.includes('inquiry-unproven'), 'a refusal');
    expect(b.asked).toEqual([]);
  });

  it('of a run that has not proved itself is not answered', async () => {
    const [a, b] = [await station('n1', { answer: notHeld }), await station('n2', { answer: notHeld })];
    await introduce(a, b);
    const again = await station('n1', { answer: notHeld });
    // It has heard b, which has not heard its echo: two datagrams, for b takes turns in whom it echoes.
    await beat(again, b);
    b.later = SILENT_AFTER_MS + 500;
    for (let count = 0; count < 2; count += 1) b.beats.send([voter(again)], BEAT);
    await until(() => again.heard.length > 0, 'b');
    const middleman = await between(again);
    void again.beats.inquire('n2', QUESTION);
    await until(() => middleman.seen.length === 2, 'the question on its way');
    middleman.send(middleman.seen[1] ?? new Uint8Array(0), b.port);
    await until(() => b.drops.includes('inquiry-unproven'), 'a refusal');
    expect(b.asked).toEqual([]);
  });

  it.each([
    ['somebody else who was not asked', 'n3', 'n3', 0, 'inquiry-unasked'],
    ['another run of who was asked', 'n2', 'n3', 0, 'inquiry-unproven'],
    ['what was meant for another run of who asks', 'n2', 'n2', 1, 'inquiry-unasked'],
  ] as const)('is not answered by %s, though it has the key', async (_, sender, incarnationOf, echoChange, reason) => {
    const [a, b, c] = [
      await station('n1', { answer: notHeld }),
      await station('n2', { answer: () => new Promise(() => {}) }),
      await station('n3', { answer: notHeld }),
    ];
    await introduce(a, b);
    await introduce(a, c);
    await beat(a, b);
    const inquired = a.beats.inquire('n3', QUESTION);
    expect((await inquired).ok).toBe(true);
    a.beats.send([voter(b)], BEAT);
    const open = a.beats.inquire('n2', QUESTION);
    await until(() => b.asked.length === 1, 'the question');
    const covered = encodeInquiry({
      clusterId: hex(CLUSTER.replaceAll('-', '')),
      incarnation: hex((incarnationOf === 'n3' ? c : b).beats.incarnation),
      number: 2,
      echoIncarnation: (Number.parseInt(a.beats.incarnation.slice(0, 8), 16) ^ echoChange) >>> 0,
      echoSequence: 1,
      // sha256 of thirty-two octets 01, by sha256sum: 72cd6e84…
      keyId: 0x72cd6e84,
      sender,
      body: { kind: 'answer', address: QUESTION.address, reply: { kind: 'not-held' } },
    });
    const middleman = await openMiddleman();
    onTestFinished(() => middleman.close());
    middleman.send(Buffer.concat([covered, createHmac('sha256', KEY).update(covered).digest()]), a.port);
    await until(() => a.drops.includes(reason), reason);
    expect(await open).toEqual({ ok: false, reason: 'no-answer' });
  });

  it('as an answer to nothing asked changes nothing', async () => {
    const [a, b] = [await station('n1', { answer: notHeld }), await station('n2', { answer: notHeld })];
    await introduce(a, b);
    const middleman = await between(a);
    void a.beats.inquire('n2', QUESTION);
    await until(() => middleman.seen.length === 2, 'the question on its way');
    // a's own question, come back to it.
    middleman.send(middleman.seen[1] ?? new Uint8Array(0), a.port);
    await until(() => a.drops.includes('reflected'), 'a refusal');
    expect(a.asked).toEqual([]);
  });
});

it('a heartbeat says that its sender answers, and an older node reads the rest of it', async () => {
  const a = await station('n1', { answer: notHeld });
  const middleman = await between(a);
  const decoded = decodeHeartbeat(middleman.seen[0] ?? new Uint8Array(0));
  expect(decoded).toMatchObject({ ok: true, value: { beat: { version: 1, isAnswering: true, isEligible: true } } });
});

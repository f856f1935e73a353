/** What a node says about an address: what it holds, or what the wire says; of whose addresses, and how often. */

import { describe, expect, it } from 'vitest';

import type { InquiryReply } from '../../../src/protocol/heartbeat/inquiry.ts';
import type { AskingPlace } from '../../../src/runtime/asking-place.ts';
import { openWitness, QUESTIONS_PER_SECOND, type Witness } from '../../../src/runtime/witness.ts';
import { BURST_OFFSETS_MS } from '../../../src/vip/vip.ts';
import { ipOf } from '../../sim/kernel.ts';
import { dutyOf, OTHER_MAC, S4, ServiceScript } from '../agent/services-script.ts';
import { NODE_MAC, NodeScript, VIP4 } from '../agent/script.ts';

const SILENCE: InquiryReply = {
  kind: 'wire',
  interfaceName: 'eth0',
  mac: OTHER_MAC,
  listenedMs: 700,
  heard: [],
  otherMacs: [],
};

interface Stand {
  readonly witness: Witness;
  readonly asked: (AskingPlace & { readonly address: string })[];
  /** Milliseconds added to its clock. */
  readonly clock: { later: number };
}

function stand(node: NodeScript, isKubeProxyHealthy?: boolean): Stand {
  const asked: (AskingPlace & { readonly address: string })[] = [];
  const clock = { later: 0 };
  const witness = openWitness({
    rules: node.rules,
    state: () => node.state,
    isKubeProxyHealthy: () => isKubeProxyHealthy,
    askWire: (place, address) => {
      asked.push({ ...place, address: address.text });
      return Promise.resolve(SILENCE);
    },
    now: () => node.now + clock.later,
  });
  return { witness, asked, clock };
}

/** Node a with one address of a Service, whose owners come in this order. */
function serving(order: readonly string[]): ServiceScript {
  const node = new ServiceScript().ready();
  node.duty(node.now, [dutyOf(S4, order)]);
  node.go(5_000);
  return node;
}

describe('a witness', () => {
  it('that holds the address says on which interface, since when, and how often it has announced it', async () => {
    const node = serving(['a', 'b']);
    const { witness, asked } = stand(node, true);
    const said = await witness({ subject: 'holding', address: ipOf(S4) });
    expect(said).toMatchObject({
      kind: 'held',
      phase: 'holding',
      interfaceName: 'eth0',
      mac: NODE_MAC,
      sinceSeconds: 4,
      announcements: BURST_OFFSETS_MS.length,
      rival: undefined,
      isKubeProxyHealthy: true,
    });
    // Asked for the wire it says the same: it would only ask itself.
    expect(await witness({ subject: 'wire', address: ipOf(S4) })).toEqual(said);
    expect(asked).toEqual([]);
  });

  it('names a rival that it has told of', async () => {
    const node = serving(['a', 'b']);
    node.use(node.now, S4);
    node.use(node.now + 10, S4);
    const said = await stand(node).witness({ subject: 'holding', address: ipOf(S4) });
    expect(said).toMatchObject({ kind: 'held', rival: OTHER_MAC });
  });

  it('that does not hold it asks the wire, from an address of its own on the interface', async () => {
    const node = serving(['b', 'a']);
    const { witness, asked } = stand(node);
    expect(await witness({ subject: 'holding', address: ipOf(S4) })).toEqual({ kind: 'not-held' });
    expect(await witness({ subject: 'wire', address: ipOf(S4) })).toEqual(SILENCE);
    expect(asked).toMatchObject([
      { address: S4, interfaceName: 'eth0', source: { text: '192.0.2.1' }, mac: { text: NODE_MAC.text } },
    ]);
  });

  it('says why it cannot ask', async () => {
    const node = serving(['b', 'a']);
    const eth0 = node.kernel.links.get(2);
    if (eth0 === undefined) throw new Error('no eth0');
    node.at(node.now, { kind: 'kernel.changed', change: { kind: 'link', link: { ...eth0, hasCarrier: false } } });
    const { witness, asked } = stand(node);
    expect(await witness({ subject: 'wire', address: ipOf(S4) })).toEqual({
      kind: 'unaskable',
      reason: 'no-carrier',
      interfaceName: 'eth0',
    });
    expect(asked).toEqual([]);
  });

  it('says nothing of addresses that this cluster neither gives nor holds', async () => {
    const { witness, asked } = stand(serving(['b', 'a']));
    for (const subject of ['holding', 'wire'] as const) {
      expect(await witness({ subject, address: ipOf('192.0.2.1') })).toEqual({ kind: 'refused', reason: 'not-ours' });
    }
    expect(asked).toEqual([]);
  });

  it('knows the virtual IP of the control plane', async () => {
    const node = new NodeScript();
    node.start();
    const { witness } = stand(node);
    expect(await witness({ subject: 'holding', address: ipOf(VIP4) })).toEqual({ kind: 'not-held' });
  });

  it('asks the wire so often a second and no more, however much it is asked', async () => {
    const found = stand(serving(['b', 'a']));
    const ask = (): Promise<InquiryReply> => found.witness({ subject: 'wire', address: ipOf(S4) });
    for (let count = 0; count < QUESTIONS_PER_SECOND; count += 1) expect(await ask()).toEqual(SILENCE);
    expect(await ask()).toEqual({ kind: 'refused', reason: 'busy' });
    found.clock.later = 100;
    expect([await ask(), await ask(), await ask()].map(({ kind }) => kind)).toEqual(['wire', 'wire', 'refused']);
    found.clock.later = 60_000;
    for (let count = 0; count < QUESTIONS_PER_SECOND; count += 1) await ask();
    expect(await ask()).toEqual({ kind: 'refused', reason: 'busy' });
    expect(found.asked.length).toBe(2 * QUESTIONS_PER_SECOND + 2);
    // What it holds costs nothing.
    expect(await found.witness({ subject: 'holding', address: ipOf(S4) })).toEqual({ kind: 'not-held' });
  });
});

/** Whom an explanation asks about an address, and what it makes of the answers in words and for programs. */

import { describe, expect, it } from 'vitest';

import type { Mac } from '../../../src/base/mac.ts';
import type { Question, HeldReply, InquiryReply, WireReply } from '../../../src/protocol/heartbeat/inquiry.ts';
import type { ExplanationStep } from '../../../src/observe/explain.ts';
import { addressExplanation, holdingSteps, wireSteps } from '../../../src/runtime/explaining-wire.ts';
import type { Inquired } from '../../../src/runtime/inquiries.ts';
import { takeTestimony, type Neighbors, type Testimony } from '../../../src/runtime/testimony.ts';
import { ip, mac } from '../base/values.ts';

const ADDRESS = ip('192.0.2.10');
const MAC_A = mac('02:00:00:00:00:0a');
const MAC_B = mac('02:00:00:00:00:0b');
const MAC_C = mac('02:00:00:00:00:0c');
const STRANGER = mac('02:00:00:00:00:0f');

const HELD: HeldReply = {
  kind: 'held',
  phase: 'holding',
  interfaceName: 'eth0',
  mac: MAC_A,
  sinceSeconds: 200,
  announcements: 9,
  lastAnnouncedSecondsAgo: 3,
  rival: undefined,
  isKubeProxyHealthy: undefined,
  otherMacs: [],
};

function heard(own: Mac, ...macs: readonly Mac[]): WireReply {
  return {
    kind: 'wire',
    interfaceName: 'eth0',
    mac: own,
    listenedMs: 150,
    heard: macs.map((each, place) => ({ mac: each, afterMicros: 412 + place * 12_000 })),
    otherMacs: [],
  };
}

function says(reply: InquiryReply): Inquired {
  return { ok: true, reply };
}

function testimony(change: Partial<Testimony> = {}): Testimony {
  return { address: ADDRESS, owner: 'a', holding: says(HELD), asked: [], unasked: '', ...change };
}

/** `ok detail → next`. */
function lines(steps: readonly ExplanationStep[]): readonly string[] {
  return steps.map(({ isOk, detail, code, next }) => {
    const mark = isOk === undefined ? '?' : isOk ? 'ok' : 'bad';
    return `${mark} ${detail}${code === '' ? '' : ` (${code})`}${next === '' ? '' : ` → ${next}`}`;
  });
}

describe('who is asked', () => {
  const all: Neighbors = { self: 'a', isHeartbeating: true, voters: ['a', 'b', 'c', 'd', 'e'], heard: ['b', 'c', 'd'] };

  async function take(neighbors: Neighbors, owner: string | undefined) {
    const asked: string[] = [];
    const note = (name: string, { subject }: Question): Promise<Inquired> => {
      asked.push(`${name} ${subject}`);
      return Promise.resolve(says({ kind: 'not-held' }));
    };
    const taken = await takeTestimony(ADDRESS, owner, {
      neighbors,
      witness: (question) => note('self', question).then(() => ({ kind: 'not-held' })),
      inquire: note,
    });
    return { asked, taken };
  }

  it('on the owner: itself what it holds, and three others that are heard about the wire', async () => {
    const { asked, taken } = await take(all, 'a');
    expect(asked).toEqual(['self holding', 'b wire', 'c wire', 'd wire']);
    expect(taken.asked.map(({ node }) => node)).toEqual(['b', 'c', 'd']);
  });

  it('elsewhere: the owner what it holds; itself first about the wire, then others, three in all and never the owner', async () => {
    const { asked } = await take(all, 'b');
    expect(asked).toEqual(['b holding', 'self wire', 'c wire', 'd wire']);
  });

  it('where nobody should answer: nobody what it holds', async () => {
    const { asked, taken } = await take(all, undefined);
    expect(asked).toEqual(['self wire', 'b wire', 'c wire']);
    expect(taken.holding).toBeUndefined();
  });

  it.each([
    [{ isHeartbeating: false }, 'heartbeats are off (vip_heartbeat), and only by them is another node asked'],
    [{ voters: [] }, 'this node does not know yet who else there is'],
    [{ voters: ['b', 'c'] }, 'a hears none of the others (b, c)'],
    [{ voters: ['a'] }, 'a is the only node'],
    [{}, 'a hears none of the others (b, c, d, e)'],
  ] as const)('nobody on an owner with %o, and it says so', async (change, words) => {
    const { taken } = await take({ ...all, heard: [], ...change }, 'a');
    expect([taken.asked, taken.unasked]).toEqual([[], words]);
    expect(lines(wireSteps(taken))).toEqual([
      `? nobody but its owner could ask for 192.0.2.10 on the wire: ${words} → Ask from another machine of the segment: \`arping -c 3 -I INTERFACE 192.0.2.10\`.`,
    ]);
  });
});

describe('what the owner holds', () => {
  it('is told with interface, MAC, and announcements', () => {
    expect(lines(holdingSteps(testimony()))).toEqual([
      'ok a: holding on eth0 (02:00:00:00:00:0a) for 3 min 20 s, announced 9 times, last 3.0 s ago',
    ]);
  });

  it.each([
    [
      { phase: 'claiming' as const },
      'bad a: claiming on eth0 (02:00:00:00:00:0a) for 3 min 20 s, announced 9 times, last 3.0 s ago → Look at `holdfast status` on a.',
    ],
    [
      { lastAnnouncedSecondsAgo: undefined, sinceSeconds: 0 },
      'bad a: holding on eth0 (02:00:00:00:00:0a) for less than a second, never announced → Look at `holdfast status` on a.',
    ],
  ])('is not well with %o', (change, words) => {
    expect(lines(holdingSteps(testimony({ holding: says({ ...HELD, ...change }) })))).toEqual([words]);
  });

  it('names another that it heard', () => {
    const [, rival] = lines(holdingSteps(testimony({ holding: says({ ...HELD, rival: STRANGER }) })));
    expect(rival).toMatch(
      /^bad a has heard 02:00:00:00:00:0f answer for 192\.0\.2\.10 too \(ADDRESS_ANSWERED_ELSEWHERE\)/,
    );
  });

  it('names another that it heard as a node where it is one, and as gone where nobody hears it now', () => {
    const holding = says({ ...HELD, rival: MAC_C });
    const both = { node: 'c', says: says(heard(MAC_C, MAC_A)) };
    const [, node] = lines(
      holdingSteps(testimony({ holding, asked: [{ node: 'b', says: says(heard(MAC_B, MAC_A, MAC_C)) }, both] })),
    );
    expect(node).toMatch(
      /^bad a has heard 02:00:00:00:00:0c \(c\) answer for 192\.0\.2\.10 too \(ADDRESS_ANSWERED_BY_NODE\) → See what has it on c/,
    );
    const [, past] = lines(holdingSteps(testimony({ holding, asked: [both] })));
    expect(past).toMatch(
      /^\? a has heard 02:00:00:00:00:0c \(c\) answer for 192\.0\.2\.10 too; nobody who asked hears that now/,
    );
  });

  it.each([
    [{ ok: false, reason: 'unheard' }, '? a cannot be asked what it holds: it is not heard by heartbeats'],
    [
      { ok: false, reason: 'unable' },
      '? a cannot be asked what it holds: it runs a version of Holdfast that cannot be asked',
    ],
    [{ ok: false, reason: 'not-ready' }, '? a cannot be asked what it holds: this node has no heartbeat key yet'],
    [{ ok: false, reason: 'no-answer' }, '? a cannot be asked what it holds: it did not answer in time'],
    [says({ kind: 'not-held' }), 'bad a does not hold 192.0.2.10 yet'],
    [says({ kind: 'refused', reason: 'not-ours' }), '? a says nothing of it: it does not know the address'],
    [says({ kind: 'refused', reason: 'busy' }), '? a says nothing of it: it is being asked too much'],
  ] as const)('is told as not known with %o, and where to look', (holding, words) => {
    const [line, ...rest] = lines(holdingSteps(testimony({ holding })));
    expect(line?.startsWith(words), line).toBe(true);
    expect(line).toMatch(/ → .* on a\.$/);
    expect(rest).toEqual([]);
  });
});

describe('what the wire says', () => {
  function wire(change: Partial<Testimony>): readonly string[] {
    return lines(wireSteps(testimony(change)));
  }

  it('is well when the owner answers everybody, in how many milliseconds', () => {
    expect(
      wire({
        asked: [
          { node: 'b', says: says(heard(MAC_B, MAC_A)) },
          { node: 'c', says: says(heard(MAC_C, MAC_A)) },
        ],
      }),
    ).toEqual([
      'ok asked from b on eth0: 192.0.2.10 answered by 02:00:00:00:00:0a (a) in 0.4 ms',
      'ok asked from c on eth0: 192.0.2.10 answered by 02:00:00:00:00:0a (a) in 0.4 ms',
    ]);
  });

  it('is a stranger, by MAC, whether it answers alone or beside the owner', () => {
    const [alone, both] = wire({
      asked: [
        { node: 'b', says: says(heard(MAC_B, STRANGER)) },
        { node: 'c', says: says(heard(MAC_C, MAC_A, STRANGER)) },
      ],
    });
    expect(alone).toMatch(
      /^bad asked from b on eth0: 192\.0\.2\.10 answered by 02:00:00:00:00:0f in 0\.4 ms: answered by another machine \(ADDRESS_ANSWERED_ELSEWHERE\) → Find the machine with MAC 02:00:00:00:00:0f /,
    );
    expect(both).toContain(
      'answered by 02:00:00:00:00:0a (a) in 0.4 ms and by 02:00:00:00:00:0f in 12 ms: answered by another machine',
    );
  });

  it('is a node that should not answer, by name', () => {
    const [line] = wire({
      asked: [
        { node: 'b', says: says(heard(MAC_B, MAC_A, MAC_C)) },
        { node: 'c', says: says(heard(MAC_C, MAC_A)) },
      ],
    });
    expect(line).toMatch(
      / and by 02:00:00:00:00:0c \(c\) in 12 ms: c should not \(ADDRESS_ANSWERED_BY_NODE\) → See what has it on c: `ip address show to 192\.0\.2\.10`/,
    );
  });

  it('is well when the owner answers by another of its interfaces; a node that should not is known by all of its', () => {
    const holding = says({ ...HELD, otherMacs: [STRANGER] });
    expect(wire({ holding, asked: [{ node: 'b', says: says(heard(MAC_B, STRANGER)) }] })).toEqual([
      'ok asked from b on eth0: 192.0.2.10 answered by 02:00:00:00:00:0f (a, by another of its interfaces) in 0.4 ms',
    ]);
    const c = { ...heard(MAC_C, MAC_A), otherMacs: [STRANGER] };
    const asked = [
      { node: 'b', says: says(heard(MAC_B, STRANGER)) },
      { node: 'c', says: says(c) },
    ];
    expect(wire({ asked })[0]).toContain('02:00:00:00:00:0f (c) in 0.4 ms: c should not (ADDRESS_ANSWERED_BY_NODE)');
  });

  it('is nobody', () => {
    const [line] = wire({ asked: [{ node: 'b', says: says(heard(MAC_B)) }] });
    expect(line).toMatch(
      /^bad asked from b on eth0: nobody answered for 192\.0\.2\.10 in 150 ms \(ADDRESS_UNANSWERED\) → Run `holdfast doctor` on a\..* `tcpdump -eni eth0 /,
    );
  });

  it('is nobody, and no fault, where the owner holds it on loopback', () => {
    const holding = says({ ...HELD, interfaceName: 'lo', mac: undefined });
    const [line] = wire({ holding, asked: [{ node: 'b', says: says(heard(MAC_B)) }] });
    expect(line).toMatch(
      /^\? asked from b on eth0: nobody answered for 192\.0\.2\.10, which a holds on lo → Look for its route/,
    );
  });

  it('is nobody, as it should be, where nobody owns the address; and somebody, as it should not', () => {
    const none = { owner: undefined, holding: undefined };
    expect(wire({ ...none, asked: [{ node: 'b', says: says(heard(MAC_B)) }] })).toEqual([
      'ok asked from b on eth0: nobody answered for 192.0.2.10 in 150 ms, and nobody should',
    ]);
    expect(wire({ ...none, asked: [{ node: 'b', says: says(heard(MAC_B, STRANGER)) }] })[0]).toContain(
      'ADDRESS_ANSWERED_ELSEWHERE',
    );
  });

  it("is not judged where the owner's MAC is not known", () => {
    const holding = { ok: false, reason: 'no-answer' } as const;
    expect(wire({ holding, asked: [{ node: 'b', says: says(heard(MAC_B, MAC_A)) }] })).toEqual([
      '? asked from b on eth0: 192.0.2.10 answered by 02:00:00:00:00:0a in 0.4 ms; whether that is a is not known here → Compare it with `ip link show` on a.',
    ]);
    expect(wire({ holding, asked: [{ node: 'b', says: says(heard(MAC_B, MAC_A, STRANGER)) }] })[0]).toMatch(/^bad /);
  });

  it.each([
    [{ ok: false, reason: 'unable' }, '? b could not be asked: it runs a version of Holdfast that cannot be asked'],
    [
      says({ kind: 'unaskable', reason: 'no-subnet', interfaceName: '' }),
      '? b could not ask: it has no interface in the subnet of the address',
    ],
    [
      says({ kind: 'unaskable', reason: 'no-carrier', interfaceName: 'eth1' }),
      '? b could not ask: its interface is down or has no carrier (eth1)',
    ],
    [says({ kind: 'refused', reason: 'busy' }), '? b could not ask: it is being asked too much: ask again in a second'],
    [says(HELD), '? b did not ask, since it has the address itself (holding) → Ask again: it may be moving.'],
  ] as const)('is nothing when it could not be asked: %o', (said, words) => {
    expect(wire({ asked: [{ node: 'b', says: said }] })).toEqual([words]);
  });
});

it('for programs it says the same in fields', () => {
  const said = addressExplanation(
    testimony({
      asked: [
        { node: 'b', says: says(heard(MAC_B, MAC_A, STRANGER)) },
        { node: 'c', says: says(heard(MAC_C)) },
        { node: 'd', says: { ok: false, reason: 'no-answer' } },
        { node: 'e', says: says({ kind: 'unaskable', reason: 'no-source', interfaceName: 'eth0' }) },
      ],
    }),
  );
  expect(JSON.parse(JSON.stringify(said))).toEqual({
    address: '192.0.2.10',
    owner: 'a',
    holding: {
      state: 'holding',
      interface: 'eth0',
      mac: '02:00:00:00:00:0a',
      sinceSeconds: 200,
      announcements: 9,
      lastAnnouncedSecondsAgo: 3,
    },
    asked: [
      {
        node: 'b',
        outcome: 'answered',
        interface: 'eth0',
        listenedMs: 150,
        answers: [
          { mac: '02:00:00:00:00:0a', node: 'a', afterMs: 0.412 },
          { mac: '02:00:00:00:00:0f', afterMs: 12.412 },
        ],
      },
      { node: 'c', outcome: 'silent', interface: 'eth0', listenedMs: 150, answers: [] },
      { node: 'd', outcome: 'unasked', reason: 'it did not answer in time', answers: [] },
      {
        node: 'e',
        outcome: 'unasked',
        reason: 'its interface has no address of that family to ask from (eth0)',
        answers: [],
      },
    ],
  });
});

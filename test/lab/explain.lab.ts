/**
 * `holdfast explain` of Services and addresses with the real program on three nodes: the owner's peers ask on the wire and say
 * who answered; a stranger, a node that shouldn't, and silence are told from the owner, on whichever node it is asked.
 */

import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { AddressExplanation, Explanation } from '../../src/observe/explain.ts';
import type { NeighbourFrame } from './capture.ts';
import { nowMs } from './clock.ts';
import { holdfastProgram } from './cluster.ts';
import type { LabNode } from './lab.ts';
import { inNamespace } from './namespace.ts';
import { ip } from './node-kernel.ts';
import { waitFor } from './process.ts';
import { ServicesCluster } from './services-cluster.ts';

/** Nodes that ask: all but the owner. */
const ASKING = 2;
const MAC = '[0-9a-f]{2}(?::[0-9a-f]{2}){5}';

let services: ServicesCluster;
/** Of the Service default/web-1: IPv4, IPv6. */
let addresses: readonly string[];

beforeAll(async () => {
  services = await ServicesCluster.create({
    prefix: 'hf-x',
    families: ['ipv4', 'ipv6'],
    env: { svc_election: 'true' },
  });
  await services.createNodes();
  await services.startAll();
  await services.create({ name: 'web-1', families: ['ipv4', 'ipv6'] });
  addresses = await services.served(2);
  await services.ownedOnce(addresses);
}, 120_000);

afterAll(() => services?.close());

interface Explained {
  readonly status: number | null;
  readonly text: string;
}

/** Beside the test's own loop: what is captured meanwhile would be lost otherwise. */
async function explain(node: LabNode, ...words: readonly string[]): Promise<Explained> {
  const program = services.lab.spawn(node, [...holdfastProgram(), 'explain', ...words], { name: 'explain' });
  const { code } = await program.ended;
  return { status: code, text: `${program.lines.map(({ text }) => text).join('\n')}\n` };
}

/** From an address of its own: what comes from none are the probes of a node that misses a heartbeat. */
function questionsOf(node: LabNode, address: string, from: number): readonly NeighbourFrame[] | undefined {
  const own = services.cluster.capture
    .about(address, from)
    .filter((frame) => frame.from === node.name && (frame.kind === 'arp-request' || frame.kind === 'solicitation'))
    .filter(({ sender }) => sender === node.ipv4 || sender === node.ipv6);
  return own.length === 0 ? undefined : own;
}

function ownerOf(address: string): LabNode {
  return services.lab.node(services.owners([address]).get(address) ?? '');
}

function others(node: LabNode): readonly LabNode[] {
  return services.lab.nodes.filter(({ name }) => name !== node.name);
}

function of(explanation: Explanation, address: string): AddressExplanation {
  const found = explanation.addresses.find((each) => each.address === address);
  if (found === undefined) throw new Error(`nothing about ${address}: ${JSON.stringify(explanation, undefined, 2)}`);
  return found;
}

/** Everybody was heard, asked and answered: a busy machine may miss somebody for a moment. */
function isWell({ status, text }: Explained): boolean {
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  return status === 0 && count(/asked from/g) === ASKING * count(/^✓ holding/gm);
}

/** Asked until it holds: who asks, and whom, depends on who is heard at that moment. */
async function until(
  node: LabNode,
  words: readonly string[],
  accept: (said: Explained) => boolean,
): Promise<Explained> {
  let last: Explained = { status: null, text: '' };
  await waitFor(
    'an explanation',
    async () => {
      last = await explain(node, ...words);
      return accept(last);
    },
    { deadlineMs: 15_000, everyMs: 300 },
  ).catch((error: unknown) => {
    throw new Error(last.text, { cause: error });
  });
  return last;
}

describe('where all is well', () => {
  it('on the owner, two peers ask on the wire for each address, and are answered by its MAC', async () => {
    for (const address of addresses) {
      const owner = ownerOf(address);
      const { text } = await until(owner, ['service', 'web-1'], isWell);
      expect(text).toContain(`Service default/web-1, as ${owner.name} sees it`);
      expect(text).toMatch(
        new RegExp(
          `✓ holding +${owner.name}: holding on eth0 \\(${owner.mac}\\) for .+, announced \\d+ times, last .+ ago`,
        ),
      );
      for (const { name } of others(owner)) {
        const answered = `asked from ${name} on eth0: ${address} answered by ${owner.mac} \\(${owner.name}\\) in [\\d.]+ ms`;
        expect(text).toMatch(new RegExp(`✓ wire +${answered}`));
      }
      expect(text).toMatch(new RegExp(`\\? kube-proxy +none is seen on ${owner.name}`));
      expect(text).toMatch(new RegExp(`✓ backend +on ${owner.name} itself there are endpoints`));
    }
  }, 30_000);

  it('on another node it says the same: that one asks itself, and the owner what it holds', async () => {
    for (const address of addresses) {
      const owner = ownerOf(address);
      for (const node of others(owner)) {
        const { text } = await until(node, ['service', 'default/web-1'], isWell);
        expect(text).toMatch(new RegExp(`✓ holding +${owner.name}: holding on eth0 \\(${owner.mac}\\)`));
        expect(text.indexOf(`asked from ${node.name} on eth0: ${address} answered by ${owner.mac}`)).toBeGreaterThan(0);
      }
    }
  }, 30_000);

  it('the questions are those of any host: from an address of its own, to nobody in particular, and nothing is announced', async () => {
    for (const address of addresses) {
      const owner = ownerOf(address);
      const from = nowMs();
      const { text } = await until(owner, ['address', address], isWell);
      // Who asked is what it says: on a machine that is too busy the address may have moved since.
      const asking = services.lab.nodes.filter(({ name }) => text.includes(`asked from ${name} on eth0: ${address} `));
      expect(asking.length, text).toBe(ASKING);
      for (const node of asking) {
        const [question] = await waitFor('the question', () => questionsOf(node, address, from));
        expect(question?.hardware).toBe(node.mac);
        expect(question?.destinationMac).toMatch(address.includes(':') ? /^33:33:ff:/ : /^(ff:?){6}$/);
      }
      const announced = services.cluster.capture.announcements(address, from);
      for (const { name } of asking) expect(announced.filter((frame) => frame.from === name)).toEqual([]);
    }
  }, 30_000);

  it('as JSON: who was asked, who answered, and in how many milliseconds', async () => {
    const [address = ''] = addresses;
    const owner = ownerOf(address);
    const { text } = await until(owner, ['service', 'web-1', '--json'], ({ status, text: json }) => {
      return status === 0 && json.match(/"outcome": "answered"/g)?.length === ASKING * addresses.length;
    });
    const explanation = JSON.parse(text) as Explanation;
    expect(explanation).toMatchObject({
      schema: 1,
      subject: 'Service default/web-1',
      service: 'default/web-1',
      node: owner.name,
    });
    const about = of(explanation, address);
    expect(about).toMatchObject({
      owner: owner.name,
      holding: { state: 'holding', interface: 'eth0', mac: owner.mac },
    });
    expect(about.holding?.announcements).toBeGreaterThan(0);
    // In the order of the voters.
    expect(about.asked.map(({ node, outcome }) => `${node} ${outcome}`).sort()).toEqual(
      others(owner).map(({ name }) => `${name} answered`),
    );
    for (const { answers } of about.asked) {
      expect(answers).toEqual([{ mac: owner.mac, node: owner.name, afterMs: expect.any(Number) }]);
      expect(answers[0]?.afterMs).toBeGreaterThan(0);
    }
  }, 30_000);

  it('a virtual IP of the control plane is explained too, and an address that is nobody’s', async () => {
    const [vip = ''] = services.cluster.vips;
    const holder = await services.cluster.settled();
    const [other] = others(holder);
    if (other === undefined) throw new Error('no other node');
    for (const node of [holder, other]) {
      const { text } = await until(node, ['vip'], isWell);
      expect(text).toContain(`virtual IP ${services.cluster.vips.join(', ')}, as ${node.name} sees it`);
      expect(text).toContain(`${vip} is a virtual IP of the control plane`);
      expect(text).toMatch(new RegExp(`✓ owner +${holder.name} holds it, and the Lease since 20`));
      expect(text).toMatch(new RegExp(`✓ holding +${holder.name}: holding on eth0 \\(${holder.mac}\\)`));
      expect(text).toMatch(new RegExp(`✓ wire +asked from ${other.name} on eth0: ${vip} answered by ${holder.mac}`));
    }
    expect((await explain(other, 'address', vip)).text).toContain(`virtual IP ${vip}, as`);
    const unknown = await explain(other, 'address', services.lab.client.ipv4 ?? '');
    expect(unknown).toMatchObject({ status: 1, text: expect.stringContaining('no Service has it') });
    expect((await explain(other, 'address', '10.77.0.1/24')).text).toContain('this is no IP address');
  }, 60_000);
});

it('while the API is away it explains what it knows, and asks as before', async () => {
  const [address = ''] = addresses;
  await services.cluster.stopApi();
  try {
    const [node] = others(ownerOf(address));
    if (node === undefined) throw new Error('no other node');
    await until(node, ['service', 'web-1'], isWell);
    await until(node, ['vip'], isWell);
  } finally {
    await services.cluster.startApi();
  }
}, 60_000);

describe('where it is not', () => {
  it('a stranger that answers is named by its MAC, with what to do', async () => {
    for (const address of addresses) {
      const owner = ownerOf(address);
      const { client } = services.lab;
      const length = address.includes(':') ? '128' : '32';
      const options = address.includes(':') ? ['nodad'] : [];
      ip(client, ['addr', 'add', `${address}/${length}`, 'dev', 'eth0', ...options]);
      try {
        for (const node of services.lab.nodes) {
          const { status, text } = await until(node, ['address', address], (said) => said.text.includes('ELSEWHERE'));
          expect(status).toBe(1);
          const line = `✗ wire +asked from n\\d on eth0: ${address} answered by ${MAC} .*${client.mac} in .+ answered by another machine \\(ADDRESS_ANSWERED_ELSEWHERE\\)`;
          const reversed = `✗ wire +asked from n\\d on eth0: ${address} answered by ${client.mac} in .+ answered by another machine`;
          expect(text).toMatch(new RegExp(`${line}|${reversed}`));
          expect(text).toContain(`→ Find the machine with MAC ${client.mac}`);
        }
      } finally {
        ip(client, ['addr', 'del', `${address}/${length}`, 'dev', 'eth0']);
      }
      await until(owner, ['address', address], isWell);
    }
  }, 120_000);

  it('a node that answers without holding it is named, as by kube-proxy with IPVS', async () => {
    const [address = ''] = addresses;
    const owner = ownerOf(address);
    const [culprit] = others(owner);
    if (culprit === undefined) throw new Error('no other node');
    ip(culprit, ['addr', 'add', `${address}/32`, 'dev', 'lo']);
    try {
      const { text } = await until(owner, ['service', 'web-1'], (said) => said.text.includes('BY_NODE'));
      expect(text).toMatch(new RegExp(`${culprit.name} should not \\(ADDRESS_ANSWERED_BY_NODE\\)`));
      expect(text).toContain(`See what has it on ${culprit.name}: \`ip address show to ${address}\``);
    } finally {
      ip(culprit, ['addr', 'del', `${address}/32`, 'dev', 'lo']);
    }
    await until(owner, ['service', 'web-1'], isWell);
  }, 60_000);

  it('an owner that nobody hears on the wire is told by every node that asked', async () => {
    const [address = ''] = addresses;
    const owner = ownerOf(address);
    for (const node of [owner, ...others(owner)]) {
      // Its kernel answers no ARP at all; heartbeats go on for as long as the others remember where it is.
      arpIgnore(owner, 8);
      const said = await until(node, ['address', address], ({ text }) => text.includes('ADDRESS_UNANSWERED'));
      arpIgnore(owner, 0);
      const { status, text } = said;
      expect(status, text).toBe(1);
      expect(text).toMatch(
        new RegExp(
          `✗ wire +asked from n\\d on eth0: nobody answered for ${address} in \\d+ ms \\(ADDRESS_UNANSWERED\\)`,
        ),
      );
      expect(text).toContain(`→ Run \`holdfast doctor\` on ${owner.name}.`);
      await until(node, ['address', address], isWell);
    }
  }, 60_000);

  it('a node that cannot ask says why, and the others ask', async () => {
    const [address = ''] = addresses;
    const owner = ownerOf(address);
    const [without, other] = others(owner);
    if (without?.ipv4 === undefined || other === undefined) throw new Error('no other nodes');
    ip(without, ['addr', 'del', `${without.ipv4}/24`, 'dev', 'eth0']);
    const cannot = new RegExp(`\\? wire +${without.name} could not ask: its interface has no address of that family`);
    const asked = new RegExp(`✓ wire +asked from ${other.name} on eth0: ${address} answered by ${owner.mac}`);
    try {
      await until(owner, ['address', address], ({ text }) => cannot.test(text) && asked.test(text));
    } finally {
      ip(without, ['addr', 'add', `${without.ipv4}/24`, 'brd', '+', 'dev', 'eth0']);
      ip(without, ['route', 'replace', 'default', 'via', services.lab.switchIpv4]);
    }
  }, 60_000);
});

it("the owner's kube-proxy is told of wherever it is asked: by the owner's own word", async () => {
  const [address = ''] = addresses;
  const owner = ownerOf(address);
  const script =
    "require('http').createServer((_, to) => to.end()).listen(10256, '127.0.0.1', () => console.log('up'))";
  const proxy = services.lab.spawn(owner, [process.execPath, '-e', script], { name: 'kube-proxy' });
  await proxy.waitForLine(/up/);
  for (const node of [owner, ...others(owner)]) {
    await until(node, ['address', address], ({ text }) => text.includes(`✓ kube-proxy  it is well on ${owner.name}`));
  }
  proxy.kill('SIGKILL');
  await proxy.ended;
}, 60_000);

it('without heartbeats it says that nobody else could be asked, and why', async () => {
  await services.restartAll({ vip_heartbeat: 'false' });
  const found = await services.served(2);
  await services.ownedOnce(found);
  const [address = ''] = found;
  const owner = ownerOf(address);
  const { text } = await until(owner, ['address', address], (said) => said.text.includes('holding on eth0'));
  expect(text).toMatch(
    new RegExp(
      `\\? wire +nobody but its owner could ask for ${address} on the wire: heartbeats are off \\(vip_heartbeat\\)`,
    ),
  );
  const [other] = others(owner);
  if (other === undefined) throw new Error('no other node');
  const said = await until(other, ['address', address], (each) => each.text.includes(`asked from ${other.name}`));
  expect(said.text).toMatch(new RegExp(`\\? holding +${owner.name} cannot be asked what it holds: `));
  expect(said.text).toMatch(
    new RegExp(
      `\\? wire +asked from ${other.name} on eth0: ${address} answered by ${owner.mac} in .+; whether that is ${owner.name} is not known here`,
    ),
  );
}, 90_000);

function arpIgnore(node: LabNode, value: number): void {
  inNamespace(node.namespace, () => writeFileSync('/proc/sys/net/ipv4/conf/eth0/arp_ignore', String(value)));
}

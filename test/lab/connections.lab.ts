/**
 * What becomes of connections that a node has with itself by a virtual IP (as kube-proxy and the kubelet have with the API
 * server) when that address leaves it: they end at once, on every way out, and connections of other addresses stay. Clients
 * on other machines that only listen learn it, too, when the address is handed over.
 */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { nowMs } from './clock.ts';
import { Cluster, holdfastProgram } from './cluster.ts';
import { everybodyHeard } from './everybody-heard.ts';
import type { LabNode } from './lab.ts';
import { argvIn, inNamespace, tcpSocketIn } from './namespace.ts';
import { waitFor } from './process.ts';

const PORT = 7443;
/** From the kernel's word that the address has gone to the client's: dumps, a turn or two of the loop, a busy machine. */
const SOON_MS = 400;

interface Client {
  name: string;
  readonly socket: Socket;
  /** What the process was told, and when. */
  end: { readonly word: string; readonly atMs: number } | undefined;
}

let cluster: Cluster;
const servers: Server[] = [];

beforeAll(async () => {
  cluster = await Cluster.create({ prefix: 'hf-k', env: { log_format: 'json' } });
  for (const node of cluster.lab.nodes) servers.push(await serverOn(node));
  for (const node of cluster.lab.nodes) await cluster.startCandidate(node);
  await everybodyHeard(cluster);
}, 120_000);

afterAll(async () => {
  for (const server of servers) server.close();
  await cluster?.close();
});

/** Answers each octet with the same, on every address of the node, of both families (IPv4 in IPv6). */
async function serverOn(node: LabNode): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // its end of what is ended
    socket.on('data', (data) => socket.write(data));
  });
  // The socket is made at once, hence in there.
  inNamespace(node.namespace, () => server.listen({ port: PORT, exclusive: true }));
  await once(server, 'listening');
  return server;
}

/** A client on the node that connected, was answered, and waits for what comes. */
async function clientOn(node: LabNode, host: string, localAddress?: string): Promise<Client> {
  const socket = tcpSocketIn(node.namespace, host.includes(':') ? 'ipv6' : 'ipv4');
  const name = localAddress === undefined ? host : `${localAddress} to ${host}`;
  const client: Client = { name, socket, end: undefined };
  socket.on('error', (error: NodeJS.ErrnoException) => {
    client.end ??= { word: error.code ?? error.message, atMs: nowMs() };
  });
  socket.on('end', () => (client.end ??= { word: 'end', atMs: nowMs() }));
  socket.connect({ host, port: PORT, ...(localAddress === undefined ? {} : { localAddress }) });
  await answers(client);
  return client;
}

async function answers(client: Client): Promise<void> {
  client.socket.write('x');
  await once(client.socket, 'data');
}

interface Clients {
  readonly ofVips: readonly Client[];
  readonly ofOthers: readonly Client[];
}

/** By each VIP as kube-proxy does, as an AF_INET6 socket with IPv4 addresses, and from the node's own address. */
async function clientsOf(node: LabNode): Promise<Clients> {
  const [vip4 = '', vip6 = ''] = cluster.vips;
  const { ipv4 = '', ipv6 = '' } = node;
  const other = cluster.lab.nodes.find(({ name }) => name !== node.name);
  return {
    ofVips: [
      await clientOn(node, vip4),
      await clientOn(node, vip6),
      await clientOn(node, `::ffff:${vip4}`),
      await clientOn(node, vip4, ipv4),
      await clientOn(node, vip6, ipv6),
    ],
    ofOthers: [
      await clientOn(node, ipv4),
      await clientOn(node, ipv6),
      await clientOn(node, '127.0.0.1'),
      await clientOn(node, other?.ipv4 ?? ''),
    ],
  };
}

/** The clients of the VIPs are told at once when these go, the others never. */
async function expectEnded(node: LabNode, { ofVips, ofOthers }: Clients, fromMs: number): Promise<void> {
  const gone = await waitFor('the addresses leave', () => {
    const times = cluster.vips.map((vip) => {
      const left = cluster.holders.since(vip, fromMs).find(({ holders }) => !holders.includes(node.name));
      return left?.atMs;
    });
    return times.every((time) => time !== undefined) ? Math.max(...times) : false;
  });
  await waitFor('connections end', () => ofVips.every(({ end }) => end !== undefined), { deadlineMs: 5000 });
  const told = ofVips.map(({ name, end }) => `${name}: ${end?.word} after ${Math.round((end?.atMs ?? 0) - gone)} ms`);
  console.log(told.join('; '));
  for (const { end, name } of ofVips) {
    expect(['ECONNABORTED', 'ECONNRESET'], name).toContain(end?.word);
    expect((end?.atMs ?? 0) - gone, name).toBeLessThan(SOON_MS);
  }
  for (const client of ofOthers) {
    await answers(client);
    expect(client.end, client.name).toBeUndefined();
  }
}

/** On the machine outside, and on a node that gets the address or doesn't: they only listen. */
async function clientsElsewhere(node: LabNode): Promise<readonly Client[]> {
  const others = cluster.lab.nodes.filter(({ name }) => name !== node.name);
  const clients: Client[] = [];
  for (const member of [cluster.lab.client, ...others]) {
    for (const vip of cluster.vips) {
      const client = await clientOn(member, vip);
      clients.push(Object.assign(client, { name: `${member.name} to ${vip}` }));
    }
  }
  return clients;
}

async function expectReset(clients: readonly Client[], fromMs: number): Promise<void> {
  await waitFor('clients elsewhere are told', () => clients.every(({ end }) => end !== undefined), {
    deadlineMs: 5000,
  });
  const told = clients.map(
    ({ name, end }) => `${name}: ${end?.word} after ${Math.round((end?.atMs ?? 0) - fromMs)} ms`,
  );
  console.log(`elsewhere, since the order: ${told.join('; ')}`);
  for (const { end, name, socket } of clients) {
    // The new holder ends its own itself.
    expect(['ECONNRESET', 'ECONNABORTED'], name).toContain(end?.word);
    socket.destroy();
  }
}

function closeAll({ ofVips, ofOthers }: Clients): void {
  for (const { socket } of [...ofVips, ...ofOthers]) socket.destroy();
}

async function scrape(node: LabNode): Promise<string> {
  const url = `http://127.0.0.1:2112/metrics`;
  const program = cluster.lab.spawn(node, [
    process.execPath,
    '--input-type=module',
    '-e',
    `process.stdout.write(await (await fetch('${url}')).text())`,
  ]);
  await program.ended;
  return program.lines.map(({ text }) => text).join('\n');
}

describe('connections of a node with itself by a virtual IP', () => {
  it('end when the node is drained, and are counted; clients elsewhere learn it', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    const elsewhere = await clientsElsewhere(node);
    const fromMs = nowMs();
    const drain = cluster.lab.spawn(node, [...holdfastProgram(), 'drain']);
    await expectEnded(node, clients, fromMs);
    await expectReset(elsewhere, fromMs);
    expect((await drain.ended).code).toBe(0);
    const line = await cluster.manager(node).waitForLine(/connections of addresses that moved ended/);
    console.log(line.text);
    const metrics = await scrape(node);
    for (const vip of cluster.vips) {
      expect(metrics).toMatch(new RegExp(`^holdfast_vip_connections_ended_total\\{address="${vip}"\\} [1-9]`, 'm'));
    }
    closeAll(clients);
    await cluster.lab.spawn(node, [...holdfastProgram(), 'drain', '--undo']).ended;
    await everybodyHeard(cluster);
  });

  it('end when the process is stopped, before it ends', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    const elsewhere = await clientsElsewhere(node);
    const fromMs = nowMs();
    const end = cluster.manager(node).stop();
    await expectEnded(node, clients, fromMs);
    await expectReset(elsewhere, fromMs);
    expect((await end).code).toBe(0);
    closeAll(clients);
    await cluster.startCandidate(node);
    await everybodyHeard(cluster);
  });

  it('end when the cable is pulled', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    const fromMs = nowMs();
    cluster.lab.unplug(node);
    await expectEnded(node, { ...clients, ofOthers: clients.ofOthers.slice(0, 3) }, fromMs);
    closeAll(clients);
    cluster.lab.heal(node);
    await everybodyHeard(cluster);
  });

  it('end when the lifetime ran out while the process was stopped, once it goes on', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    const fromMs = nowMs();
    cluster.manager(node).freeze();
    await cluster.settled({ except: [node.name] });
    expect(clients.ofVips.filter(({ end }) => end !== undefined)).toEqual([]);
    const thawedAt = nowMs();
    cluster.manager(node).thaw();
    await waitFor('connections end', () => clients.ofVips.every(({ end }) => end !== undefined));
    for (const { end } of clients.ofVips) expect((end?.atMs ?? 0) - thawedAt).toBeLessThan(SOON_MS);
    expect(thawedAt).toBeGreaterThan(fromMs);
    closeAll(clients);
    await everybodyHeard(cluster);
  });

  it('end when the process was killed and another one starts where the address is no more', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    cluster.manager(node).kill('SIGKILL');
    await cluster.settled({ except: [node.name] });
    expect(clients.ofVips.filter(({ end }) => end !== undefined)).toEqual([]);
    await cluster.startCandidate(node);
    await waitFor('connections end', () => clients.ofVips.every(({ end }) => end !== undefined));
    for (const client of clients.ofOthers) await answers(client);
    closeAll(clients);
    await everybodyHeard(cluster);
  });

  it('stay when somebody deletes the address, which is put back', async () => {
    const node = await cluster.settled();
    const clients = await clientsOf(node);
    for (const { address, prefixLength } of cluster.lab.addresses(node)) {
      if (!cluster.vips.includes(address)) continue;
      const argv = argvIn(node.namespace, ['ip', 'addr', 'del', `${address}/${prefixLength}`, 'dev', 'eth0']);
      expect((await cluster.lab.spawn('here', argv).ended).code).toBe(0);
    }
    await cluster.settled();
    for (const client of [...clients.ofVips, ...clients.ofOthers]) {
      await answers(client);
      expect(client.end, client.name).toBeUndefined();
    }
    closeAll(clients);
  });
});

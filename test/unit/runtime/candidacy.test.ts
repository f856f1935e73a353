import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AgentEvent } from '../../../src/agent/event.ts';
import type { Config } from '../../../src/config/config.ts';
import type { Member } from '../../../src/leader/voters.ts';
import { SILENT_LOG, type Log, type LogFields } from '../../../src/observe/log.ts';
import { openCandidacy, type Candidacy } from '../../../src/runtime/candidacy.ts';
import { loadNetfd } from '../../../src/system/native-addon.ts';
import { parseEnv } from '../config/parse-with.ts';
import { startEmbedded, type Embedded } from '../kube/embedded.ts';
import { until } from '../kube/scripted-api.ts';
import { BEAT } from './station.ts';
import { freeUdpPort, openMiddleman } from './udp.ts';

const netfd = loadNetfd();
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const MEMBER: Member = { name: 'n1', addresses: ['2001:db8::11'], port: 6460, isLeaving: false };
const closers: (() => void)[] = [];
let embedded: Embedded;

beforeEach(async () => {
  embedded = await startEmbedded();
});

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) close();
  await embedded.close();
});

interface Opened {
  readonly candidacy: Candidacy;
  readonly events: AgentEvent[];
  readonly lines: { readonly msg: string; readonly fields: LogFields }[];
}

function config(env: Readonly<Record<string, string>>): Config {
  const parsed = parseEnv({ vip_nodename: 'n1', vip_api_health_interval: '60s', ...env });
  if (parsed.config === undefined) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

function open(env: Readonly<Record<string, string>>): Opened {
  const events: AgentEvent[] = [];
  const lines: Opened['lines'] = [];
  const note = (msg: string, fields: LogFields = {}): void => void lines.push({ msg, fields });
  const log: Log = { ...SILENT_LOG, info: note, warn: note, error: note, child: () => log };
  const candidacy = openCandidacy({
    config: config(env),
    netfd,
    kernel: { dump: () => ({ links: [], addresses: [], defaultRoutes: [] }) },
    client: embedded.client,
    log,
    dispatch: (event) => events.push(event),
    onDrop: () => undefined,
  });
  closers.push(() => candidacy.close());
  return { candidacy, events, lines };
}

function registrations(events: readonly AgentEvent[]): readonly boolean[] {
  return events.flatMap((event) => (event.kind === 'member.registered' ? [event.isOk] : []));
}

function members(events: readonly AgentEvent[]): readonly (readonly string[])[] {
  return events.flatMap((event) =>
    event.kind === 'members.observed' ? [event.members.map((member) => member.name)] : [],
  );
}

/** Opened, and its key is there. */
async function ready(): Promise<Opened> {
  const opened = open({ vip_heartbeat_port: String(await freeUdpPort()) });
  opened.candidacy.start();
  await until(() => members(opened.events).length > 0, 'the first list');
  await until(() => {
    opened.candidacy.perform({ kind: 'member.register', member: MEMBER });
    return registrations(opened.events).includes(true);
  }, 'a registration');
  return opened;
}

describe('a candidate', () => {
  it('does not register before it can be heard', async () => {
    embedded.api.faults.set([{ path: '/secrets', action: { kind: 'status', code: 403 } }]);
    const { candidacy, events } = open({ vip_heartbeat_port: String(await freeUdpPort()) });
    candidacy.start();
    await until(() => members(events).length > 0, 'the first list');
    candidacy.perform({ kind: 'member.register', member: MEMBER });
    expect(registrations(events)).toEqual([false]);
    expect(await embedded.read(`${LEASES}/holdfast-member-n1`)).toBeUndefined();
  });

  it('registers with its API server, and hears of the others', async () => {
    const { events } = await ready();
    expect(await embedded.read(`${LEASES}/holdfast-member-n1`)).toMatchObject({
      metadata: { annotations: { 'holdfast.io/api-endpoint': '[2001:db8::11]:6443' } },
    });
    await until(() => members(events).at(-1)?.includes('n1') === true, 'itself');
  });

  it('is told to register again when somebody deletes its Lease', async () => {
    const { events } = await ready();
    await until(() => members(events).at(-1)?.length === 1, 'itself');
    await embedded.write('DELETE', `${LEASES}/holdfast-member-n1`);
    await until(() => registrations(events).at(-1) === false, 'the order to register again');
  });

  it('lets the API client use the API servers of the other members, and not its own address', async () => {
    const { events } = await ready();
    const annotations = {
      'holdfast.io/addresses': '192.0.2.12',
      'holdfast.io/heartbeat-port': '6460',
      'holdfast.io/api-endpoint': '127.0.0.1:1',
    };
    const labels = { 'holdfast.io/member-of': 'plndr-cp-lock' };
    const metadata = { name: 'holdfast-member-n2', namespace: 'kube-system', labels, annotations };
    await embedded.write('POST', LEASES, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata,
      spec: { holderIdentity: 'n2' },
    });
    await until(() => members(events).at(-1)?.includes('n2') === true, 'the other');
    await embedded.api.stop();
    const failed = await embedded.client.request({ method: 'GET', path: '/version', deadlineMs: 1000 });
    expect(failed.ok).toBe(false);
    // Both were tried: the server of the kubeconfig, and then the other member's.
    expect(embedded.client.preferredEndpoint).toBe(embedded.api.url);
    expect(embedded.tried()).toEqual(expect.arrayContaining([embedded.api.url, 'https://127.0.0.1:1']));
    expect(embedded.tried()).not.toContain('https://[2001:db8::11]:6443');
  });

  it('goes on without heartbeats when the port is taken, and says so', async () => {
    const middleman = await openMiddleman();
    closers.push(() => middleman.close());
    const { candidacy, events, lines } = open({ vip_heartbeat_port: String(middleman.port) });
    candidacy.start();
    expect(candidacy.isHeartbeating).toBe(false);
    expect(lines[0]).toMatchObject({
      msg: 'heartbeats are off, the lease decides alone',
      fields: { code: 'PORT_IN_USE', remedy: expect.stringContaining(`ss -lunp sport = :${middleman.port}`) as string },
    });
    candidacy.perform({ kind: 'heartbeat.send', to: [], beat: { ...BEAT } });
    expect(events.filter((event) => event.kind === 'member.registered')).toEqual([]);
  });

  it('tells of a cordon with and without heartbeats', async () => {
    const { candidacy, events } = open({ vip_heartbeat: 'false' });
    expect(candidacy.isHeartbeating).toBe(false);
    await embedded.write('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } });
    candidacy.start();
    await embedded.write('PATCH', '/api/v1/nodes/n1', { spec: { unschedulable: true } });
    await until(() => events.length === 1, 'the cordon');
    await embedded.write('PATCH', '/api/v1/nodes/n1', { spec: { unschedulable: false } });
    await until(() => events.length === 2, 'its end');
    expect(events).toEqual([
      { kind: 'drain', isDraining: true, source: 'node' },
      { kind: 'drain', isDraining: false, source: 'node' },
    ]);
  });
});

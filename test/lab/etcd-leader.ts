/**
 * Which member of a real API leads etcd, and giving that to another: over etcd's JSON gateway
 * (rpc.proto: Maintenance.Status, Maintenance.MoveLeader), which every member has on its client port.
 */

import { ApiClient } from './api-client.ts';
import type { Cluster } from './cluster.ts';
import type { LabNode } from './lab.ts';
import { waitFor } from './process.ts';

const CLIENT_PORT = 2379;

interface Status {
  readonly node: LabNode;
  readonly memberId: string;
  readonly leaderId: string;
}

/** The node whose etcd leads; undefined while nobody does, or a member doesn't answer. */
export async function etcdLeader(cluster: Cluster): Promise<LabNode | undefined> {
  const all = await statuses(cluster);
  return all.find(({ memberId, leaderId }) => memberId === leaderId)?.node;
}

/** Makes `node`'s etcd the leader; resolves when it is and every member knows. */
export async function moveEtcdLeader(cluster: Cluster, node: LabNode): Promise<void> {
  await waitFor(
    `etcd led by ${node.name}`,
    async () => {
      const all = await statuses(cluster);
      const target = all.find((status) => status.node === node);
      if (target === undefined) return false;
      if (all.every(({ leaderId }) => leaderId === target.memberId)) return true;
      const leader = all.find(({ memberId, leaderId }) => memberId === leaderId);
      if (leader === undefined || leader === target) return false;
      await ask(leader.node, 'transfer-leadership', { targetID: target.memberId });
      return false;
    },
    { deadlineMs: 20_000, everyMs: 100 },
  );
}

async function statuses(cluster: Cluster): Promise<readonly Status[]> {
  const all: Status[] = [];
  for (const node of cluster.lab.nodes) {
    const body = await ask(node, 'status', {});
    if (body === undefined) continue;
    all.push({ node, memberId: body.header?.member_id ?? '', leaderId: body.leader ?? '' });
  }
  return all;
}

interface StatusAnswer {
  /** uint64 as text. */
  readonly leader?: string;
  readonly header?: { readonly member_id?: string };
}

async function ask(node: LabNode, method: string, body: unknown): Promise<StatusAnswer | undefined> {
  const host = node.ipv4 ?? `[${node.ipv6 ?? ''}]`;
  const client = new ApiClient({ server: `http://${host}:${CLIENT_PORT}`, namespace: node.namespace });
  try {
    const answer = await client.request('POST', `/v3/maintenance/${method}`, { body, deadlineMs: 2000 });
    // A MoveLeader's answer has nothing that anybody reads.
    return answer.status === 200 ? (answer.body as StatusAnswer) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * keepalived on the lab's nodes, as the guides for highly available control planes set it up: one VRRP router a node, an
 * instance for each family in one sync group, multicast, the distribution's package with its own defaults
 * (keepalived.conf(5)). No script watches the API server.
 */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Cluster } from './cluster.ts';
import { ForeignCandidates } from './contender.ts';
import type { LabNode } from './lab.ts';

/** "Keepalived v2.2.7 (01/16,2022)", or undefined where it isn't installed. */
export function keepalivedVersion(): string | undefined {
  const { stdout, stderr, error } = spawnSync('keepalived', ['--version'], { encoding: 'utf8' });
  return error === undefined ? /v(\d+\.\S+)/.exec(`${stderr}${stdout}`)?.[1] : undefined;
}

/** `advertSeconds`: the time between two advertisements; three missed ones and a skew are a lost master. */
export function keepalivedOn(cluster: Cluster, folder: string, advertSeconds: number): ForeignCandidates {
  return new ForeignCandidates(cluster, 'keepalived', (node) => {
    const file = (suffix: string): string => join(folder, `keepalived-${advertSeconds}-${node.name}.${suffix}`);
    writeFileSync(file('conf'), keepalivedConf(cluster, node, advertSeconds));
    return {
      argv: [
        'keepalived',
        '--dont-fork',
        '--log-console',
        '--log-detail',
        '--vrrp',
        `--use-file=${file('conf')}`,
        `--pid=${file('pid')}`,
        `--vrrp_pid=${file('vrrp.pid')}`,
      ],
      takesPart: /Entering BACKUP STATE/,
    };
  });
}

function keepalivedConf(cluster: Cluster, node: LabNode, advertSeconds: number): string {
  const priority = 100 - cluster.lab.nodes.indexOf(node);
  const instances = cluster.vips.map((vip, index) => ({
    name: `VI_${index + 1}`,
    text: `vrrp_instance VI_${index + 1} {
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id ${51 + index}
  priority ${priority}
  advert_int ${advertSeconds}
  virtual_ipaddress {
    ${vip}${vip.includes(':') ? '/128' : '/32'}
  }
}
`,
  }));
  return `global_defs {
  router_id ${node.name}
  vrrp_version 3
}
vrrp_sync_group VG_1 {
  group {
${instances.map(({ name }) => `    ${name}`).join('\n')}
  }
}
${instances.map(({ text }) => text).join('')}`;
}

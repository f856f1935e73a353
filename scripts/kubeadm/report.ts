/** The measurements as a document: tables per Lease timing, the products side by side. */

import type { BootstrapResult } from './bootstrap.ts';
import type { Darkness } from './client-traffic.ts';
import { FAULTS, type FaultResult } from './faults.ts';
import type { Bootstrap, ProductName } from './product.ts';

export interface Run {
  readonly product: ProductName;
  readonly version: string;
  readonly manifest: Bootstrap;
  readonly lease: string;
  readonly bootstrap?: BootstrapResult;
  readonly faults: readonly FaultResult[];
  /** What ended it early. */
  readonly problem?: string;
}

export interface Measurements {
  /** Program → version. */
  readonly parts: Readonly<Record<string, string>>;
  readonly runs: readonly Run[];
}

/** Two kernels may hold the address for as long as a netlink message takes to be read here, and no longer. */
const TWO_OWNERS_MAX_S = 0.05;

/** Whether there was one owner at every end, and never two for longer than can be told apart. */
export function isGood(run: Run): boolean {
  const { bootstrap } = run;
  if (run.problem !== undefined || bootstrap === undefined) return false;
  if (bootstrap.twoOwnersS > TWO_OWNERS_MAX_S || bootstrap.mistakenNodes.length > 0) return false;
  return run.faults.every(
    (result) =>
      result.problem === undefined &&
      result.settledAfterS !== undefined &&
      result.ownersDuring.length === 1 &&
      result.ownersAfter.length === 1 &&
      result.twoOwnersS <= TWO_OWNERS_MAX_S,
  );
}

export function reportText({ parts, runs }: Measurements): string {
  const versions = Object.entries(parts).map(([name, version]) => `${name} ${version}`);
  const products = [...new Set(runs.map(({ product, version }) => `${product} ${version}`))];
  const leases = [...new Set(runs.filter(({ faults }) => faults.length > 0).map(({ lease }) => lease))];
  return `${[
    '# A real kubeadm control plane',
    '',
    'Three nodes with real kubelets, containerd and static pods in namespaces of one machine (two cores), `kubeadm init',
    '--control-plane-endpoint VIP:6443`, two `kubeadm join --control-plane` through the VIP, then faults on its owner. One run',
    'of each, both products in the same way, by',
    '',
    '    npm run kubeadm -- --all',
    '',
    `Versions: ${products.join('; ')}; ${versions.join(', ')}. Numbers: kubeadm.json beside this file.`,
    '',
    'Everything is seconds. *Dark* is the longest outage that a client outside met: from the sending of its first failed',
    'request to the end of its next good one; it reads /livez every 50 ms and writes a ConfigMap every 100 ms, each over a new',
    'TLS connection, and gives up after one and two seconds. Owners are counted by netlink in every node, all the time;',
    'answers by a capture on the switch while somebody asks for the VIP every 50 ms. A fault lasts until twelve seconds after',
    'the Lease would have expired, then it is healed. `kubeadm reset` kills the pods and leaves the rest to them.',
    '',
    '## Bootstrap',
    '',
    '*own*: the manifest as Holdfast generates it. *admin.conf* and *super-admin.conf*: the manifest of kube-vip, which mounts',
    'that one file; for Holdfast nothing but the image in it was changed. super-admin.conf is exchanged for admin.conf after',
    '`kubeadm init`, as the documentation of kube-vip wants it; *dark at the switch* is what that costs.',
    '',
    ...bootstrapTable(runs),
    ...leases.flatMap((lease) => ['', `## Faults on the owner, Lease ${lease}`, '', ...faultTable(runs, lease)]),
    ...problemsOf(runs),
    '',
    '## Reading it',
    '',
    '- Measured before heartbeats between the candidates were there: with the Lease alone, as between products that have none.',
    '- A node that dies, or is cut off, is replaced when the Lease expires: that is the duration of the Lease less the time',
    '  since its last renewal. The address and the first announcement follow each other at once.',
    '- A frozen process, or one that `kubeadm reset` killed, cannot give anything back. Its address goes when the kernel',
    '  lifetime on it ends (`vip_address_lifetime`, three seconds), and comes back with the next owner: so it is dark for the',
    '  rest of the Lease, and held by one. Without a lifetime two nodes answer, for good in the case of `kubeadm reset`; a node',
    '  that still has the address can then not even join again through it.',
    '- A killed process is started again by the kubelet sooner than that, finds its address and keeps it.',
    '- An owner whose API server dies keeps the address until its renew deadline; nobody else can have it before the Lease expires.',
    '- Exchanging a static pod for another one makes the VIP dark for as long as the kubelet takes to do it. The manifest that',
    '  Holdfast generates needs no exchange: it mounts the folder, and super-admin.conf is used while admin.conf is refused.',
  ].join('\n')}\n`;
}

function problemsOf(runs: readonly Run[]): readonly string[] {
  const lines = runs.flatMap(({ product, manifest, lease, problem, faults }) => {
    const where = `- ${product}, ${manifest}, ${lease}`;
    const early = problem === undefined ? [] : [`${where}: ended early: ${problem}`];
    return [
      ...early,
      ...faults.flatMap((result) =>
        result.problem === undefined ? [] : [`${where}: after ${FAULTS[result.fault].title}: ${result.problem}`],
      ),
    ];
  });
  return lines.length === 0 ? [] : ['', '## What went wrong', '', ...lines];
}

function bootstrapTable(runs: readonly Run[]): readonly string[] {
  const rows = runs.flatMap(({ product, manifest, lease, bootstrap }) => {
    if (bootstrap === undefined) return [];
    return [
      [
        `${product}, ${manifest}, ${lease}`,
        text(bootstrap.initS),
        text(bootstrap.heldAfterS),
        text(bootstrap.answeredAfterS),
        bootstrap.joinsS.map(text).join(', '),
        bootstrap.switchReads === undefined ? '' : dark(bootstrap.switchReads),
        dark(bootstrap.reads),
        bootstrap.owners.join(' → '),
        text(bootstrap.twoOwnersS),
        String(bootstrap.restarts),
      ],
    ];
  });
  return table(
    [
      '',
      'init',
      'VIP held after',
      'VIP answers after',
      'joins',
      'dark at the switch',
      'dark at all',
      'owners',
      'two owners',
      'restarts',
    ],
    rows,
  );
}

function faultTable(runs: readonly Run[], lease: string): readonly string[] {
  const measured = runs.filter((run) => run.lease === lease && run.faults.length > 0);
  const names = [...new Set(measured.flatMap(({ faults }) => faults.map(({ fault }) => fault)))];
  const rows = names.flatMap((name) =>
    measured.flatMap(({ product, faults }) => {
      const result = faults.find(({ fault }) => fault === name);
      return result === undefined ? [] : [faultRow(result, product)];
    }),
  );
  const head = [
    'fault',
    'product',
    'dark, reads',
    'dark, writes',
    'moved after',
    'announced after',
    'owners in it',
    'two owners for',
    'two answer for',
    'owners after it',
    'restarts',
  ];
  return table(head, rows);
}

function faultRow(result: FaultResult, product: ProductName): readonly string[] {
  const emphasised = (names: readonly string[]): string => (names.length === 1 ? '1' : `**${names.length}**`);
  return [
    FAULTS[result.fault].title,
    product,
    dark(result.reads),
    dark(result.writes),
    result.movedAfterS === undefined ? 'stays' : text(result.movedAfterS),
    text(result.announcedAfterS),
    emphasised(result.ownersDuring),
    result.twoOwnersS > TWO_OWNERS_MAX_S ? `**${result.twoOwnersS}**` : '0',
    text(result.twoAnsweringS),
    emphasised(result.ownersAfter),
    String(result.restarts),
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

function text(seconds: number | undefined): string {
  return seconds === undefined ? '' : String(Math.round(seconds * 100) / 100);
}

function dark({ longestMs }: Darkness): string {
  return longestMs === null ? '**lasts**' : text(longestMs / 1000);
}

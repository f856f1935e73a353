/** What came of the steps, as a document. */

import type { BootstrapResult } from '../kubeadm/bootstrap.ts';
import type { Passage } from './scene.ts';
import type { Outcome } from './steps.ts';
import type { Stretch } from './traffic.ts';

export interface StepResult extends Outcome {
  readonly name: string;
  readonly title: string;
  readonly tookS: number;
}

export interface ServicesRun {
  readonly version: string;
  /** Program → version. */
  readonly parts: Readonly<Record<string, string>>;
  readonly kernel: string;
  /** As kube-proxy itself says. */
  readonly proxyMode: string;
  /** Who asks. */
  readonly client: string;
  readonly pool: string;
  readonly bootstrap?: BootstrapResult;
  readonly steps: readonly StepResult[];
  /** What ended it early. */
  readonly problem?: string;
}

export function isAllGood({ problem, steps }: ServicesRun): boolean {
  return problem === undefined && steps.length > 0 && steps.every(({ isGood }) => isGood);
}

export function servicesReport(run: ServicesRun): string {
  const { version, parts, kernel, proxyMode, client, pool, steps, problem } = run;
  const versions = Object.entries(parts).map(([name, each]) => `${name} ${each}`);
  return `${[
    '# Services behind kube-proxy, on a real kubeadm control plane',
    '',
    'Three nodes with real kubelets, containerd, kube-proxy and static pods in namespaces of one machine (two cores), made by',
    '`kubeadm init` and two `kubeadm join --control-plane`. The static pod is the one that',
    '',
    '    holdfast manifest pod --address VIP --interface eth0 --controlplane --arp --leaderElection \\',
    `      --services --servicesElection --servicesPools ${pool}`,
    '',
    'prints. Two Services of type LoadBalancer select the same Pods, one with `externalTrafficPolicy: Cluster`, one with `Local`;',
    `a client on the nodes' network (${client}) asks both. One run of`,
    '',
    '    npm run kubeadm -- --services --write',
    '',
    `Versions: ${[version, ...versions, `kube-proxy ${parts['kubelet'] ?? ''}, mode ${proxyMode}`, `Linux ${kernel}`].join('; ')}.`,
    'Numbers: kubeadm-services.json beside this file.',
    '',
    'Pods: CoreDNS, which the cluster has an image of; on the Pod network of the lab (the CNI plugins bridge and host-local, and',
    'a route from each node to the others). They answer HTTP on /health, and DNS with the name of their node (NSID) and the',
    'address that they were asked from (whoami), which they also log. The client asks for HTTP over a new connection and for',
    'DNS from a new UDP port, both every 20 ms, and for DNS over TCP every 200 ms; who has not answered after 0.9 s is *lost*.',
    '*Dark* is the longest outage: from the sending of its first failed probe to the first answer. Owners are counted by',
    'netlink in every node, all the time; answers by a capture on the switch while somebody asks by ARP every 50 ms.',
    '*moved* and *announced* count from the beginning of the step.',
    '',
    '## What was done, and what came of it',
    '',
    ...table(
      ['', 'step', 'as it must', 'what came of it'],
      steps.map(({ title, isGood, text }, index) => [String(index + 1), title, isGood ? 'yes' : '**no**', text]),
    ),
    '',
    '## Who was lost',
    '',
    ...table(
      [
        '',
        'step',
        'moved, s',
        'announced, s',
        'HTTP dark, ms',
        'HTTP lost',
        'UDP dark, ms',
        'UDP lost',
        'two owners, ms',
        'two answer, ms',
        'answers ARP at the end',
      ],
      steps.flatMap((step, index) => measurementRows(step, index)),
    ),
    ...(problem === undefined ? [] : ['', `Ended early: ${problem}`]),
    '',
    '## Reading it',
    '',
    '- `kubeadm` labels every control-plane node so that no load balancer uses it: on a cluster of nothing else, Services get',
    '  addresses and nobody answers until the label is gone (or svc_ignore_exclude_label=true). The condition says so.',
    '- Under Local a Pod sees the client; under Cluster it sees the node that answers: that is kube-proxy, not the announcement.',
    '- *Two owners* at a drain is make before break: the heir has the address and announces it before the former owner lets',
    '  go, so that no probe is lost. *Dark* without *lost* is a probe answered late, by a machine whose cores were busy.',
    '- The step *endpoint* depends on what kube-proxy learns, and that asks the API through the control-plane VIP, which the two',
    '  drains before have moved. Its connection from before that is dead, and it only listens: nothing tells it. In runs of',
    '  before, it learnt of no endpoint until client-go asked after 30 s of silence (on the node that had had the VIP: until it',
    '  gave up after 45), and the step lost 273 to 315 of some 500 probes. Since Holdfast ends such connections at once, and',
    '  tells clients on other machines (docs/operating.md), it connects again at once.',
    '- One HTTP probe lost by a reset (drain-cluster, endpoint) was under way when its address moved: the new owner of the address',
    '  knows nothing of such a connection.',
    '- This run shared its two cores with other work, at a load average of 25 to 30.',
    '- Rules of a frozen kube-proxy stay in the kernel: nothing is lost by that itself.',
    '- A node that was switched on again is heard late where its API server refused its first question: RBAC is not there yet in',
    '  its first seconds (Holdfast asks for the heartbeat key again after half a second, then less and less often).',
    '- Single connections lost under Cluster while the API is away are no outage of the address: DNS over UDP to the same',
    '  address loses none meanwhile, and nothing changes hands. Their cause was not looked for.',
    '- mode nftables was not run: the image of kube-proxy here has iptables alone.',
  ].join('\n')}\n`;
}

function measurementRows({ name, passage, other }: StepResult, index: number): readonly (readonly string[])[] {
  const rows = passage === undefined ? [] : [measurementRow(name, passage, index)];
  return other === undefined ? rows : [...rows, measurementRow(`${name}, the other Service`, other, index)];
}

function measurementRow(name: string, passage: Passage, index: number): readonly string[] {
  const { movedAfterS, announcedAfterS, http, udp, twoOwnersMs, twoAnsweringMs, answering } = passage;
  return [
    String(index + 1),
    name,
    movedAfterS === undefined ? 'stays' : String(movedAfterS),
    announcedAfterS === undefined ? '' : String(announcedAfterS),
    dark(http),
    `${http.lost} of ${http.probes}`,
    dark(udp),
    `${udp.lost} of ${udp.probes}`,
    String(twoOwnersMs),
    String(twoAnsweringMs),
    answering.join(', ') || '**nobody**',
  ];
}

function dark({ darkMs }: Stretch): string {
  return darkMs === null ? '**lasts**' : String(darkMs);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('\n', ' ').replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

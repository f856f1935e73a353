/** What is done with Services on the control plane, in this order, and what is looked for. */

import { nowMs, sleep } from '../../test/lab/clock.ts';
import { waitFor } from '../../test/lab/process.ts';
import { seconds } from '../kubeadm/control-plane.ts';
import type { Machine } from '../kubeadm/machine.ts';
import type { Passage, Scene } from './scene.ts';
import type { Stretch } from './traffic.ts';
import { readEndpoints, readService, type ServiceName } from './web.ts';

export interface Outcome {
  /** Whether it came as it must, apart from how long it took. */
  readonly isGood: boolean;
  readonly text: string;
  /** The address that was looked at, where there is one. */
  readonly service?: ServiceName;
  readonly passage?: Passage;
  /** Of the other Service, where that is looked at, too. */
  readonly other?: Passage;
}

export interface Step {
  readonly name: string;
  /** What is done. */
  readonly title: string;
  readonly play: (scene: Scene) => Promise<Outcome>;
}

const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';
const MANIFESTS = '/etc/kubernetes/manifests';
const ANNOUNCED = 'holdfast.io/Announced';
const MOVE_MAX_MS = 30_000;
/** Left to itself after a move, to see it stay. */
const AFTERWARDS_MS = 3000;
const AFTER_POWER_MS = 10_000;
const WITHOUT_API_MS = 20_000;
const STEADY_MS = 4000;

export const STEPS: readonly Step[] = [
  {
    name: 'excluded',
    title: `both Services created while all nodes have the label that kubeadm gives control planes (\`${EXCLUDED}\`)`,
    play: excluded,
  },
  { name: 'label', title: `\`kubectl label nodes --all ${EXCLUDED}-\``, play: unlabelled },
  {
    name: 'cluster',
    title: 'a client asks for four seconds, policy Cluster',
    play: (scene) => asked(scene, 'web-cluster'),
  },
  { name: 'local', title: 'a client asks for four seconds, policy Local', play: (scene) => asked(scene, 'web-local') },
  {
    name: 'drain-cluster',
    title: '`holdfast drain` on the owner, policy Cluster',
    play: (scene) => drained(scene, 'web-cluster'),
  },
  {
    name: 'drain-local',
    title: '`holdfast drain` on the owner, policy Local',
    play: (scene) => drained(scene, 'web-local'),
  },
  {
    name: 'endpoint',
    title: 'the Pods go to a node that had none, policy Local: a new one there first, then away with the others',
    play: endpointsMoved,
  },
  { name: 'kube-proxy', title: 'kube-proxy frozen (SIGSTOP) on the owner, policy Local', play: proxyFrozen },
  {
    name: 'power-cluster',
    title: 'power cut of the owner, policy Cluster (its Pods on the other nodes)',
    play: (scene) => powerCut(scene, 'web-cluster'),
  },
  {
    name: 'power-local',
    title: 'power cut of the owner, policy Local (a Pod on it and one on another node)',
    play: (scene) => powerCut(scene, 'web-local'),
  },
  { name: 'node-addresses', title: "the kubelets' node addresses afterwards", play: nodeAddresses },
  { name: 'api', title: 'all API servers away for twenty seconds', play: apiAway },
  {
    name: 'api-power',
    title: 'power cut of the owner while all API servers are away, policy Local',
    play: powerCutWithoutApi,
  },
];

async function excluded(scene: Scene): Promise<Outcome> {
  const heardS = await scene.heard();
  const tookS = await scene.create(scene.nodes.slice(1));
  const condition = await scene
    .soon('a word on the Service', 15_000, async () => {
      const found = (await readService(scene.admin, 'web-local')).conditions.get(ANNOUNCED);
      return found?.message.includes(EXCLUDED) === true && found;
    })
    .catch(async (error: unknown) => {
      const { conditions } = await readService(scene.admin, 'web-local');
      throw new Error(`${String(error)}: ${JSON.stringify([...conditions])}`);
    });
  const names = (['web-cluster', 'web-local'] as const).map((name) => scene.address(name));
  const isSilent = names.every((address) => scene.holders.now(address).length === 0);
  const text = `every Holdfast heard by every other ${heardS ?? '**never**'} s after the last join had settled; addresses ${names.join(', ')} after ${tookS} s, on no node; \`${ANNOUNCED}\` ${condition.status}, ${condition.reason}: “${condition.message}”`;
  return { isGood: isSilent && names[0] !== names[1] && condition.status === 'False', text };
}

async function unlabelled(scene: Scene): Promise<Outcome> {
  const startMs = nowMs();
  await scene.admin.sh(`kubectl label nodes --all ${EXCLUDED}-`);
  const commandS = seconds(nowMs() - startMs);
  const texts: string[] = [];
  for (const name of ['web-cluster', 'web-local'] as const) {
    const answeredMs = await scene.traffic.answered('http', scene.address(name), startMs, MOVE_MAX_MS);
    texts.push(`${name} on ${scene.owner(name).name}, HTTP answers after ${seconds(answeredMs - startMs)} s`);
  }
  return { isGood: true, text: `${texts.join('; ')} (the command itself took ${commandS} s)` };
}

async function asked(scene: Scene, service: ServiceName): Promise<Outcome> {
  const owner = scene.owner(service);
  const startMs = nowMs();
  await sleep(STEADY_MS);
  const passage = await scene.passage(service, startMs, owner.name);
  const tcp = await scene.traffic.stretch('tcp', scene.address(service), startMs);
  const stretches = [passage.http, passage.udp, tcp];
  const client = scene.cluster.lab.client.ipv4 ?? '';
  const isReached = stretches.every(({ probes, lost }) => probes > 0 && lost === 0) && isServed(passage);
  const asking = [passage.udp, tcp];
  const text =
    `owner ${owner.name}; HTTP ${share(passage.http)}, DNS over UDP ${share(passage.udp)}, over TCP ${share(tcp)} answered; ` +
    `Pods on ${asking.map(({ by }) => by.join(', ')).join(' (UDP), ')} (TCP); they saw ${asking.map(({ seen }) => seen.join(', ')).join(' (UDP), ')} (TCP)`;
  if (service === 'web-cluster') {
    const isSpread = passage.udp.by.join(' ') === scene.nodes.slice(1).join(' ');
    return { isGood: isReached && isSpread, text, service, passage };
  }
  const isLocal = asking.every(({ by, seen }) => by.join() === owner.name && seen.join() === client);
  const logged = await owner.run(`grep -h -m 1 -F ' ${client} ' /var/log/pods/default_web-*/*/*.log | head -n 1`);
  const line = logged.out.replace(/^\S+ \S+ \S+ /, '').trim();
  return {
    isGood: isReached && isLocal && line.includes(client),
    text: `${text}; log of the Pod: \`${line}\``,
    service,
    passage,
  };
}

async function drained(scene: Scene, service: ServiceName): Promise<Outcome> {
  const owner = scene.owner(service);
  const isLeader = scene.cluster.holderNames().includes(owner.name);
  const startMs = nowMs();
  const answer = await scene.holdfast(owner, 'drain');
  const tookS = seconds(nowMs() - startMs);
  const stillHolds = scene.holders.now(scene.address(service)).includes(owner.name);
  try {
    await scene.ownedBy(service, (name) => name !== owner.name, MOVE_MAX_MS);
    await sleep(AFTERWARDS_MS);
    const passage = await scene.passage(service, startMs, owner.name);
    const said = answer.out.trim() || answer.text.trim();
    const text =
      `${owner.name}${isLeader ? ' (it has the control-plane VIP, too)' : ''} → ${passage.owners.join(', ')}; ` +
      `\`drain\` took ${tookS} s, exit code ${answer.code}${stillHolds ? ', **before the address was gone**' : ''}: “${said}”`;
    return { isGood: isServed(passage) && answer.code === 0 && !stillHolds, text, service, passage };
  } finally {
    await scene.holdfast(owner, 'drain --undo');
  }
}

async function endpointsMoved(scene: Scene): Promise<Outcome> {
  const service = 'web-local';
  const owner = scene.owner(service);
  const { ready } = await readEndpoints(scene.admin, service);
  const target = scene.nodes.find((name) => !ready.includes(name));
  if (target === undefined) throw new Error('every node has a Pod');
  const startMs = nowMs();
  const removedMs = await scene.place([target]);
  await scene.ownedBy(service, (name) => name === target, MOVE_MAX_MS);
  await sleep(AFTERWARDS_MS);
  const passage = await scene.passage(service, startMs, owner.name);
  const movedMs = startMs + (passage.movedAfterS ?? 0) * 1000;
  const text = `${owner.name} → ${passage.owners.join(', ')}, ${seconds(movedMs - removedMs)} s after the old Pods were told to end (they answer on for 5 s)`;
  return { isGood: isServed(passage), text, service, passage };
}

async function proxyFrozen(scene: Scene): Promise<Outcome> {
  const service = 'web-local';
  const owner = await withTwoEndpoints(scene);
  const image = await scene.admin.sh(
    "kubectl -n kube-system get daemonset kube-proxy -o jsonpath='{.spec.template.spec.containers[0].image}'",
  );
  const startMs = nowMs();
  const count = await owner.signal(image, 'STOP');
  try {
    await scene.ownedBy(service, (name) => name !== owner.name, MOVE_MAX_MS);
    await sleep(AFTERWARDS_MS);
    const passage = await scene.passage(service, startMs, owner.name);
    const text = `${owner.name} → ${passage.owners.join(', ')}; ${count} process frozen, its rules stay in the kernel`;
    return { isGood: isServed(passage) && count === 1, text, service, passage };
  } finally {
    await owner.signal(image, 'CONT');
  }
}

async function powerCut(scene: Scene, service: ServiceName): Promise<Outcome> {
  let owner: Machine;
  if (service === 'web-local') owner = await withTwoEndpoints(scene);
  else {
    owner = scene.owner(service);
    await scene.place(scene.nodes.filter((name) => name !== owner.name));
  }
  const { name } = owner;
  const isLeader = scene.cluster.holderNames().includes(name);
  await sleep(AFTERWARDS_MS);
  const startMs = nowMs();
  let outcome: Outcome;
  let settledS: number | undefined;
  let heardS: number | undefined;
  await owner.powerOff();
  try {
    await scene.ownedBy(service, (node) => node !== name, MOVE_MAX_MS);
    await sleep(AFTER_POWER_MS);
    // Its kernel went before its namespace did: what that still had was on no wire.
    const passage = await scene.passage(service, startMs, name, [name]);
    const text = `${name}${isLeader ? ' (it led, and had the control-plane VIP)' : ''} → ${passage.owners.join(', ')}`;
    outcome = { isGood: isServed(passage), text, service, passage };
  } finally {
    await owner.boot();
    // Where it never is, the next step says so.
    settledS = await scene.cluster.settled();
    heardS = await scene.heard();
  }
  const again = `switched on again: the cluster well after ${settledS ?? '**never**'} s, every Holdfast heard by every other ${heardS ?? '**never**'} s later`;
  return { ...outcome, text: `${outcome.text}; ${again}` };
}

async function nodeAddresses(scene: Scene): Promise<Outcome> {
  const listed = await scene.admin.sh(
    `kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.status.addresses[?(@.type=="InternalIP")].address}{"\\n"}{end}'`,
  );
  const wanted = scene.cluster.machines.map(({ name, node }) => `${name} ${node.ipv4}`);
  const lines = listed.split('\n').filter(Boolean);
  return { isGood: lines.toSorted().join() === wanted.join(), text: lines.join(', ') };
}

async function apiAway(scene: Scene): Promise<Outcome> {
  const service = 'web-local';
  const owner = await withTwoEndpoints(scene);
  const startMs = nowMs();
  for (const machine of scene.cluster.machines) {
    await machine.sh(`mv ${MANIFESTS}/kube-apiserver.yaml /var/tmp/`);
  }
  await waitFor('all API servers away', () => allRefuse(scene), { deadlineMs: 60_000, everyMs: 500 });
  const goneS = seconds(nowMs() - startMs);
  await sleep(WITHOUT_API_MS);
  const passage = await scene.passage(service, startMs, owner.name);
  const other = await scene.passage('web-cluster', startMs, scene.owner('web-cluster').name);
  const isStill = passage.movedAfterS === undefined && other.movedAfterS === undefined;
  const text =
    `the last one was gone after ${goneS} s; ${isStill ? 'both addresses stay' : '**an address moved**'}; ` +
    `policy Cluster meanwhile: HTTP ${share(other.http)}, UDP ${share(other.udp)} answered`;
  return { isGood: isServed(passage) && isServed(other) && isStill, text, service, passage, other };
}

async function powerCutWithoutApi(scene: Scene): Promise<Outcome> {
  const service = 'web-local';
  if (!(await allRefuse(scene))) throw new Error('an API server answers');
  const owner = scene.owner(service);
  const startMs = nowMs();
  await owner.powerOff();
  await scene.ownedBy(service, (node) => node !== owner.name, MOVE_MAX_MS);
  await sleep(AFTER_POWER_MS);
  const passage = await scene.passage(service, startMs, owner.name, [owner.name]);
  const isGood = isServed(passage);
  return { isGood, text: `${owner.name} → ${passage.owners.join(', ')}`, service, passage };
}

async function allRefuse(scene: Scene): Promise<boolean> {
  for (const machine of scene.cluster.machines.filter(({ isOn }) => isOn)) {
    const { code } = await machine.run(`curl -sk -m 1 https://${machine.node.ipv4}:6443/livez`);
    if (code === 0) return false;
  }
  return true;
}

/** The owner under the policy Local, which has a Pod, as has one other node. */
async function withTwoEndpoints(scene: Scene): Promise<Machine> {
  const owner = scene.owner('web-local');
  const other = scene.nodes.find((name) => name !== owner.name && name !== scene.owner('web-cluster').name);
  await scene.place([owner.name, ...(other === undefined ? [] : [other])].toSorted());
  return scene.owner('web-local');
}

/** One node has the address and answers for it, and what stands behind it answers, too. */
function isServed({ owners, answering, http, udp }: Passage): boolean {
  const isOwnedOnce = owners.length === 1 && answering.join() === owners.join();
  return isOwnedOnce && http.darkMs !== null && udp.darkMs !== null;
}

function share({ probes, lost }: Stretch): string {
  return `${probes - lost} of ${probes}`;
}

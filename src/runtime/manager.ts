/**
 * `holdfast manager`: opens the kernel, the API and the observers, connects them to the loop, and ends when the core says
 * so. Everything is opened here and closed here; nothing else has a lifetime of its own.
 */

import { randomBytes } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { monotonic, type MonotonicMs } from '../base/time.ts';
import type { AgentEvent } from '../agent/event.ts';
import { isFrameAwaited } from '../agent/services/read.ts';
import { startAgent, type AgentRules, type AgentState, type Move } from '../agent/state.ts';
import type { Config } from '../config/config.ts';
import type { Control } from '../observe/control.ts';
import { openHttpServer, type HttpServer } from '../observe/http-server.ts';
import { openHeartbeat, type Heartbeat } from '../observe/heartbeat.ts';
import { logFunction, type OpenLog } from '../observe/log.ts';
import { openMetrics, type Metrics } from '../observe/metrics.ts';
import { openStatusServer, type StatusServer } from '../observe/status-server.ts';
import type { StatusReport } from '../observe/status-model.ts';
import { missingCapabilities } from '../system/capabilities.ts';
import { openKernel, type Kernel } from '../system/kernel.ts';
import { loadNetfd } from '../system/native-addon.ts';
import { processorMs } from '../system/clock.ts';
import { watchClocks } from './clock-watch.ts';
import { peerUser } from '../system/peer-credentials.ts';
import { openCandidacy, type Candidacy } from './candidacy.ts';
import { openKube, type Kube } from './kube-connection.ts';
import { openExplainer, type Explainer } from './explainer.ts';
import { frameDrop } from './frame-drop.ts';
import { kernelTeller } from './kernel-teller.ts';
import { startLoop, type Loop } from './loop.ts';
import { openPerformer, type Performer } from './perform.ts';
import { rulesOfConfig } from './rules.ts';
import { openServices, type Services } from './services/services.ts';
import { statusReport } from './status-report.ts';
import { vipTexts } from './vip-texts.ts';
import { askWire } from './wire-question.ts';
import { openWitness, type Witness } from './witness.ts';

export interface ManagerOptions {
  readonly config: Config;
  readonly version: string;
  readonly log: OpenLog;
}

/** Past this the process ends whatever still hangs: every address has been withdrawn long before. */
const EXIT_DEADLINE_MS = 5000;

/** When most of Node's code has been used for the last time: credentials are loaded, a free address is held. */
const TRIM_AFTER_MS = 10_000;

/**
 * Runs until a signal has been honoured; resolves to the exit code.
 * @throws HoldfastError when the machine cannot carry the job: capability, addon, netlink.
 */
export async function runManager(options: ManagerOptions): Promise<number> {
  const missing = missingCapabilities(['NET_ADMIN', 'NET_RAW']);
  if (missing.length > 0) {
    const capability = missing.join(' and ');
    throw new HoldfastError('CAPABILITY_MISSING', `the process lacks ${capability}`, { context: { capability } });
  }
  const netfd = loadNetfd();
  const kernel = openKernel(netfd);
  const kube = await openKube({ config: options.config, log: logFunction(options.log), netfd });
  return new Manager(options, netfd, kernel, kube).run();
}

class Manager {
  readonly #options: ManagerOptions;
  readonly #netfd: ReturnType<typeof loadNetfd>;
  readonly #kernel: Kernel;
  readonly #kube: Kube;
  readonly #candidacy: Candidacy;
  readonly #rules: AgentRules;
  /** What this node can say about an address. */
  readonly #witness: Witness;
  #loop: Loop | undefined;
  #status: StatusServer | undefined;
  #metrics: Metrics | undefined;
  #services: Services | undefined;
  #recordedMove: Move | undefined;
  #names: AgentState['names'] | undefined;
  #vipTexts: readonly string[] = [];

  constructor(options: ManagerOptions, netfd: ReturnType<typeof loadNetfd>, kernel: Kernel, kube: Kube) {
    this.#options = options;
    this.#netfd = netfd;
    this.#kernel = kernel;
    this.#kube = kube;
    this.#candidacy = openCandidacy({
      config: options.config,
      netfd,
      kernel,
      client: kube.client,
      log: options.log,
      dispatch: (event) => this.#dispatch(event),
      onDrop: (reason, count) => this.#metrics?.observeDrop('heartbeat', reason, count),
      facts: () => this.#services?.factsText,
      answer: (question) => this.#witness(question),
      onMembers: (members) => this.#services?.membersObserved(members),
    });
    const { isHeartbeating } = this.#candidacy;
    this.#rules = rulesOfConfig(options.config, randomBytes(6).toString('hex'), isHeartbeating);
    this.#witness = openWitness({
      rules: this.#rules,
      state: () => this.#loop?.state,
      isKubeProxyHealthy: () => this.#services?.isKubeProxyHealthy(),
      askWire: (place, ip) => askWire(netfd, place, ip),
    });
  }

  async run(): Promise<number> {
    const { log } = this.#options;
    const exit = Promise.withResolvers<number>();
    const performer = this.#openPerformer(exit.resolve);
    const metrics = this.#openMetrics();
    const pulse = openHeartbeat(now);
    this.#loop = startLoop({
      rules: this.#rules,
      initial: startAgent(randomBytes(4).readUInt32LE(), now()),
      now,
      processorMs,
      perform: (effect) => {
        metrics.observeEffect(effect);
        performer.perform(effect);
      },
      clockJump: watchClocks(() => ({
        monotonicMs: this.#netfd.clockMonotonic(),
        boottimeMs: this.#netfd.clockBoottime(),
        wallMs: Date.now(),
      })),
      onTurn: (event, state, lateMs) => {
        pulse.turned(this.#loop?.deadline ?? monotonic(Number.POSITIVE_INFINITY));
        metrics.observeEvent(event);
        if (event.kind === 'frame.received') this.#countDrop(event.frame);
        metrics.observeTurn(lateMs);
        this.#turned(state);
      },
    });
    this.#services = this.#openServices(metrics);
    this.#watchKernel();
    const watch = this.#kube.watchLease((lease) => this.#dispatch({ kind: 'lease.observed', source: 'watch', lease }));
    this.#candidacy.start();
    const http = await this.#openHttp(metrics, pulse);
    await this.#openStatus();
    const unhook = this.#hookSignals();
    setTimeout(() => this.#netfd.trim(), TRIM_AFTER_MS).unref();
    const code = await exit.promise;
    const hardStop = setTimeout(() => process.exit(code), EXIT_DEADLINE_MS);
    unhook();
    this.#loop.close();
    watch.stop();
    this.#services?.close();
    performer.close();
    this.#candidacy.close();
    this.#kernel.close();
    await Promise.all([performer.settled(), http.close(), this.#status?.close(), this.#kube.close()]);
    clearTimeout(hardStop);
    log.info('stopped', {});
    return code;
  }

  #openPerformer(onExit: (code: number) => void): Performer {
    return openPerformer({
      addressProtocol: this.#rules.addressProtocol,
      netfd: this.#netfd,
      kernel: this.#kernel,
      lease: this.#kube.lease,
      recordEvent: this.#kube.recordEvent,
      candidacy: this.#candidacy,
      log: this.#options.log,
      dispatch: (event) => this.#dispatch(event),
      isAwaited: (address) => this.#loop === undefined || isFrameAwaited(this.#loop.state, address),
      onConnectionsEnded: (address, count) => this.#metrics?.observeConnectionsEnded(address, count),
      onExit,
    });
  }

  #openMetrics(): Metrics {
    const { log, version, config } = this.#options;
    const metrics = openMetrics({
      version,
      node: config.nodeName,
      leaseName: config.election.leaseName,
      report: () => this.#report(),
      droppedLogLines: () => log.droppedLines(),
      addressLabel: (address) => (this.#isVip(address) ? address : 'services'),
    });
    this.#kube.onRequest((outcome) => metrics.observeRequest(outcome));
    this.#kube.onWatchRestart((resource, reason) => metrics.observeWatchRestart(resource, reason));
    this.#metrics = metrics;
    return metrics;
  }

  #openHttp(metrics: Metrics, pulse: Heartbeat): Promise<HttpServer> {
    const { log, config } = this.#options;
    return openHttpServer({
      metricsAddress: config.observe.metricsAddress,
      healthPort: config.observe.healthPort,
      metrics: () => metrics.scrape(),
      pulse: () => pulse.read(),
      report: () => this.#report(),
      onProblem: (error) => log.warn(error.message, { component: 'metrics', code: error.code, remedy: error.remedy }),
      onRecovered: (where) => log.info('port opened at last', { component: 'metrics', where }),
    });
  }

  /** Of the control plane; without Services there are no others. */
  #isVip(address: string): boolean {
    return this.#rules.services === undefined || this.#vipTexts.includes(address);
  }

  #countDrop(frame: Uint8Array): void {
    const drop = frameDrop(frame);
    if (drop !== undefined) this.#metrics?.observeDrop(drop.protocol, drop.reason);
  }

  #dispatch(event: AgentEvent): void {
    assert(this.#loop !== undefined, 'the loop runs before anything is dispatched');
    this.#loop.dispatch(event);
  }

  #openServices(metrics: Metrics): Services | undefined {
    const { config, log } = this.#options;
    const { client, serviceEvents } = this.#kube;
    if (serviceEvents === undefined) return undefined;
    return openServices({
      config,
      client,
      events: serviceEvents,
      log,
      rules: this.#rules,
      isHeartbeating: this.#candidacy.isHeartbeating,
      dump: () => this.#kernel.dump(),
      dispatch: (event) => this.#dispatch(event),
      onFacts: () => this.#candidacy.factsChanged(),
      onPlanned: (durationMs) => metrics.observePlan(durationMs),
      onMove: (move) => metrics.observeServiceMove(move),
    });
  }

  #watchKernel(): void {
    const tell = kernelTeller((event) => this.#dispatch(event), {
      dump: () => this.#kernel.dump(),
      isBundling: this.#services !== undefined,
    });
    this.#kernel.watch((change) => {
      tell(change);
      this.#candidacy.kernelChanged(change);
      this.#services?.kernelChanged(change);
    });
    this.#dispatch({ kind: 'kernel.dumped', snapshot: this.#kernel.dump() });
  }

  /** The status socket is a convenience: without it the VIP is held all the same. */
  async #openStatus(): Promise<void> {
    const { config, log } = this.#options;
    try {
      this.#status = await openStatusServer({
        socket: config.observe.statusSocket,
        report: () => this.#report(),
        control: this.#control(),
        explain: this.#openExplainer(),
      });
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      log.warn(error.message, { component: 'status', code: error.code, remedy: error.remedy });
    }
  }

  #openExplainer(): Explainer {
    return openExplainer({
      rules: this.#rules,
      isHeartbeating: this.#candidacy.isHeartbeating,
      witness: this.#witness,
      inquire: (name, question) => this.#candidacy.inquire(name, question),
      state: () => this.#state(),
      services: () => this.#services?.explainFacts(),
    });
  }

  #state(): AgentState {
    assert(this.#loop !== undefined, 'the loop runs before anybody asks');
    return this.#loop.state;
  }

  /** Orders come from root, and from whoever runs this process. */
  #control(): Control {
    return {
      mayOrder: (socket) => {
        const user = peerUser(this.#netfd, socket);
        return user !== undefined && (user === 0 || user === process.geteuid?.());
      },
      drain: (isDraining) => {
        this.#options.log.info(isDraining ? 'drain ordered' : 'drain taken back', { component: 'status' });
        this.#dispatch({ kind: 'drain', isDraining, source: 'operator' });
      },
    };
  }

  #hookSignals(): () => void {
    const { log } = this.#options;
    let count = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      count += 1;
      log.info('signal received', { signal });
      if (count > 1) process.exit(1); // a second one means now; the kernel lifetime ends what is left
      this.#dispatch({ kind: 'shutdown' });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    return () => {
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
    };
  }

  #turned(state: AgentState): void {
    const move = state.moves.at(-1);
    if (move !== undefined && move.isComplete && move !== this.#recordedMove) {
      this.#recordedMove = move;
      this.#metrics?.observeMove({ kind: move.kind, cause: move.cause, timings: { ...move.timings } });
    }
    if (state.names !== this.#names) {
      this.#names = state.names;
      this.#vipTexts = vipTexts(this.#rules.sources, state.names);
      this.#kube.setVips(this.#vipTexts);
    }
    this.#services?.turned(state);
    this.#status?.changed();
  }

  #report(): StatusReport {
    return statusReport(this.#rules, this.#state(), {
      version: this.#options.version,
      now: now(),
      wallMs: Date.now(),
      api: this.#kube.apiStatus(),
      watch: this.#kube.watchStatus(),
      problems: this.#kube.problems(),
      services: this.#services?.status(),
    });
  }
}

function now(): MonotonicMs {
  return monotonic(performance.now());
}

/**
 * Whether this node's kube-proxy is well, as far as that can be seen: its health check on port 10256 answers 200 while it
 * has synced its rules lately (KEP-3836). Where nothing has ever listened there is nothing to know: Cilium and others stand
 * in for it, and an address is held all the same. A bad answer counts after the third in a row; no answer, where there was
 * one, after the fifth: one that is being restarted is none, and its rules stay in the kernel meanwhile.
 */

import { get, type IncomingMessage } from 'node:http';

export interface KubeProxyProbeOptions {
  /** Called when it becomes well or ill; until then it isn't known. */
  readonly onChange: (isHealthy: boolean) => void;
  /** Default 2 s. */
  readonly intervalMs?: number;
  /** Default: that of kube-proxy. */
  readonly port?: number;
}

export interface KubeProxyProbe {
  close(): void;
}

/** kube-proxy's --healthz-bind-address. */
const PORT = 10_256;
const INTERVAL_MS = 2_000;
const TIMEOUT_MS = 1_000;
const FALL = 3;
/** 10 s: longer than a Pod of it takes to be replaced. */
const FALL_GONE = 5;
/** kube-proxy binds to the addresses of its family. */
const HOSTS = ['127.0.0.1', '::1'] as const;

type Answer = 'well' | 'ill' | 'absent';

export function openKubeProxyProbe(options: KubeProxyProbeOptions): KubeProxyProbe {
  const { onChange, intervalMs = INTERVAL_MS, port = PORT } = options;
  let state: boolean | undefined;
  let illCount = 0;
  let goneCount = 0;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const take = (answer: Answer): void => {
    // One that answered badly and then not at all is ill still.
    illCount = answer === 'ill' ? illCount + 1 : 0;
    goneCount = answer === 'absent' ? goneCount + 1 : 0;
    if (answer === 'ill' && illCount < FALL) return;
    if (answer === 'absent' && (state === undefined || goneCount < FALL_GONE)) return;
    const next = answer === 'well';
    if (next === state) return;
    state = next;
    onChange(next);
  };
  const look = async (): Promise<void> => {
    let answer: Answer = 'absent';
    for (const host of HOSTS) {
      answer = await ask(host, port);
      if (answer !== 'absent') break;
    }
    if (isClosed) return;
    take(answer);
    timer = setTimeout(() => void look(), intervalMs);
    timer.unref();
  };
  void look();
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Never rejects. */
function ask(host: string, port: number): Promise<Answer> {
  return new Promise((resolve) => {
    const request = get({ host, port, path: '/healthz', timeout: TIMEOUT_MS, agent: false }, (response) => {
      response.resume();
      response.on('error', () => resolve('ill'));
      resolve(response.statusCode === 200 ? 'well' : 'ill');
      discard(response);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', (error: NodeJS.ErrnoException) => {
      resolve(ABSENT_CODES.has(error.code ?? '') ? 'absent' : 'ill');
    });
  });
}

const ABSENT_CODES: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ENETUNREACH']);

/** Whoever answers without an end isn't listened to. */
function discard(response: IncomingMessage): void {
  let octets = 0;
  response.on('data', (chunk: Buffer) => {
    octets += chunk.length;
    if (octets > ANSWER_MAX) response.destroy();
  });
}

const ANSWER_MAX = 65_536;

/**
 * Entering network namespaces from this process: a synchronous function runs with the calling thread inside a namespace,
 * and what it opened there stays there. So a test can hold sockets in several namespaces at once, on one clock and one
 * event loop. It also answers whether this process may make namespaces at all, and starts itself over in a user
 * namespace where the kernel lets an ordinary user do so.
 */

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';

import type { Family } from '../../src/base/ip.ts';
import { loadNetfd } from '../../src/system/native-addon.ts';
import type { Netfd } from '../../src/system/netfd.ts';

export const NETNS_FOLDER = '/run/netns';
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
/** Set in the process that was started over inside a user namespace. */
const INSIDE_MARK = 'HOLDFAST_LAB_USER_NAMESPACE';

let loaded: Netfd | undefined;

/** The native addon of this thread, loaded when it is first needed. */
export function netfd(): Netfd {
  loaded ??= loadNetfd();
  return loaded;
}

/** Runs `act` with this thread inside the namespace `name`; undefined is where the thread is already. */
export function inNamespace<Value>(name: string | undefined, act: () => Value): Value {
  if (name === undefined) return act();
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const there = openSync(`${NETNS_FOLDER}/${name}`, 'r');
  try {
    expectNoErrno(netfd().setns(there), `setns ${name}`);
    return act();
  } finally {
    const back = netfd().setns(home);
    closeSync(there);
    closeSync(home);
    // A thread that can't go home would do everything after this in the wrong network.
    if (back < 0) process.abort();
  }
}

/** An unconnected TCP socket that lives in the namespace; call connect() on it. */
export function tcpSocketIn(name: string | undefined, family: Family): Socket {
  if (name === undefined) return new Socket();
  const fd = inNamespace(name, () => netfd().socket(family === 'ipv4' ? AF_INET : AF_INET6, SOCK_STREAM, 0));
  expectNoErrno(fd, 'socket');
  netfd().release(fd);
  return new Socket({ fd, readable: true, writable: true });
}

/** The command line that runs `argv` inside the namespace; the process id stays that of argv's program. */
export function argvIn(name: string | undefined, argv: readonly string[]): readonly string[] {
  return name === undefined ? argv : ['nsenter', `--net=${NETNS_FOLDER}/${name}`, '--', ...argv];
}

export function expectNoErrno(result: number, what: string): void {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
}

export type Privilege =
  | { readonly kind: 'root' }
  | { readonly kind: 'user-namespace' }
  | { readonly kind: 'none'; readonly reason: string };

/** How this process could make network namespaces: as it is, in a user namespace, or not at all (and why). */
export function namespacePrivilege(): Privilege {
  for (const tool of ['ip', 'unshare', 'nsenter']) {
    const probe = spawnSync(tool, ['--version']);
    if (probe.error !== undefined && tool !== 'ip') {
      return { kind: 'none', reason: `${tool} (util-linux) is not installed` };
    }
    if (probe.error !== undefined) return { kind: 'none', reason: 'ip (iproute2) is not installed' };
  }
  if (trial('unshare', ['--net', '--mount', 'true']) === '') return { kind: 'root' };
  const refusal = trial('unshare', [
    ...USER_NAMESPACE,
    'sh',
    '-c',
    'mount -t tmpfs tmpfs /run && ip link add type veth',
  ]);
  if (refusal === '') return { kind: 'user-namespace' };
  const advice =
    'run it as root, or allow user namespaces: sysctl user.max_user_namespaces, and on Ubuntu ' +
    'kernel.apparmor_restrict_unprivileged_userns=0';
  return { kind: 'none', reason: `neither root nor allowed to make a user namespace (${refusal}); ${advice}` };
}

const USER_NAMESPACE = ['--user', '--map-root-user', '--net', '--mount', '--'];

/** Whether this process is already the one inside a user namespace that startOver made. */
export function isStartedOver(): boolean {
  return process.env[INSIDE_MARK] === '1';
}

/**
 * The command line that runs `argv` inside user, network and mount namespaces of its own, with a /run of its own so that
 * `ip netns` works there.
 */
export function userNamespaceArgv(argv: readonly string[]): readonly string[] {
  const prepare = `mount -t tmpfs tmpfs /run && export ${INSIDE_MARK}=1 && exec "$@"`;
  return ['unshare', ...USER_NAMESPACE, 'sh', '-c', prepare, 'sh', ...argv];
}

/** Runs this very command line again inside a user namespace (userNamespaceArgv). Answers its exit code. */
export function startOverInUserNamespace(): Promise<number> {
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const [command = '', ...args] = userNamespaceArgv(self);
  const child = spawn(command, args, { stdio: 'inherit' });
  // The terminal sends Ctrl-C to both; this one waits for the other to clean up.
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      process.off('SIGINT', ignore);
      resolve(code ?? 1);
    });
  });
}

function trial(command: string, args: readonly string[]): string {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? '' : stderr.trim().split('\n').at(-1) || `exit code ${status ?? 'unknown'}`;
}

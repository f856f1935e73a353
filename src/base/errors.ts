/**
 * Failed effects and operator mistakes, with a stable code and what to type next. The table of codes is `ERRORS`; logs,
 * Events, `holdfast config` and docs/errors.md (generated) all read it. A code is never renamed.
 */

export interface ErrorEntry {
  /** One sentence: what is wrong. */
  readonly summary: string;
  /** What an operator types or changes next. `{name}` is replaced from the context. */
  readonly remedy: string;
}

export interface ErrorContext {
  readonly [name: string]: string | number | boolean | undefined;
}

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, message: string, options: { context?: ErrorContext; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.context = options.context ?? {};
    this.remedy = fillRemedy(ERRORS[code].remedy, this.context);
  }
}

export type ErrorCode = keyof typeof ERRORS;

export const ERRORS = {
  NATIVE_ADDON_MISSING: {
    summary: 'No build of the native addon fits this machine.',
    remedy: 'Install a C compiler and run `npm run build:native`, or use the released image.',
  },
  NATIVE_ADDON_UNLOADABLE: {
    summary: 'The native addon could not be written anywhere it can be executed from.',
    remedy: 'Mount an emptyDir (medium: Memory) at /tmp or /run of the container, or set TMPDIR to a writable, executable folder.',
  },
  CAPABILITY_MISSING: {
    summary: 'The process lacks a Linux capability it needs.',
    remedy: 'Add {capability} to securityContext.capabilities.add of the container (drop ALL, add NET_ADMIN and NET_RAW).',
  },
  INTERFACE_MISSING: {
    summary: 'The network interface the address belongs on does not exist.',
    remedy: 'Set vip_interface to one of: {present}. `ip -brief link` lists them.',
  },
  INTERFACE_DOWN: {
    summary: 'The network interface is not up.',
    remedy: 'Run `ip link set {interface} up`, or set vip_allow_interface_not_up=true to wait for it.',
  },
  INTERFACE_NO_DEFAULT_ROUTE: {
    summary: 'vip_interface is not set and no default route names an interface.',
    remedy: 'Set vip_interface to the interface whose network the VIP belongs to.',
  },
  INTERFACE_UNSUITABLE: {
    summary: 'The network interface cannot carry ARP or neighbour discovery.',
    remedy: 'Set vip_interface to an Ethernet, bond, bridge or VLAN interface.',
  },
  ADDRESS_IN_USE_HERE: {
    summary: 'The virtual IP is already an ordinary address of this node.',
    remedy: 'Choose an unused address for `address`; {address} is configured on {interface} by something else.',
  },
  ADDRESS_CONFLICT: {
    summary: 'Another machine answers for the virtual IP.',
    remedy: 'Find the machine with MAC {mac} and remove {address} from it, or choose another address.',
  },
  KUBECONFIG_MISSING: {
    summary: 'There is no kubeconfig and no in-cluster service account.',
    remedy: 'Mount /etc/kubernetes/admin.conf (or set k8s_config_file to a readable kubeconfig).',
  },
  KUBECONFIG_INVALID: {
    summary: 'The kubeconfig cannot be read or is not a kubeconfig.',
    remedy: 'Check {path}: `kubectl --kubeconfig {path} config view` must succeed.',
  },
  API_FORBIDDEN: {
    summary: 'The API server refuses what Holdfast needs.',
    remedy: 'Apply `holdfast manifest rbac`, or use a kubeconfig that may {verb} {resource} in {namespace}.',
  },
  API_UNAUTHORIZED: {
    summary: 'The API server does not accept the credentials.',
    remedy: 'Renew the client certificate or token in {path} (`kubeadm certs renew admin.conf`).',
  },
  API_UNREACHABLE: {
    summary: 'No API server endpoint answers.',
    remedy: 'Check kube-apiserver on this node: `crictl ps --name kube-apiserver` and `curl -k https://127.0.0.1:6443/livez`.',
  },
  LEASE_INVALID: {
    summary: 'The election Lease has contents Holdfast cannot use.',
    remedy: 'Inspect it with `kubectl -n {namespace} get lease {lease} -o yaml`.',
  },
  NETLINK_FAILED: {
    summary: 'The kernel refused a netlink request.',
    remedy: 'See the errno in the message; EPERM means NET_ADMIN is missing.',
  },
  FRAME_SEND_FAILED: {
    summary: 'A frame could not be sent.',
    remedy: 'See the errno in the message; ENETDOWN means that the interface is down, EPERM that NET_RAW is missing.',
  },
  PORT_IN_USE: {
    summary: 'A local port or socket is taken.',
    remedy: 'Stop the other process ({what}), or set another port.',
  },
  NAME_UNRESOLVED: {
    summary: 'The DNS name of the virtual IP does not resolve.',
    remedy: 'Check {name} with `getent ahosts {name}` on this node, or give `address` as IP.',
  },
} as const satisfies Record<string, ErrorEntry>;

/** `remedy` with each `{name}` replaced by the context's value; unknown names are dropped to "?". */
export function fillRemedy(remedy: string, context: ErrorContext): string {
  return remedy.replace(/\{(\w+)\}/g, (_, name: string) => String(context[name] ?? '?'));
}

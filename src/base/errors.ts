/**
 * Failed effects and operator mistakes, with a stable code and what to type next. The table of codes is `ERRORS`; logs,
 * Events, `holdfast config` and docs/errors.md (generated) all read it. A code is never renamed.
 */

import { DOCTOR_ERRORS } from './doctor-errors.ts';
import type { ErrorEntry } from './error-entry.ts';
import { SERVICE_ERRORS } from './service-errors.ts';

export type { ErrorEntry };

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
    remedy:
      'Mount an emptyDir (medium: Memory) at /tmp or /run of the container, or set TMPDIR to a writable, executable folder.',
  },
  CAPABILITY_MISSING: {
    summary: 'The process lacks a Linux capability it needs.',
    remedy:
      'Add {capability} to securityContext.capabilities.add of the container (drop ALL, add NET_ADMIN and NET_RAW).',
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
  KUBECONFIG_UNSUPPORTED: {
    summary: 'The kubeconfig asks for something Holdfast does not do.',
    remedy: 'Give k8s_config_file a kubeconfig without it; in {path}: {what}.',
  },
  API_UNTRUSTED: {
    summary: 'The certificate of the API server does not verify.',
    remedy:
      'Compare certificate-authority in the kubeconfig with the CA that signed the certificate served at {endpoint}.',
  },
  API_REQUEST_FAILED: {
    summary: 'The API server answered with an error.',
    remedy: 'See the status and message; `kubectl get --raw /readyz?verbose` tells whether the API server is healthy.',
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
    remedy:
      'Check kube-apiserver on this node: `crictl ps --name kube-apiserver` and `curl -k https://127.0.0.1:6443/livez`.',
  },
  DUPLICATE_IDENTITY: {
    summary: 'Another process contends for the Lease under the same node name.',
    remedy: 'Give each node its own vip_nodename (the generated manifests use spec.nodeName).',
  },
  HEARTBEATS_UNHEARD: {
    summary: 'No heartbeat of any other candidate arrives, so a lost node is noticed only when its Lease expires.',
    remedy: 'Allow UDP port {port} between the nodes ({peers}); `holdfast status` on each shows whom it hears.',
  },
  LEASE_RESERVED: {
    summary:
      'Nobody leads the election, and this node may not: the Lease is for nodes that hold the address of the control plane.',
    remedy:
      "Start Holdfast on a control-plane node. If the control plane's address is no longer Holdfast's: `kubectl -n {namespace} annotate lease {name} {annotation}-`.",
  },
  LEASE_INVALID: {
    summary: 'The election Lease has contents Holdfast cannot use.',
    remedy: 'Inspect it with `kubectl -n {namespace} get lease {lease} -o yaml`.',
  },
  NETLINK_FAILED: {
    summary: 'The kernel refused a netlink request.',
    remedy: 'See the errno in the message; EPERM means NET_ADMIN is missing.',
  },
  CONNECTIONS_NOT_ENDED: {
    summary: 'Connections of an address that has moved are not ended: they hang until they time out.',
    remedy:
      'Use a kernel with CONFIG_INET_DIAG_DESTROY (`zgrep INET_DIAG /proc/config.gz`), whose modules inet_diag and tcp_diag load.',
  },
  SYSCTL_UNWRITABLE: {
    summary: 'A kernel setting cannot be changed.',
    remedy: 'Run `sysctl -w {name}={value}` on the node; /proc/sys is read-only in a container that is not privileged.',
  },
  FRAME_SEND_FAILED: {
    summary: 'A frame could not be sent.',
    remedy: 'See the errno in the message; ENETDOWN means that the interface is down, EPERM that NET_RAW is missing.',
  },
  CAPTURE_FAILED: {
    summary: 'Frames cannot be received from the network interface.',
    remedy:
      'See the errno in the message; ENODEV means that the interface is gone, ENOMEM that net.core.optmem_max is too small.',
  },
  PORT_IN_USE: {
    summary: 'A local port or socket is taken.',
    remedy: 'Stop the other process ({what}), or set another port.',
  },
  LISTEN_FAILED: {
    summary: 'A local port or socket cannot be opened.',
    remedy:
      'See the errno in the message: {setting} must name an address of this node and a port or folder that the process may use.',
  },
  NOT_RUNNING: {
    summary: 'Nothing answers on the status socket.',
    remedy:
      'Look at the container with `crictl ps -a --name holdfast` and its `crictl logs`; run this on the node itself (in its network namespace) and, if vip_status_socket is set there, with --socket.',
  },
  ORDER_REFUSED: {
    summary: 'The running Holdfast takes orders from root and from the user it runs as only.',
    remedy: 'Run the command as root on the node (`sudo`), or in the container: `crictl exec`.',
  },
  STATUS_UNKNOWN: {
    summary: 'The running Holdfast reports its status in another form than this command knows.',
    remedy: 'Use the `holdfast` of the running container: `crictl exec` into it and run `holdfast status`.',
  },
  COMMAND_INVALID: {
    summary: 'The command line cannot be understood.',
    remedy: 'Run `{command} --help`.',
  },
  INTERNAL_ERROR: {
    summary: 'Holdfast met a situation it was not written for.',
    remedy:
      'Please report it with the log line. Kernel lifetimes remove the addresses of a process that ended; the restarted one takes part again.',
  },
  NAME_UNRESOLVED: {
    summary: 'The DNS name of the virtual IP does not resolve.',
    remedy: 'Check {name} with `getent ahosts {name}` on this node, or give `address` as IP.',
  },
  CONFIG_VALUE_INVALID: {
    summary: 'A variable, flag or file key has a value of the wrong form or out of range.',
    remedy: 'Set {name} to {expected}.',
  },
  CONFIG_ADDRESS_MISSING: {
    summary: 'The control plane is enabled, but no virtual IP is given.',
    remedy:
      'Set `address` to the virtual IP, for example address=192.0.2.10 or, dual-stack, address=192.0.2.10,2001:db8::10.',
  },
  CONFIG_ADDRESS_INVALID: {
    summary: 'An entry of `address` is neither an IP address nor a DNS name.',
    remedy: 'Write {expected} in {name}.',
  },
  CONFIG_ADDRESS_UNUSABLE: {
    summary: 'The virtual IP is of a kind that no machine can own on a network.',
    remedy: 'Set {name} to an unused unicast address of the network of this node.',
  },
  CONFIG_ADDRESS_DUPLICATE: {
    summary: 'The same virtual IP is given twice.',
    remedy: 'Name {address} once in {name}.',
  },
  CONFIG_SUBNET_INVALID: {
    summary: 'vip_subnet does not fit the virtual IPs.',
    remedy: 'Set vip_subnet to {expected}, or leave it out: 32 for IPv4 and 128 for IPv6 are used then.',
  },
  CONFIG_SUBNET_WIDE: {
    summary: 'vip_subnet ties the virtual IP to other addresses of the node.',
    remedy:
      'Leave vip_subnet out (32 is used then), or run `sysctl -w net.ipv4.conf.all.promote_secondaries=1` on each node.',
  },
  CONFIG_LEASE_TIMES: {
    summary: 'The times of the election do not fit together.',
    remedy:
      'Keep vip_leaseduration > vip_renewdeadline > 1.2 x vip_retryperiod and vip_leaseduration >= 3, for example 15, 10, 2 or 5, 3, 1 (seconds).',
  },
  CONFIG_NOTHING_TO_DO: {
    summary: 'With this configuration there is nothing this version could do.',
    remedy: 'Set {expected}.',
  },
  CONFIG_CONFLICT: {
    summary: 'Two settings exclude each other.',
    remedy: 'Remove one of {names}.',
  },
  CONFIG_FILE_UNREADABLE: {
    summary: 'The configuration file cannot be read.',
    remedy: 'Check that {path} exists and is readable here, or remove --config-file (config_file).',
  },
  CONFIG_FILE_INVALID: {
    summary: 'The configuration file is not a mapping in YAML or JSON.',
    remedy: 'Correct {path} (.yaml, .yml or .json): keys are those of kube-vip or the names of the variables.',
  },
  CONFIG_BGP_PEERS_INVALID: {
    summary: 'bgp_peers cannot be parsed.',
    remedy:
      'Write each peer as address:AS[:password[:multihop[:port[:mpbgp[:bfd]]]]], IPv6 addresses in [], peers separated by commas.',
  },
  CONFIG_INTERFACE_MISSING: {
    summary: 'The manifest for kubeadm needs to be told the interface.',
    remedy: 'Add --interface with the interface whose network the virtual IP belongs to.',
  },
  CONFIG_NOT_SUPPORTED: {
    summary: 'A setting of kube-vip is understood, but this version does not do it yet.',
    remedy: 'Remove {name}, or keep it for a later version: it has no effect now.',
  },
  CONFIG_NAME_MISSPELLED: {
    summary: 'A name resembles a setting, but is none.',
    remedy: 'Rename {name} to {nearest}.',
  },
  CONFIG_NAME_UNKNOWN: {
    summary: 'A name looks like a setting, but there is none of that name.',
    remedy: 'Remove {name}; docs/configuration.md lists every setting.',
  },
  CONFIG_DEPRECATED: {
    summary: 'A setting has a newer spelling.',
    remedy: 'Use {instead} in place of {name}.',
  },
  CONFIG_ASSUMED: {
    summary: 'A setting is missing and its evident value is used.',
    remedy: 'Set {expected} to say so.',
  },
  CONFIG_VALUE_ADJUSTED: {
    summary: 'A value is used in another form than it was given.',
    remedy: 'Set {name} to {expected}.',
  },
  CONFIG_OVERRIDDEN: {
    summary: 'Two sources give different values; the stronger one is used.',
    remedy: 'Remove {name} from one of the two: flags win over the environment, which wins over the file.',
  },
  CONFIG_UNUSED: {
    summary: 'A setting has no effect beside the others.',
    remedy: 'Remove {name}, or set {expected}.',
  },
  ...SERVICE_ERRORS,
  ...DOCTOR_ERRORS,
} as const satisfies Record<string, ErrorEntry>;

/** `remedy` with each `{name}` replaced by the context's value; unknown names are dropped to "?". */
export function fillRemedy(remedy: string, context: ErrorContext): string {
  return remedy.replace(/\{(\w+)\}/g, (_, name: string) => String(context[name] ?? '?'));
}

/**
 * Codes of what `holdfast doctor` alone finds: part of the table of errors (errors.ts). Where another code says the same
 * thing already, the doctor uses that. A code is never renamed.
 */

import type { ErrorEntry } from './error-entry.ts';

export const DOCTOR_ERRORS = {
  STRICT_ARP_OFF: {
    summary: 'kube-proxy in IPVS mode makes every node answer ARP requests for the address of every Service.',
    remedy:
      'Set ipvs.strictARP: true in the ConfigMap kube-proxy of kube-system and run `kubectl -n kube-system rollout restart daemonset kube-proxy`.',
  },
  REVERSE_PATH_FILTER: {
    summary: 'Strict reverse path filtering drops packets that come in by another interface than replies go out by.',
    remedy: 'Run `sysctl -w {name}=2` (loose) on the node, and write it to a file of /etc/sysctl.d.',
  },
  NODE_ADDRESS_IS_VIP: {
    summary: 'A virtual IP or the address of a Service is taken for an address of a node.',
    remedy:
      'Start the kubelet of {node} with --node-ip set to its own address, and have the network plugin choose its address by interface or subnet.',
  },
  CERTIFICATE_LACKS_VIP: {
    summary: 'The certificate of the API server does not name the virtual IP, so clients refuse it there.',
    remedy:
      'Add {missing} to apiServer.certSANs of the ConfigMap kubeadm-config of kube-system; on each control-plane node, move apiserver.crt and apiserver.key out of the way, run `kubeadm init phase certs apiserver --config FILE` and restart kube-apiserver.',
  },
  VIP_OUTSIDE_SUBNETS: {
    summary: 'The virtual IP is in no subnet of this node, so nobody on the network asks for it here.',
    remedy: 'Choose an unused address of {subnets} for `address`, or have a router send {address} to that network.',
  },
  KUBECONFIG_BYPASSES_VIP: {
    summary:
      'A kubeconfig names one node instead of the virtual IP: when that node is lost, so is the API for its user.',
    remedy: 'Set clusters[].cluster.server of {path} to {expected} and restart what uses it.',
  },
  OTHER_LOAD_BALANCER: {
    summary: 'Something else serves Services of type LoadBalancer, or answers for addresses.',
    remedy:
      'Leave Services to one of them: remove {what}, or keep them apart by loadBalancerClass (lb_class_only=true).',
  },
  METALLB_CONFIG_IGNORED: {
    summary: 'A ConfigMap of MetalLB before 0.13 is there, which nothing reads any more.',
    remedy: 'Write its address-pools as IPAddressPool and L2Advertisement, and delete {object}.',
  },
  POOL_OUTSIDE_SUBNETS: {
    summary: 'Addresses of a pool are in the subnet of no node, so nobody on the network asks for them.',
    remedy:
      'Take {range} out of {object}, or give the nodes an interface in that network, or announce the pool by BGP.',
  },
  NODES_ALL_EXCLUDED: {
    summary: 'Every node is excluded from external load balancers by label, so nobody may answer for a Service.',
    remedy:
      'Run `kubectl label nodes NODE node.kubernetes.io/exclude-from-external-load-balancers-`, or set svc_ignore_exclude_label=true.',
  },
  INTERFACE_WIRELESS: {
    summary:
      'The network interface is wireless: access points and drivers drop broadcasts, and neighbours forget the address.',
    remedy:
      'Use a wired interface (vip_interface). Without one, switch off power saving: `iw dev {interface} set power_save off`.',
  },
  INTERFACE_IS_PORT: {
    summary: 'The network interface is a port of a bond or bridge, which takes its frames.',
    remedy: 'Set vip_interface to {master}.',
  },
  INTERFACE_MTU: {
    summary: 'The MTU of the network interface does not fit its use.',
    remedy: 'Run `ip link set {interface} mtu {expected}`, and set it where the interface is configured.',
  },
  PORT_SECURITY: {
    summary: 'The network of a virtual machine may let through only the addresses that the platform gave to it.',
    remedy: '{advice}',
  },
  CLOCK_SKEW: {
    summary: 'The clocks of this node and of the API server differ.',
    remedy:
      'Run a time service on all nodes (chrony, systemd-timesyncd). Holdfast decides nothing by wall clocks; certificates, tokens and other programs do.',
  },
  SUPER_ADMIN_CONF: {
    summary: 'super-admin.conf or admin.conf is not as kubeadm leaves it, or the wrong one is used.',
    remedy: '{advice}',
  },
  MANIFEST_MISSING: {
    summary: 'No static pod would start Holdfast on this control-plane node.',
    remedy: 'Write one: `holdfast manifest pod … > {path}`. With a DaemonSet there is none, and nothing to do.',
  },
  MANIFEST_INVALID: {
    summary: 'A static pod manifest does not give Holdfast what it needs.',
    remedy: 'Correct {field} in {path}, or generate it again: `holdfast manifest pod`.',
  },
  MANIFEST_DUPLICATE: {
    summary: 'Several static pods would hold the same addresses on this node.',
    remedy: 'Keep one of {paths}: the kubelet starts every file of the folder whose name does not begin with a dot.',
  },
  LEASES_DIFFER: {
    summary: 'Candidates of one cluster are elected on different Leases, so two of them can lead at once.',
    remedy:
      'Give all nodes the same Lease: svc_leasename={lease} where only Services are served, or vip_leasename={lease} elsewhere.',
  },
  METALLB_WEBHOOK_LEFT: {
    summary: "MetalLB's webhook is still called although MetalLB is gone: its pools can't be edited.",
    remedy: 'Run `kubectl delete validatingwebhookconfiguration {object}`: Holdfast checks pools itself.',
  },
  SERVICE_PENDING: {
    summary: 'A Service of type LoadBalancer has no address.',
    remedy: 'Do what is said of it, or see all of it on a node: `holdfast explain service {service}`.',
  },
  SERVICE_SILENT: {
    summary: 'No node answers for the address of a Service.',
    remedy: 'Each node and why it is no candidate: `holdfast explain service {service}` on any of them.',
  },
  IPV6_DISABLED: {
    summary: 'IPv6 is switched off on an interface that is to hold an IPv6 address.',
    remedy: 'Run `sysctl -w {name}=0`, and set it in /etc/sysctl.d, or use IPv4 addresses only.',
  },
  FORWARDING_OFF: {
    summary: 'The kernel forwards nothing, so that what arrives for a Service reaches no Pod of another node.',
    remedy: 'Run `sysctl -w {name}=1`, and set it in /etc/sysctl.d.',
  },
  KEEPALIVED_HOLDS_VIP: {
    summary: 'keepalived on this node is configured with a virtual IP of ours.',
    remedy:
      'Let one of them hold {address}: stop keepalived on every node (`systemctl disable --now keepalived`, or its static pod) before Holdfast starts, or take {address} out of {path}.',
  },
  RUNNING_PROBLEM: {
    summary: 'The running Holdfast reports a problem.',
    remedy: 'See `holdfast status`.',
  },
} as const satisfies Record<string, ErrorEntry>;

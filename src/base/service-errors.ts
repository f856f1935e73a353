/**
 * Codes about Services of type LoadBalancer: part of the table of errors (errors.ts). They appear in status conditions,
 * Events, metrics, `holdfast plan`, `explain` and `doctor`. A code is never renamed.
 */

import type { ErrorEntry } from './error-entry.ts';

export const SERVICE_ERRORS = {
  OBJECT_INVALID: {
    summary: 'A Kubernetes object has a field that makes no sense.',
    remedy: 'Correct {field} of {object}; everything else in it is used.',
  },
  POOL_MISSING: {
    summary: 'There is no pool of addresses at all.',
    remedy:
      'Set svc_pools (for example svc_pools=192.168.0.200-192.168.0.250), or make an IPAddressPool or the ConfigMap kubevip.',
  },
  POOL_INVALID: {
    summary: 'A pool of addresses cannot be understood.',
    remedy: 'Correct {field} of {object}: a CIDR, or first-last of one family; {effect}.',
  },
  POOL_CONFLICT: {
    summary: 'Two pools have addresses in common: the later one gives nothing new.',
    remedy: 'Take {range} out of {object}: until then only {other} gives these addresses{besides}.',
  },
  POOL_RESERVED: {
    summary: 'A pool contains addresses that are in use by the cluster itself.',
    remedy: 'Take {range} out of {object}: it is {reason}. It is not given to Services.',
  },
  POOL_UNKNOWN: {
    summary: 'A Service, or an advertisement, names a pool that does not exist.',
    remedy: 'Name one of: {present}.',
  },
  POOL_SHADOWED: {
    summary: 'A pool can never be used, because another one comes first.',
    remedy: 'Remove {field}, or {other}, which is looked up first.',
  },
  POOL_FULL: {
    summary: 'Every address of the pool is in use.',
    remedy: 'Add a range to the pool, or delete Services that are not needed.',
  },
  POOL_FAMILY: {
    summary: 'The pool has no address of the family asked for.',
    remedy: 'Add a range of that family to the pool, or change ipFamilies of the Service.',
  },
  POOL_NOT_AUTOMATIC: {
    summary: 'The pool gives addresses only to Services that ask for it.',
    remedy: 'Ask for it with the annotation metallb.io/address-pool, or set autoAssign of the pool.',
  },
  POOL_NAMESPACE: {
    summary: 'The pool is for Services of other namespaces.',
    remedy: 'Add the namespace to the pool, or use another pool.',
  },
  POOL_SELECTOR: {
    summary: 'The pool is for Services with other labels.',
    remedy: 'Give the Service the labels the pool selects, or use another pool.',
  },
  POOL_CLOSED: {
    summary: 'The pool keeps what it gave and gives nothing new.',
    remedy: 'Open the pool again (disabled: false), or use another pool.',
  },
  POOL_DHCP: {
    summary: 'Addresses from DHCP are not supported yet.',
    remedy: 'Give the pool addresses of its own.',
  },
  REQUEST_INVALID: {
    summary: 'What the Service asks for cannot be read.',
    remedy: 'Correct {field} of the Service: IP addresses of its families, separated by commas.',
  },
  REQUEST_CONFLICT: {
    summary: 'The Service asks for different things in different places.',
    remedy: 'Keep one of {fields} on the Service.',
  },
  REQUEST_FAMILY: {
    summary: 'The addresses asked for do not fit the families of the Service.',
    remedy: 'Ask for one address per entry of ipFamilies.',
  },
  REQUEST_DEPRECATED: {
    summary: 'The Service asks in a spelling that is deprecated.',
    remedy: 'Use {instead} in place of {field}.',
  },
  REQUEST_NOT_SUPPORTED: {
    summary: 'The Service asks for something this version does not do.',
    remedy: 'Remove {field}, or keep it for a later version: it has no effect now.',
  },
  ADDRESS_OUTSIDE: {
    summary: 'No pool contains the address asked for.',
    remedy:
      'Ask for an address of a pool, or add it to one (an IPAddressPool with autoAssign: false gives it to those who ask only).',
  },
  ADDRESS_TAKEN: {
    summary: 'The address asked for belongs to another Service.',
    remedy: 'Ask for another address, or let both consent to share (same sharing key, other ports).',
  },
  ADDRESS_NOT_SHAREABLE: {
    summary: 'The address is shared by Services this one cannot join.',
    remedy: 'Use the same sharing key, other ports and the same traffic policy (Local: the same selector).',
  },
  ADDRESS_AVOIDED: {
    summary: 'The pool does not give addresses ending in .0 or .255.',
    remedy: 'Ask for another address, or set avoidBuggyIPs: false.',
  },
  ADDRESS_RESERVED: {
    summary: 'The address is in use by the cluster itself.',
    remedy: 'Ask for another address.',
  },
  ADDRESS_QUARANTINED: {
    summary: 'Another machine answers for the address.',
    remedy: 'Find the machine with MAC {mac}, or take the address out of the pool (and of DHCP).',
  },
  ADDRESS_UNANSWERED: {
    summary: 'Nobody answers on the wire for an address that a node holds.',
    remedy:
      'Run `holdfast doctor` on {node}. If it finds nothing, look for the lost question with `tcpdump -eni {interface} arp or icmp6` there: when it does not arrive, another VLAN or a switch is between; when an answer leaves that does not arrive, it is port security, or a hypervisor that lets a port have one address only.',
  },
  ADDRESS_ANSWERED_ELSEWHERE: {
    summary: 'Another machine than the one that holds the address answers for it on the wire.',
    remedy:
      'Find the machine with MAC {mac} (the switch knows its port) and remove {address} from it, or take the address out of the pool (and of DHCP).',
  },
  ADDRESS_ANSWERED_BY_NODE: {
    summary: 'A node that does not hold the address answers for it on the wire.',
    remedy:
      'See what has it on {node}: `ip address show to {address}`. On kube-ipvs0 it is kube-proxy: set strictARP: true in its configuration (mode ipvs). Else remove it there.',
  },
  ADDRESS_ORPHANED: {
    summary: 'The Service keeps an address that no pool holds any more.',
    remedy: 'Add the address to a pool, or clear it from the Service to get another.',
  },
  ADDRESS_RELEASED: {
    summary: 'An address in the status of the Service is not one it can have: it is given up.',
    remedy: 'Where clients or DNS records use {address}, give them the address it has now.',
  },
  DUAL_STACK_INCOMPLETE: {
    summary: 'The Service has an address of one family only.',
    remedy: 'Add a range of the missing family to the pool.',
  },
  SERVICE_CLASS: {
    summary: 'The Service belongs to another load balancer class.',
    remedy: 'Set spec.loadBalancerClass to {expected} (on creation: it is immutable), or lb_class_name to its class.',
  },
  SERVICE_IGNORED: {
    summary: 'The Service asks to be left alone.',
    remedy: 'Remove the annotation kube-vip.io/ignore.',
  },
  SERVICE_CONTESTED: {
    summary: 'Another program takes the address of a Service out of its status as often as it is written.',
    remedy:
      'Let one program serve it: remove the other load balancer (`holdfast doctor` names those it finds), or give each its own class (spec.loadBalancerClass, lb_class_only).',
  },
  SERVICE_NOT_LOAD_BALANCER: {
    summary: 'The Service is not of type LoadBalancer.',
    remedy: 'Set spec.type to LoadBalancer.',
  },
  SERVICE_NAMESPACE: {
    summary: 'Services of other namespaces are not watched.',
    remedy: 'Unset svc_namespace, or move the Service to it.',
  },
  SERVICE_DELETED: {
    summary: 'The Service is being deleted: it keeps its address until it is gone, and gets no other.',
    remedy: 'If it stays, see who should remove its finalizers: `kubectl get service NAME -o yaml`.',
  },
  SERVICE_CLUSTER_IP: {
    summary: 'The Service has no cluster IP, which load balancing needs.',
    remedy: 'Remove clusterIP: None from the Service.',
  },
  NO_ADVERTISEMENT: {
    summary: 'No advertisement covers the pool or the Service.',
    remedy: 'Make an L2Advertisement (or CiliumL2AnnouncementPolicy with loadBalancerIPs: true) that selects it.',
  },
  ADVERTISEMENT_IDLE: {
    summary: 'An advertisement has no effect.',
    remedy: 'Correct {field} of {object}, or remove the object.',
  },
  ADVERTISEMENT_CONFLICT: {
    summary: 'Two BGP advertisements say different things about the same addresses.',
    remedy: 'Give {object} the localPref of {other}, or other pools, peers, nodes or aggregation lengths.',
  },
  ADVERTISEMENT_AGGREGATION: {
    summary: 'A BGP advertisement aggregates to more addresses than the pool has.',
    remedy: 'Set {field} of {object} to {least} or more, or advertise another pool.',
  },
  ADVERTISEMENT_NOT_L2: {
    summary: 'The address is advertised by BGP only.',
    remedy: 'Make an L2Advertisement for its pool if the segment is to be answered as well.',
  },
  NO_ENDPOINTS: {
    summary: 'No Pod can serve the Service.',
    remedy: 'Check its selector: `kubectl get endpointslices -l kubernetes.io/service-name=NAME` lists what serves it.',
  },
  NO_LOCAL_ENDPOINT: {
    summary: 'The Service wants local traffic only and no Pod of it runs on the node.',
    remedy: 'Run a Pod on the node, or set externalTrafficPolicy: Cluster.',
  },
  NO_CANDIDATE: {
    summary: 'No node may answer for the address.',
    remedy: 'See the reason of each node: `holdfast explain service NS/NAME`.',
  },
  NODE_NOT_LEADER: {
    summary: 'Only the leader answers while svc_election is false.',
    remedy: 'Set svc_election=true to spread the addresses over the nodes.',
  },
  NODE_NOT_SELECTED: {
    summary: 'No advertisement selects the node.',
    remedy: 'Change nodeSelectors of the advertisement, or the labels of the node.',
  },
  NODE_EXCLUDED: {
    summary: 'The node is excluded from external load balancers by label.',
    remedy:
      'Remove the label node.kubernetes.io/exclude-from-external-load-balancers, or set svc_ignore_exclude_label=true.',
  },
  NODE_NETWORK_UNAVAILABLE: {
    summary: 'The node reports that its network is not available.',
    remedy: 'Repair the network plugin of the node: `kubectl describe node NODE`.',
  },
  NODE_DRAINING: {
    summary: 'The node is being drained, cordoned or out of service.',
    remedy: 'Run `holdfast drain --undo` there or `kubectl uncordon NODE` when it should serve again.',
  },
  NODE_NO_STANDING: {
    summary: 'Holdfast is not heard on the node.',
    remedy: 'Check the Pod of Holdfast on that node.',
  },
  NODE_KUBE_PROXY: {
    summary: 'kube-proxy on the node is not healthy.',
    remedy: 'Check kube-proxy there: `curl http://127.0.0.1:10256/healthz`.',
  },
  NODE_NO_INTERFACE: {
    summary: 'The node has no interface for the address.',
    remedy: 'Give the node an address in the subnet, name the interface, or take the address from another pool.',
  },
  NODE_NO_CARRIER: {
    summary: 'The interface for the address has no carrier.',
    remedy: 'Check the cable and the switch port.',
  },
  NODE_WEIGHT_ZERO: {
    summary: 'The node has weight 0.',
    remedy: 'Remove the annotation holdfast.io/weight from the node.',
  },
  INPUT_UNREADABLE: {
    summary: 'What was given to the command cannot be read as Kubernetes objects.',
    remedy:
      'Give it YAML or JSON with apiVersion and kind in each document, for example the output of `kubectl get svc,nodes -A -o json`.',
  },
  OBJECT_DUPLICATE: {
    summary: 'An object is given twice, with different contents.',
    remedy: 'Remove {object} from one of the two: {used} is used.',
  },
} as const satisfies Record<string, ErrorEntry>;

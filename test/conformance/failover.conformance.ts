/**
 * The virtual IPs in front of a real kube-apiserver and etcd on each of three nodes, as kubeadm sets them up: each failure
 * in turn, seen by UDP probes and by new TLS connections that verify the API server's certificate.
 */

import { describeFailover } from '../lab/failover-suite.ts';

describeFailover('real', ['ipv4', 'ipv6']);
describeFailover('real', ['ipv6'], ['stop', 'power', 'api-stop']);

/** Whether kube-proxy of this node is well, by the health check it serves to load balancers (healthzBindAddress). */

import { get } from 'node:http';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import { reasonOf } from './files.ts';

/** kube-proxy's default, which every distribution keeps (pkg/cluster/ports). */
const HEALTH_PORT = 10_256;
const TIMEOUT_MS = 1000;

/** The HTTP status; undefined: nobody listens. */
export function askKubeProxy(port: number = HEALTH_PORT): Promise<Fact<number | undefined>> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/healthz', agent: false }, (response) => {
      response.resume();
      resolve(known(response.statusCode));
    });
    request.setTimeout(TIMEOUT_MS, () => {
      request.destroy();
      resolve(unknown(`kube-proxy's health check at port ${port} doesn't answer within ${TIMEOUT_MS / 1000} s`));
    });
    request.on('error', (error) => {
      const reason = reasonOf(error);
      resolve(reason === 'ECONNREFUSED' ? known(undefined) : unknown(`kube-proxy's health check: ${reason}`));
    });
  });
}

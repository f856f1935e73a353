/** Objects of the API that tests of Services make and change: Services with their EndpointSlices, and Nodes. */

import type { Family } from '../../src/base/ip.ts';
import type { ApiAnswer, ApiClient } from './api-client.ts';

export interface WantedService {
  readonly name: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** In order; default IPv4 alone. */
  readonly families?: readonly Family[];
  /** Nodes with an endpoint each; one name as often as there are Pods. */
  readonly endpoints: readonly string[];
  /** Over what all of them have. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

export const SERVICES_PATH = '/api/v1/namespaces/default/services';
export const SLICES_PATH = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const NODES_PATH = '/api/v1/nodes';
const MERGE = 'application/merge-patch+json';

/** Endpoints first: nobody should see the Service without them. */
export async function createService(client: ApiClient, wanted: WantedService): Promise<void> {
  const { name, annotations = {}, labels = {}, families = ['ipv4'], spec = {} } = wanted;
  for (const family of families) {
    expectStatus(await client.request('POST', SLICES_PATH, { body: sliceOf(wanted, family) }), 201);
  }
  const body = {
    metadata: { name, annotations, labels },
    spec: {
      type: 'LoadBalancer',
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      selector: { app: name },
      ...familySpec(families),
      ...spec,
    },
  };
  expectStatus(await client.request('POST', SERVICES_PATH, { body }), 201);
}

/** Pods run on these nodes from now on, one for each name. */
export async function moveEndpoints(client: ApiClient, wanted: WantedService): Promise<void> {
  for (const family of wanted.families ?? (['ipv4'] as const)) {
    const body = sliceOf(wanted, family);
    const path = `${SLICES_PATH}/${body.metadata.name}`;
    expectStatus(await client.request('PATCH', path, { body: { endpoints: body.endpoints }, contentType: MERGE }), 200);
  }
}

export async function createNode(client: ApiClient, name: string): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Node', metadata: { name } };
  expectStatus(await client.request('POST', NODES_PATH, { body }), 201);
}

/** A merge patch of the Node, or of its status. */
export async function patchNode(client: ApiClient, name: string, body: object): Promise<void> {
  const path = `${NODES_PATH}/${name}${'status' in body ? '/status' : ''}`;
  expectStatus(await client.request('PATCH', path, { body, contentType: MERGE }), 200);
}

/** As the API server itself would fill it in; the embedded one doesn't. */
function familySpec(families: readonly Family[]): object {
  if (families.length === 1 && families[0] === 'ipv4') return {};
  return {
    ipFamilies: families.map(familyName),
    ipFamilyPolicy: families.length > 1 ? 'RequireDualStack' : 'SingleStack',
  };
}

function familyName(family: Family): 'IPv4' | 'IPv6' {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

function sliceOf({ name, endpoints }: WantedService, family: Family) {
  return {
    metadata: { name: `${name}-${family}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: familyName(family),
    endpoints: endpoints.map((nodeName, place) => ({
      addresses: [family === 'ipv4' ? `10.244.${place}.9` : `fd00:244:${place}::9`],
      nodeName,
      conditions: { ready: true },
    })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

function expectStatus({ status, body }: ApiAnswer, expected: number): void {
  if (status !== expected) throw new Error(`${status}: ${JSON.stringify(body)}`);
}

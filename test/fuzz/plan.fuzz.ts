/**
 * Whole plans out of hostile objects: the golden cases' documents, mutated and mixed. Whatever they are, the answer keeps to
 * its contract, comes in time, and a Service that nothing is wrong with gets its address.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { PlanReport } from '../../src/cli/plan-report.ts';
import { runPlan } from '../../src/cli/plan.ts';
import { anything, asParsed, mutate, mutation } from './hostile-json.ts';

const VECTORS = fileURLToPath(new URL('../vectors/plan', import.meta.url));

const CORPUS: readonly unknown[] = readdirSync(VECTORS, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .toSorted()
  .flatMap((name) => parseAllDocuments(readFileSync(`${VECTORS}/${name}`, 'utf8')))
  .map((document) => document.toJS() as unknown)
  .filter((value) => typeof value === 'object' && value !== null);

/** Nothing is wrong with it, and its pool is its own. */
const CONTROL = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'control', name: 'control', annotations: { 'metallb.io/address-pool': 'control' } },
  spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
};

const wish = fc.constantFrom('192.0.2.100', '192.0.2.101,192.0.2.102', '2001:db8::100', 'lan', '*', 'auto', 'true', '');
const asking = fc.record({
  name: fc.constantFrom(
    'kube-vip.io/loadbalancerIPs',
    'kube-vip.io/serviceInterface',
    'kube-vip.io/ignore',
    'metallb.io/loadBalancerIPs',
    'metallb.io/address-pool',
    'metallb.io/allow-shared-ip',
    'lbipam.cilium.io/ips',
    'lbipam.cilium.io/sharing-cross-namespace',
  ),
  value: fc.oneof(wish, anything),
  ingress: fc.array(fc.oneof(fc.record({ ip: wish }), anything), { maxLength: 3 }),
});
const service = asking.map(({ name, value, ingress }) => ({
  ...CONTROL,
  metadata: { namespace: 'other', name: 'asking', annotations: { [name]: value } },
  status: { loadBalancer: { ingress } },
}));
const object = fc
  .tuple(fc.oneof(fc.constantFrom(...CORPUS), service), fc.array(mutation, { maxLength: 3 }))
  .map(([value, mutations]) => mutations.reduce<unknown>((each, how) => mutate(each, how), value));

const env = fc.record({
  svc_pools: fc.constantFrom('', 'x;', '192.0.2.100-192.0.2.120,2001:db8::100/120;', 'all=0.0.0.0/8,::/0;'),
  svc_election: fc.constantFrom('true', 'false'),
  lb_class_legacy_handling: fc.constantFrom('true', 'false'),
});

/** Processor time: what else the machine has to do is no matter. Most plans take a few milliseconds. */
const SLOW_MS = 2_000;

/** Of plans of ten mutated documents on average: each document of the corpus is met some dozens of times, in some eight seconds. */
const RUNS = 1_500;

describe('plans of hostile objects', () => {
  it('there is a corpus', () => {
    expect(CORPUS.length).toBeGreaterThan(100);
  });

  it('are answers that hold the contract, in time, and leave nobody else out', () => {
    const property = fc.property(fc.array(object, { maxLength: 20 }), env, fc.boolean(), (objects, given, isJson) => {
      const items = [...objects, CONTROL].map(asParsed);
      const files = {
        texts: [{ name: 'x', text: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) }],
        failures: [],
      };
      const input = {
        env: { ...given, svc_pools: `${given.svc_pools}control=198.51.100.0/24`, lb_class_name: '' },
        flags: {},
        facts: { hostname: 'here' },
      };
      const begun = process.cpuUsage();
      const { stdout, exitCode } = runPlan({
        paths: [],
        drain: [],
        isJson,
        isColored: false,
        input,
        read: () => files,
      });
      expect(process.cpuUsage(begun).user / 1000).toBeLessThan(SLOW_MS);
      expect([0, 1]).toContain(exitCode);
      if (!isJson) return;
      const plan = JSON.parse(stdout) as PlanReport;
      expect(Object.keys(plan)).toEqual(['allocations', 'pending', 'owners', 'problems']);
      const control = plan.allocations.find((each) => each.service === 'control/control');
      expect(control?.addresses[0]).toMatch(/^198\.51\.100\.\d+$/);
      for (const { reasons } of plan.pending) expect(reasons.length).toBeGreaterThan(0);
      const words = [
        ...plan.problems.map(({ remedy }) => remedy),
        ...plan.pending.flatMap(({ reasons }) => reasons.map(({ message }) => message)),
      ];
      for (const text of words) expect(text).not.toMatch(/undefined|\[object|\{\w+\}|NaN/);
    });
    fc.assert(property, { numRuns: RUNS });
  });
});

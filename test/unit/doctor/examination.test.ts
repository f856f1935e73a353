import { readFileSync } from 'node:fs';
import {
  array,
  assert as check,
  constantFrom,
  dictionary,
  jsonValue,
  oneof,
  property,
  record,
  string,
  type Arbitrary,
} from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../../src/base/errors.ts';
import { isObject, type JsonObject } from '../../../src/base/json.ts';
import { CHECKS, examine, isWrong } from '../../../src/doctor/examination.ts';
import { known } from '../../../src/doctor/fact.ts';
import { blind, custom, facts, node, pod, service } from './facts.ts';

describe('an examination', () => {
  it('finds nothing wrong with a sound node, and says so for each check', () => {
    const findings = examine(facts());
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
    expect(findings).toHaveLength(CHECKS.length);
    expect(CHECKS).toHaveLength(45);
    expect(new Set(CHECKS.map(({ code }) => code)).size).toBe(CHECKS.length);
  });

  it('has each of its checks in the documentation', () => {
    const text = readFileSync(new URL('../../../docs/doctor.md', import.meta.url), 'utf8');
    expect(CHECKS.map(({ code }) => code).filter((code) => !text.includes(code))).toEqual([]);
  });

  it('is never silently green: where nothing is known, no check passes but the one of the settings it was given', () => {
    const findings = examine(blind());
    expect(new Set(findings.map(({ code }) => code))).toEqual(new Set(CHECKS.map(({ code }) => code)));
    // svc_pools is in the settings: that there is a pool is known.
    expect(findings.filter(({ level }) => level !== 'unknown').map(({ code, level }) => `${level} ${code}`)).toEqual([
      'ok CONFIG_VALUE_INVALID',
      'ok POOL_MISSING',
    ]);
  });

  it('looks at everything when no settings are found, and calls nothing in order that depends on them', () => {
    const findings = examine(facts({ env: {}, isGiven: false }));
    expect(findings.filter(isWrong)).toEqual([]);
    const unsure = findings.filter(({ level }) => level === 'unknown').map(({ code }) => code);
    expect(unsure).toEqual([
      'CONFIG_VALUE_INVALID',
      'VIP_OUTSIDE_SUBNETS',
      'CERTIFICATE_LACKS_VIP',
      'KUBECONFIG_BYPASSES_VIP',
      'NODE_ADDRESS_IS_VIP',
    ]);
  });

  it('leaves out what neither the check nor the finding is called', () => {
    const given = { cluster: { kubeProxy: known({ mode: 'ipvs' }) } };
    expect(examine(facts(given), ['STRICT_ARP_OFF']).map(({ code }) => code)).toEqual(['STRICT_ARP_OFF']);
    expect(examine(facts(given), ['CLOCK_SKEW']).map(({ level }) => level)).toEqual(['ok']);
  });

  it('tells errors first, then warnings, then what is not known', () => {
    const levels = examine(
      facts({
        cluster: {
          kubeProxy: known({ mode: 'ipvs' }),
          clock: known({ offsetMs: 60_000, toleranceMs: 500, endpoint: 'x' }),
        },
        machine: { hardware: { isKnown: false, why: 'no', remedy: '' } },
      }),
    ).map(({ level }) => level);
    expect([...new Set(levels)]).toEqual(['error', 'warning', 'unknown', 'ok']);
  });

  it('has words for every finding, with every blank filled, whatever the objects are', () => {
    const any: Arbitrary<unknown> = jsonValue();
    const raw: Arbitrary<JsonObject> = oneof(
      any.filter(isObject),
      record({ metadata: any, spec: any, status: any, data: any }),
      constantFrom<JsonObject>(node('n1', ['x', '192.0.2.10']), service('a', ['1.2.3']), pod({ cp_enable: 'yes' })),
    );
    const objects = array(raw, { maxLength: 4 });
    const cluster = record({
      nodes: objects,
      services: objects,
      pods: objects,
      daemonSets: objects,
      leases: objects,
      kubeProxy: raw,
      pools: objects,
      texts: dictionary(string(), string()),
    });
    check(
      property(cluster, (given) => {
        const findings = examine(
          facts({
            cluster: {
              nodes: known(given.nodes),
              services: known(given.services),
              pods: known(given.pods),
              daemonSets: known(given.daemonSets),
              leases: known(given.leases),
              kubeProxy: known(given.kubeProxy),
              ciliumConfig: known(given.texts),
              metallbConfig: known(given.texts),
              kubeVipPools: known(given.kubeProxy),
              custom: custom(() => known(given.pools)),
            },
            files: {
              manifests: known({
                folder: '/m',
                pods: given.pods.map((each) => ({ path: '/m/x', raw: each })),
                unreadable: [],
              }),
            },
          }),
        );
        expect(new Set(findings.map(({ code }) => code))).not.toContain('INTERNAL_ERROR');
        for (const finding of findings) {
          expect(finding.evidence).not.toMatch(/undefined|\[object/);
          expect(finding.remedy).not.toMatch(/\{\w+\}|undefined/);
          expect(ERRORS).toHaveProperty(finding.code);
        }
      }),
      { numRuns: 60 },
    );
  });
});

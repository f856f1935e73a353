import { describe, expect, it } from 'vitest';
import { openApiHealth, TRANSIENT_MS, type ApiHealth } from '../../../src/kube/api-health.ts';
import { failureOfStatus, failureWithoutAnswer, type ApiFailure } from '../../../src/kube/api-result.ts';
import type { RequestAttributes, RequestVerb } from '../../../src/kube/request-attributes.ts';
import { memoryLog, type MemoryLog } from './scripted-api.ts';

interface Bench {
  readonly health: ApiHealth;
  readonly log: MemoryLog;
  /** What the log has said: level, code and sentence. */
  readonly said: () => readonly string[];
  readonly codes: () => readonly string[];
  readonly pass: (ms: number) => void;
}

function bench(): Bench {
  let at = 1000;
  const log = memoryLog();
  const health = openApiHealth({ log: log.log, credentialsPath: () => '/etc/kubernetes/admin.conf', now: () => at });
  return {
    health,
    log,
    said: () => log.lines.map(({ level, msg, fields }) => `${level} ${String(fields['code'])} ${msg}`),
    codes: () => health.problems.map(({ code }) => code),
    pass: (ms) => {
      at += ms;
    },
  };
}

function asking(verb: RequestVerb, resource = 'leases'): RequestAttributes {
  return { verb, resource, namespace: 'kube-system' };
}

function answered(status: number, message = 'no'): ApiFailure {
  const endpoint = 'https://192.0.2.1:6443';
  return failureOfStatus({ status, body: { message }, retryAfter: undefined, method: 'PUT', endpoint });
}

const OK = { ok: true } as const;
const REFUSED = failureWithoutAnswer('unreachable', 'https://192.0.2.1:6443: connect ECONNREFUSED');
const UNTRUSTED = failureWithoutAnswer('unreachable', 'self-signed', 'https://192.0.2.1:6443', 'API_UNTRUSTED');

describe('openApiHealth', () => {
  it('has nothing to say of a healthy API, nor of refusals that are part of the game', () => {
    const { health, log, pass } = bench();
    for (const result of [OK, answered(404), answered(409), answered(410)]) {
      health.observe(asking('update'), result);
      pass(TRANSIENT_MS);
    }
    expect(log.lines).toEqual([]);
    expect(health.problems).toEqual([]);
    expect(health.lastFailure).toBeUndefined();
    expect(health.lastSuccessAt).toBe(1000 + 3 * TRANSIENT_MS);
  });

  it('says once that no API server answers when that has lasted, and once that it is over', () => {
    const { health, said, codes, pass, log } = bench();
    health.observe(asking('list'), REFUSED);
    pass(TRANSIENT_MS - 1);
    health.observe(asking('list'), REFUSED);
    expect(said()).toEqual([]);
    expect(codes()).toEqual([]);
    pass(1);
    health.observe(asking('list'), REFUSED);
    pass(60_000);
    health.observe(asking('watch'), REFUSED);
    expect(said()).toEqual(['warn API_UNREACHABLE no api server answers']);
    expect(log.lines[0]?.fields).toMatchObject({ reason: REFUSED.message, remedy: expect.stringContaining('crictl') });
    expect(codes()).toEqual(['API_UNREACHABLE']);
    expect(health.lastFailure).toMatchObject({ kind: 'unreachable', message: REFUSED.message });
    health.observe(asking('update'), OK);
    expect(said().slice(1)).toEqual(['info API_UNREACHABLE the api works again']);
    expect(log.lines[1]?.fields).toMatchObject({ was: REFUSED.message, durationMs: 60_000 + TRANSIENT_MS });
    expect(codes()).toEqual([]);
  });

  it('says nothing of an outage that is soon over', () => {
    const { health, said, pass } = bench();
    for (let count = 0; count < 3; count += 1) {
      health.observe(asking('update'), REFUSED);
      pass(TRANSIENT_MS - 1);
      health.observe(asking('update'), OK);
      pass(TRANSIENT_MS);
    }
    expect(said()).toEqual([]);
  });

  it('says at once that a certificate does not verify, and where', () => {
    const { health, said, log } = bench();
    health.observe(asking('list'), UNTRUSTED);
    expect(said()).toEqual(['error API_UNTRUSTED the certificate of the api server does not verify']);
    expect(log.lines[0]?.fields['remedy']).toContain('https://192.0.2.1:6443');
  });

  it('says what is forbidden, and takes it back for that alone', () => {
    const { health, said, codes, pass, log } = bench();
    const forbidden = answered(403, 'leases "x" is forbidden');
    health.observe(asking('watch'), OK);
    health.observe(asking('update'), forbidden);
    pass(TRANSIENT_MS);
    health.observe(asking('update'), forbidden);
    expect(said()).toEqual(['error API_FORBIDDEN the api server refuses what holdfast needs']);
    expect(log.lines[0]?.fields['remedy']).toContain('may update leases in kube-system');
    health.observe(asking('watch'), OK);
    expect(codes()).toEqual(['API_FORBIDDEN']);
    health.observe(asking('update'), OK);
    expect(codes()).toEqual([]);
    expect(said().slice(1)).toEqual(['info API_FORBIDDEN the api works again']);
  });

  it('names the kubeconfig whose credentials are not accepted', () => {
    const { health, said, codes, pass, log } = bench();
    health.observe(asking('list'), answered(401));
    pass(TRANSIENT_MS);
    health.observe(asking('list'), answered(401));
    expect(said()).toEqual(['error API_UNAUTHORIZED the api server does not accept the credentials']);
    expect(log.lines[0]?.fields['remedy']).toContain('/etc/kubernetes/admin.conf');
    // Whoever is refused by rights is known by name.
    health.observe(asking('list'), answered(403));
    expect(codes()).toEqual([]);
  });

  it('ends an outage when any server answers, be it with an error', () => {
    const { health, codes, pass } = bench();
    health.observe(asking('list'), UNTRUSTED);
    health.observe(asking('list'), REFUSED);
    pass(TRANSIENT_MS);
    health.observe(asking('list'), REFUSED);
    expect(codes()).toEqual(['API_UNTRUSTED', 'API_UNREACHABLE']);
    health.observe(asking('list'), answered(500));
    expect(codes()).toEqual([]);
    pass(TRANSIENT_MS);
    health.observe(asking('list'), answered(500));
    expect(codes()).toEqual(['API_REQUEST_FAILED']);
  });

  it('leaves to others what is told elsewhere: Events that may not be written, credentials that are missing', () => {
    const { health, said, pass } = bench();
    for (let count = 0; count < 2; count += 1) {
      health.observe(asking('create', 'events'), answered(403));
      health.observe(asking('list'), failureWithoutAnswer('unreachable', 'none', undefined, 'KUBECONFIG_MISSING'));
      pass(TRANSIENT_MS);
    }
    expect(said()).toEqual([]);
    expect(health.problems).toEqual([]);
    expect(health.lastFailure?.message).toBe('none');
  });
});

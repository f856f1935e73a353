import { describe, expect, it } from 'vitest';
import { decodeService } from '../../../src/services/objects/service.ts';
import type { ServiceObject } from '../../../src/services/model.ts';
import { Contention, WINDOW_MS } from '../../../src/runtime/services/contention.ts';

const KEY = 'shop/web';

function service(version: number, ...ips: readonly string[]): ServiceObject {
  const { value } = decodeService({
    metadata: { name: 'web', namespace: 'shop', uid: 'u1', resourceVersion: String(version) },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  });
  if (value === undefined) throw new Error('no Service');
  return value;
}

/** A Service over which two programs write, each after the other. */
class Fight {
  readonly contention = new Contention();
  version = 1;

  /** Written at a time; taken out again at once. Whether it is left alone then. */
  round(now: number): boolean {
    this.write();
    return this.lose(now);
  }

  write(): void {
    this.contention.wrote({ key: KEY, resourceVersion: String(this.version), ingress: ['192.0.2.1'] });
    this.version += 1;
  }

  lose(now: number): boolean {
    this.contention.look(service(this.version, '192.0.2.1'), now);
    this.version += 1;
    return this.isAlone(now);
  }

  isAlone(now: number): boolean {
    return this.contention.look(service(this.version), now) !== undefined;
  }
}

describe('a Service whose address another program takes out of the status', () => {
  it('is given it again twice, and then left alone for longer and longer', () => {
    const fight = new Fight();
    expect([fight.round(0), fight.round(100), fight.round(200)]).toEqual([false, false, true]);
    let at = 200;
    for (const pauseMs of [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
      expect(fight.contention.nextAt(at)).toBe(at + pauseMs);
      expect(fight.isAlone(at + pauseMs - 1)).toBe(true);
      at += pauseMs;
      expect(fight.isAlone(at)).toBe(false);
      expect(fight.round(at)).toBe(true);
    }
  });

  it('is told by whom it is not served twice, with the addresses', () => {
    const fight = new Fight();
    for (const at of [0, 1, 2]) fight.round(at);
    expect(fight.contention.look(service(fight.version), 3)).toMatchObject({ pool: '', code: 'SERVICE_CONTESTED' });
    expect(fight.contention.look(service(fight.version), 3)?.message).toContain('takes 192.0.2.1 out of the status');
  });

  it('is at peace when it has kept it for a minute', () => {
    const fight = new Fight();
    for (const at of [0, 1, 2]) fight.round(at);
    const at = 2 + 10_000;
    fight.write();
    expect(fight.isAlone(at + WINDOW_MS)).toBe(false);
    fight.version += 1;
    expect([1, 2].map((ms) => fight.round(at + WINDOW_MS + ms))).toEqual([false, false]);
  });

  it('is not left alone for what happens now and then, nor for what this program took out itself', () => {
    const fight = new Fight();
    for (let count = 0; count < 10; count += 1) expect(fight.round(count * (WINDOW_MS / 2))).toBe(false);
    for (let count = 0; count < 10; count += 1) {
      fight.write();
      fight.contention.wrote({ key: KEY, resourceVersion: String(fight.version), ingress: [] });
      fight.version += 1;
      expect(fight.isAlone(WINDOW_MS * 10 + count)).toBe(false);
    }
  });

  it('is not taken to have lost what the watch has yet to show', () => {
    const fight = new Fight();
    for (let count = 0; count < 5; count += 1) {
      fight.contention.wrote({ key: KEY, resourceVersion: '1', ingress: ['192.0.2.1'] });
      expect(fight.contention.look(service(1), count)).toBeUndefined();
    }
  });

  it('is forgotten with the Service, and with the leadership', () => {
    for (const end of ['forget', 'clear'] as const) {
      const fight = new Fight();
      for (const at of [0, 1, 2]) fight.round(at);
      fight.contention[end](() => false);
      expect(fight.isAlone(3)).toBe(false);
      expect(fight.contention.nextAt(3)).toBeUndefined();
    }
  });
});

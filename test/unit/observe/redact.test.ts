import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/base/errors.ts';
import { isSecretName, REDACTED, redactFields, redactText } from '../../../src/observe/redact.ts';

describe('what a log line may not show', () => {
  it.each([
    'password',
    'bgp_peerpass_password',
    'peerPass',
    'bgp_peerpass',
    'vip_heartbeat_key',
    'heartbeatKey',
    'client-key-data',
    'clientKeyData',
    'Authorization',
    'bearerToken',
    'token',
    'secret',
    'privateKey',
    'hmac',
  ])('takes %s for a secret by its name', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  it.each(['lease', 'node', 'vip', 'keepalive', 'monkey', 'secretName', 'tokenPath', 'durationMs', 'bypass', 'reason'])(
    'does not take %s for one',
    (name) => {
      expect(isSecretName(name)).toBe(false);
    },
  );

  it('hides credentials inside texts', () => {
    const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJob2xkZmFzdCJ9.c2lnbmF0dXJl';
    const pem = '-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----';
    expect(redactText(`sent Authorization: Bearer ${jwt}.`)).not.toContain('eyJ');
    expect(redactText(`token ${jwt}`)).toBe(`token ${REDACTED}`);
    expect(redactText(`key ${pem} end`)).toBe(`key ${REDACTED} end`);
    expect(redactText(pem.slice(0, 40))).toBe(REDACTED);
    expect(redactText('proxy http://user:pass@10.0.0.1:3128')).toBe(`proxy http://${REDACTED}@10.0.0.1:3128`);
    expect(redactText('watch of https://10.0.0.5:6443/apis ended')).toBe('watch of https://10.0.0.5:6443/apis ended');
  });

  it('reaches into nested values, arrays and causes', () => {
    const err = new Error('outer', { cause: { password: 'hunter2', note: 'kept' } });
    const text = JSON.stringify(redactFields({ err, list: [{ token: 'abc' }], deep: { a: { peerPass: 'x' } } }));
    expect(text).not.toMatch(/hunter2|abc|"x"/);
    expect(text).toContain('kept');
  });

  it('tells a HoldfastError by code and remedy, without a stack; anything else keeps its stack', () => {
    const failed = redactFields({
      err: new HoldfastError('INTERFACE_MISSING', 'no eth9', { context: { present: 'eth0' } }),
    });
    expect(failed['err']).toEqual({
      type: 'HoldfastError',
      message: 'no eth9',
      code: 'INTERFACE_MISSING',
      remedy: expect.stringContaining('eth0'),
    });
    expect(redactFields({ err: new TypeError('bug') })['err']).toMatchObject({
      stack: expect.stringContaining('TypeError'),
    });
  });

  it('bounds depth, length and octets, and survives a value that contains itself', () => {
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    expect(JSON.stringify(redactFields(loop))).toContain('[deeper]');
    expect(redactText('a'.repeat(20_000)).length).toBeLessThan(9000);
    expect(redactFields({ frame: new Uint8Array(42) })).toEqual({ frame: '[42 octets]' });
    expect(redactFields({ many: Array.from({ length: 1000 }, (_, index) => index) })['many']).toHaveLength(64);
  });
});

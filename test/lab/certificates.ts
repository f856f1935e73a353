/**
 * Certificates as kubeadm makes them, without a tool: a small DER writer (X.690) and just enough X.509 (RFC 5280) for a
 * CA, server certificates with subject alternative names, and client certificates whose organisation is a Kubernetes
 * group. Keys are P-256; nothing is ever checked in, each lab makes its own. What it writes is read back by OpenSSL, Go
 * and Node in the tests that use it.
 */

import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

import { parseIp } from '../../src/base/ip.ts';

export interface Certificate {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly key: KeyObject;
  /** Common name. */
  readonly name: string;
}

export interface CertificateRequest {
  /** Common name: the user, for a client certificate. */
  readonly name: string;
  /** Organisations: the user's groups. */
  readonly groups?: readonly string[];
  /** DNS names and IP addresses a server certificate is good for. */
  readonly names?: readonly string[];
  readonly usage: 'server' | 'client';
  /** Certificate lifetime in milliseconds from now; default one day. A negative one makes an expired certificate. */
  readonly lifetimeMs?: number;
}

const DAY_MS = 86_400_000;
/** Certificates begin this long ago, so that a node whose clock is a little behind takes them. */
const BACKDATE_MS = 300_000;

const OID = {
  commonName: '2.5.4.3',
  organisation: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** A self-signed certificate authority. */
export function createAuthority(name: string): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = distinguishedName(name, []);
  const extensions = [
    extension(OID.basicConstraints, sequence(boolean(true)), true),
    // digitalSignature, keyCertSign, cRLSign (RFC 5280 §4.2.1.3)
    extension(OID.keyUsage, Buffer.from([0x03, 0x02, 0x01, 0x86]), true),
    extension(OID.subjectKeyIdentifier, element(0x04, keyIdentifier(publicKey)), false),
  ];
  return assemble({ name, issuer: subject, subject, publicKey, signer: privateKey, extensions, key: privateKey });
}

/** A certificate for `request`, with a fresh key, signed by `authority`. */
export function issue(authority: Certificate, request: CertificateRequest): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const purpose = request.usage === 'server' ? OID.serverAuth : OID.clientAuth;
  const extensions = [
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, Buffer.from([0x03, 0x02, 0x07, 0x80]), true),
    extension(OID.extendedKeyUsage, sequence(objectIdentifier(purpose)), false),
    extension(OID.authorityKeyIdentifier, sequence(element(0x80, keyIdentifier(authority.key))), false),
  ];
  const names = request.names ?? [];
  if (names.length > 0) extensions.push(extension(OID.subjectAltName, sequence(...names.map(generalName)), false));
  return assemble({
    name: request.name,
    issuer: distinguishedName(authority.name, []),
    subject: distinguishedName(request.name, request.groups ?? []),
    publicKey,
    signer: authority.key,
    extensions,
    key: privateKey,
    ...(request.lifetimeMs === undefined ? {} : { lifetimeMs: request.lifetimeMs }),
  });
}

/** An RSA key pair for signing service-account tokens, as kubeadm's sa.key and sa.pub. */
export function createServiceAccountKeys(): { readonly privatePem: string; readonly publicPem: string } {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    privatePem: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    publicPem: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
  };
}

interface Parts {
  readonly name: string;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly key: KeyObject;
  readonly lifetimeMs?: number;
}

function assemble(parts: Parts): Certificate {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256));
  const now = Date.now();
  const lifetime = parts.lifetimeMs ?? DAY_MS;
  const begin = Math.min(now - BACKDATE_MS, now + lifetime - BACKDATE_MS);
  const serial = randomBytes(16);
  // Positive and of full length: the first octet is 0x40–0x7f.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const body = sequence(
    element(0xa0, element(0x02, Buffer.from([2]))), // version 3
    element(0x02, serial),
    algorithm,
    parts.issuer,
    sequence(utcTime(begin), utcTime(now + lifetime)),
    parts.subject,
    parts.publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(...parts.extensions)),
  );
  const signature = sign('sha256', body, parts.signer);
  const der = sequence(body, algorithm, element(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    name: parts.name,
    key: parts.key,
    certificatePem: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    keyPem: parts.key.export({ type: 'sec1', format: 'pem' }).toString(),
  };
}

function distinguishedName(name: string, groups: readonly string[]): Buffer {
  const attribute = (oid: string, text: string): Buffer =>
    element(0x31, sequence(objectIdentifier(oid), element(0x0c, Buffer.from(text))));
  return sequence(...groups.map((group) => attribute(OID.organisation, group)), attribute(OID.commonName, name));
}

function generalName(name: string): Buffer {
  if (isIP(name) === 0) return element(0x82, Buffer.from(name, 'ascii'));
  const ip = parseIp(name);
  if (!ip.ok) throw new Error(`${name} cannot be a subject alternative name: ${ip.reason}`);
  return element(0x87, Buffer.from(ip.value.bytes));
}

function extension(oid: string, value: Buffer, isCritical: boolean): Buffer {
  return sequence(objectIdentifier(oid), ...(isCritical ? [boolean(true)] : []), element(0x04, value));
}

/** SHA-1 of the public key's octets (RFC 5280 §4.2.1.2); an identifier, not a safeguard. */
function keyIdentifier(key: KeyObject): Buffer {
  const point = (key.type === 'private' ? createPublicKey(key) : key)
    .export({ type: 'spki', format: 'der' })
    .subarray(-65);
  return createHash('sha1').update(point).digest();
}

/** UTCTime (X.690 §11.8), good until 2049. */
function utcTime(wallMs: number): Buffer {
  const digits = new Date(wallMs).toISOString().replace(/\D/g, '').slice(2, 14);
  return element(0x17, Buffer.from(`${digits}Z`));
}

function boolean(value: boolean): Buffer {
  return element(0x01, Buffer.from([value ? 0xff : 0]));
}

function sequence(...elements: readonly Uint8Array[]): Buffer {
  return element(0x30, Buffer.concat(elements));
}

function objectIdentifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const octets = [first * 40 + second];
  for (const arc of rest) {
    const septets = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) septets.unshift((left & 0x7f) | 0x80);
    octets.push(...septets);
  }
  return element(0x06, Buffer.from(octets));
}

/** Tag, definite length, content (X.690 §8.1). */
function element(tag: number, content: Uint8Array): Buffer {
  const length = content.length;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

/** The names in the certificate that somebody serves by TLS. Nothing is sent but the handshake, and nothing is believed. */

import { connect } from 'node:tls';
import { parseIp } from '../base/ip.ts';
import { known, unknown, type Fact } from '../doctor/fact.ts';
import { reasonOf } from './files.ts';

const DIAL_TIMEOUT_MS = 2000;
/** Any API server of a cluster answers to it. */
const SERVER_NAME = 'kubernetes';

export function dialCertificate(host: string, port: number): Promise<Fact<readonly string[]>> {
  return new Promise((resolve) => {
    // The certificate is read, not relied on: its names are the question.
    const socket = connect({ host, port, servername: SERVER_NAME, rejectUnauthorized: false, minVersion: 'TLSv1.2' });
    const settle = (fact: Fact<readonly string[]>): void => {
      socket.destroy();
      resolve(fact);
    };
    socket.setTimeout(DIAL_TIMEOUT_MS, () => settle(unknown(`no answer in ${DIAL_TIMEOUT_MS / 1000} s`)));
    socket.once('error', (error) => settle(unknown(reasonOf(error))));
    socket.once('secureConnect', () => {
      const { subjectaltname } = socket.getPeerCertificate();
      settle(known(namesOf(subjectaltname ?? '')));
    });
  });
}

/** `DNS:kubernetes, IP Address:192.0.2.10`; entries with a comma in them are quoted (Node, CVE-2021-44532). */
export function namesOf(alternatives: string): readonly string[] {
  const names: string[] = [];
  for (const [, kind, value = ''] of alternatives.matchAll(/([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    const ip = kind === 'IP Address' ? parseIp(value) : undefined;
    if (kind === 'DNS' && !value.startsWith('"')) names.push(value);
    else if (ip?.ok === true) names.push(ip.value.text);
  }
  return names;
}

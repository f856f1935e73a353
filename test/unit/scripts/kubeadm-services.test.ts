import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  isAllGood,
  servicesReport,
  type ServicesRun,
  type StepResult,
} from '../../../scripts/kubeadm-services/report.ts';
import { decodeAnswer, encodeQuestion } from '../../../scripts/kubeadm-services/whoami.ts';

/** What CoreDNS 1.14.2 (whoami, nsid n7) answered to the question for who.test. A on the loopback interface, from port 39203. */
const ANSWER = Buffer.from(
  '1234840000010000000000030377686f047465737400000100010377686f047465737400000100010000000000047f000001' +
    '045f7564700377686f047465737400002100010000000000070000000099230000002904d0000080000006000300026e37',
  'hex',
);

describe('the question who answers, and who asked', () => {
  it('is one A question with an empty NSID option (RFC 6891, RFC 5001)', () => {
    expect(encodeQuestion(0x1234).toString('hex')).toBe(
      '1234000000010000000000010677686f616d690474657374000001000100002904d000000000000400030000',
    );
  });

  it('is answered by a node, and with the address it was asked from', () => {
    expect(decodeAnswer(ANSWER)).toEqual({ id: 0x1234, node: 'n7', seen: '127.0.0.1' });
  });

  it('has no answer in what ends early, or is a question', () => {
    for (let length = 0; length < ANSWER.length; length += 1) {
      expect(decodeAnswer(ANSWER.subarray(0, length)), `${length} octets`).toBeUndefined();
    }
    expect(decodeAnswer(encodeQuestion(1))).toBeUndefined();
  });

  it('takes no end of records from anybody', () => {
    const many = Buffer.from(ANSWER);
    many.writeUInt16BE(0xffff, 10);
    expect(decodeAnswer(many)).toBeUndefined();
  });
});

const STRETCH = { probes: 200, lost: 0, darkMs: 0, by: ['n2'], seen: ['10.77.0.100'], errors: {} };

const STEP: StepResult = {
  name: 'power-local',
  title: 'power cut of the owner',
  isGood: true,
  text: 'n2 → n3',
  tookS: 30,
  service: 'web-local',
  passage: {
    owners: ['n3'],
    answering: ['n3'],
    movedAfterS: 0.61,
    announcedAfterS: 0.61,
    twoOwnersMs: 0,
    twoAnsweringMs: 0,
    http: { ...STRETCH, lost: 31, darkMs: 640 },
    udp: { ...STRETCH, lost: 30, darkMs: null },
  },
};

const RUN: ServicesRun = {
  version: 'holdfast 0.1.0',
  parts: { kubelet: 'v1.36.3' },
  kernel: '6.1',
  proxyMode: 'iptables',
  client: '10.77.0.100',
  pool: '10.77.0.200-10.77.0.209',
  steps: [STEP],
};

describe('the report of Services', () => {
  it('has a line for each step, and one for what a client lost in it', () => {
    const text = servicesReport({ ...RUN, steps: [STEP, { ...STEP, isGood: false, text: 'failed: a|b\nc' }] });
    expect(text).toContain('kube-proxy v1.36.3, mode iptables; Linux 6.1');
    expect(text).toContain('| 1 | power cut of the owner | yes | n2 → n3 |');
    expect(text).toContain('| 2 | power cut of the owner | **no** | failed: a\\|b c |');
    expect(text).toContain('| 1 | power-local | 0.61 | 0.61 | 640 | 31 of 200 | **lasts** | 30 of 200 | 0 | 0 | n3 |');
  });

  it('is good only when every step is, and there was one', () => {
    expect(isAllGood(RUN)).toBe(true);
    expect(isAllGood({ ...RUN, steps: [] })).toBe(false);
    expect(isAllGood({ ...RUN, steps: [STEP, { ...STEP, isGood: false }] })).toBe(false);
    expect(isAllGood({ ...RUN, problem: 'kubeadm init failed' })).toBe(false);
  });

  it('checked in is the one of the measurements beside it', () => {
    const folder = join(import.meta.dirname, '../../../docs/benchmarks');
    const path = join(folder, 'kubeadm-services.json');
    if (!existsSync(path)) throw new Error('npm run kubeadm -- --services --write writes kubeadm-services.json');
    // Written by scripts/kubeadm-services.ts.
    const run = JSON.parse(readFileSync(path, 'utf8')) as ServicesRun;
    expect(run.steps.length).toBeGreaterThan(0);
    expect(readFileSync(join(folder, 'kubeadm-services.md'), 'utf8')).toBe(servicesReport(run));
  });
});

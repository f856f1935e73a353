/** `holdfast explain` against a status socket: what is asked for, how it is shown, and what the exit code says. */

import { afterEach, describe, expect, it } from 'vitest';

import { runExplain } from '../../../src/cli/explain.ts';
import type { Explanation, ExplanationStep, ExplainQuery } from '../../../src/observe/explain.ts';
import { openStatusServer, type StatusServer } from '../../../src/observe/status-server.ts';
import { sampleReport } from '../observe/sample-report.ts';

const GOOD: ExplanationStep = { isOk: true, step: 'owner', detail: 'b answers', code: '', next: '' };
const UNSURE: ExplanationStep = {
  isOk: undefined,
  step: 'kube-proxy',
  detail: 'none is seen',
  code: '',
  next: 'Look.',
};
const BAD: ExplanationStep = {
  isOk: false,
  step: 'wire',
  detail: 'nobody',
  code: 'ADDRESS_UNANSWERED',
  next: 'Look\nthere.',
};
const UNFIT: ExplanationStep = {
  ...BAD,
  step: 'candidate',
  detail: 'c may not (NODE_EXCLUDED)',
  code: 'NODE_EXCLUDED',
};

let server: StatusServer | undefined;
let number = 0;
afterEach(() => server?.close());

interface Run {
  readonly code: number;
  readonly text: string;
  readonly asked: readonly ExplainQuery[];
}

async function run(
  words: readonly string[],
  steps: readonly ExplanationStep[] | 'none' | Error,
  isJson = false,
): Promise<Run> {
  const asked: ExplainQuery[] = [];
  number += 1;
  const socket = `@hf-x-${process.pid}-${number}`;
  server = await openStatusServer({
    socket,
    report: () => sampleReport(),
    explain: (query) => {
      asked.push(query);
      if (steps instanceof Error) return Promise.reject(steps);
      return Promise.resolve(steps === 'none' ? undefined : explanation(steps));
    },
  });
  let text = '';
  const code = await runExplain({
    words,
    socket,
    isJson,
    isColored: false,
    write: (more) => {
      text += more;
    },
  });
  return { code, text, asked };
}

function explanation(steps: readonly ExplanationStep[]): Explanation {
  return { schema: 1, subject: 'Service default/web', service: 'default/web', node: 'a', steps, addresses: [] };
}

describe('holdfast explain', () => {
  it.each([
    [['service', 'shop/web'], { kind: 'service', key: 'shop/web' }],
    [['Service', 'web'], { kind: 'service', key: 'default/web' }],
    [['address', '192.0.2.10'], { kind: 'address', text: '192.0.2.10' }],
    [['address', '2001:db8::10&x=#'], { kind: 'address', text: '2001:db8::10&x=#' }],
    [['vip'], { kind: 'vip' }],
    [['vip', '192.0.2.10'], { kind: 'address', text: '192.0.2.10' }],
  ] as const)('%j asks for %o', async (words, query) => {
    expect((await run(words, [GOOD])).asked).toEqual([query]);
  });

  it('shows each step with its code and what to do, and nothing that a terminal obeys', async () => {
    const { text } = await run(['service', 'web'], [{ ...GOOD, detail: 'b\u001b[2J answers' }, UNSURE, BAD, UNFIT]);
    expect(text).toBe(
      [
        'Service default/web, as a sees it',
        '',
        '✓ owner       b [2J answers',
        '? kube-proxy  none is seen',
        '              → Look.',
        '✗ wire        nobody (ADDRESS_UNANSWERED)',
        '              → Look',
        '              there.',
        '✗ candidate   c may not (NODE_EXCLUDED)',
        '              → Look',
        '              there.',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['all is well', [GOOD], 0],
    ['something is not known', [GOOD, UNSURE], 0],
    ['a node may not answer', [GOOD, UNFIT], 0],
    ['something is not well', [GOOD, BAD], 1],
  ] as const)('ends as it should when %s', async (_, steps, code) => {
    expect((await run(['service', 'web'], steps)).code).toBe(code);
  });

  it('prints what the process says as JSON', async () => {
    const { text, code } = await run(['service', 'web'], [BAD], true);
    expect([code, JSON.parse(text)]).toEqual([1, explanation([BAD])]);
  });

  it('says so where Services are left alone, and where the process fails', async () => {
    await expect(run(['service', 'web'], 'none')).rejects.toMatchObject({
      code: 'STATUS_UNKNOWN',
      message: 'Services are left alone here: svc_enable is false',
    });
    await server?.close();
    await expect(run(['service', 'web'], new Error('oh'))).rejects.toMatchObject({ code: 'STATUS_UNKNOWN' });
  });

  it.each([[['service']], [['service', 'a', 'b']], [['node', 'x']], [['address']]])(
    '%j is told what may be said',
    async (words) => {
      await expect(run(words, [GOOD])).rejects.toMatchObject({ code: 'COMMAND_INVALID' });
    },
  );

  it('explains a code', async () => {
    const { text, asked, code } = await run(['address_unanswered'], [GOOD]);
    expect([asked, code]).toEqual([[], 0]);
    expect(text).toMatch(/^ADDRESS_UNANSWERED: Nobody answers on the wire .*\n\nRun `holdfast doctor` on NODE\./);
  });
});

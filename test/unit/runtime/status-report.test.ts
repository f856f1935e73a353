import { describe, expect, it } from 'vitest';
import { startAgent, type AgentState } from '../../../src/agent/state.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import { monotonic } from '../../../src/base/time.ts';
import { statusReport, type ReportFacts } from '../../../src/runtime/status-report.ts';
import { RULES } from '../agent/script.ts';

const START = monotonic(1000);
const FACTS: ReportFacts = {
  version: '0.1.0',
  now: monotonic(1500),
  wallMs: Date.UTC(2026, 0, 1),
  api: { endpoint: '', isReachable: false, lastSuccessAgoMs: undefined, lastFailure: undefined },
  watch: { isSynced: false, lastEventAgoMs: undefined },
  problems: [],
};

describe('problems in the status report', () => {
  const missing = new HoldfastError('KUBECONFIG_MISSING', 'there is none', { context: { path: '/x' } });
  const forbidden = new HoldfastError('API_FORBIDDEN', 'may not', {});

  it('are those of the API beside those of the node', () => {
    const report = statusReport(RULES, startAgent(1, START), { ...FACTS, problems: [missing, forbidden] });
    expect(report.problems.map(({ code }) => code)).toEqual(['KUBECONFIG_MISSING', 'API_FORBIDDEN']);
    expect(report.problems[0]).toEqual({ code: missing.code, message: 'there is none', remedy: missing.remedy });
  });

  it('are told once where both know of them', () => {
    const own = { code: 'API_FORBIDDEN', message: 'the core says so', remedy: 'r' } as const;
    const state: AgentState = { ...startAgent(1, START), problems: new Map([['API_FORBIDDEN', own]]) };
    const report = statusReport(RULES, state, { ...FACTS, problems: [missing, forbidden] });
    expect(report.problems.map(({ message }) => message)).toEqual(['the core says so', 'there is none']);
  });
});

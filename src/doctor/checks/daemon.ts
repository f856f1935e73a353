/** What the running Holdfast of this node says of itself, and whom it hears. */

import { ERRORS, type ErrorCode } from '../../base/errors.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { isOn, setting, type Subject } from '../subject.ts';

export function checkRunning({ facts }: Subject): readonly Finding[] {
  const code = 'NOT_RUNNING';
  const { status } = facts;
  return status.isKnown
    ? [fine(code, `Holdfast ${status.value.version} runs as ${status.value.node}, ${status.value.role}`)]
    : [unsure(code, status)];
}

export function checkRunningProblems({ facts }: Subject): readonly Finding[] {
  const code = 'RUNNING_PROBLEM';
  const { status } = facts;
  if (!status.isKnown) return [unsure(code, status)];
  const problems = status.value.problems.filter((problem) => problem.code !== 'HEARTBEATS_UNHEARD');
  return conclude(code, {
    wrong: problems.map(({ code: given, message, remedy }) => ({
      code: isCode(given) ? given : code,
      level: 'error',
      evidence: message,
      remedy,
    })),
    unknown: [],
    fine: 'Holdfast reports no problem',
  });
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export function checkHeartbeats({ facts }: Subject): readonly Finding[] {
  const code = 'HEARTBEATS_UNHEARD';
  const { status } = facts;
  if (!isOn(facts, 'vip_heartbeat')) return [fine(code, 'vip_heartbeat is off')];
  if (!status.isKnown) return [unsure(code, status)];
  const { peers } = status.value;
  const unheard = peers.filter(({ isHeard }) => !isHeard).map(({ name }) => name);
  const names = unheard.join(', ');
  const context = { port: setting(facts, 'vip_heartbeat_port'), peers: names };
  const tell = unheard.length === peers.length ? failing : warning;
  return conclude(code, {
    wrong:
      unheard.length === 0
        ? []
        : [tell(code, `no heartbeat arrives from ${names} (of ${peers.length} other candidates)`, context)],
    unknown: [],
    fine: peers.length === 0 ? 'there is no other candidate' : `all ${peers.length} other candidates are heard`,
  });
}

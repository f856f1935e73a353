/**
 * Whether this node could serve the addresses at all, and if not why: one closed list, used by the election (who may
 * contend), by the report (what to type) and by readiness.
 */

import type { ErrorCode } from '../base/errors.ts';
import { addressesOf, isOurs, isSuitable, isUsable } from './kernel-view.ts';
import { vipLink, type AgentRules, type AgentState, type MoveCause } from './state.ts';

export interface Obstacle {
  readonly cause: MoveCause;
  /** undefined: nothing to mend (the node has only just begun to look). */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly context: Readonly<Record<string, string>>;
}

/** Whether this node may contend for the addresses. */
export function isEligible(rules: AgentRules, state: AgentState): boolean {
  return state.lifecycle === 'running' && obstacle(rules, state) === undefined;
}

/** The first reason why this node can't hold the addresses; undefined when it can. */
export function obstacle(rules: AgentRules, state: AgentState): Obstacle | undefined {
  if (state.kernel === undefined) {
    return { cause: 'interface-lost', code: undefined, message: 'the kernel has not been asked yet', context: {} };
  }
  return interfaceObstacle(rules, state) ?? addressObstacle(rules, state);
}

function interfaceObstacle(rules: AgentRules, state: AgentState): Obstacle | undefined {
  const link = vipLink(state);
  if (link === undefined) {
    const present = [...(state.kernel?.links.values() ?? [])].map((one) => one.name).join(', ');
    return rules.interfaceName === undefined
      ? {
          cause: 'interface-lost',
          code: 'INTERFACE_NO_DEFAULT_ROUTE',
          message: 'no default route names an interface',
          context: {},
        }
      : {
          cause: 'interface-lost',
          code: 'INTERFACE_MISSING',
          message: `interface ${rules.interfaceName} does not exist`,
          context: { interface: rules.interfaceName, present },
        };
  }
  const context = { interface: link.name };
  if (!isSuitable(link)) {
    const message = `interface ${link.name} (hardware type ${link.hardwareType}) carries no Ethernet`;
    return { cause: 'interface-lost', code: 'INTERFACE_UNSUITABLE', message, context };
  }
  if (isUsable(link)) return undefined;
  const code = rules.allowInterfaceNotUp ? undefined : 'INTERFACE_DOWN';
  return link.isUp
    ? { cause: 'carrier-lost', code, message: `interface ${link.name} has no carrier`, context }
    : { cause: 'interface-lost', code, message: `interface ${link.name} is down`, context };
}

function addressObstacle(rules: AgentRules, state: AgentState): Obstacle | undefined {
  if (state.vips.size === 0) {
    return { cause: 'name-changed', code: undefined, message: 'no address is known yet', context: {} };
  }
  for (const vip of state.vips.values()) {
    for (const found of state.kernel === undefined ? [] : addressesOf(state.kernel, vip.prefix.ip)) {
      if (isOurs(rules, vip, found)) continue;
      const name = state.kernel?.links.get(found.ifindex)?.name ?? `#${found.ifindex}`;
      return {
        cause: 'address-conflict',
        code: 'ADDRESS_IN_USE_HERE',
        message: `${vip.prefix.ip.text} is an ordinary address of ${name}`,
        context: { address: vip.prefix.ip.text, interface: name },
      };
    }
  }
  return undefined;
}

/**
 * Whether this node could serve the addresses at all, and if not why: one closed list, used by the election (who may
 * contend), by the report (what to type) and by readiness.
 */

import type { ErrorCode } from '../base/errors.ts';
import { addressesOf, isOurs, isSuitable, isUsable } from './kernel-view.ts';
import type { AgentRules, AgentState, KernelView, MoveCause } from './state.ts';

export interface Obstacle {
  readonly cause: MoveCause;
  /** undefined: nothing to mend (the node has only just begun to look). */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly context: Readonly<Record<string, string>>;
}

/** All of the state that decides it. */
type Surroundings = Pick<AgentState, 'kernel' | 'ifindex' | 'vips'>;

const NOT_ASKED: Obstacle = {
  cause: 'interface-lost',
  code: undefined,
  message: 'the kernel has not been asked yet',
  context: {},
};

/** Asked for many times a turn and changed by hardly any: what was found, with what it was found from. */
const FOUND = new WeakMap<
  KernelView,
  Pick<Surroundings, 'ifindex' | 'vips'> & { readonly rules: AgentRules; readonly obstacle: Obstacle | undefined }
>();

/** Whether this node may contend for the addresses. */
export function isEligible(rules: AgentRules, state: AgentState): boolean {
  return state.lifecycle === 'running' && obstacle(rules, state) === undefined;
}

/** The first reason why this node can't hold the addresses; undefined when it can. */
export function obstacle(rules: AgentRules, state: Surroundings): Obstacle | undefined {
  const { kernel, ifindex, vips } = state;
  if (kernel === undefined) return NOT_ASKED;
  const known = FOUND.get(kernel);
  if (known !== undefined && known.rules === rules && known.ifindex === ifindex && known.vips === vips) {
    return known.obstacle;
  }
  const found = interfaceObstacle(rules, kernel, ifindex) ?? addressObstacle(rules, kernel, vips);
  FOUND.set(kernel, { rules, ifindex, vips, obstacle: found });
  return found;
}

function interfaceObstacle(rules: AgentRules, kernel: KernelView, ifindex: number | undefined): Obstacle | undefined {
  const link = ifindex === undefined ? undefined : kernel.links.get(ifindex);
  if (link === undefined) {
    const present = [...kernel.links.values()].map((one) => one.name).join(', ');
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

function addressObstacle(rules: AgentRules, kernel: KernelView, vips: AgentState['vips']): Obstacle | undefined {
  if (vips.size === 0 && !servesOnly(rules)) {
    return { cause: 'name-changed', code: undefined, message: 'no address is known yet', context: {} };
  }
  for (const vip of vips.values()) {
    for (const found of addressesOf(kernel, vip.prefix.ip)) {
      if (isOurs(rules, vip, found)) continue;
      const name = kernel.links.get(found.ifindex)?.name ?? `#${found.ifindex}`;
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

/** There is no control-plane VIP to hold: who leads, leads only over Services. */
export function servesOnly(rules: AgentRules): boolean {
  return rules.sources.length === 0 && rules.services?.isEnabled === true;
}

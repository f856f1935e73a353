/** What the view (leader/view.ts) has to know of the configuration. */

import type { ViewRules } from '../leader/view.ts';
import type { AgentRules } from './state.ts';

const VIEW_RULES = new WeakMap<AgentRules, ViewRules>();

/** One object for each rules: what the view remembers, it remembers with it. */
export function viewRules(rules: AgentRules): ViewRules {
  const known = VIEW_RULES.get(rules);
  if (known !== undefined) return known;
  const { intervalMs, multiplier } = rules.heartbeat;
  const made = { self: rules.node, intervalMs, multiplier };
  VIEW_RULES.set(rules, made);
  return made;
}

/**
 * `holdfast explain` in the running process: for a Service, an address or the virtual IPs it works out who should answer, asks
 * the nodes about it (testimony.ts), and puts what is known and what was said into steps. Asked too much at once it explains
 * what it knows and says that nobody was asked.
 */

import { isDraining } from '../agent/assessment.ts';
import { viewRules } from '../agent/view-rules.ts';
import { wantedPrefixes } from '../agent/names.ts';
import type { AgentRules, AgentState } from '../agent/state.ts';
import { parseIp, type Ip } from '../base/ip.ts';
import { after, monotonic } from '../base/time.ts';
import { isHeard } from '../leader/view.ts';
import { EXPLANATION_SCHEMA, type Explanation, type ExplanationStep, type ExplainQuery } from '../observe/explain.ts';
import { MOVE_CAUSES } from '../observe/status-model.ts';
import { bad, good, unsure } from './explanation-steps.ts';
import { addressExplanation, holdingSteps, wireSteps } from './explaining-wire.ts';
import { ownershipsOf, serviceSteps, type ExplainFacts } from './services/explaining.ts';
import { takeTestimony, type Neighbors, type Testimony, type TestimonyOptions } from './testimony.ts';

export interface ExplainerOptions extends Pick<TestimonyOptions, 'witness' | 'inquire'> {
  readonly rules: AgentRules;
  readonly isHeartbeating: boolean;
  readonly state: () => AgentState;
  /** undefined: Services are left alone. */
  readonly services: () => ExplainFacts | undefined;
  /** Monotonic clock, ms. Default performance.now. */
  readonly now?: () => number;
}

/** undefined: Services are left alone here. Never rejects. */
export type Explainer = (query: ExplainQuery) => Promise<Explanation | undefined>;

/** Explanations made at once; for more nobody is asked. */
export const EXPLAINING_MAX = 4;
/** Addresses asked about for one explanation. */
export const ADDRESSES_MAX = 8;

interface Wanted {
  readonly address: Ip;
  readonly owner: string | undefined;
}

export function openExplainer(options: ExplainerOptions): Explainer {
  const explainer = new NodeExplainer(options);
  return (query) => explainer.explain(query);
}

class NodeExplainer {
  readonly #options: ExplainerOptions;
  #underWay = 0;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  explain(query: ExplainQuery): Promise<Explanation | undefined> {
    switch (query.kind) {
      case 'service':
        return this.#service(query.key, `Service ${query.key}`, []);
      case 'address':
        return this.#address(query.text);
      case 'vip':
        return this.#vips([...wantedPrefixes(this.#options.rules, this.#options.state()).values()].map(({ ip }) => ip));
    }
  }

  async #service(key: string, subject: string, first: readonly ExplanationStep[]): Promise<Explanation | undefined> {
    const { services, rules } = this.#options;
    const facts = services();
    if (facts === undefined) return undefined;
    // Without heartbeats the leader may be nobody's candidate as far as this node knows: it answers all the same.
    const { isSpread, liveness } = this.#options.state().services;
    const leader = isSpread ? undefined : liveness.leader;
    const wanted = ownershipsOf(key, facts).map(({ address, node }) => ({ address, owner: node ?? leader }));
    const said = await this.#ask(wanted);
    // Asking took a while: what is told is as it is now.
    const steps = [...first, ...serviceSteps(key, services() ?? facts, said)];
    return explanation({ subject, service: key, node: rules.node, steps, said: [...said.values()] });
  }

  #address(text: string): Promise<Explanation | undefined> {
    const { rules, state, services } = this.#options;
    const parsed = parseIp(text);
    const subject = `address ${text.slice(0, 64)}`;
    const only = (step: ExplanationStep): Promise<Explanation> =>
      Promise.resolve(explanation({ subject, service: '', node: rules.node, steps: [step], said: [] }));
    if (!parsed.ok) return only(bad('address', 'this is no IP address', 'Give one address, without a prefix length.'));
    const ip = parsed.value;
    if (wantedPrefixes(rules, state()).has(ip.text)) return this.#vips([ip]);
    const facts = services();
    const using = (facts?.view.services ?? []).filter(({ ingress }) => ingress.some((each) => each.text === ip.text));
    const [service] = using;
    if (service !== undefined) {
      const names = using.map(({ key }) => key).slice(0, ADDRESSES_MAX);
      const rest = using.length > names.length ? ` and ${using.length - names.length} more` : '';
      return this.#service(service.key, subject, [good('address', `it is of Service ${names.join(', ')}${rest}`)]);
    }
    const others = facts === undefined ? ', and Services are left alone here (svc_enable)' : ', and no Service has it';
    return only(
      bad('address', `it is no virtual IP of the control plane${others}`, 'Look at `kubectl get service -A`.'),
    );
  }

  async #vips(ips: readonly Ip[]): Promise<Explanation> {
    const { rules, state } = this.#options;
    const { holder, step } = this.#holder();
    const said = await this.#ask(ips.map((address) => ({ address, owner: holder })));
    const steps = ips.flatMap(({ text }) => {
      const testimony = said.get(text);
      const ours = good('address', `${text} is a virtual IP of the control plane`);
      if (testimony === undefined) return [ours, unsure('wire', 'too much is asked for at once', 'Ask again.')];
      return [ours, step, ...holdingSteps(testimony), ...wireSteps(testimony)];
    });
    const none = state().names.size > 0 ? 'no name is resolved yet' : 'this process holds none (cp_enable, address)';
    const all =
      steps.length === 0 ? [bad('address', `there is no virtual IP: ${none}`, 'Look at `holdfast config`.')] : steps;
    const subject = ips.length === 0 ? 'virtual IP' : `virtual IP ${ips.map(({ text }) => text).join(', ')}`;
    return explanation({ subject, service: '', node: rules.node, steps: all, said: [...said.values()] });
  }

  /** Who answers for the virtual IPs, by what this node hears and reads. */
  #holder(): { readonly holder: string | undefined; readonly step: ExplanationStep } {
    const { rules } = this.#options;
    const state = this.#options.state();
    const { view } = state.peers;
    const lease = state.election.observed?.lease;
    const isOwn = [...state.vips.values()].some(({ phase }) => phase === 'holding');
    const heard = this.#neighbors().heard.find((name) => view.peers.get(name)?.heartbeat.isHolding === true);
    const acting = isOwn ? rules.node : heard;
    const named = lease === undefined || lease.holder === '' ? undefined : lease.holder;
    const holder = acting ?? named;
    if (holder === undefined) {
      const why = lease === undefined ? 'no Lease has been seen' : 'the Lease is free';
      return { holder, step: bad('owner', `nobody holds it: ${why}`, 'Look at `holdfast status` on each node.') };
    }
    const since = named === holder ? `, and the Lease since ${lease?.acquireTime || 'a time it does not say'}` : '';
    const move = state.moves.findLast(({ kind, isComplete }) => kind === 'gained' && isComplete);
    const cause = isOwn && move !== undefined ? `, because ${MOVE_CAUSES[move.cause] ?? move.cause}` : '';
    const leaving = isOwn && isDraining(state) ? '; it is being drained' : '';
    if (acting === undefined) {
      return {
        holder,
        step: unsure(
          'owner',
          `${holder} has the Lease, and is not heard to hold it`,
          `Look at \`holdfast status\` on ${holder}.`,
        ),
      };
    }
    return { holder, step: good('owner', `${holder} holds it${since}${cause}${leaving}`) };
  }

  /** Of each address that there was room to ask about. */
  async #ask(wanted: readonly Wanted[]): Promise<ReadonlyMap<string, Testimony>> {
    if (this.#underWay >= EXPLAINING_MAX) return new Map();
    const { witness, inquire } = this.#options;
    const neighbors = this.#neighbors();
    this.#underWay += 1;
    const taken = wanted
      .slice(0, ADDRESSES_MAX)
      .map(async ({ address, owner }): Promise<[string, Testimony]> => [
        address.text,
        await takeTestimony(address, owner, { neighbors, witness, inquire }),
      ]);
    const said = await Promise.all(taken);
    this.#underWay -= 1;
    return new Map(said);
  }

  #neighbors(): Neighbors {
    const { rules, isHeartbeating, state } = this.#options;
    const { view } = state().peers;
    const voters = (view.set?.voters ?? []).map(({ name }) => name);
    const now = monotonic((this.#options.now ?? ((): number => performance.now()))());
    const heard = voters.filter((name) => name !== rules.node && isHeard(viewRules(rules), view, name, now));
    const others = [...view.others].filter(([, { heardAt, silentMs }]) => {
      return heardAt !== undefined && now < after(heardAt, silentMs);
    });
    return { self: rules.node, isHeartbeating, voters, heard: [...heard, ...others.map(([name]) => name)] };
  }
}

function explanation(parts: {
  readonly subject: string;
  readonly service: string;
  readonly node: string;
  readonly steps: readonly ExplanationStep[];
  readonly said: readonly Testimony[];
}): Explanation {
  const { subject, service, node, steps, said } = parts;
  return { schema: EXPLANATION_SCHEMA, subject, service, node, steps, addresses: said.map(addressExplanation) };
}

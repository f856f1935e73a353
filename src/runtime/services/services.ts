/** Services as the manager sees them: opened where the configuration asks for them, fed with what happens, asked for status. */

import { parseIp, type Ip } from '../../base/ip.ts';
import type { ServiceMove } from '../../agent/services/state.ts';
import type { AgentState } from '../../agent/state.ts';
import type { Config } from '../../config/config.ts';
import type { ServicesStatus } from '../../observe/services-model.ts';
import { vipTexts } from '../vip-texts.ts';
import { ServicesController, type ServicesOptions } from './controller.ts';
import type { ExplainFacts } from './explaining.ts';
import { servicesStatus } from './services-report.ts';

export interface Services extends Pick<
  ServicesController,
  'factsText' | 'kernelChanged' | 'membersObserved' | 'turned' | 'close'
> {
  status(): ServicesStatus | undefined;
  explainFacts(): ExplainFacts;
  /** Of this node. */
  isKubeProxyHealthy(): boolean | undefined;
}

/** undefined: Services are left alone. */
export function openServices(
  options: Omit<ServicesOptions, 'config' | 'vips'> & {
    readonly config: Config;
    /** Once for each that is complete. */
    readonly onMove: (move: ServiceMove) => void;
  },
): Services | undefined {
  const { config, rules } = options;
  const { services } = config;
  if (services === undefined) return undefined;
  let state: AgentState | undefined;
  let countedMove = 0;
  let vips: { readonly names: AgentState['names'] | undefined; readonly ips: readonly Ip[] } = {
    names: undefined,
    ips: ipsOf(vipTexts(rules.sources, new Map())),
  };
  const controller = new ServicesController({
    ...options,
    config: { ...config, services },
    vips: () => {
      if (state !== undefined && state.names !== vips.names) {
        vips = { names: state.names, ips: ipsOf(vipTexts(rules.sources, state.names)) };
      }
      return vips.ips;
    },
  });
  return {
    get factsText() {
      return controller.factsText;
    },
    kernelChanged: (change) => controller.kernelChanged(change),
    membersObserved: (members) => controller.membersObserved(members),
    turned: (next) => {
      if (next.services.moves !== state?.services.moves) {
        for (const move of next.services.moves) {
          if (!move.isComplete || move.number <= countedMove) continue;
          countedMove = move.number;
          options.onMove(move);
        }
      }
      state = next;
      controller.turned(next);
    },
    status: () => (state === undefined ? undefined : servicesStatus(controller.view, state, config.nodeName)),
    explainFacts: () => ({
      view: controller.view,
      endpoints: controller.endpoints,
      isKubeProxyHealthy: (node) => controller.isKubeProxyHealthy(node),
    }),
    isKubeProxyHealthy: () => controller.isKubeProxyHealthy(config.nodeName),
    close: () => controller.close(),
  };
}

function ipsOf(texts: readonly string[]): readonly Ip[] {
  return texts.flatMap((text) => {
    const parsed = parseIp(text);
    return parsed.ok ? [parsed.value] : [];
  });
}

/**
 * Everything the doctor wants to know, gathered once: files, machine, API, certificates, wire. Changes nothing, and never
 * throws for what is missing: that is a fact which isn't known, with the reason.
 */

import { known, unknown, type Fact } from '../doctor/fact.ts';
import type { Facts, ServedCertificate, Settings } from '../doctor/facts.ts';
import { planProbes } from '../doctor/probe-plan.ts';
import { setting, subjectOf, type Subject } from '../doctor/subject.ts';
import type { ConfigInput } from '../config/parse.ts';
import { openApiClient } from '../kube/client.ts';
import { openCredentials } from '../kube/credentials.ts';
import type { StatusReport } from '../observe/status-model.ts';
import { loadNetfd } from '../system/native-addon.ts';
import type { Netfd } from '../system/netfd.ts';
import { dialCertificate } from './certificates.ts';
import { surveyCluster, unknownCluster } from './cluster.ts';
import { readKeepalived, readKubeconfigs, readManifests } from './files.ts';
import { askKubeProxy } from './kube-proxy.ts';
import { surveyMachine } from './machine.ts';
import { findSettings } from './settings.ts';
import { probeWire } from './wire-probe.ts';

export interface SurveyOptions {
  readonly input: ConfigInput;
  /** The kubelet's folder of static pods, and kubeadm's of kubeconfigs. */
  readonly manifestsFolder: string;
  readonly kubernetesFolder: string;
  /** False: nothing is sent on the wire but requests to the API server and to the status socket. */
  readonly isProbing: boolean;
  /** Asks the running Holdfast at this socket. */
  readonly readStatus: (socket: string) => Promise<StatusReport>;
  /** Default loadNetfd. */
  readonly loadAddon?: () => Netfd;
}

const NOT_PROBING = unknown('--no-probe: nothing was sent', 'Run this without --no-probe.');

export async function survey(options: SurveyOptions): Promise<Facts> {
  const netfd = openAddon(options.loadAddon ?? loadNetfd);
  const manifests = readManifests(options.manifestsFolder);
  const settings = findSettings(options.input, manifests);
  const facts: Facts = {
    settings,
    machine: surveyMachine({ netfd, parsed: settings.parsed, kubeProxyHealth: await askKubeProxy() }),
    files: { kubeconfigs: readKubeconfigs(options.kubernetesFolder), manifests, keepalived: readKeepalived() },
    cluster: await askCluster(settings),
    status: await askStatus(options, settings),
    certificates: [],
    probe: NOT_PROBING,
  };
  const subject = subjectOf(facts);
  const [certificates, probe] = await Promise.all([
    dialServers(subject, options.isProbing),
    options.isProbing ? probeTargets(subject, netfd) : NOT_PROBING,
  ]);
  return { ...facts, certificates, probe };
}

function openAddon(load: () => Netfd): Fact<Netfd> {
  try {
    return known(load());
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}

async function askStatus({ readStatus }: SurveyOptions, { parsed }: Settings): Promise<Facts['status']> {
  const socket = parsed.values.vip_status_socket.value;
  try {
    return known(await readStatus(socket));
  } catch (error) {
    const remedy = error instanceof Error && 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : '';
    return unknown(
      `Holdfast doesn't answer at ${socket}: ${error instanceof Error ? error.message : String(error)}`,
      remedy,
    );
  }
}

/** With the credentials and in the order of endpoints that a manager would have. */
async function askCluster({ parsed }: Settings): Promise<Facts['cluster']> {
  const { values } = parsed;
  const silent = (): void => undefined;
  const credentials = await openCredentials({ kubeconfigPath: values.k8s_config_file.value, log: silent });
  try {
    if (credentials.current === undefined) {
      const { problem } = credentials;
      return unknownCluster(problem?.message ?? 'there are no credentials for the API', problem?.remedy ?? '');
    }
    const client = openApiClient({
      credentials,
      endpoints: {
        override: parsed.config?.api.endpointOverride,
        isControlPlane: values.cp_enable.value === 'true',
        port: Number(values.port.value),
        vips: (values.address.value || values.vip_address.value).split(',').map((entry) => entry.trim()),
      },
      log: silent,
    });
    try {
      return await surveyCluster({ client, parsed });
    } finally {
      client.close();
    }
  } finally {
    credentials.close();
  }
}

/** This node's own API server first, then each virtual IP, whoever holds it. */
async function dialServers(
  { facts, vips, isControlPlane }: Subject,
  isProbing: boolean,
): Promise<readonly ServedCertificate[]> {
  if (!isControlPlane) return [];
  const port = Number(setting(facts, 'port'));
  const hosts = [...vips.ips.map(({ text }) => text), ...vips.names];
  const local = { at: `127.0.0.1:${port}`, vip: undefined, names: await dialCertificate('127.0.0.1', port) };
  const remote = hosts.map(async (host): Promise<ServedCertificate> => {
    const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    return { at, vip: host, names: isProbing ? await dialCertificate(host, port) : NOT_PROBING };
  });
  return [local, ...(await Promise.all(remote))];
}

async function probeTargets(subject: Subject, netfd: Fact<Netfd>): Promise<Facts['probe']> {
  const { kernel } = subject.facts.machine;
  if (!netfd.isKnown) return netfd;
  if (!kernel.isKnown) return kernel;
  return probeWire(netfd.value, planProbes(subject));
}

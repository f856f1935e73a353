/** The control plane's address as its clients see it: certificates that name it, kubeconfigs that use it. */

import type { KernelSnapshot } from '../../protocol/netlink/records.ts';
import { parseIp, prefixContains } from '../../base/ip.ts';
import { formatRange, prefixRange } from '../../services/address-range.ts';
import { unknown, unknownOf, type Unknown } from '../fact.ts';
import type { KubeconfigFile } from '../facts.ts';
import { conclude, failing, fine, unsure, warning, type Finding } from '../finding.ts';
import { setting, subnetsOf, type Subject } from '../subject.ts';

const NO_VIP = unknown('no virtual IP is known', 'Set address, or run this where the settings of Holdfast are.');
const SERVICES_ONLY = 'cp_enable is off: there is no virtual IP of a control plane';
const SHOWN_MAX = 12;

export function checkCertificates(subject: Subject): readonly Finding[] {
  const code = 'CERTIFICATE_LACKS_VIP';
  const { facts, vips, isControlPlane } = subject;
  if (!isControlPlane) return [fine(code, SERVICES_ONLY)];
  const wanted = [...vips.ips.map(({ text }) => text), ...vips.names];
  if (wanted.length === 0) return [unsure(code, NO_VIP)];
  const wrong: Finding[] = [];
  const seen: string[] = [];
  const unseen: Unknown[] = [];
  for (const { at, vip, names } of facts.certificates) {
    if (!names.isKnown) {
      unseen.push({ ...names, why: `${at}: ${names.why}` });
      continue;
    }
    seen.push(at);
    const missing = (vip === undefined ? wanted : [vip]).filter((name) => !isNamed(name, names.value));
    if (missing.length === 0) continue;
    const shown = names.value.slice(0, SHOWN_MAX).join(', ') || 'nothing';
    const evidence = `the certificate served at ${at} is not for ${missing.join(' and ')}, but for ${shown}`;
    wrong.push(failing(code, evidence, { missing: missing.join(' and ') }));
  }
  // Nobody may hold the address yet: one server that could be asked is enough.
  const why = unseen.map((each) => each.why).join('; ');
  const isUnseen = seen.length === 0;
  return conclude(code, {
    wrong,
    unknown: isUnseen ? [unknown(why || 'no API server was asked', unseen[0]?.remedy)] : [],
    fine: `the certificates served at ${seen.join(', ')} name ${wanted.join(' and ')}${why === '' ? '' : ` (not seen: ${why})`}`,
  });
}

export function checkVipSubnets({ facts, vips, isControlPlane }: Subject): readonly Finding[] {
  const code = 'VIP_OUTSIDE_SUBNETS';
  if (!isControlPlane) return [fine(code, SERVICES_ONLY)];
  const { kernel } = facts.machine;
  if (!kernel.isKnown) return [unsure(code, kernel)];
  const names = vips.names.map((name) => unknown(`${name} is a name, which is not resolved here`));
  if (vips.ips.length + names.length === 0) return [unsure(code, NO_VIP)];
  const prefixes = subnetsOf(kernel.value).map(({ prefix }) => prefix);
  const outside = vips.ips.filter((ip) => !prefixes.some((prefix) => prefixContains(prefix, ip)));
  const subnets = [...new Set(prefixes.map((prefix) => formatRange(prefixRange(prefix))))]
    .slice(0, SHOWN_MAX)
    .join(', ');
  return conclude(code, {
    wrong: outside.map(({ text }) =>
      warning(code, `${text} is in no subnet of this node (${subnets || 'it has none'})`, { subnets, address: text }),
    ),
    unknown: names,
    fine: `${vips.ips.map(({ text }) => text).join(' and ')}: in a subnet of this node`,
  });
}

/** RFC 6125 §6.4.3: a wildcard stands for the whole left-most label. */
function isNamed(name: string, names: readonly string[]): boolean {
  const wanted = name.toLowerCase().replace(/\.$/, '');
  return names.some((entry) => {
    const given = entry.toLowerCase();
    return given === wanted || (given.startsWith('*.') && wanted.slice(wanted.indexOf('.')) === given.slice(1));
  });
}

/** Those whose users are to survive the loss of a node. kubeadm has the controllers talk to the server beside them. */
const THROUGH_VIP = /(^|\/)(admin|kubelet)\.conf$/;

export function checkKubeconfigs(subject: Subject): readonly Finding[] {
  const code = 'KUBECONFIG_BYPASSES_VIP';
  const { facts, vips, isControlPlane } = subject;
  if (!isControlPlane && facts.settings.isGiven) return [fine(code, SERVICES_ONLY)];
  const wanted = [...vips.ips.map(({ text }) => text), ...vips.names];
  if (wanted.length === 0) return [unsure(code, NO_VIP)];
  const files = facts.files.kubeconfigs.filter(({ path }) => THROUGH_VIP.test(path));
  const isControlPlaneNode = files.some(({ path, state }) => path.endsWith('/admin.conf') && state !== 'absent');
  const expected = `https://${bracketed(vips.names[0] ?? wanted[0] ?? '')}:${setting(facts, 'port')}`;
  const wrong: Finding[] = [];
  const unread: Unknown[] = [];
  const good: string[] = [];
  for (const file of files) {
    if (file.state === 'absent' || file.state === 'empty' || file.state === 'folder') continue;
    const host = hostOf(file);
    if (host === undefined) {
      unread.push(unknown(`${file.path} can't be read: ${file.why}`, 'Run this as root on the node.'));
      continue;
    }
    const place = wanted.includes(host) ? undefined : nodeOf(subject, host);
    const isBeside = isControlPlaneNode && file.path.endsWith('/kubelet.conf') && place?.isHere === true;
    if (place?.name === undefined || isBeside) {
      const note = isBeside ? ', the API server beside it (kubeadm: ControlPlaneKubeletLocalMode)' : '';
      good.push(`${file.path} names ${host}${note}`);
      if (place?.isUnsure === true) {
        unread.push(unknown(`${file.path} names ${host}, and the addresses of the nodes are not known`));
      }
    } else {
      wrong.push(
        warning(code, `${file.path} names ${host}, the address of ${place.name}`, { path: file.path, expected }),
      );
    }
  }
  if (files.every(({ state }) => state === 'absent')) unread.push(noFiles(facts));
  return conclude(code, { wrong, unknown: unread, fine: good.join('; ') || 'there is none that could be used' });
}

/** A container that doesn't see the folder looks like a node without files. */
function noFiles({ files }: Subject['facts']): Unknown {
  const paths = files.kubeconfigs.map(({ path }) => path).join(', ') || 'no kubeconfig';
  return unknown(`there is none of ${paths}`, 'Run this on the node, or name the folder with --kubernetes.');
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function hostOf({ server }: KubeconfigFile): string | undefined {
  const host = /^https?:\/\/(\[[^\]]+\]|[^/:]+)/.exec(server ?? '')?.[1]?.replace(/^\[|\]$/g, '');
  if (host === undefined) return undefined;
  const ip = parseIp(host);
  return ip.ok ? ip.value.text : host.toLowerCase();
}

interface Place {
  /** Whose address it is; undefined: no node's. */
  readonly name: string | undefined;
  readonly isHere: boolean;
  readonly isUnsure: boolean;
}

function nodeOf({ facts, nodes }: Subject, host: string): Place {
  const { kernel } = facts.machine;
  const isHere = kernel.isKnown && isOrdinary(kernel.value, host);
  if (isHere) return { name: 'this node', isHere, isUnsure: false };
  const node = nodes.isKnown
    ? nodes.value.find(({ addresses }) => addresses.some(({ text }) => text === host))
    : undefined;
  const isAddress = parseIp(host).ok && !/^(127\.|::1$)/.test(host);
  return {
    name: node === undefined ? undefined : `node ${node.name}`,
    isHere: false,
    isUnsure: isAddress && unknownOf(nodes, kernel).length > 0,
  };
}

/** An address of this machine that lasts; those with a lifetime may be ours. */
function isOrdinary({ addresses }: KernelSnapshot, host: string): boolean {
  if (/^(127\.|::1$)/.test(host)) return false;
  return addresses.some(({ prefix, validSeconds }) => prefix.ip.text === host && validSeconds === Infinity);
}

/** A folder or an empty file where kubeadm has a kubeconfig, and super-admin.conf in daily use. */
export function checkAdminFiles(subject: Subject): readonly Finding[] {
  const code = 'SUPER_ADMIN_CONF';
  const { facts } = subject;
  const files = facts.files.kubeconfigs.filter(({ path }) => /(^|\/)(super-)?admin\.conf$/.test(path));
  const wrong: Finding[] = [];
  for (const { path, state } of files) {
    if (state !== 'empty' && state !== 'folder') continue;
    const evidence = `${path} is ${state === 'folder' ? 'a folder' : 'an empty file'}, as a hostPath volume leaves it where there was nothing`;
    const advice = `Remove ${path}: kubeadm refuses it (init, join, certs renew, upgrade). Mount its folder instead, as \`holdfast manifest pod\` does.`;
    wrong.push(failing(code, evidence, { advice }));
  }
  const used = setting(facts, 'k8s_config_file');
  if (used.endsWith('super-admin.conf')) {
    const advice = 'Leave k8s_config_file out: admin.conf is used, and super-admin.conf for as long as it must be.';
    wrong.push(
      warning(code, `k8s_config_file is ${used}, which may do everything and which kubeadm tells to put away`, {
        advice,
      }),
    );
  }
  const unread = files
    .filter(({ state }) => state === 'unreadable')
    .map(({ path, why }) => unknown(`${path} can't be read: ${why}`, 'Run this as root on the node.'));
  if (facts.files.kubeconfigs.every(({ state }) => state === 'absent')) unread.push(noFiles(facts));
  const present = files.filter(({ state }) => state === 'read' || state === 'invalid').map(({ path }) => path);
  return conclude(code, {
    wrong,
    unknown: unread,
    fine:
      present.length === 0 ? 'neither admin.conf nor super-admin.conf is here' : `here are ${present.join(' and ')}`,
  });
}

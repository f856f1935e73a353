/**
 * kube-vip's `bgp_peers`: `address:AS[:password[:multihop[:port[:mpbgp[:bfd]]]]]`, peers separated by commas. IPv6 in
 * `[]`; `unnumbered:<interface>[:AS…]` peers over an interface; mpbgp is `key=value;…`; bfd is `enable;rx;tx;multiplier`.
 * The form has no escape, so a password holds neither `:` nor `,`. Empty items are skipped, as kube-vip does.
 */

import { parseIp } from '../base/ip.ts';
import { ok, refused, type Outcome } from '../base/outcome.ts';
import { parseBool, parseInteger } from './value.ts';

export interface BgpPeer {
  /** '' for an unnumbered peer. */
  readonly address: string;
  /** Set for an unnumbered peer only, else ''. */
  readonly interface: string;
  /** 0 = any (unnumbered peers only). */
  readonly as: number;
  readonly password: string;
  readonly multihop: boolean;
  /** 0 = not given (unnumbered peers only). */
  readonly port: number;
  readonly mpbgpNexthop: string;
  readonly mpbgpIpv4: string;
  readonly mpbgpIpv6: string;
  readonly bfd: BgpPeerBfd;
}

export interface BgpPeerBfd {
  readonly enabled: boolean;
  readonly receiveIntervalMs: number;
  readonly transmitIntervalMs: number;
  readonly detectMultiplier: number;
}

/** kube-vip's defaults (pkg/kubevip/config_bgp.go). */
export const BFD_DEFAULT: BgpPeerBfd = {
  enabled: false,
  receiveIntervalMs: 300,
  transmitIntervalMs: 300,
  detectMultiplier: 3,
};

const BGP_PORT = 179; // RFC 4271 §8.2.1
const AS_MAX = 4_294_967_295; // RFC 6793
const PEERS_MAX = 256;

/** Every peer, or what is wrong with the first wrong one; no part of the text is repeated, for any could be a password. */
export function parseBgpPeers(text: string): Outcome<readonly BgpPeer[]> {
  const items = text.split(',').map((item) => item.trim());
  if (items.length > PEERS_MAX) return refused(`there are more than ${PEERS_MAX} peers`);
  const peers: BgpPeer[] = [];
  for (const [index, item] of items.entries()) {
    if (item === '') continue;
    const peer = parsePeer(item);
    if (!peer.ok) return refused(`peer ${index + 1}: ${peer.reason}`);
    peers.push(peer.value);
  }
  return peers.length === 0 ? refused('there is no peer in it') : ok(peers);
}

/** `peers` in the form parseBgpPeers reads, each password replaced by `mask` when one is given. */
export function formatBgpPeers(peers: readonly BgpPeer[], mask?: string): string {
  return peers.map((peer) => formatPeer(peer, mask)).join(',');
}

function parsePeer(item: string): Outcome<BgpPeer> {
  const split = splitPeer(item);
  if (!split.ok) return split;
  const { address, interfaceName, fields } = split.value;
  const isUnnumbered = interfaceName !== '';
  if (fields.length < 1 && !isUnnumbered) return refused('the AS number is missing');
  const [asText = '', password = '', multihopText = '', portText, mpbgpText = '', bfdText = ''] = fields;
  if (fields.length > 6) return refused('there are more than seven fields');

  const as = fields.length === 0 ? 0 : parseInteger(asText);
  if (as === undefined || as < 0 || as > AS_MAX) return refused('the AS number is not a whole number up to 4294967295');
  const multihop = multihopText === '' ? false : parseBool(multihopText);
  if (multihop === undefined) return refused('the multihop field is neither true nor false');
  const port = parsePort(portText, isUnnumbered);
  if (port === undefined) return refused('the fifth field is not a port');
  const mpbgp = parseMpbgp(mpbgpText);
  if (!mpbgp.ok) return mpbgp;
  const bfd = parseBfd(bfdText);
  if (!bfd.ok) return bfd;
  return ok({ address, interface: interfaceName, as, password, multihop, port, ...mpbgp.value, bfd: bfd.value });
}

interface SplitPeer {
  readonly address: string;
  readonly interfaceName: string;
  /** AS, password, multihop, port, mpbgp, bfd: as many as there are. */
  readonly fields: readonly string[];
}

function splitPeer(item: string): Outcome<SplitPeer> {
  if (item.startsWith('unnumbered:')) {
    const [interfaceName = '', ...fields] = item.slice('unnumbered:'.length).split(':');
    if (interfaceName === '') return refused('the interface of the unnumbered peer is missing');
    return ok({ address: '', interfaceName, fields });
  }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(item);
  if (item.startsWith('[') && bracketed === null) return refused('the closing ] of the IPv6 address is missing');
  const [address = '', ...fields] =
    bracketed === null
      ? item.split(':')
      : [bracketed[1] ?? '', ...(bracketed[2] === undefined ? [] : bracketed[2].split(':'))];
  const ip = parseIp(address);
  const family = bracketed === null ? 'ipv4' : 'ipv6';
  if (!ip.ok || ip.value.family !== family) {
    const hint = bracketed === null ? 'an IPv4 address (IPv6 addresses go in [])' : 'an IPv6 address';
    return refused(`its address is not ${hint}`);
  }
  return ok({ address, interfaceName: '', fields });
}

/** An absent port is 179, but 0 (not given) for an unnumbered peer; an empty field is 179 for both. */
function parsePort(text: string | undefined, isUnnumbered: boolean): number | undefined {
  if (text === undefined) return isUnnumbered ? 0 : BGP_PORT;
  if (text === '') return BGP_PORT;
  const port = parseInteger(text);
  return port === undefined || port < 0 || port > 65_535 ? undefined : port;
}

function parseMpbgp(text: string): Outcome<Pick<BgpPeer, 'mpbgpNexthop' | 'mpbgpIpv4' | 'mpbgpIpv6'>> {
  const found = { mpbgpNexthop: '', mpbgpIpv4: '', mpbgpIpv6: '' };
  for (const pair of text === '' ? [] : text.split(';')) {
    const [key = '', value] = pair.split('=');
    if (value === undefined) return refused('a parameter of the sixth field has no value (key=value)');
    if (key === 'mpbgp_nexthop') found.mpbgpNexthop = value;
    else if (key === 'mpbgp_ipv4') found.mpbgpIpv4 = value;
    else if (key === 'mpbgp_ipv6') found.mpbgpIpv6 = value;
    else return refused('the sixth field has a parameter other than mpbgp_nexthop, mpbgp_ipv4 and mpbgp_ipv6');
  }
  return ok(found);
}

function parseBfd(text: string): Outcome<BgpPeerBfd> {
  if (text === '') return ok(BFD_DEFAULT);
  const [enableText = '', rx = '', tx = '', multiplier] = text.split(';');
  if (multiplier === undefined) return refused('bfd has four parts: enable;rx;tx;multiplier');
  const enabled = parseBool(enableText);
  if (enabled === undefined) return refused('the first part of bfd is neither true nor false');
  const receiveIntervalMs = rx === '' ? BFD_DEFAULT.receiveIntervalMs : parseInteger(rx);
  const transmitIntervalMs = tx === '' ? BFD_DEFAULT.transmitIntervalMs : parseInteger(tx);
  const detectMultiplier = multiplier === '' ? BFD_DEFAULT.detectMultiplier : parseInteger(multiplier);
  const isWhole = (value: number | undefined): value is number => value !== undefined && value >= 0 && value <= AS_MAX;
  if (!isWhole(receiveIntervalMs) || !isWhole(transmitIntervalMs) || !isWhole(detectMultiplier)) {
    return refused('intervals (ms) and multiplier of bfd are whole numbers');
  }
  return ok({ enabled, receiveIntervalMs, transmitIntervalMs, detectMultiplier });
}

function formatPeer(peer: BgpPeer, mask: string | undefined): string {
  const { bfd } = peer;
  const head =
    peer.interface !== ''
      ? `unnumbered:${peer.interface}`
      : peer.address.includes(':')
        ? `[${peer.address}]`
        : peer.address;
  const password = mask === undefined || peer.password === '' ? peer.password : mask;
  const mpbgp = [
    ['mpbgp_nexthop', peer.mpbgpNexthop],
    ['mpbgp_ipv4', peer.mpbgpIpv4],
    ['mpbgp_ipv6', peer.mpbgpIpv6],
  ]
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `${key}=${value}`)
    .join(';');
  const bfdText = bfd.enabled ? `true;${bfd.receiveIntervalMs};${bfd.transmitIntervalMs};${bfd.detectMultiplier}` : '';
  const port = peer.port === 0 || peer.port === BGP_PORT ? '' : String(peer.port);
  return [head, String(peer.as), password, String(peer.multihop), port, mpbgp, bfdText].join(':').replace(/:+$/, '');
}

/**
 * A status report as text for somebody who was woken by a page: the first line says who holds the addresses, since when
 * and why; then this node's part; the addresses; the last moves; and what to do about each problem. Pure but for the
 * table library. Everything that other machines wrote (holder names, messages) is stripped of control characters.
 */

import { styleText } from 'node:util';
import { checkReady, isDegraded } from './health.ts';
import { durationText } from './duration-text.ts';
import { clean, plainTable } from './plain-table.ts';
import { servicesText } from './services-text.ts';
import { MOVE_CAUSES, type AddressStatus, type Move, type Problem, type StatusReport } from './status-model.ts';

export interface TextOptions {
  readonly isColored: boolean;
  /** Moves shown, the newest first. */
  readonly movesMax: number;
}

type Tint = 'bold' | 'dim' | 'green' | 'red' | 'yellow';
type Paint = (tint: Tint, text: string) => string;

/** The report as lines, newline at the end. */
export function renderStatus(report: StatusReport, options: TextOptions): string {
  const paint: Paint = options.isColored
    ? (tint, text) => styleText(tint, text, { validateStream: false })
    : (_, text) => text;
  const parts = [
    headline(report, paint),
    nodeTable(report, paint),
    addressTable(report, paint),
    servicesText(report.services, { paint }),
    moveTable(report, options.movesMax, paint),
    problemList(report, paint),
  ];
  const text = parts.filter((part) => part !== '').join('\n\n');
  return `${text.replaceAll(/ +$/gm, '')}\n`; // the table library pads the last column too
}

function headline(report: StatusReport, paint: Paint): string {
  const verdict = isDegraded(report) ? paint('red', 'DEGRADED') : paint('green', 'healthy');
  const title = `${paint('bold', clean(report.node))}  ${verdict}  ${paint('dim', `holdfast ${report.version}, up ${durationText(report.uptimeMs)}, ${report.at}`)}`;
  return `${title}\n\n${paint('bold', holderSentence(report))}${sinceClause(report)}`;
}

function holderSentence(report: StatusReport): string {
  const names = report.addresses.map((address) => address.address.replace(/\/\d+$/, '')).join(', ') || 'the addresses';
  const { holder } = report.lease;
  if (report.role === 'stopping') return `This node is stopping.`;
  if (report.role === 'leader' && report.tenure.isHeld) {
    const isAll = report.addresses.every((address) => address.state === 'holding');
    return isAll ? `This node holds ${names}` : `This node is the leader, but does not hold every address (${names})`;
  }
  if (holder === undefined) return `Nobody is known to hold ${names}: no Lease seen`;
  if (holder === '') return `Nobody holds ${names}: the Lease is released`;
  if (holder === report.node) {
    return `This node is named by the Lease but may not hold ${names}: ${clean(report.tenure.reason)}`;
  }
  return `${clean(holder)} holds ${names}; this node stands by`;
}

/** Since when and why, by the last move that made the present holder. */
function sinceClause(report: StatusReport): string {
  const isLeader = report.role === 'leader';
  const move = report.moves.findLast(({ kind, to }) =>
    isLeader ? kind === 'gained' || kind === 'adopted' : kind === 'observed' && to === report.lease.holder,
  );
  if (move === undefined) return '.';
  return `,\nsince ${move.at} (${agoText(report, move)}), because ${causeText(move)}.`;
}

function nodeTable(report: StatusReport, paint: Paint): string {
  const { lease, tenure, api, interface: link } = report;
  const table = plainTable();
  table.push([paint('dim', 'role'), report.role]);
  const left = tenure.isHeld
    ? `held, ends in ${durationText(tenure.leftMs)} unless renewed`
    : paint('yellow', 'not held');
  table.push([paint('dim', 'tenure'), `${left}: ${clean(tenure.reason)}`]);
  table.push([paint('dim', 'lease'), leaseText(lease, report.node)]);
  table.push([paint('dim', 'api'), apiText(api, paint)]);
  const carrier = link?.hasCarrier === true ? 'carrier' : paint('yellow', 'no carrier');
  const linkText =
    link === undefined
      ? paint('red', 'none')
      : `${link.name} (index ${link.index}), ${link.isUp ? 'up' : paint('yellow', 'down')}, ${carrier}, ${link.mac ?? 'no MAC'}`;
  table.push([paint('dim', 'interface'), linkText]);
  if (report.peers.length > 0) {
    table.push([paint('dim', 'peers'), report.peers.map((peer) => peerText(peer, paint)).join('\n')]);
  }
  const failed = checkReady(report).filter((check) => !check.isOk);
  const ready = failed.map((check) => paint('red', `not ready: ${clean(check.detail)}`)).join('\n');
  table.push([paint('dim', 'ready'), ready === '' ? 'yes' : ready]);
  return table.toString();
}

function peerText(peer: StatusReport['peers'][number], paint: Paint): string {
  const name = clean(peer.name);
  if (!peer.isHeard) {
    const since = peer.heardAgoMs === undefined ? 'never heard' : `silent for ${durationText(peer.heardAgoMs)}`;
    return paint('yellow', `${name} ${since}`);
  }
  const said = [
    peer.isHolding ? 'holds' : '',
    peer.isApiWorking ? '' : 'finds the API away',
    peer.isDraining ? 'is being drained' : '',
  ];
  return [`${name} heard`, ...said.filter((word) => word !== '')].join(', ');
}

function leaseText(lease: StatusReport['lease'], node: string): string {
  const holder =
    lease.holder === undefined
      ? 'not seen'
      : lease.holder === ''
        ? 'released'
        : `held by ${clean(lease.holder)}${lease.holder === node ? ' (this node)' : ''}`;
  const details = [
    lease.durationMs === undefined ? '' : `${lease.durationMs / 1000} s long`,
    lease.observedAgoMs === undefined ? '' : `changed ${durationText(lease.observedAgoMs)} ago`,
    lease.transitions === undefined ? '' : `${lease.transitions} transitions`,
    lease.watch.isSynced ? 'watched' : 'not watched',
  ].filter((detail) => detail !== '');
  return `${lease.namespace}/${lease.name} ${holder}, ${details.join(', ')}`;
}

function apiText(api: StatusReport['api'], paint: Paint): string {
  const success = api.lastSuccessAgoMs === undefined ? 'never' : `${durationText(api.lastSuccessAgoMs)} ago`;
  const state = api.isReachable ? `answers, last ${success}` : paint('red', `does not answer, last did ${success}`);
  const failure =
    api.lastFailure === undefined || api.isReachable
      ? ''
      : `\n${api.lastFailure.kind} ${durationText(api.lastFailure.agoMs)} ago: ${clean(api.lastFailure.message)}`;
  return `${api.endpoint === '' ? 'no endpoint yet,' : api.endpoint} ${state}${failure}`;
}

function addressTable(report: StatusReport, paint: Paint): string {
  if (report.addresses.length === 0 && report.services !== undefined) return '';
  if (report.addresses.length === 0) return paint('yellow', 'No addresses: nothing is configured or no name resolves.');
  const table = plainTable(
    ['ADDRESS', 'STATE', 'SINCE', 'LIFETIME', 'ANNOUNCED', ''].map((title) => paint('dim', title)),
  );
  for (const address of report.addresses) table.push(addressRow(address, paint));
  return table.toString();
}

function addressRow(address: AddressStatus, paint: Paint): string[] {
  const tint = address.state === 'holding' ? 'green' : address.state === 'conflict' ? 'red' : undefined;
  const rival =
    address.conflict === undefined
      ? ''
      : paint('red', `${address.conflict.mac} answers too, for ${durationText(address.conflict.sinceMs)}`);
  const announced =
    address.lastAnnouncedAgoMs === undefined
      ? 'never'
      : `${durationText(address.lastAnnouncedAgoMs)} ago (${address.announcements}×)`;
  return [
    address.address,
    tint === undefined ? address.state : paint(tint, address.state),
    durationText(address.sinceMs),
    `${address.lifetimeSeconds} s`,
    announced,
    rival,
  ];
}

function moveTable(report: StatusReport, movesMax: number, paint: Paint): string {
  const shown = report.moves.slice(-movesMax).reverse();
  if (shown.length === 0) return paint('dim', 'No moves since the process started.');
  const title = `Last moves (${shown.length} of ${report.moves.length}, newest first)`;
  const table = plainTable(['WHEN', '', 'WHAT', 'WHY', 'TOOK'].map((head) => paint('dim', head)));
  for (const move of shown) {
    const timings = Object.entries(move.timings).map(([phase, ms]) => `${phase} ${durationText(ms)}`);
    table.push([move.at, agoText(report, move), moveText(move), causeText(move), timings.join(', ')]);
  }
  return `${paint('bold', title)}\n${table.toString()}`;
}

function moveText(move: Move): string {
  const from = move.from === undefined || move.from === '' ? '' : ` from ${clean(move.from)}`;
  const to = move.to === undefined || move.to === '' ? '' : ` to ${clean(move.to)}`;
  return move.kind === 'gained' || move.kind === 'adopted' ? `${move.kind}${from}` : `${move.kind}${from}${to}`;
}

function problemList(report: StatusReport, paint: Paint): string {
  if (report.problems.length === 0) return '';
  const items = report.problems.map((problem) => problemText(problem, paint));
  return `${paint('bold', 'Problems')}\n${items.join('\n')}`;
}

function problemText(problem: Problem, paint: Paint): string {
  return `${paint('red', problem.code)}: ${clean(problem.message)}\n  remedy: ${clean(problem.remedy)}`;
}

function agoText(report: StatusReport, move: Move): string {
  const ms = Date.parse(report.at) - Date.parse(move.at);
  return Number.isNaN(ms) ? '' : `${durationText(ms)} ago`;
}

function causeText(move: Move): string {
  return MOVE_CAUSES[move.cause] ?? clean(move.cause);
}

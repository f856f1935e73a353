/**
 * Findings as text: worst first, each with what was seen and what to do. What could not be found out for one reason is told
 * together; what is in order is counted. Evidence quotes objects that anybody may have written: control characters go.
 */

import { styleText } from 'node:util';
import { clean, plainTable } from '../observe/plain-table.ts';
import type { Finding, Level } from '../doctor/finding.ts';

export interface FindingsOptions {
  readonly isColored: boolean;
  /** What is in order as well. */
  readonly isAll: boolean;
  /** Where the settings were found. */
  readonly settings: string;
}

const TINTS: Readonly<Record<Level, 'red' | 'yellow' | 'cyan' | 'green'>> = {
  error: 'red',
  warning: 'yellow',
  unknown: 'cyan',
  ok: 'green',
};

/** Lines, newline at the end. */
export function renderFindings(findings: readonly Finding[], options: FindingsOptions): string {
  const paint = (tint: Parameters<typeof styleText>[0], text: string): string =>
    options.isColored ? styleText(tint, text, { validateStream: false }) : text;
  const shown = findings.filter(({ level }) => options.isAll || level !== 'ok');
  // Every group is one row; only what isn't known has groups of several.
  const groups = Map.groupBy(shown, (finding) =>
    finding.level === 'unknown' ? `${finding.evidence}\n${finding.remedy}` : finding,
  );
  const table = plainTable();
  for (const group of groups.values()) {
    const [finding] = group;
    if (finding === undefined) continue;
    const codes = [...new Set(group.map(({ code }) => code))].join('\n');
    const remedy = finding.remedy === '' ? [] : [paint('dim', `→ ${clean(finding.remedy)}`)];
    table.push([paint(TINTS[finding.level], finding.level), codes, [clean(finding.evidence), ...remedy].join('\n')]);
  }
  const text = groups.size === 0 ? '' : `${table.toString()}\n\n`;
  // The table library pads the last column too.
  return `${text.replaceAll(/ +$/gm, '')}${summary(findings, options)}\n`;
}

function summary(findings: readonly Finding[], { isAll, settings }: FindingsOptions): string {
  const count = (level: Level): number => new Set(findings.filter((each) => each.level === level)).size;
  const unknown = new Set(findings.filter(({ level }) => level === 'unknown').map(({ code }) => code)).size;
  const hint = isAll || count('ok') === 0 ? '' : ' (--all shows them)';
  return [
    `${counted(count('error'), 'error')}, ${counted(count('warning'), 'warning')};`,
    `${counted(unknown, 'check')} could not be made wholly; ${count('ok')} found nothing wrong${hint}.`,
    `Settings: ${clean(settings)}.`,
  ].join(' ');
}

function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`;
}

/**
 * `holdfast explain CODE`: what an error code means and what to do. `holdfast explain service NS/NAME`, `address IP` and
 * `vip`: how it stands with a Service, an address, or the virtual IPs, asked of the process on this node. Exit code 0 = all well, 1 = something isn't, 3 = not running.
 */

import { styleText } from 'node:util';
import { ERRORS, HoldfastError } from '../base/errors.ts';
import { requestExplanation, type ExplainQuery, type ExplanationStep } from '../observe/explain.ts';
import { failureText, socketPath } from '../observe/status-server.ts';

/** The process asks other nodes, and the wire, for up to 1.2 s. */
const ANSWER_TIMEOUT_MS = 5000;
const EXIT_WELL = 0;
const EXIT_ILL = 1;

export interface ExplainOptions {
  readonly words: readonly string[];
  readonly socket: string;
  readonly isJson: boolean;
  readonly isColored: boolean;
  readonly write: (text: string) => void;
}

/** Runs the command and returns its exit code. Throws HoldfastError COMMAND_INVALID, or as requestExplanation. */
export async function runExplain(options: ExplainOptions): Promise<number> {
  const [first = '', second, ...rest] = options.words;
  const query = rest.length === 0 ? queryOf(first.toLowerCase(), second) : undefined;
  if (query !== undefined) return explainQuery(query, options);
  if (second === undefined) return explainCode(first, options);
  throw invalid('say a code, `service NAMESPACE/NAME`, `address IP` or `vip`');
}

function queryOf(kind: string, name: string | undefined): ExplainQuery | undefined {
  if (kind === 'vip') return name === undefined ? { kind: 'vip' } : { kind: 'address', text: name };
  if (name === undefined) return undefined;
  if (kind === 'address') return { kind: 'address', text: name };
  if (kind !== 'service') return undefined;
  return { kind: 'service', key: name.includes('/') ? name : `default/${name}` };
}

function explainCode(word: string, { isJson, write }: ExplainOptions): number {
  const wanted = word.toUpperCase();
  const found = Object.entries(ERRORS).find(([code]) => code === wanted);
  if (found === undefined) throw invalid(`there is no code ${word.slice(0, 60)}: docs/errors.md lists all`);
  const [code, { summary, remedy }] = found;
  if (isJson) write(`${JSON.stringify({ code, summary, remedy }, undefined, 2)}\n`);
  else write(`${code}: ${summary}\n\n${remedy.replaceAll(/\{(\w+)\}/g, (_, name: string) => name.toUpperCase())}\n`);
  return EXIT_WELL;
}

async function explainQuery(query: ExplainQuery, options: ExplainOptions): Promise<number> {
  const { socket, isJson, isColored, write } = options;
  const request = { path: socketPath(socket), socket, query, timeoutMs: ANSWER_TIMEOUT_MS };
  const { subject, node, steps, json } = await requestExplanation(request, failureText);
  const isWell = steps.every(({ isOk, step }) => isOk !== false || step === 'candidate');
  if (isJson) write(`${JSON.stringify(json, undefined, 2)}\n`);
  else {
    const lines = steps.map((step) => stepText(step, isColored));
    write(`${clean(subject)}, as ${clean(node)} sees it\n\n${lines.join('\n')}\n`);
  }
  return isWell ? EXIT_WELL : EXIT_ILL;
}

function stepText({ isOk, step, detail, code, next }: ExplanationStep, isColored: boolean): string {
  const [mark, tint] =
    isOk === undefined ? (['?', 'yellow'] as const) : isOk ? (['✓', 'green'] as const) : (['✗', 'red'] as const);
  const painted = isColored ? styleText(tint, mark, { validateStream: false }) : mark;
  const indent = ' '.repeat(14);
  // A candidate's code, and a pool's, stand in their words already.
  const named = code === '' || detail.includes(code) ? detail : `${detail} (${code})`;
  const [words, todo] = [named, next].map((text) => clean(text).replaceAll('\n', `\n${indent}`));
  return `${painted} ${clean(step).padEnd(12)}${words}${next === '' ? '' : `\n${indent}→ ${todo}`}`;
}

/** Without control characters but line ends: texts of objects are anybody's. */
function clean(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]|\p{Cf}/gu, ' ');
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('COMMAND_INVALID', message, { context: { command: 'holdfast explain' } });
}

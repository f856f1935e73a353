/**
 * `holdfast explain CODE`: what an error code means and what to do. `holdfast explain service NS/NAME`: how it stands with a
 * Service, asked of the process on this node. Exit code 0 = all well, 1 = something isn't, 3 = not running.
 */

import { styleText } from 'node:util';
import { ERRORS, HoldfastError } from '../base/errors.ts';
import { requestExplanation, type ExplanationStep } from '../observe/explain.ts';
import { failureText, socketPath } from '../observe/status-server.ts';

const ANSWER_TIMEOUT_MS = 3000;
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
  if (first.toLowerCase() === 'service' && second !== undefined && rest.length === 0) {
    return explainService(second, options);
  }
  if (second === undefined) return explainCode(first, options);
  throw invalid('say a code, or `service NAMESPACE/NAME`');
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

async function explainService(name: string, options: ExplainOptions): Promise<number> {
  const { socket, isJson, isColored, write } = options;
  const service = name.includes('/') ? name : `default/${name}`;
  const request = { path: socketPath(socket), socket, service, timeoutMs: ANSWER_TIMEOUT_MS };
  const explanation = await requestExplanation(request, failureText);
  const isWell = explanation.steps.every(({ isOk, step }) => isOk !== false || step === 'candidate');
  if (isJson) write(`${JSON.stringify(explanation, undefined, 2)}\n`);
  else {
    const lines = explanation.steps.map((step) => stepText(step, isColored));
    write(`Service ${clean(explanation.service)}, as ${clean(explanation.node)} sees it\n\n${lines.join('\n')}\n`);
  }
  return isWell ? EXIT_WELL : EXIT_ILL;
}

function stepText({ isOk, step, detail, next }: ExplanationStep, isColored: boolean): string {
  const [mark, tint] =
    isOk === undefined ? (['?', 'yellow'] as const) : isOk ? (['✓', 'green'] as const) : (['✗', 'red'] as const);
  const painted = isColored ? styleText(tint, mark, { validateStream: false }) : mark;
  const indent = ' '.repeat(14);
  const words = clean(detail).replaceAll('\n', `\n${indent}`);
  return `${painted} ${step.padEnd(12)}${words}${next === '' ? '' : `\n${indent}→ ${clean(next)}`}`;
}

/** Without control characters but line ends: texts of objects are anybody's. */
function clean(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]|\p{Cf}/gu, ' ');
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('COMMAND_INVALID', message, { context: { command: 'holdfast explain' } });
}

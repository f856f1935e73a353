/**
 * `holdfast plan`: what a set of Kubernetes documents would allocate, and where it would be answered for. No cluster, and
 * nothing is changed; what decides is what the daemon decides with. Exit code 0 = every Service is served, 1 = something is
 * pending or refused, 2 = the input can't be read.
 */

import { ERRORS, fillRemedy, HoldfastError } from '../base/errors.ts';
import type { ConfigInput } from '../config/parse.ts';
import { planServices, type Plan } from '../services/plan.ts';
import type { CommandResult } from './config.ts';
import { readDocuments } from './plan-documents.ts';
import { readFiles, type PlanFiles } from './plan-files.ts';
import { readPlanInput, withDrained } from './plan-input.ts';
import { collectObjects } from './plan-objects.ts';
import { planReport } from './plan-report.ts';
import { readSettings } from './plan-settings.ts';
import { renderPlan } from './plan-table.ts';

export const EXIT_SERVED = 0;
export const EXIT_PENDING = 1;
export const EXIT_UNREADABLE = 2;

export interface PlanCommandOptions {
  /** What -f names: files, directories, `-`. */
  readonly paths: readonly string[];
  /** Nodes that are to be drained. */
  readonly drain: readonly string[];
  readonly isJson: boolean;
  readonly isColored: boolean;
  readonly input: ConfigInput;
  /** Default readFiles. */
  readonly read?: (paths: readonly string[]) => PlanFiles;
}

/** Runs the command. Throws HoldfastError COMMAND_INVALID. */
export function runPlan(options: PlanCommandOptions): CommandResult {
  const files = (options.read ?? readFiles)(options.paths);
  const { documents, misfits, failures } = readDocuments(files.texts);
  const unreadable = [...files.failures, ...failures];
  if (unreadable.length > 0 || (documents.length === 0 && misfits.length > 0)) {
    unreadable.push(...misfits.map(({ where, saying }) => `${where}: ${saying}`));
    return { stdout: '', stderr: unreadable.map(failureText).join(''), exitCode: EXIT_UNREADABLE };
  }
  const objects = collectObjects(documents, misfits);
  const settings = readSettings(options.input);
  const read = readPlanInput(objects, settings);
  const nodes = read.input.nodes.map(({ node }) => node.name);
  checkDrained(options.drain, nodes);
  const now = planServices(read.input, read.memo);
  const isDraining = options.drain.length > 0;
  const plan = isDraining ? planServices(withDrained(read.input, now, options.drain), read.memo) : now;
  const problems = [...objects.problems, ...settings.problems, ...read.problems, ...plan.problems];
  const stdout = options.isJson
    ? `${JSON.stringify(planReport(plan, problems), undefined, 2)}\n`
    : renderPlan(plan, {
        isColored: options.isColored,
        problems,
        whereOf: objects.whereOf,
        before: isDraining ? now.ownerships : undefined,
        drained: options.drain,
        ignored: objects.ignored,
        nodes,
        notes: read.notes,
      });
  return { stdout, stderr: '', exitCode: isServed(plan) && !read.isServiceRefused ? EXIT_SERVED : EXIT_PENDING };
}

/** A Service that has something, and asks in vain for something else or for both families, is refused too. */
function isServed({ pools, allocations, pending, refused }: Plan): boolean {
  if (pending.length > 0 || refused.length > 0) return false;
  const poolOf = new Map(pools.map((pool) => [pool.name, pool]));
  return allocations.every(({ request, addresses, pool: name }) => {
    const pool = poolOf.get(name);
    const isInPool =
      request.pool === undefined || pool === undefined || [pool.name, pool.shortName].includes(request.pool);
    const hasFamilies =
      !request.isDualRequired || request.families.every((family) => addresses.some((ip) => ip.family === family));
    return isInPool && hasFamilies && request.addresses.every((ip) => addresses.some(({ text }) => text === ip.text));
  });
}

function failureText(message: string): string {
  return `INPUT_UNREADABLE: ${message}\n  remedy: ${fillRemedy(ERRORS.INPUT_UNREADABLE.remedy, {})}\n`;
}

function checkDrained(drain: readonly string[], nodes: readonly string[]): void {
  const unknown = drain.find((name) => !nodes.includes(name));
  if (unknown === undefined) return;
  const known = nodes.length === 0 ? 'there is no Node among the documents' : `Nodes are ${nodes.join(', ')}`;
  const message = `--drain ${unknown}: no such Node; ${known}`;
  throw new HoldfastError('COMMAND_INVALID', message, { context: { command: 'holdfast plan' } });
}

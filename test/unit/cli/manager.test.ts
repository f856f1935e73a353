import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = (path: string): string => fileURLToPath(new URL(`../../../src/${path}`, import.meta.url));

/** Runs a module in a process of its own that logs as the daemon does. */
function runCrashing(
  statement: string,
): Promise<{ code: unknown; lines: readonly Record<string, unknown>[]; err: string }> {
  const script = `
    import { openLog } from ${JSON.stringify(source('observe/log.ts'))};
    import { hookCrashes } from ${JSON.stringify(source('cli/manager.ts'))};
    hookCrashes(await openLog({ level: 'info', format: 'json', node: 'node-a' }));
    setInterval(() => undefined, 1000);
    ${statement}
  `;
  return new Promise((resolve) => {
    execFile(process.execPath, ['--input-type=module', '-e', script], (error, stdout, stderr) => {
      const lines = stdout.split('\n').slice(0, -1);
      resolve({
        code: error?.code,
        lines: lines.map((line): Record<string, unknown> => JSON.parse(line)),
        err: stderr,
      });
    });
  });
}

describe('an error that nobody handled in the daemon', () => {
  it.each([
    ['thrown later', 'setTimeout(() => { throw new Error("invariant broken"); }, 1);'],
    ['a promise that nobody awaited', 'void Promise.reject(new Error("invariant broken"));'],
  ])('ends the process with code 70 and one fatal line: %s', async (_, statement) => {
    const { code, lines, err } = await runCrashing(statement);
    expect(code).toBe(70);
    expect(err).toBe('');
    expect(lines).toMatchObject([
      {
        level: 'fatal',
        code: 'INTERNAL_ERROR',
        err: { message: 'invariant broken', stack: expect.stringContaining('Error') },
      },
    ]);
  });
});

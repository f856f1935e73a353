/**
 * The test projects; a file's suffix says what it needs (docs: README, "Tests"). unit runs anywhere in seconds, sim
 * anywhere in a minute, on every core; lab needs root and network namespaces, conformance foreign software as well: both
 * one file at a time, because they share the machine's kernel.
 */

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], testTimeout: 5_000 } },
      { test: { name: 'sim', include: ['test/**/*.sim.ts'], testTimeout: 60_000 } },
      { test: { name: 'fuzz', include: ['test/**/*.fuzz.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'lab',
          include: ['test/**/*.lab.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['test/**/*.conformance.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});

/**
 * The test projects; a file's suffix says what it needs (docs: README, "Tests"). unit, fuzz and sim run anywhere, together in
 * about two minutes on two cores; lab needs root and network namespaces, conformance foreign software as well: both one file
 * at a time, because they share the machine's kernel.
 *
 * Every core has a worker (vitest leaves one idle), and the files of the pure projects share its process: they leave nothing
 * behind, and half of their time was the loading of the same modules again. sim comes last, because it keeps all cores
 * busy by itself, which tests that measure time should not have to live with.
 */

import { availableParallelism } from 'node:os';

import { defineConfig } from 'vitest/config';

const PURE = { isolate: false, sequence: { groupOrder: 0 } };

export default defineConfig({
  test: {
    maxWorkers: availableParallelism(),
    projects: [
      { test: { ...PURE, name: 'unit', include: ['test/**/*.test.ts'], testTimeout: 5_000 } },
      { test: { ...PURE, name: 'fuzz', include: ['test/**/*.fuzz.ts'], testTimeout: 60_000 } },
      {
        test: {
          ...PURE,
          name: 'sim',
          include: ['test/**/*.sim.ts'],
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['test/**/*.lab.ts'],
          sequence: { groupOrder: 2 },
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['test/**/*.conformance.ts'],
          sequence: { groupOrder: 3 },
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});

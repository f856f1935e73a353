#!/usr/bin/env node
/** argv → command. The only file that does something when it is loaded. */

import { runProgram } from './cli/program.ts';

// `holdfast status | head`: a reader that has seen enough is no error
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
});

const isTerminal = process.stdout.isTTY;

void runProgram(process.argv.slice(2), {
  write: (text) => void process.stdout.write(text),
  writeError: (text) => void process.stderr.write(text),
  isTerminal,
  // https://no-color.org: present and not empty, whatever it says
  isColored: isTerminal && (process.env['NO_COLOR'] ?? '') === '',
}).then((code) => {
  // what a pipe hasn't taken yet would be lost with the process
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
});

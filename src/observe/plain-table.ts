/** Tables and texts for a terminal, as every command shows them. */

import Table from 'cli-table3';

/**
 * Aligned columns without lines: readable in a narrow terminal, and easy to cut from. A cell of several lines becomes as many
 * rows: the library measures the whole of such a cell anew for each of its lines, and a plan of thousands of Services takes
 * minutes to show.
 */
export function plainTable(head: string[] = []): Table.Table {
  const none = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
  const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];
  const chars = Object.fromEntries([...none, ...inner].map((place) => [place, '']));
  const table = new Table({
    head,
    chars: { ...chars, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  const push = table.push.bind(table);
  table.push = (...rows) => {
    for (const row of rows) for (const line of Array.isArray(row) ? linesOf(row) : [row]) push(line);
    return table.length;
  };
  return table;
}

function linesOf(row: readonly Table.Cell[]): readonly Table.Cell[][] {
  const cells = row.map((cell) => (typeof cell === 'string' ? cell.split('\n') : [cell]));
  const height = Math.max(1, ...cells.map(({ length }) => length));
  return Array.from({ length: height }, (_, line) => cells.map((parts) => parts[line] ?? ''));
}

/** Without control and formatting characters (Unicode Cc and Cf), which could redraw somebody's terminal. */
export function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

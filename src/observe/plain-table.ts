/** Tables and texts for a terminal, as every command shows them. */

import Table from 'cli-table3';

/** Aligned columns without lines: readable in a narrow terminal, and easy to cut from. */
export function plainTable(head: string[] = []): Table.Table {
  const none = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
  const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];
  const chars = Object.fromEntries([...none, ...inner].map((place) => [place, '']));
  return new Table({
    head,
    chars: { ...chars, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
}

/** Without control and formatting characters (Unicode Cc and Cf), which could redraw somebody's terminal. */
export function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

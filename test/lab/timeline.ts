/** A run drawn with characters: who held the address when, what the client saw, and what was done. */

export interface TimelineRow {
  readonly label: string;
  /** Spans in which something holds; an end of Infinity is the right edge. */
  readonly spans: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly mark: string;
  /** Drawn where no span is. */
  readonly space: string;
  /** A span shorter than a column is drawn all the same (outages), or only what covers most of a column (holders). */
  readonly showsShort: boolean;
}

export interface TimelineEvent {
  readonly atMs: number;
  readonly label: string;
}

export interface Timeline {
  readonly fromMs: number;
  readonly toMs: number;
  readonly rows: readonly TimelineRow[];
  readonly events: readonly TimelineEvent[];
  /** Columns in all. */
  readonly width: number;
}

export function drawTimeline(timeline: Timeline): readonly string[] {
  const { fromMs, toMs, rows, events } = timeline;
  const labelWidth = Math.max(...rows.map((row) => row.label.length)) + 2;
  const columns = Math.max(20, timeline.width - labelWidth - 2);
  const columnMs = (toMs - fromMs) / columns;
  const columnOf = (atMs: number): number => Math.min(columns - 1, Math.max(0, Math.floor((atMs - fromMs) / columnMs)));
  const indent = ' '.repeat(labelWidth);
  return [
    ...eventLines(events, columnOf, columns).map((line) => indent + line),
    ...rows.map((row) => {
      const cells = Array.from({ length: columns }, (_, column) => {
        const start = fromMs + column * columnMs;
        return isMarked(row, start, start + columnMs) ? row.mark : row.space;
      });
      return row.label.padEnd(labelWidth) + cells.join('');
    }),
    indent + ruler(columns, columnMs),
  ];
}

function isMarked(row: TimelineRow, startMs: number, endMs: number): boolean {
  const covered = row.spans.reduce(
    (sum, span) => sum + Math.max(0, Math.min(span.toMs, endMs) - Math.max(span.fromMs, startMs)),
    0,
  );
  return row.showsShort ? covered > 0 : covered >= (endMs - startMs) / 2;
}

/** Labels above their column, on as few lines as they fit without touching. */
function eventLines(
  events: readonly TimelineEvent[],
  columnOf: (atMs: number) => number,
  columns: number,
): readonly string[] {
  const lines: string[] = [];
  let arrows = ' '.repeat(columns);
  for (const { atMs, label } of events) {
    const column = columnOf(atMs);
    const start = Math.min(column, Math.max(0, columns - label.length));
    arrows = `${arrows.slice(0, column)}▼${arrows.slice(column + 1)}`;
    const line = lines.findIndex((existing) => existing.length === 0 || existing.trimEnd().length + 2 <= start);
    const target = line === -1 ? lines.push('') - 1 : line;
    lines[target] = `${(lines[target] ?? '').padEnd(start)}${label}`;
  }
  return [...lines.toReversed(), arrows.trimEnd()];
}

/** A scale with a tick each 1, 2, 5, 10 … seconds. */
function ruler(columns: number, columnMs: number): string {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300];
  const stepSeconds = steps.find((seconds) => (seconds * 1000) / columnMs >= 7) ?? 600;
  let line = '';
  for (let seconds = 0; (seconds * 1000) / columnMs < columns - 4; seconds += stepSeconds) {
    line = `${line.padEnd(Math.round((seconds * 1000) / columnMs))}|${seconds} s`;
  }
  return line;
}

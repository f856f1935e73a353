/** The Services' benchmark as a page: docs/benchmarks/services.md. */

import type { Quantiles, Row, Standstill } from './bench-services-run.ts';

export interface Report {
  readonly rows: readonly Row[];
  readonly api: string;
  readonly machine: string;
}

export function servicesDocument({ rows, api, machine }: Report): string {
  const times = rows.map(
    (row) =>
      `| ${nameOf(row)} | ${row.createMs} ms | ${row.answeredAfterLastMs} ms | ${quantiles(row.answered)} | ${row.lostCount} | ${quantiles(row.lost)} |`,
  );
  const costs = rows.map((row) => {
    const cells = [range(row, 'residentMiB'), range(row, 'peakMiB'), range(row, 'cpuMsPerSecond')];
    const rates = Object.entries(row.requests).map(([key, rate]) => `${key} ${rate}`);
    return `| ${nameOf(row)} | ${cells.join(' | ')} | ${rates.join(', ')} |`;
  });
  const stills = rows.flatMap((row) =>
    row.standstill === undefined
      ? []
      : [`| ${nameOf(row)} | ${still(row.standstill.creating)} | ${still(row.standstill.losing)} |`],
  );
  return `# Services

Made by \`npm run bench:services\`: three nodes in network namespaces, ${api} API, ${machine}.

Services are made by sixteen requests at a time. A machine outside asks for each address (ARP, neighbour solicitation),
at once when it is announced and otherwise in turn, until it is answered; times end with that answer. Then, when all that
the creation set off is written, twenty seconds are measured in which nothing happens. Then the node that answers for
most addresses loses its power.

| | made in | all answered after the last one | each answered (p50 / p99 / max) | lost with a node | answered again (p50 / p99 / max) |
|---|---|---|---|---|---|
${times.join('\n')}

While nothing happens, each node (least – most), and all of them together in requests a second:

| | resident MiB | at most, ever | processor ms/s | requests |
|---|---|---|---|---|
${costs.join('\n')}

The longest that any node's event loop stood still: on the clock (monitorEventLoopDelay; three nodes, the API server and
whoever asks share the machine's processors) and, in brackets, of its own processor time.

| | making | losing a node |
|---|---|---|
${stills.join('\n')}
`;
}

function nameOf({ program, count, families }: Row): string {
  return `${program}, ${count} ${families.join('+')}`;
}

function quantiles(times: Quantiles | undefined): string {
  return times === undefined ? 'not all of them' : `${times.p50} / ${times.p99} / ${times.max} ms`;
}

function still({ wall, busy }: Standstill): string {
  return `${wall} ms (${busy})`;
}

function range({ idle }: Row, field: 'residentMiB' | 'peakMiB' | 'cpuMsPerSecond'): string {
  const values = idle.map((node) => node[field]).toSorted((a, b) => a - b);
  return `${values[0] ?? ''} – ${values.at(-1) ?? ''}`;
}

/** The Services' benchmark as a page: docs/benchmarks/services.md. */

import type { Quantiles, Row, Standstill } from './bench-services-run.ts';

export function servicesDocument(rows: readonly Row[], machine: string): string {
  const alone = rows.filter(({ api }) => api === 'embedded');
  const beside = rows.filter(({ api }) => api === 'real');
  const stills = alone.flatMap((row) =>
    row.standstill === undefined
      ? []
      : [`| ${nameOf(row)} | ${still(row.standstill.creating)} | ${still(row.standstill.losing)} |`],
  );
  return `# Services

Made by \`npm run bench:services\`: three nodes in network namespaces, ${machine}.

Services are made by sixteen requests at a time, each with an endpoint on every node, and an address of each family named.
A machine outside asks for each address (ARP, neighbour solicitation), at once when it is announced and otherwise in turn,
until it is answered; times end with that answer. Then, when all that the creation set off is written, it is measured what
is spent while nothing happens; executables were read from disk, as after a boot (see idle.md). Then the node that answers
for most addresses loses its power. Three nodes, the API and whoever asks share the machine's processors.

Goals: all answered 3 s after the last of 1,000 was made; a lost node's share of 1,000 answered again within 1 s (p99);
with 5,000 no node above 150 MiB, and no standstill above 50 ms; no more requests with more Services.

${times(alone)}

${costs(alone)}

The longest that any node's event loop stood still: on the clock (monitorEventLoopDelay), and, in brackets, of its own
processor time, which is what it would be on a processor of its own.

| | making | losing a node |
|---|---|---|
${stills.join('\n')}
${beside.length === 0 ? '' : sideBySide(beside)}`;
}

function sideBySide(rows: readonly Row[]): string {
  return `
## Side by side

Before three real API servers with etcd, which have the processors too, one program after the other, each as its own
documentation runs it (kube-vip with an election for each Service, timings 5/3/1 s, addresses named in the Services; MetalLB
in L2 mode, its speakers in a memberlist, its controller counted with the first node). *Not all* means: not within a minute,
and as long again for each thousand.

${times(rows)}

${costs(rows)}
`;
}

function times(rows: readonly Row[]): string {
  const lines = rows.map(
    (row) =>
      `| ${nameOf(row)} | ${row.createMs} ms | ${row.answeredAfterLastMs ?? 'not all'}${row.answeredAfterLastMs === undefined ? '' : ' ms'} | ${quantiles(row.answered)} | ${row.lostCount} | ${quantiles(row.lost)} |`,
  );
  return `| | made in | all answered after the last one | each answered (p50 / p99 / max) | lost with a node | answered again (p50 / p99 / max) |
|---|---|---|---|---|---|
${lines.join('\n')}`;
}

function costs(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const cells = [range(row, 'residentMiB'), range(row, 'peakMiB'), range(row, 'cpuMsPerSecond')];
    const rates = Object.entries(row.requests).map(([key, rate]) => `${key} ${rate}`);
    const making = Object.entries(row.creatingRequests).map(([key, count]) => `${key} ${count}`);
    return `| ${nameOf(row)} | ${cells.join(' | ')} | ${rates.join(', ')} | ${making.join(', ')} |`;
  });
  return `While nothing happens, each node (least – most), and all of them together in requests a second, watches apart; and the requests that the creation took in all:

| | resident MiB | at most, ever | processor ms/s | requests a second | making them |
|---|---|---|---|---|---|
${lines.join('\n')}`;
}

function nameOf({ program, count, families }: Row): string {
  return `${program}, ${count}${families.length > 1 ? ` × ${families.length} addresses` : ''}`;
}

function quantiles(values: Quantiles | undefined): string {
  return values === undefined ? 'not all' : `${values.p50} / ${values.p99} / ${values.max} ms`;
}

function still({ wall, busy }: Standstill): string {
  return `${wall} ms (${busy})`;
}

function range({ idle }: Row, field: 'residentMiB' | 'peakMiB' | 'cpuMsPerSecond'): string {
  const values = idle.map((node) => node[field]).toSorted((a, b) => a - b);
  return `${values[0] ?? ''} – ${values.at(-1) ?? ''}`;
}

/** docs/metrics.md, generated from the table of metrics; the same file fails a test when it drifts. */

import { METRICS, type MetricEntry } from './metrics-table.ts';

const INTRODUCTION = `# Metrics

<!-- Generated from src/observe/metrics-table.ts. Do not edit. -->

Served as \`/metrics\` on \`prometheus_server\` (default \`:2112\`). Values are in base units; a label has as many values as
there are configured addresses, API resources or words in the code; nothing a stranger sends can add one.
Names that begin with \`kube_vip_\` are kube-vip's, with the meaning its documentation gives them, so that its dashboards
keep working. State (roles, tenure, addresses) is read at the moment of the scrape.
`;

const RULES = `## Worth an alert

| expression | meaning |
|---|---|
| \`sum(holdfast_vip_address_held) by (address) == 0\` for 10 s | nobody holds the address |
| \`sum(holdfast_vip_address_held) by (address) > 1\` for 10 s | two nodes answer: more than one scrape must say so, scrapes are not simultaneous |
| \`max(holdfast_vip_address_conflict) by (address) == 1\` | a stranger answers for the address; \`holdfast status\` names its MAC |
| \`sum(increase(holdfast_leader_moves_total{kind="gained"}[1h])) > 4\` | the addresses keep moving; \`holdfast status\` shows why |
| \`holdfast_node_problem == 1\` for 1 m | \`holdfast status\` on that node says what to do |
| \`min(holdfast_node_ready) by (instance) == 0\` for 1 m | the node could not take over |
| \`histogram_quantile(0.99, rate(holdfast_loop_lateness_seconds_bucket[5m])) > 0.1\` | the node starves the process of CPU |
`;

/** The whole document as Markdown. */
export function metricsMarkdown(): string {
  const rows = Object.entries(METRICS).map(([name, entry]) => row(name, entry));
  const table = ['| metric | type | labels | meaning |', '|---|---|---|---|', ...rows].join('\n');
  return `${INTRODUCTION}\n${table}\n\n${RULES}`;
}

function row(name: string, entry: MetricEntry): string {
  const labels = entry.labels.map((label) => `\`${label}\``).join(' ');
  return `| \`${name}\` | ${entry.type} | ${labels} | ${entry.help} |`;
}

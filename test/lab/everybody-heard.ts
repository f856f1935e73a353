/** When a cluster has settled for good: not only does somebody hold, the others could follow at once. */

import { holdfastProgram, type Cluster } from './cluster.ts';
import { waitFor } from './process.ts';

/** Heartbeat key, members and voter set take some seconds after the start. */
const READY_MS = 30_000;

/** One node holds, and hears all others: before that a loss is another one than the row says. */
export async function everybodyHeard(cluster: Cluster): Promise<void> {
  const others = cluster.lab.nodes.length - 1;
  await waitFor(
    'every candidate heard by the holder',
    async () => {
      const holder = await cluster.settled({ deadlineMs: READY_MS });
      const status = cluster.lab.spawn(holder, [...holdfastProgram(), 'status', '--json'], { name: 'status' });
      await status.ended;
      const text = status.lines.filter(({ stream }) => stream === 'stdout').map((line) => line.text);
      if (text.length === 0) return false;
      // src/observe/status-model.ts.
      const report = JSON.parse(text.join('\n')) as {
        readonly peers?: readonly { readonly isHeard: boolean; readonly isApiWorking: boolean }[];
      };
      return report.peers?.filter(({ isHeard, isApiWorking }) => isHeard && isApiWorking).length === others;
    },
    { deadlineMs: READY_MS, everyMs: 250 },
  );
}

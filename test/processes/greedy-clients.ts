/**
 * A process full of greedy clients, which come again when they are thrown out: `greedy-clients <port>
 * <kind>=<count>...`, until it is killed.
 */
import { Greedy, type GreedyKind } from '../support/greedy.ts';

const AGAIN_MS = 3000;
const REPORT_MS = 1000;

const [port, ...counts] = process.argv.slice(2);
const closed: Record<string, number> = {};
const told: Record<string, number> = {};
let open = 0;

function start(kind: GreedyKind, number: number): void {
  open += 1;
  const client = new Greedy(kind, Number(port), number, () => {
    open -= 1;
    closed[kind] = (closed[kind] ?? 0) + 1;
    if (client.told !== '') {
      told[client.told.replaceAll(/\d+/g, 'n')] = (told[client.told.replaceAll(/\d+/g, 'n')] ?? 0) + 1;
    }
    setTimeout(() => start(kind, number), AGAIN_MS * (1 + Math.random()));
  });
}

for (const each of counts) {
  const [kind, count] = each.split('=') as [GreedyKind, string];
  for (let number = 0; number < Number(count); number += 1) {
    setTimeout(() => start(kind, number), Math.random() * AGAIN_MS);
  }
}
setInterval(() => process.send?.({ open, closed, told }), REPORT_MS);
process.on('disconnect', () => process.exit(0));

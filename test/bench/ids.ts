/**
 * Scenario of dedupe ids on a broker alone: what one costs where it is published, and what it costs to read them back
 * at a start. Published in turn are messages with and without ids, a thousand in flight, over ten topics.
 */
import { cpuMs } from './proc.ts';
import { Ours } from './brokers.ts';
import type { Plan } from './plan.ts';
import { start } from './growth.ts';
import { Home } from './system.ts';

const IDS = 600_000; // a quick run: fewer
const IN_FLIGHT = 1000;
const PAYLOAD = 'x'.repeat(100);

export async function ids(plan: Plan): Promise<void> {
  await plan.rounds(async () => {
    await using home = new Home();
    const [broker] = (await new Ours('local', 1).start(home)).all;
    const found = (what: string, unit: string, value: number): void =>
      plan.found('ids', what, 'ours, alone', unit, value);
    const client = await broker!.connect();
    const publish = async (what: string, idOf: (number: number) => string[]): Promise<void> => {
      const [startedAt, cpuBefore] = [performance.now(), cpuMs(broker!.pid)];
      const count = Math.ceil((IDS * plan.scale) / IN_FLIGHT) * IN_FLIGHT;
      for (let at = 0; at < count; at += IN_FLIGHT) {
        for (let number = at; number < at + IN_FLIGHT; number += 1) {
          client.send('PUBLISH', `topic-${number % 10}`, PAYLOAD, ...idOf(number));
        }
        for (let number = 0; number < IN_FLIGHT; number += 1) {
          if (typeof (await client.next()) !== 'number') throw new Error('a publish was refused');
        }
      }
      found(`publish ${what}`, 'msg/s', (count * 1000) / (performance.now() - startedAt));
      found(`publish ${what}, CPU per message`, 'µs', ((cpuMs(broker!.pid) - cpuBefore) * 1000) / count);
    };
    await publish('without ids', () => []);
    await publish('with ids', (number) => ['ID', `0b8c9d7e-1111-4222-8333-${String(number).padStart(12, '0')}`]);
    await broker!.stop();
    found('start with all that are remembered', 'ms', await start(broker!));
  });
}

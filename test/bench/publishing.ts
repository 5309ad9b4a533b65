/**
 * Scenarios of publishing: ours and the peers in turn, at several windows; every acknowledged message is counted in
 * every store after each run.
 */
import { Ours } from './brokers.ts';
import { publish } from './load.ts';
import type { Plan } from './plan.ts';
import { assertStored, Home, type Running, type System } from './system.ts';

export const CONNECTIONS = 8;
const PUBLISHERS = 100;

/** Windows 1 to 10,000 at `quorum`, and 100 publishers; ours and the peers. */
export function publishQuorum(scenario: string, bytes: number, many: boolean): (plan: Plan) => Promise<void> {
  return (plan) => publishes(plan, scenario, bytes, [new Ours('quorum'), ...plan.peers], [1, 100, 1000, 10_000], many);
}

/**
 * Large messages at `quorum`, in windows that fit into buffers; all servers are started anew for each, since they keep
 * what they were sent, the peers in memory.
 */
export function publishLarge(scenario: string, bytes: number): (plan: Plan) => Promise<void> {
  return async (plan) => {
    for (const window of [1, 10, 100]) {
      await publishes(plan, scenario, bytes, [new Ours('quorum'), ...plan.peers], [window], false);
    }
  };
}

/** At `local`: one broker of three, and one alone. */
export function publishLocal(scenario: string, bytes: number): (plan: Plan) => Promise<void> {
  return (plan) => publishes(plan, scenario, bytes, [new Ours('local'), new Ours('local', 1)], [1, 100, 10_000], false);
}

async function publishes(
  plan: Plan, scenario: string, bytes: number, systems: readonly System[], windows: readonly number[], many: boolean,
): Promise<void> {
  await using home = new Home();
  const running: [System, Running][] = [];
  for (const system of systems) running.push([system, await system.start(home)]);
  const payload = Buffer.alloc(bytes, 'x');
  const once = async (
    what: string,
    system: System,
    servers: Running,
    connections: number,
    window: number,
  ): Promise<void> => {
    const before = await servers.stored();
    const publishing = connections > CONNECTIONS ? servers.everywhere : servers.publishing;
    const { acked, perSecond, latency } = await publish(publishing, {
      connections,
      window,
      payload,
      warmUpMs: plan.warmUpMs,
      durationMs: plan.durationMs,
    });
    await assertStored(servers, before, acked);
    plan.found(scenario, what, system.name, 'msg/s', perSecond, latency, bytes);
  };
  const window = Math.min(1000, Math.max(...windows));
  const load = { window, payload, warmUpMs: 0, durationMs: plan.runInMs };
  for (const [, { publishing, everywhere }] of running) {
    await publish(publishing, { ...load, connections: CONNECTIONS });
    if (many) await publish(everywhere, { ...load, connections: PUBLISHERS });
  }
  for (const each of windows) {
    await plan.rounds(async () => {
      for (const [system, servers] of running) {
        await once(`${each.toLocaleString('en-US')} in flight`, system, servers, CONNECTIONS, each);
      }
    });
  }
  if (!many) return;
  await plan.rounds(async () => {
    for (const [system, servers] of running) {
      await once(`${PUBLISHERS} publishers × 10`, system, servers, PUBLISHERS, PUBLISHERS * 10);
    }
  });
}

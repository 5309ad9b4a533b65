/**
 * One run: brokers, publishers and subscribers in a world of one seed, faults for a while, then peace until all is
 * quiet, and the checker's verdict.
 */
import { SeededRandom } from '../support/random.ts';
import { check, type Verdict } from './checker.ts';
import { Faults } from './faults.ts';
import { checkGivenBack, SMALL } from './greed.ts';
import type { History } from './history.ts';
import { type Happenings, Queues } from './queues.ts';
import { Workload } from './workload.ts';
import { Turnover } from './turnover.ts';
import { World } from './world.ts';

const RAGE_MS = [12_000, 28_000] as const;
const CONVERGE_MS = 60_000; // after the last fault; a broker redials within seconds
const LOSSES_MAX = 1; // machines whose disks are lost, where the mesh may shrink to 3 members
const SETTLE_MS = 1000; // for what was acknowledged with `none` and is not written yet
const QUEUES_PERCENT = 40; // of the runs
const SPARSE_PERCENT = 10; // of the runs: each broker has links with some of the others only, and there are queues
const SPARSE = { brokers: [6, 7, 8], fanout: 2 };
const SMALL_PERCENT = 20; // of the runs
const LOOK_MS = 100; // between looks whether all is quiet

export interface RunOptions {
  readonly seed: number;
  /** 3 to 5 as the seed says, mostly 3, where it is not given. */
  readonly brokers?: number | undefined;
  /** How many links each keeps; as the seed says, mostly one with every other, where it is not given. */
  readonly fanout?: number | undefined;
  /** Whether machines come and go. In half of the runs brokers are forgotten, and no disks are lost otherwise. */
  readonly turnover?: boolean | undefined;
}

interface Plan {
  readonly brokers: number;
  readonly fanout: number | undefined;
  readonly hasQueues: boolean;
  readonly happenings: Happenings;
  readonly isAlone: boolean; // whether each broker is asked alone in the end
  readonly rageMs: number;
  readonly isSmall: boolean; // whether the brokers have little memory, and there are clients that want all of it
  readonly turnover: { readonly mayForget: boolean } | undefined;
}

export interface Report extends Verdict {
  readonly seed: number;
  readonly brokers: number;
  readonly history: History;
  /** What happened, for people. */
  readonly lines: readonly string[];
  readonly faults: Faults['counts'];
  /** How machines came and went; undefined if they did not. */
  readonly turnover: Turnover['counts'] | undefined;
  /** Of disks, and of the network. */
  readonly disks: World['machines'][number]['disk']['counts'];
  readonly network: World['network']['counts'];
  readonly virtualMs: number;
  readonly calmMs: number;
  readonly events: number;
}

function planOf({ seed, brokers, fanout, turnover }: RunOptions): Plan {
  const dice = new SeededRandom(seed + 1_000_000);
  const isSparse = fanout !== undefined || (dice.integer(1, 100) <= SPARSE_PERCENT && brokers === undefined);
  const plan = {
    brokers: brokers ?? dice.pick(isSparse ? SPARSE.brokers : [3, 3, 3, 3, 4, 5]),
    fanout: isSparse ? (fanout ?? SPARSE.fanout) : undefined,
    hasQueues: dice.integer(1, 100) <= QUEUES_PERCENT || isSparse,
    happenings: {
      changes: dice.integer(0, 1) === 0, purges: dice.integer(0, 1) === 0, updates: dice.integer(0, 1) === 0,
    },
    isAlone: dice.integer(0, 1) === 0,
    rageMs: dice.integer(...RAGE_MS),
    isSmall: dice.integer(1, 100) <= SMALL_PERCENT,
  };
  if (turnover !== true) return { ...plan, turnover: undefined };
  const mayForget = dice.integer(0, 1) === 0;
  // names and settings may be lost with one that is forgotten
  const happenings = mayForget ? { changes: false, purges: false, updates: false } : plan.happenings;
  return { ...plan, happenings, turnover: { mayForget } };
}

/** So few that some operations come too late for them. */
const LIMITS = { catalogTailMax: 2 };

export async function runSeed(options: RunOptions): Promise<Report> {
  const { seed } = options;
  const { brokers, fanout, hasQueues, happenings, isAlone, rageMs, isSmall, turnover: coming } = planOf(options);
  const limits = isSmall ? { ...LIMITS, ...SMALL } : LIMITS;
  const world = new World(seed, brokers, { ...(fanout !== undefined && { fanout }), limits });
  const workload = new Workload(world);
  const queues = hasQueues ? new Queues(world, workload.hosts.length, workload.publications, happenings) : undefined;
  const clients = [...workload.hosts, ...(queues?.hosts ?? [])];
  const faults = new Faults(world, clients, coming && (coming.mayForget ? 0 : LOSSES_MAX));
  const turnover = coming && new Turnover(world, faults.down, coming.mayForget);
  const onRejection = (reason: unknown): void => world.time.fail(reason);
  process.on('unhandledRejection', onRejection);
  let peaceAt = 0;
  try {
    await Promise.all(world.machines.map((machine) => world.of(machine.start())));
    await queues?.setUp();
    if (turnover !== undefined) await world.founded();
    const working = Promise.all([workload.run(), queues?.run()]);
    peaceAt = await storm(world, faults.rage(rageMs), turnover);
    workload.end();
    queues?.end();
    await world.of(working);
    await quiet(world);
    for (const machine of world.running) checkGivenBack(world, machine);
    await world.of(workload.catchUp());
    if (queues !== undefined) {
      await world.of(queues.drain(), Infinity);
      await quiet(world);
      await queues.inspect();
    }
  } catch (error) {
    world.incident('run', error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const calmMs = faults.calmMs + world.time.now - peaceAt;
  const history = historyOf(world, workload, queues, turnover);
  try {
    if (isAlone && world.incidents.length === 0) await queues?.alone();
  } catch (error) {
    world.incident('run', error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return {
    ...check(history),
    seed,
    brokers,
    history,
    lines: world.history,
    faults: faults.counts,
    turnover: turnover?.counts,
    disks: sum(world.machines.map(({ disk }) => disk.counts)),
    network: world.network.counts,
    virtualMs: world.time.now,
    calmMs,
    events: world.time.steps,
  };
}

/** Until the faults are over, and what was begun of members is done. Says when the faults were over. */
async function storm(world: World, raging: Promise<void>, turnover: Turnover | undefined): Promise<number> {
  const turning = turnover?.run();
  await world.of(raging, Infinity);
  const peaceAt = world.time.now;
  world.heal();
  turnover?.end();
  await world.of(Promise.resolve(turning), Infinity);
  return peaceAt;
}

/** Waits until all brokers run, hold the same and follow the same one. Whether they do is for the checker to say. */
async function quiet(world: World): Promise<void> {
  await world.run(SETTLE_MS);
  for (const end = world.time.now + CONVERGE_MS; world.time.now < end; await world.run(LOOK_MS)) {
    if (world.running.length === world.present.length && world.isConverged && world.isSettled) return;
  }
  world.note('run', 'did not become quiet');
}

function historyOf(
  world: World, workload: Workload, queues: Queues | undefined, turnover: Turnover | undefined,
): History {
  const { present: machines, diskLog, terms, views, incidents } = world;
  for (const machine of machines) if (!machine.isRunning) world.incident(machine.address, 'does not run in the end');
  return {
    brokers: machines.map(({ address }) => address),
    publications: workload.publications,
    subscriptions: workload.subscriptions,
    disks: diskLog,
    terms,
    views,
    incidents,
    members: turnover?.history(),
    queues: queues?.history(),
    records: new Map(machines.map((machine) => [machine.address, machine.records()])),
    coordinators: world.running.map(({ address, broker }) => ({
      broker: address, coordinator: broker.coordinator, term: Number(broker.status()['term']),
    })),
  };
}

/** Adds up what counts have the same names. */
export function sum<T extends Record<string, number>>(counts: readonly T[]): T {
  const total: Record<string, number> = {};
  for (const each of counts) for (const [name, count] of Object.entries(each)) total[name] = (total[name] ?? 0) + count;
  return total as T;
}

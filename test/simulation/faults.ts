/**
 * What goes wrong in a run: storms of several faults at once, and calms between them in which everything works. A calm
 * is at least half as long as the storm before it, so that at least a third of the time is free of faults: a system
 * that is never left in peace may fail for good reasons.
 *
 * Disks are wiped or rolled back on a fixed minority of the machines only, so that what a majority has on disk must
 * always survive. Each fault ends by its own hand, and at the end of a storm everybody is up again.
 */
import type { Address } from '../../brokers/core/address.ts';
import type { MemoryStore } from '../support/memory-store.ts';
import { SeededRandom } from '../support/random.ts';
import { beGreedy, checkMemory, isSmall } from './greed.ts';
import { impersonate } from './impostor.ts';
import { lie } from './liar.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

export const FAULT_KINDS = [
  'delay',
  'reset',
  'partition',
  'one-way',
  'pause',
  'crash',
  'blackout',
  'stop',
  'stops',
  'wipe',
  'restore',
  'clock',
  'slow-disk',
  'full-disk',
  'narrow',
  'part',
  'mislead',
  'self-connect',
  'copy',
  'greedy',
  'lost-wal',
  'removed',
  'impostor',
  'liar',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];
/** Those that take a broker down, and do nothing else. */
const DOWN: readonly FaultKind[] = ['crash', 'blackout', 'stop', 'wipe', 'restore', 'copy', 'lost-wal', 'removed'];
const DISK_LOSSES: readonly FaultKind[] = ['wipe', 'restore', 'copy', 'lost-wal', 'removed'];

const STORM_MS = [2000, 14_000] as const;
const FAULT_MIN_MS = 50;
const COPY_MIN_MS = 4000; // so that something is published before and after
const LOST_BATCHES_MAX = 300; // with a WAL
const WRITE_WITHIN_MS = 500; // or it crashes while nothing is written
const LONE_PERCENT = 25; // of the storms: only one kind of fault happens in them
const LONE_KINDS: readonly FaultKind[] = ['part', 'part', 'stops'];
const LONE_SPARSE_KINDS: readonly FaultKind[] = ['stops']; // where each broker has few links, a pair is nothing special
const SETTLED_MS = 10_000; // after a storm, all agree on who is there
// the first takes longer for a large message than silence is borne
const NARROW_BYTES_PER_SECOND = [2000, 2000, 30_000];
const WALL_OFFSETS_MS = [30_000, 300_000, 365 * 24 * 3_600_000]; // at most, to either side

export class Faults {
  /** How often each kind happened. */
  readonly counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  /** Virtual time without any fault. */
  calmMs = 0;
  /** Machines that somebody has taken down, or wants to have for himself: no fault of another takes them down. */
  readonly down = new Set<Machine>();
  readonly #world: World;
  readonly #dice: SeededRandom;
  readonly #kinds: readonly FaultKind[];
  readonly #clients: readonly string[];
  readonly #victims: readonly Machine[]; // whose disks may be lost
  readonly #backups = new Map<Machine, MemoryStore>();
  // Those that are paused, or beset by greedy clients. Never both: here all that has come during a pause is received in
  // one turn, while a real system hands it over bit by bit.
  readonly #beset = new Set<Machine>();
  #hasPart = false; // a pair is cut

  /**
   * @param clients hosts of clients, which can be cut off as well
   * @param lossesMax most machines whose disks may be lost
   */
  constructor(world: World, clients: readonly string[], lossesMax = Infinity) {
    this.#world = world;
    this.#dice = new SeededRandom(world.seed ^ 0x5eed);
    this.#clients = clients;
    const first = this.#dice.integer(0, world.machines.length - 1);
    const minority = Math.min(lossesMax, Math.floor((world.machines.length - 1) / 2));
    this.#victims = Array.from(
      { length: minority },
      (_, index) => world.machines[(first + index) % world.machines.length]!,
    );
    const common = FAULT_KINDS.filter((kind) => kind !== 'stops');
    const kinds = minority > 0 ? common : common.filter((kind) => !DISK_LOSSES.includes(kind));
    this.#kinds = isSmall(world) ? [...kinds, 'greedy', 'greedy'] : kinds.filter((kind) => kind !== 'greedy');
  }

  /** Storms and calms for about this long. Everything works again at the end. */
  async rage(durationMs: number): Promise<void> {
    const { time } = this.#world;
    for (const end = time.now + durationMs; time.now < end; ) {
      const stormMs = this.#dice.integer(...STORM_MS);
      await this.#storm(stormMs);
      const calmMs = this.#dice.integer(stormMs / 2, stormMs);
      this.calmMs += calmMs;
      await time.sleep(calmMs / 2);
      this.#backUp();
      await time.sleep(calmMs / 2);
    }
  }

  async #storm(durationMs: number): Promise<void> {
    const { time } = this.#world;
    const end = time.now + durationMs;
    if (this.#dice.integer(1, 100) <= LONE_PERCENT) {
      const kind = this.#dice.pick(this.#world.options.fanout === undefined ? LONE_KINDS : LONE_SPARSE_KINDS);
      if (await this.#inflict(kind, durationMs, end)) this.counts[kind] += 1;
      return;
    }
    const faults = Array.from({ length: this.#dice.integer(1, 7) }, () =>
      this.#fault(this.#dice.pick(this.#kinds), end),
    );
    await Promise.all(faults);
    this.#world.note('storm', 'is over');
  }

  /** One fault, somewhere within the storm. */
  async #fault(kind: FaultKind, end: number): Promise<void> {
    const { time } = this.#world;
    await time.sleep(this.#dice.integer(0, Math.max(0, end - time.now - FAULT_MIN_MS)));
    const lastsMs = Math.min(end - time.now, this.#dice.integer(FAULT_MIN_MS, this.#dice.pick([500, 3000, 14_000])));
    // the machine tells of its absence
    const over = DOWN.includes(kind) || kind === 'part' ? (): void => undefined : this.#world.disturb();
    if (await this.#inflict(kind, lastsMs, end)) this.counts[kind] += 1;
    over();
  }

  /** False where it could not happen, because the broker was down already. */
  async #inflict(kind: FaultKind, lastsMs: number, end: number): Promise<boolean> {
    const [from, to] = this.#pair();
    const machine = this.#dice.pick(this.#world.present);
    switch (kind) {
      case 'delay':
        return this.#delay(from, to, this.#dice.pick([20, 300, 3000]), lastsMs);
      case 'part':
        return this.#part(lastsMs);
      case 'narrow':
        return this.#narrow(from, to, this.#dice.pick(NARROW_BYTES_PER_SECOND), end - this.#world.time.now);
      case 'reset':
        this.#world.note('storm', `reset ${from} - ${to}`);
        this.#world.network.reset(from, to);
        return true;
      case 'partition':
        return this.#partition(lastsMs);
      case 'one-way':
        return this.#cut([[from, to]], lastsMs);
      case 'pause':
        return this.#pause(machine, lastsMs);
      case 'crash':
        return this.#crash(machine, lastsMs);
      case 'blackout':
        return (await Promise.all(this.#world.present.map((each) => this.#crash(each, lastsMs)))).some(
          (happened) => happened,
        );
      case 'stops':
        return this.#stops();
      case 'stop':
        return this.#takeDown(machine, lastsMs, () => machine.stop(), () => undefined);
      case 'wipe': {
        const victim = this.#dice.pick(this.#victims);
        return this.#takeDown(victim, lastsMs, () => this.#crashSoon(victim), () => victim.wipe());
      }
      case 'restore': {
        const victim = this.#dice.pick(this.#victims);
        const old = this.#backups.get(victim);
        const fresh = old === undefined || this.#dice.integer(0, 1) === 0;
        const backup = fresh ? victim.disk.data.copy() : old;
        await this.#world.time.sleep(this.#dice.integer(0, Math.floor(lastsMs / 2)));
        return this.#takeDown(victim, lastsMs / 2, () => this.#crashSoon(victim), () => victim.restore(backup));
      }
      case 'lost-wal': {
        const victim = this.#dice.pick(this.#victims);
        return this.#takeDown(
          victim, lastsMs, () => this.#crashSoon(victim), () => victim.lose(this.#dice.integer(1, LOST_BATCHES_MAX)),
        );
      }
      case 'removed': {
        const victim = this.#dice.pick(this.#victims);
        return this.#takeDown(victim, lastsMs, () => victim.remove(), () => undefined);
      }
      case 'copy': {
        const victim = this.#dice.pick(this.#victims);
        const dead = this.#dice.pick(this.#world.present.filter((each) => each !== victim));
        return this.#putBackCopy(victim, dead, Math.max(lastsMs, COPY_MIN_MS));
      }
      case 'clock':
        this.#moveClock(machine);
        return true;
      case 'mislead':
        return this.#mislead(machine, lastsMs);
      case 'self-connect':
        return this.#selfConnect(machine, lastsMs);
      case 'impostor': {
        const victim = this.#dice.pick(this.#world.present.filter((each) => each !== machine));
        return impersonate(this.#world, this.#dice, machine, victim, lastsMs);
      }
      case 'liar':
        return lie(this.#world, this.#dice, machine, lastsMs);
      case 'greedy':
        return this.#greedy(machine, lastsMs);
      case 'slow-disk':
        return this.#slowDisk(machine, lastsMs);
      case 'full-disk':
        return this.#fullDisk(machine, lastsMs);
    }
  }

  /** Somewhat wrong, or as wrong as can be. */
  #moveClock(machine: Machine): void {
    const most = this.#dice.pick(WALL_OFFSETS_MS);
    machine.wallOffsetMs = this.#dice.pick([-most, most, this.#dice.integer(-most, most)]);
    this.#world.note(machine.address, `wall clock is off by ${machine.wallOffsetMs} ms`);
  }

  async #greedy(machine: Machine, lastsMs: number): Promise<boolean> {
    if (this.#beset.has(machine)) return false;
    this.#beset.add(machine);
    const came = await beGreedy(this.#world, machine, lastsMs);
    this.#beset.delete(machine);
    if (machine.isRunning) checkMemory(this.#world, machine);
    return came;
  }

  get #brokers(): Address[] {
    return this.#world.present.map(({ address }) => address);
  }

  /** Two different hosts, one of them a broker's. */
  #pair(): [from: string, to: string] {
    const a = this.#dice.pick(this.#world.present).address;
    const b = this.#dice.pick([...this.#brokers, ...this.#clients].filter((host) => host !== a));
    return this.#dice.integer(0, 1) === 0 ? [a, b] : [b, a];
  }

  async #delay(from: string, to: string, ms: number, lastsMs: number): Promise<true> {
    this.#world.note('storm', `up to ${ms} ms more from ${from} to ${to}`);
    this.#world.network.slow(from, to, ms);
    await this.#world.time.sleep(lastsMs);
    this.#world.network.slow(from, to, 0);
    return true;
  }

  async #narrow(from: string, to: string, bytesPerSecond: number, lastsMs: number): Promise<true> {
    const { network, time } = this.#world;
    this.#world.note('storm', `${bytesPerSecond} bytes a second between ${from} and ${to}`);
    for (const [a, b] of [[from, to], [to, from]] as const) network.narrow(a, b, bytesPerSecond);
    await time.sleep(lastsMs);
    for (const [a, b] of [[from, to], [to, from]] as const) network.narrow(a, b, Infinity);
    return true;
  }

  /** When all has settled, brokers are stopped and started again, one or two at a time, and nothing else happens. */
  async #stops(): Promise<true> {
    const { present: machines, time } = this.#world;
    await time.sleep(SETTLED_MS);
    this.calmMs += SETTLED_MS;
    for (let rounds = this.#dice.integer(2, 5); rounds > 0; rounds -= 1) {
      const some = this.#dice.integer(0, 2) === 0 ? 2 : 1;
      const stopped = Array.from({ length: some }, () => {
        const machine = this.#dice.pick(machines);
        return this.#takeDown(machine, this.#dice.integer(10, 5000), () => machine.stop(), () => undefined);
      });
      await Promise.all(stopped);
      await time.sleep(this.#dice.integer(0, 3000));
    }
    return true;
  }

  /**
   * Two brokers do not reach each other any more, and everybody else reaches both. One pair at a time, or a broker
   * might be cut off.
   */
  async #part(lastsMs: number): Promise<boolean> {
    const { present: machines, options } = this.#world;
    if (this.#hasPart || machines.length < 3) return false;
    this.#hasPart = true;
    const a = this.#dice.pick(machines).address;
    const b = this.#dice.pick(machines.filter(({ address }) => address !== a)).address;
    const over = this.#world.disturb(undefined, options.fanout === undefined);
    await this.#cut([[a, b], [b, a]], lastsMs);
    over();
    this.#hasPart = false;
    return true;
  }

  /** Splits all hosts in two; each side keeps at least one broker. */
  async #partition(lastsMs: number): Promise<true> {
    const { present: machines } = this.#world;
    const [left, right]: [string[], string[]] = [[], []];
    const border = this.#dice.integer(1, machines.length - 1);
    const turn = this.#dice.integer(0, machines.length - 1);
    for (const [index, { address }] of machines.entries()) {
      ((index + turn) % machines.length < border ? left : right).push(address);
    }
    for (const host of this.#clients) this.#dice.pick([left, right]).push(host);
    return this.#cut(left.flatMap((a) => right.flatMap((b): [string, string][] => [[a, b], [b, a]])), lastsMs);
  }

  async #cut(ways: readonly (readonly [from: string, to: string])[], lastsMs: number): Promise<true> {
    const { network, time } = this.#world;
    this.#world.note('storm', `cut ${ways.map((way) => way.join('>')).join()}`);
    for (const way of ways) network.cut(...way);
    await time.sleep(lastsMs);
    for (const way of ways) network.heal(...way);
    return true;
  }

  /** A virtual machine that slept may wake with a wrong clock. */
  async #pause(machine: Machine, lastsMs: number): Promise<boolean> {
    if (!machine.isRunning || this.down.has(machine) || this.#beset.has(machine)) return false;
    this.#beset.add(machine);
    machine.pause();
    await this.#world.time.sleep(lastsMs);
    this.#beset.delete(machine);
    if (this.#dice.integer(0, 1) === 0) this.#moveClock(machine);
    machine.resume();
    return true;
  }

  #crash(machine: Machine, lastsMs: number): Promise<boolean> {
    return this.#takeDown(machine, lastsMs, () => this.#crashSoon(machine), () => undefined);
  }

  /** Every other time while something is being written, which is when it hurts. */
  async #crashSoon(machine: Machine): Promise<void> {
    const { time } = this.#world;
    if (this.#dice.integer(0, 1) === 0) {
      await new Promise<void>((resolve) => {
        machine.disk.onWrite = resolve;
        time.after(WRITE_WITHIN_MS, resolve);
      });
      machine.disk.onWrite = undefined;
      await time.sleep(this.#dice.integer(0, 4));
    }
    machine.crash();
  }

  /** Takes a broker down, does something to its machine, and starts it again. */
  async #takeDown(
    machine: Machine, lastsMs: number, takeDown: () => void | Promise<void>, meanwhile: () => void,
  ): Promise<boolean> {
    if (!machine.isRunning || this.down.has(machine)) return false;
    this.down.add(machine);
    const { time } = this.#world;
    const end = time.now + lastsMs;
    await takeDown();
    if (machine.ended === undefined) meanwhile();
    await time.sleep(Math.max(0, end - time.now));
    this.down.delete(machine);
    this.#start(machine);
    return true;
  }

  /** A broker dies, and while it is down its name leads one or all of the others to somebody else, or to themselves. */
  async #mislead(machine: Machine, lastsMs: number): Promise<boolean> {
    const { network, present: machines } = this.#world;
    const { address: name } = machine;
    const others = machines.filter((each) => each !== machine);
    const askers = this.#dice.integer(0, 1) === 0 ? others : [this.#dice.pick(others)];
    const leads = this.#dice.integer(0, 1) === 0 ? undefined : this.#dice.pick(others).address;
    const who = askers.map(({ address }) => address).join();
    this.#world.note('storm', `${name} leads ${who} to ${leads ?? 'themselves'}`);
    for (const { address } of askers) network.mislead(address, name, leads ?? address);
    const happened = await this.#crash(machine, lastsMs);
    for (const { address } of askers) network.mislead(address, name, name);
    return happened;
  }

  /** A broker dies, and dials of its port meet themselves. */
  async #selfConnect(machine: Machine, lastsMs: number): Promise<boolean> {
    const { network, present: machines } = this.#world;
    this.#world.note('storm', 'dials may meet themselves');
    for (const { address } of machines) network.selfConnect(address, true);
    const happened = await this.#crash(machine, lastsMs);
    for (const { address } of machines) network.selfConnect(address, false);
    return happened;
  }

  /**
   * A broker is stopped in an orderly way, its disk is copied, and it goes on; then it crashes and the copy is put
   * back. Another broker is down all the while, and the copy has some time without it too.
   */
  async #putBackCopy(machine: Machine, dead: Machine, lastsMs: number): Promise<boolean> {
    if (![machine, dead].every((each) => each.isRunning && !this.down.has(each))) return false;
    const { time } = this.#world;
    for (const each of [machine, dead]) this.down.add(each);
    dead.crash();
    await time.sleep(this.#dice.integer(0, lastsMs / 4));
    if (machine.isRunning) await machine.stop();
    const copy = machine.disk.data.copy();
    this.#start(machine);
    await time.sleep(this.#dice.integer(lastsMs / 4, lastsMs / 2));
    if (machine.ended === undefined) {
      await this.#crashSoon(machine);
      machine.restore(copy);
      this.#start(machine);
    }
    await time.sleep(lastsMs / 4);
    this.#start(dead);
    for (const each of [machine, dead]) this.down.delete(each);
    return true;
  }

  /** Unless it has left the mesh. */
  #start(machine: Machine): void {
    if (machine.ended !== undefined) return;
    void machine
      .start()
      .catch((error: unknown) => this.#world.incident(machine.address, `did not start: ${String(error)}`));
  }

  async #slowDisk({ address, disk }: Machine, lastsMs: number): Promise<true> {
    this.#world.note(address, 'slow disk');
    const ms = this.#dice.pick([100, 500, 2000]);
    const which = this.#dice.integer(0, 2);
    if (which !== 0) disk.slowWritesMs = ms;
    if (which !== 1) disk.slowReadsMs = ms;
    await this.#world.time.sleep(lastsMs);
    disk.slowWritesMs = disk.slowReadsMs = 0;
    return true;
  }

  async #fullDisk({ address, disk }: Machine, lastsMs: number): Promise<true> {
    this.#world.note(address, 'disk full');
    disk.isFull = disk.isFullForClock = true;
    await this.#world.time.sleep(lastsMs);
    disk.isFull = disk.isFullForClock = false;
    return true;
  }

  /** Copies some disks as they are now, running or not, as a snapshot of a volume does. */
  #backUp(): void {
    for (const machine of this.#victims) {
      if (this.#dice.integer(0, 1) === 0) this.#backups.set(machine, machine.disk.data.copy());
    }
  }
}

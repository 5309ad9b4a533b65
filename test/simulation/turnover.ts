/**
 * Machines that come and go in a run, two changes at a time, through storms and calms: brokers join, leave, move to
 * other addresses, are forgotten when they are dead, and come back all the same; now and then two processes have one
 * id or one address.
 *
 * A mesh keeps 3 to 7 members. What was begun is seen through to its end, which has to come once all has healed. Of
 * those that are forgotten the disks are thrown away or come back, so no other disks are lost in the same run: what a
 * majority has on disk must survive.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import type { Vector } from '../../brokers/core/log/version-vector.ts';
import { SeededRandom } from '../support/random.ts';
import { codeOf } from './caller.ts';
import { VirtualClient } from './client.ts';
import { nameOf } from './ledger.ts';
import type { Machine } from './machine.ts';
import type { Departure, MembersHistory } from './members-history.ts';
import { plain } from './office.ts';
import type { World } from './world.ts';

const ACTS = ['join', 'join', 'leave', 'move', 'forget', 'force', 'cut', 'twin', 'double'] as const;
const FORGETTING: readonly string[] = ['forget', 'force', 'cut'];
type Act = (typeof ACTS)[number];
const TURNOVER_KINDS = [...new Set(ACTS), 'mutual', 'return', 'rejoin'] as const;
type TurnoverKind = (typeof TURNOVER_KINDS)[number];

const [MEMBERS_MIN, MEMBERS_MAX] = [3, 7];
const AT_A_TIME = 2;
const REST_MS = [200, 3000] as const; // between acts
const DOUBLE_MS = [1000, 8000] as const; // that two processes are one
const DOWN_MS_MAX = 5000;
const AGAIN_MS = 500;
const LOOK_MS = 100;
const REPLY_MS = 8000;
const CUT_MS = 20_000; // at most; after about 10 s without a sign of life a broker is taken for dead
const AFTER_CUT_MS = 20_000; // in which both sides learn who is out
const END_MS = 90_000; // after the last fault, for what was begun

const LATER = ['BUSY', 'NOQUORUM', 'CLOSING', 'LEAVING', 'UNREACHABLE', 'DISCONNECTED', 'TIMEOUT', 'DISKFULL'];

export class Turnover {
  /** How often each came about. */
  readonly counts = Object.fromEntries(TURNOVER_KINDS.map((kind) => [kind, 0])) as Record<TurnoverKind, number>;
  readonly #departures: Departure[] = [];
  readonly #world: World;
  readonly #dice: SeededRandom;
  readonly #acts: readonly Act[];
  readonly #down: Set<Machine>;
  readonly #members: Set<Machine>; // that are in, and may go
  #isForgetting = false;
  #endedAt = Infinity;
  #clients = 0;

  /**
   * @param down machines that no fault takes down
   * @param mayForget whether disks may be thrown away that the mesh has not had all of
   */
  constructor(world: World, down: Set<Machine>, mayForget: boolean) {
    this.#world = world;
    this.#down = down;
    this.#dice = new SeededRandom(world.seed ^ 0xc0ffee);
    this.#acts = ACTS.filter((act) => mayForget || !FORGETTING.includes(act));
    this.#members = new Set(world.machines);
    world.newRows = () => [...this.#members].map(({ address }) => address);
  }

  /** Goes on until `end` is called, and then until all that was begun is done. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: AT_A_TIME }, () => this.#goOn()));
  }

  /** Nothing new is begun. */
  end(): void {
    this.#endedAt = this.#world.time.now;
  }

  history(): MembersHistory {
    const { rows, machines, dials } = this.#world;
    const gone = machines.filter(({ isGone }) => isGone).map(({ address }) => address);
    const guides = new Map(machines.map((machine) => [machine.address, machine.rows ?? rows]));
    return { departures: this.#departures, rows, gone, dials, guides };
  }

  async #goOn(): Promise<void> {
    const { time } = this.#world;
    while (this.#endedAt === Infinity) {
      await time.sleep(this.#dice.integer(...REST_MS));
      if (this.#endedAt !== Infinity) return;
      const act = this.#dice.pick(this.#acts);
      const over = this.#world.disturb();
      try {
        if (await this.#act(act)) this.counts[act] += 1;
      } catch (error) {
        this.#world.incident('turnover', `${act}: ${error instanceof Error ? error.message : String(error)}`);
      }
      over();
    }
  }

  /** False where there are too few or too many members for it. */
  async #act(act: Act): Promise<boolean> {
    switch (act) {
      case 'join':
        return this.#join();
      case 'leave':
        return this.#leave();
      case 'move':
        return this.#move();
      case 'forget':
        return this.#forget(false);
      case 'force':
        return this.#forget(true);
      case 'cut':
        return this.#cutOff();
      case 'twin':
        return this.#twin();
      case 'double':
        return this.#double();
    }
  }

  // What happens

  /** It is started before it is invited, or after. */
  async #join(): Promise<boolean> {
    if (this.#world.present.length >= MEMBERS_MAX) return false;
    const machine = this.#world.add(this.#guides());
    this.#note(`${machine.address} joins`);
    const isEarly = this.#dice.integer(0, 1) === 0;
    if (isEarly) await machine.start();
    await this.#insist(/^ERR .* is (invited|a member) already/, machine, 'MESH', 'INVITE', machine.address);
    const members = [...this.#members].map(({ address }) => address);
    const isLost = !members.some((address) => machine.rows!.includes(address)); // whom it was to join by is gone
    if (isLost) machine.rows = this.#guides();
    if (isLost && isEarly && machine.isRunning) await machine.stop();
    else if (isEarly) return this.#joined(machine);
    await machine.start();
    return this.#joined(machine);
  }

  async #joined(machine: Machine): Promise<boolean> {
    await this.#untilIn(machine);
    return true;
  }

  async #leave(): Promise<boolean> {
    const machine = this.#take();
    if (machine === undefined) return false;
    this.#note(`${machine.address} leaves`);
    while (machine.ended === undefined) {
      if (machine.isRunning && machine.broker.members.own?.state === 'in') await this.#askToLeave(machine);
      await this.#rest(machine, 'did not leave');
    }
    machine.retire();
    return true;
  }

  /** The disk goes to another machine. */
  async #move(): Promise<boolean> {
    const machine = this.#takeDown();
    if (machine === undefined) return false;
    await this.#goDown(machine);
    await this.#world.time.sleep(this.#dice.integer(0, DOWN_MS_MAX));
    const other = this.#world.move(machine, this.#guides());
    this.#down.delete(machine);
    await other.start();
    await this.#untilIn(other);
    return true;
  }

  async #forget(isForced: boolean): Promise<boolean> {
    const machine = this.#isForgetting ? undefined : this.#takeDown();
    if (machine === undefined) return false;
    this.#isForgetting = true;
    await this.#goDown(machine);
    await this.#putOut(machine, isForced);
    this.#noteDeparture(machine);
    await this.#afterwards(machine);
    this.#isForgetting = false;
    return true;
  }

  /** A member that runs is cut off from all others, which put it out by force; it may do the same to them. */
  async #cutOff(): Promise<boolean> {
    const machine = this.#isForgetting ? undefined : this.#takeDown();
    if (machine === undefined) return false;
    this.#isForgetting = true;
    const reconnect = this.#isolate(machine);
    const isOut = await this.#forceAcross(machine);
    if (isOut && this.#dice.integer(0, 1) === 0) await this.#forceBack(machine);
    reconnect();
    if (isOut) await this.#afterCut(machine);
    else this.#giveBack(machine);
    this.#isForgetting = false;
    return isOut;
  }

  /** Another process runs on a copy of a broker's folder, elsewhere. */
  async #twin(): Promise<boolean> {
    const machine = this.#takeDown();
    if (machine === undefined) return false;
    const twin = this.#stranger(`a copy of ${machine.address}`);
    twin.disk.restore(machine.disk.data);
    await this.#runFor(twin);
    this.#giveBack(machine);
    return true;
  }

  /** Another process says that it has a broker's address. */
  async #double(): Promise<boolean> {
    const machine = this.#takeDown();
    if (machine === undefined) return false;
    const double = this.#stranger(`goes by the name of ${machine.address}`);
    double.alias = machine.address;
    await this.#runFor(double);
    this.#giveBack(machine);
    return true;
  }

  // How

  #isolate(machine: Machine): () => void {
    const { network, machines } = this.#world;
    this.#note(`${machine.address} is cut off`);
    const others = machines.filter((each) => each !== machine).map(({ address }) => address);
    const ways = others.flatMap((other) => [[machine.address, other], [other, machine.address]] as const);
    for (const way of ways) network.cut(...way);
    return () => {
      this.#note(`${machine.address} is cut off no more`);
      for (const way of ways) network.heal(...way);
    };
  }

  /** Whether somebody on the other side has put it out by force, in time. */
  async #forceAcross(machine: Machine): Promise<boolean> {
    const { time } = this.#world;
    for (const end = time.now + CUT_MS; time.now < end && this.#endedAt === Infinity; ) {
      await time.sleep(this.#dice.integer(1, AGAIN_MS));
      const at = this.#someone(machine);
      if (at === undefined) continue;
      const reply = await this.#ask(at, 'MESH', 'FORGET', machine.address, 'YES', 'FORCE');
      if (reply === 'OK' || this.#isGone(reply, machine)) return true;
      if (!isNotYet(reply)) throw new Error(`FORGET ${machine.address} FORCE: ${reply}`);
      // it may have been said, and the answer was lost
      const isSaid = this.#world.running.some((each) => each !== machine && isForcedAt(each, machine));
      if (isSaid) return true;
    }
    return false;
  }

  /** Those that it does not reach are put out by the one that is cut off: some, or all of them. */
  async #forceBack(machine: Machine): Promise<void> {
    const others = [...this.#members].filter((each) => each !== machine);
    for (const other of others.slice(0, this.#dice.integer(1, others.length))) {
      if (!machine.isRunning) return;
      const reply = await this.#ask(machine, 'MESH', 'FORGET', other.address, 'YES', 'FORCE');
      if (reply === 'OK') this.counts.mutual += 1;
    }
  }

  /** One of the two sides gives in. Those that are out join anew, or the one that was cut off is thrown away. */
  async #afterCut(machine: Machine): Promise<void> {
    const { time } = this.#world;
    const isOver = (): boolean => machine.ended !== undefined
      || [...this.#members].every((each) => each === machine || each.ended === 'OUT');
    await this.#until('one side gives in', machine, isOver);
    await time.sleep(this.#dice.integer(0, AFTER_CUT_MS));
    if (machine.ended === undefined) this.#giveBack(machine);
    else if (this.#dice.integer(0, 1) === 0) await this.#rejoin(machine);
    else {
      this.#noteDeparture(machine);
      machine.retire();
      this.#down.delete(machine);
    }
    for (const other of [...this.#members].filter(({ ended }) => ended === 'OUT')) await this.#rejoin(other);
  }

  /** One that was forgotten is thrown away, or comes back, is told so, and is thrown away then or joins anew. */
  async #afterwards(machine: Machine): Promise<void> {
    if (this.#dice.integer(0, 2) > 0) {
      await machine.start();
      await this.#until(`${machine.address} is told that it is out`, machine, () => machine.ended !== undefined);
      if (machine.ended !== 'OUT') throw new Error(`${machine.address} was forgotten, and ended: ${machine.ended}`);
      this.counts.return += 1;
      if (this.#dice.integer(0, 1) === 0) return this.#rejoin(machine);
    }
    machine.retire();
    this.#down.delete(machine);
  }

  async #rejoin(machine: Machine): Promise<void> {
    machine.options = { rejoins: true };
    const known = machine.rows ?? this.#world.rows;
    machine.rows = [...new Set([...known, ...this.#world.newRows!()])].filter((row) => row !== machine.address);
    await machine.start();
    await this.#untilIn(machine);
    await machine.stop(); // or it would be a member anew each time that somebody puts it out
    machine.options = {};
    await machine.start();
    this.#down.delete(machine);
    this.counts.rejoin += 1;
  }

  /** Until the mesh has forgotten one that is down, with YES if that is asked for. */
  async #putOut(machine: Machine, isForced: boolean): Promise<void> {
    const { address } = machine;
    const force = isForced ? ['FORCE'] : [];
    for (let isSure = false; ; await this.#rest(machine, 'was not forgotten')) {
      const at = this.#someone(machine);
      if (at === undefined) continue;
      const reply = await this.#ask(at, 'MESH', 'FORGET', address, ...(isSure ? ['YES'] : []), ...force);
      if (reply === 'OK' || this.#isGone(reply, machine)) return;
      const known = /^ERR (\d+) records are known to be on /.exec(reply)?.[1];
      if (known !== undefined) {
        this.#checkKnown(Number(known), machine, at);
        isSure = true;
      } else if (!isNotYet(reply)) throw new Error(`FORGET ${address}: ${reply}`);
    }
  }

  /** Whether a broker says so to FORGET since the answer was lost before, and not since it has yet to hear of it. */
  #isGone(reply: string, machine: Machine): boolean {
    const isMemberAt = (each: Machine): boolean =>
      each !== machine && each.broker!.members.roster.seatAt(machine.address) !== undefined;
    return reply.startsWith('NOTFOUND') && !this.#world.running.some(isMemberAt);
  }

  /** No more than what is on its disk, and not on that of the broker that was asked. */
  #checkKnown(count: number, machine: Machine, at: Machine): void {
    const most = missing(vectorOf(machine), [vectorOf(at)]).length;
    this.#note(`${count} records are known to be on ${machine.address} alone, of ${most}`);
    if (count > most) {
      this.#world.incident(at.address, `knows ${count} records on ${machine.address} alone, which are ${most}`);
    }
  }

  async #askToLeave(machine: Machine): Promise<void> {
    const at = this.#dice.integer(0, 1) === 0 ? machine : (this.#someone(machine) ?? machine);
    const reply = await this.#ask(at, 'MESH', 'LEAVE', ...(at === machine ? [] : [machine.address]));
    const isFine = reply === 'OK' || isLater(reply) || /^ERR .* is not reached; FORGET/.test(reply);
    if (!isFine && !reply.startsWith('NOTFOUND')) throw new Error(`LEAVE ${machine.address}: ${reply}`);
  }

  /** Asks one after another, until one does it, or says that it is done. */
  async #insist(isDone: RegExp, machine: Machine, ...args: string[]): Promise<void> {
    for (;;) {
      const at = this.#someone(machine);
      const reply = at && (await this.#ask(at, ...args));
      if (reply === 'OK' || isDone.test(reply ?? '')) return;
      if (reply !== undefined && !isLater(reply)) throw new Error(`${args.join(' ')}: ${reply}`);
      await this.#rest(machine, `is not done: ${args.join(' ')}`);
    }
  }

  /** What somebody is answered by a broker, with the code if it is an error. */
  async #ask(machine: Machine, ...args: string[]): Promise<string> {
    let client: VirtualClient | undefined;
    try {
      client = await VirtualClient.connect(this.#world, `administrator-${(this.#clients += 1)}`, machine);
      const reply = await client.within(REPLY_MS, ...args);
      this.#note(`${args.join(' ')} at ${machine.address}: ${String(plain(reply))}`);
      return String(plain(reply));
    } catch (error) {
      if (error instanceof RumormillError) return codeOf(error);
      throw error;
    } finally {
      client?.close();
    }
  }

  async #untilIn(machine: Machine): Promise<void> {
    // what it knows itself may be old
    const isIn = (): boolean => [machine, this.#someone(machine)].every((each) => {
      const roster = each?.isRunning === true ? each.broker.members.roster : undefined;
      return roster?.seatAt(machine.address)?.state === 'in';
    });
    await this.#until(`${machine.address} is in`, machine, isIn);
    this.#members.add(machine);
  }

  async #until(what: string, machine: Machine, condition: () => boolean): Promise<void> {
    while (!condition()) await this.#rest(machine, `is not where this is so: ${what}`, LOOK_MS);
  }

  /** @throws Error once all has healed for so long that what is waited for should have come */
  async #rest({ address }: Machine, what: string, ms: number = AGAIN_MS): Promise<void> {
    const { time } = this.#world;
    if (time.now > this.#endedAt + END_MS) throw new Error(`${address} ${what}`);
    await time.sleep(this.#dice.integer(1, ms));
  }

  /** A member that may go now, if there are enough. */
  #take(): Machine | undefined {
    const free = [...this.#members].filter((machine) => machine.isRunning && !this.#down.has(machine));
    if (this.#members.size <= MEMBERS_MIN || free.length === 0) return undefined;
    const machine = this.#dice.pick(free);
    this.#members.delete(machine);
    return machine;
  }

  /** The same; no other fault takes it down meanwhile. */
  #takeDown(): Machine | undefined {
    const machine = this.#take();
    if (machine !== undefined) this.#down.add(machine);
    return machine;
  }

  #giveBack(machine: Machine): void {
    this.#down.delete(machine);
    this.#members.add(machine);
  }

  async #goDown(machine: Machine): Promise<void> {
    if (this.#dice.integer(0, 1) === 0) await machine.stop();
    else machine.crash();
  }

  #stranger(what: string): Machine {
    const machine = this.#world.add(this.#guides());
    machine.isGone = true;
    this.#note(`${machine.address} ${what}`);
    return machine;
  }

  async #runFor(machine: Machine): Promise<void> {
    void machine.start().catch((error: unknown) => this.#world.incident(machine.address, String(error)));
    await this.#world.time.sleep(this.#dice.integer(...DOUBLE_MS));
    machine.crash();
    machine.retire();
  }

  /** A member that runs, other than this one. */
  #someone(machine: Machine): Machine | undefined {
    const some = [...this.#members].filter((each) => each !== machine && each.isRunning);
    return some.length === 0 ? undefined : this.#dice.pick(some);
  }

  /** Where one that joins asks. */
  #guides(): Machine['address'][] {
    const addresses = [...this.#members].map(({ address }) => address);
    return Array.from({ length: 2 }, () => this.#dice.pick(addresses));
  }

  #noteDeparture(machine: Machine): void {
    const others = this.#world.present.filter((each) => each !== machine).map(vectorOf);
    const alone = missing(vectorOf(machine), others);
    this.#departures.push({ alone: new Set(alone) });
    this.#note(`${machine.address} forgotten, ${alone.length} records with it`);
  }

  #note(what: string): void {
    this.#world.note('turnover', what);
  }
}

function isForcedAt({ broker }: Machine, machine: Machine): boolean {
  const own = machine.isRunning ? machine.broker.members.own : undefined;
  return own !== undefined && broker.members.roster.forced.includes(own.name);
}

/** Whether FORGET may be done later: the broker that was asked has yet to hear of the member, or takes it to be up. */
function isNotYet(reply: string): boolean {
  return isLater(reply) || /^NOTFOUND | is up, and /.test(reply);
}

function isLater(reply: string): boolean {
  return LATER.some((code) => reply.startsWith(code)) || reply.endsWith(' is no member itself');
}

/** How much of each origin is on a disk. */
function vectorOf({ disk: { data } }: Machine): Vector {
  const vector = new Map<(typeof data.batches)[number]['origin'], number>();
  for (const batch of data.batches) vector.set(batch.origin, batch.seq + batch.count - 1);
  return vector;
}

/** The names of the records that none of the others has. */
function missing(vector: Vector, others: readonly Vector[]): string[] {
  const names: string[] = [];
  for (const [origin, last] of vector) {
    const first = Math.max(0, ...others.map((other) => other.get(origin) ?? 0)) + 1;
    for (let seq = first; seq <= last; seq += 1) names.push(nameOf(origin, seq));
  }
  return names;
}

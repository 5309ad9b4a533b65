/**
 * A world for whole Brokers, the real ones, that is made of nothing but a seed: virtual time, network and disks.
 * Whatever happens in it stands in its history; the same seed and the same acts give the same history.
 *
 * Nothing moves by itself: `run`, `until` and `await world.of(promise)` let time pass. One of them at a time.
 */
import type { ConfigOptions } from '../../brokers/config.ts';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import type { LogFields, LogLevel } from '../../brokers/core/runtime.ts';
import { SeededRandom } from '../support/random.ts';
import { VirtualClient } from './client.ts';
import { type DiskEvent, GONE } from './disk.ts';
import { Machine } from './machine.ts';
import { VirtualNetwork } from './network.ts';
import type { Process } from './queue-history.ts';
import { VirtualTime } from './time.ts';

const EXPECTED = ['disk full', 'store has lost records', 'put out of the mesh']; // errors in the log
const BOUND_MS = 60_000; // of virtual time, for what should come at once

/**
 * The election as it is seen from outside: a broker starts with a term, chooses a coordinator in one, or loses its disk
 * and with it its term.
 */
export interface TermEvent {
  readonly kind: 'started' | 'electing' | 'chosen' | 'replaced';
  readonly broker: Address;
  readonly at: number;
  readonly term: number;
  /** Only of `chosen`. */
  readonly coordinator?: Address;
}

/** A time in which something was not as it should be. */
export interface Disturbance {
  readonly from: number;
  to: number; // Infinity while it lasts
  readonly absent: Address | undefined; // the broker that did not run, where that is all
  readonly isBridged: boolean; // one pair of brokers was cut, and all others reached both
  readonly isOrderly: boolean; // the broker that did not run had been stopped, and did not crash
}

/** A broker begins to use a view of who shares the work. */
export interface ViewEvent {
  readonly broker: Address;
  readonly at: number;
  readonly members: readonly Address[];
}

/** What a broker should never do, whatever happens to it. */
export interface Incident {
  readonly at: number;
  readonly who: string;
  readonly what: string;
}

export class World {
  readonly seed: number;
  readonly random: SeededRandom;
  /** Of every broker, beside its address. */
  readonly options: ConfigOptions;
  readonly time = new VirtualTime();
  readonly network: VirtualNetwork;
  readonly machines: Machine[] = [];
  /** Of the machines with which it began. */
  readonly rows: readonly Address[];
  /** Every log line of every broker, and every act of the test. */
  readonly history: string[] = [];
  readonly diskLog: DiskEvent[] = [];
  readonly terms: TermEvent[] = [];
  readonly views: ViewEvent[] = [];
  readonly processes: Process[] = [];
  readonly incidents: Incident[] = [];
  /** When some wall clock began to be off by so much. */
  readonly walls: { readonly at: number; readonly offsetMs: number }[] = [];
  /** What a person would write into globalState.csv now, where members come and go. */
  newRows: (() => readonly Address[]) | undefined;
  /** Who dialled whom, and when. */
  readonly dials: { readonly from: string; readonly to: Address; readonly at: number }[] = [];
  readonly #disturbances: Disturbance[] = [];
  #clients = 0;

  /** @param count machines, `10.0.0.1:3000` and up, none of them running; each knows all the others */
  constructor(seed: number, count: number, options: ConfigOptions = {}) {
    this.seed = seed;
    this.options = options;
    this.random = new SeededRandom(seed);
    this.network = new VirtualNetwork(this.time, this.random);
    this.network.dialled = (from, to) => void this.dials.push({ from, to, at: this.time.now });
    for (let index = 1; index <= count; index += 1) {
      this.machines.push(new Machine(this, addressOf(index)));
    }
    this.rows = this.machines.map(({ address }) => address);
  }

  /** One more machine, the highest, which does not run; its broker joins a mesh by way of these. */
  add(members: readonly Address[]): Machine {
    const machine = new Machine(this, addressOf(this.machines.length + 1), false);
    machine.rows = members;
    machine.options = { joins: true };
    this.machines.push(machine);
    return machine;
  }

  /** The disk of one machine in another one, as `add` makes it. Only while it is down. */
  move(machine: Machine, members: readonly Address[]): Machine {
    const other = this.add(members);
    this.note(machine.address, `moves to ${other.address}`);
    other.disk.restore(machine.disk.data);
    machine.retire();
    return other;
  }

  /** A world whose brokers run, agree on a coordinator, and are the members of a mesh. */
  static async start(seed: number, count: number, options: ConfigOptions = {}): Promise<World> {
    const world = new World(seed, count, options);
    for (const machine of world.machines) await world.of(machine.start());
    await world.settled();
    if (count > 1) await world.founded();
    return world;
  }

  /** Everybody that runs has voted on who the members are, and all have all votes. */
  async founded(boundMs?: number): Promise<void> {
    const isMember = ({ broker }: Machine): boolean => broker.members.own?.state === 'in';
    await this.until('the mesh is founded', () => this.running.every(isMember) && this.isConverged, boundMs);
  }

  /** Those that belong to the mesh, or are about to, and those that may come back to it. */
  get present(): Machine[] {
    return this.machines.filter(({ isGone }) => !isGone);
  }

  get running(): Machine[] {
    return this.machines.filter((machine) => machine.isRunning);
  }

  note(who: string, what: string): void {
    this.history.push(`${this.time.now.toFixed(3)} ${who} ${what}`);
  }

  incident(who: string, what: string): void {
    this.note(who, `incident: ${what}`);
    this.incidents.push({ at: this.time.now, who, what });
  }

  /** A broker has written a log line. */
  logged(broker: Address, level: LogLevel, event: string, fields: LogFields): void {
    this.note(broker, `${level} ${event} ${JSON.stringify(fields)}`);
    if (event === 'coordinator chosen') {
      this.terms.push({
        kind: 'chosen', broker, at: this.time.now, term: Number(fields['term']),
        coordinator: parseAddress(String(fields['coordinator'])),
      });
    }
    if (event === 'view') {
      this.views.push({ broker, at: this.time.now, members: String(fields['members']).split(' ') as Address[] });
    }
    if (event === 'election started') {
      this.terms.push({ kind: 'electing', broker, at: this.time.now, term: Number(fields['term']) });
    }
    if (event === 'peer lost' && String(fields['reason']).startsWith('silent')) {
      this.#checkSilence(broker, String(fields['reason']));
    }
    const isExpected = EXPECTED.some((begin) => event.startsWith(begin)) || fields['reason'] === GONE;
    if (level === 'error' && !isExpected) this.incident(broker, `${event} ${JSON.stringify(fields)}`);
  }

  /**
   * A broker gave up a link because nothing came over it for long: then nothing may have come, not even a part of a
   * message.
   */
  #checkSilence(broker: Address, reason: string): void {
    const { host, other, heardAt } = this.network.brokenOff!;
    const silentMs = Number(/\d+/.exec(reason)![0]);
    if (host === broker && this.time.now - heardAt < silentMs) {
      this.incident(broker, `gave ${other} up though it was heard ${Math.round(this.time.now - heardAt)} ms ago`);
    }
  }

  /** @param tag of the process, as its lease tokens begin */
  started(broker: Address, term: number, tag: string): void {
    this.processes.push({ broker, tag, since: this.time.now });
    this.terms.push({ kind: 'started', broker, at: this.time.now, term });
  }

  diskReplaced(broker: Address): void {
    this.terms.push({ kind: 'replaced', broker, at: this.time.now, term: 0 });
  }

  /**
   * Something is not as it should be, from now until the function that it returns is called.
   * @param absent the broker that does not run, where that is all
   * @param isBridged one pair of brokers is cut, and all others reach both
   * @param isOrderly the broker that does not run has been stopped
   */
  disturb(absent?: Address, isBridged = false, isOrderly = false): () => void {
    const disturbance = { from: this.time.now, to: Infinity, absent, isBridged, isOrderly };
    this.#disturbances.push(disturbance);
    return () => {
      disturbance.to = this.time.now;
    };
  }

  /** When which broker did not run. */
  get absences(): (Disturbance & { readonly absent: Address })[] {
    return this.#disturbances.flatMap(({ absent, ...rest }) => (absent === undefined ? [] : [{ ...rest, absent }]));
  }

  /**
   * The times in which nothing was disturbed, nor had been for so long before. @param isMatter which disturbances count
   */
  undisturbed(
    forMs: number,
    isMatter: (disturbance: Disturbance) => boolean = () => true,
  ): [from: number, to: number][] {
    const times: [number, number][] = [];
    let from = 0;
    for (const disturbance of this.#disturbances.filter(isMatter)) { // in the order of their beginnings
      if (disturbance.from > from) times.push([from, disturbance.from]);
      from = Math.max(from, disturbance.to + forMs);
    }
    if (from < this.time.now) times.push([from, this.time.now]);
    return times;
  }

  /** Lets virtual time pass. */
  run(ms: number): Promise<void> {
    return this.time.run(ms);
  }

  /**
   * Lets time pass until the promise settles. @throws what the promise rejects with, or Error once `boundMs` have
   * passed
   */
  async of<T>(promise: Promise<T>, boundMs = BOUND_MS): Promise<T> {
    let settled = false;
    const settle = (): void => void (settled = true);
    promise.then(settle, settle);
    await this.until('a promise settles', () => settled, boundMs);
    return promise;
  }

  /**
   * Lets time pass until the condition holds. @throws Error that says `what` did not come and how to replay it, after
   * `boundMs`
   */
  async until(what: string, condition: () => boolean, boundMs = BOUND_MS): Promise<void> {
    if (!(await this.time.until(condition, this.time.now + boundMs))) {
      throw new Error(`seed ${this.seed}: not within ${boundMs} virtual ms: ${what}`);
    }
  }

  /** Everybody that runs agrees that the highest of them leads, in one term. */
  settled(boundMs?: number): Promise<void> {
    return this.until(`${this.running.at(-1)!.address} leads`, () => this.isSettled, boundMs);
  }

  get isSettled(): boolean {
    const { running } = this;
    const leader = running.at(-1)!.address;
    const term = running[0]!.broker.status()['term'];
    return running.every(({ broker }) => broker.coordinator === leader && broker.status()['term'] === term);
  }

  /** Everybody that runs has the same records. */
  converged(boundMs?: number): Promise<void> {
    return this.until('all brokers hold the same', () => this.isConverged, boundMs);
  }

  get isConverged(): boolean {
    return new Set(this.running.map((machine) => machine.vector())).size === 1;
  }

  /** Hosts of the two groups cannot reach each other. */
  partition(left: readonly Machine[], right: readonly Machine[]): void {
    this.note(
      'test',
      `partition ${left.map(({ address }) => address).join()} | ${right.map(({ address }) => address).join()}`,
    );
    for (const { address: a } of left) {
      for (const { address: b } of right) {
        this.network.cut(a, b);
        this.network.cut(b, a);
      }
    }
  }

  heal(): void {
    this.note('test', 'heal');
    this.network.healAll();
  }

  /** A client of one broker, on a host of its own. */
  client(machine: Machine): Promise<VirtualClient> {
    return this.of(VirtualClient.connect(this, `client-${(this.#clients += 1)}`, machine));
  }
}

function addressOf(index: number): Address {
  return parseAddress(`10.0.${index >> 8}.${index & 255}:3000`);
}

/**
 * Changes of the membership that somebody wants: by a command, or by a row of globalState.csv that was added or taken
 * out while this broker runs.
 *
 * One change at a time, here and in the whole mesh. A command waits until its change is settled. What the file says is
 * tried until it is so, or cannot be.
 */
import type { Config } from '../config.ts';
import { type Address, compareAddresses } from '../core/address.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import { type Change, changeKey, type MembersSaying } from '../core/members/change.ts';
import type { BrokerId } from '../core/mesh/identity.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Roster, Seat } from '../core/members/roster.ts';

const RETRY_MS = 1000; // of what the file says

export interface ChangesRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly id: BrokerId;
}

/** What of the mesh they depend on. */
export interface ChangesMesh {
  /** Whether a broker is there, as far as can be told. */
  isReached(address: Address): boolean;
  /** The id that the broker with which there is a link has proven. */
  idAt(address: Address): BrokerId | undefined;
  readonly holdings: {
    /** Whether nothing tells that a broker may be there. */
    isDead(address: Address): boolean;
    /** The id that a dial of an address has shown lately; undefined if none has, and then it is dialled soon. */
    sightOf(address: Address): BrokerId | undefined;
    /** How many records only that broker is known to hold. */
    alone(address: Address): number;
    /** How many records here are not yet where they have to be before this broker goes. */
    lonely(): number;
    /** Whether this broker has all that one with a link has announced. */
    hasAllOf(id: BrokerId): boolean;
    /** Whether it has links, and all that those with links have announced. */
    hasAll(): boolean;
  };
}

/** The members as they are, and the way to say something of them. */
export interface Membership {
  readonly roster: Roster;
  readonly isFounded: boolean;
  /** The seat of this broker, if it has one. */
  readonly own: Seat | undefined;
  /** Where the members are that are not out; before the mesh is founded, the rows. */
  readonly addresses: readonly Address[];
  /** The change that this broker votes for next, if there is no other one before it. */
  wish: Change | undefined;
  /** Puts something said into the log. */
  say(saying: MembersSaying): Promise<void>;
}

interface Waiting {
  /** Undefined as soon as it is so. @throws RumormillError if it cannot be */
  readonly change: () => Change | undefined;
  readonly until: number;
  readonly done: (error?: RumormillError) => void;
  proposed: { readonly key: string; readonly version: number } | undefined;
}

export class Changes {
  readonly #runtime: ChangesRuntime;
  readonly #members: Membership;
  readonly #mesh: ChangesMesh;
  #rows: readonly Address[] = [];
  #waiting: Waiting[] = []; // the first one is under way
  #fileTurn: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(runtime: ChangesRuntime, members: Membership, mesh: ChangesMesh) {
    this.#runtime = runtime;
    this.#members = members;
    this.#mesh = mesh;
  }

  /** A broker may join from now on. @throws RumormillError ERR, BUSY or NOQUORUM */
  async invite(address: Address): Promise<void> {
    const { roster } = this.#members;
    if (address === this.#runtime.config.address) throw wrong(`${address} is this broker itself`);
    const there = roster.seatAt(address);
    if (there?.state === 'invited') throw wrong(`${address} is invited already; start it with "join ${this.#self}"`);
    if (there !== undefined) throw wrong(`${address} is a member already`);
    await this.#found();
    await this.#settle(() => (roster.seatAt(address) === undefined ? { op: 'invite', address } : undefined));
  }

  /**
   * A broker is a member no more.
   * @param who its address or id, or the beginning of its id, 6 characters or more
   * @param isSure whether records may be lost with it
   * @param isForced without the votes of a majority
   * @throws RumormillError ERR, NOTFOUND, BUSY or NOQUORUM
   */
  async forget(who: string, isSure: boolean, isForced: boolean): Promise<void> {
    const { roster } = this.#members;
    const { name, id, address, state } = this.#find(who);
    if (id === this.#runtime.id) throw wrong(`${who} is this broker itself, and runs; it may LEAVE`);
    if (state !== 'invited' && this.#isUp({ id, address })) {
      throw wrong(`${address} is up, and a member that runs is not forgotten; run LEAVE, or stop it first`);
    }
    const lost = this.#mesh.holdings.alone(address);
    if (lost > 0 && !isSure) {
      throw wrong(`${lost} records are known to be on ${address} alone and would be lost; YES forgets it all the same`);
    }
    const out: Change = { op: 'out', seat: name };
    if (isForced) {
      if (state === 'in' && !roster.seats().some((seat) => seat.state === 'in' && seat.name !== name)) {
        throw wrong(`${address} is the last member`);
      }
      return this.#force(name);
    }
    await this.#settle(() => {
      if (roster.seat(name)!.state === 'out') return undefined;
      if (!roster.allows(out)) throw wrong(`${address} is the last member`);
      return out;
    });
  }

  /**
   * A member that runs leaves: this one, or another. Settles as soon as it is settled that it will; it goes once what
   * it has is elsewhere.
   * @param who its address or id, or the beginning of its id
   * @throws RumormillError ERR, NOTFOUND, BUSY or NOQUORUM
   */
  async leave(who: string = this.#self): Promise<void> {
    const { roster } = this.#members;
    const seat = this.#find(who);
    const { name, id, address, state } = seat;
    if (state === 'invited') throw wrong(`${address} has not come yet; FORGET takes the invitation back`);
    if (id !== this.#runtime.id && !this.#isUp(seat)) throw wrong(`${address} is not reached; FORGET puts it out`);
    await this.#settle(() => {
      if (roster.seat(name)!.state !== 'in') return undefined;
      const change: Change = { op: 'leave', seat: name };
      if (!roster.allows(change)) throw wrong(`${address} is the last member; to end it, stop it`);
      return change;
    });
  }

  /** The rows have changed while this broker runs: what was added is invited, what was taken out goes. */
  follow(rows: readonly Address[], before: readonly Address[]): void {
    this.#rows = rows;
    const members = this.#members.addresses;
    if (this.#members.own === undefined) return;
    const { logger } = this.#runtime;
    const removed = before.filter((row) => !rows.includes(row));
    if (2 * removed.filter((row) => members.includes(row)).length > members.length) {
      logger.error('globalState.csv takes out more than half of the members at once, which is not done', {
        removed: removed.join(' '), remedy: 'admin forget <broker>, for one after another',
      });
    } else for (const row of removed) this.#soon(row, () => this.#goes(row));
    for (const row of rows.filter((each) => !before.includes(each))) this.#soon(row, () => this.#comes(row));
  }

  /** Something of the members is otherwise, or time has passed. */
  look(): void {
    const first = this.#waiting[0];
    if (first === undefined) return;
    try {
      if (this.#isOver(first)) this.#answer(first);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.#answer(first, error);
    }
  }

  /** Whoever waits is answered. */
  close(): void {
    this.#isClosed = true;
    const error = new RumormillError('CLOSING', 'this broker is shutting down; the change may still be settled');
    for (const each of [...this.#waiting]) this.#answer(each, error);
  }

  get #self(): Address {
    return this.#runtime.config.address;
  }

  #isUp({ id, address }: Pick<Seat, 'id' | 'address'>): boolean {
    const linked = this.#mesh.idAt(address);
    return linked === undefined ? !this.#mesh.holdings.isDead(address) : linked === id || id === undefined;
  }

  /** @throws RumormillError NOTFOUND, or ERR if several are meant */
  #find(who: string): Seat {
    const seats = this.#members.roster.seats().filter(({ state }) => state !== 'out');
    const found = seats.filter(({ address, id }) => address === who || id === who);
    const likely = who.length >= 6 ? seats.filter(({ id }) => id?.startsWith(who)) : [];
    const [seat, another] = found.length > 0 ? found : likely;
    if (another !== undefined) throw wrong(`${who} is the beginning of several ids; give more of it`);
    if (seat !== undefined) return seat;
    const known = seats.map(({ address }) => address).sort(compareAddresses).join(' ');
    throw new RumormillError('NOTFOUND', `${who} is no member; the members are ${known || this.#self}`);
  }

  /** A broker alone founds its mesh when it is to grow. */
  #found(): Promise<void> {
    const { roster } = this.#members;
    if (this.#members.isFounded) return Promise.resolve();
    if (this.#members.addresses.some((row) => row !== this.#self)) {
      throw wrong('the brokers of globalState.csv are no mesh yet: start them first, a majority of them');
    }
    return this.#settle(() => (roster.version > 0 ? undefined : { op: 'found', addresses: [this.#self] }));
  }

  /** @throws RumormillError BUSY or NOQUORUM, or what `change` throws */
  #settle(change: Waiting['change']): Promise<void> {
    const { clock, config } = this.#runtime;
    if (this.#members.isFounded && this.#members.own === undefined) {
      return Promise.reject(wrong(`${this.#self} is no member itself`));
    }
    return new Promise((resolve, reject) => {
      const done = (error?: RumormillError): void => (error === undefined ? resolve() : reject(error));
      const until = clock.now() + config.limits.ackTimeoutMs;
      this.#waiting.push({ change, until, done, proposed: undefined });
      this.look();
    });
  }

  /** Proposes what it waits for, if it is time. Says whether that is so now. @throws RumormillError */
  #isOver(first: Waiting): boolean {
    const { roster } = this.#members;
    const change = first.change();
    if (change === undefined) return true;
    const { version, candidates, isOpen } = roster.slot;
    const key = changeKey(change);
    const isOwn = candidates.some((candidate) => changeKey(candidate.change) === key);
    if (!isOwn && (!isOpen || (first.proposed !== undefined && first.proposed.version < version))) {
      throw new RumormillError('BUSY', `${said(candidates[0]?.change)}; try again`);
    }
    if (this.#runtime.clock.now() >= first.until) throw this.#late(key);
    first.proposed = { key, version };
    this.#members.wish = change;
    return false;
  }

  #late(key: string): RumormillError {
    const { roster } = this.#members;
    const voters = roster.slot.candidates.find(({ change }) => changeKey(change) === key)?.voters.size ?? 0;
    const count = roster.groups()[0]!.length;
    const what = `${voters} of ${count} members have it on disk; it may still come about`;
    return new RumormillError('NOQUORUM', `${what}; without a majority only FORGET with FORCE works`);
  }

  #answer(waiting: Waiting, error?: RumormillError): void {
    this.#waiting = this.#waiting.filter((each) => each !== waiting);
    if (this.#waiting[0]?.proposed === undefined) this.#members.wish = undefined;
    waiting.done(error);
    this.look();
  }

  async #force(seat: Seat['name']): Promise<void> {
    const { logger } = this.#runtime;
    const { own, roster } = this.#members;
    if (own === undefined) throw wrong(`${this.#self} is no member itself`);
    logger.warn('a member is put out by force; majorities before and after may have no member in common', { seat });
    const others = roster.seats().filter(({ state, name, address }) =>
      state === 'in' && name !== own.name && name !== seat && this.#mesh.isReached(address));
    await this.#members.say({
      say: 'forced', id: this.#runtime.id, seat, by: own.name, reached: others.length + 1, known: roster.forced,
    });
  }

  /** A row was added. */
  async #comes(row: Address): Promise<void> {
    if (row === this.#self || this.#members.roster.seatAt(row) !== undefined) return;
    await this.invite(row);
    this.#runtime.logger.info('invited, since globalState.csv has a new row', { broker: row });
  }

  /** A row was taken out. What needs a person's word is not done. */
  async #goes(row: Address): Promise<void> {
    const { roster } = this.#members;
    const { logger } = this.#runtime;
    const seat = roster.seatAt(row);
    if (seat === undefined) return;
    if (seat.state !== 'invited' && (seat.id === this.#runtime.id || this.#isUp(seat))) {
      await this.leave(row);
      logger.info('leaves, since its row was taken out of globalState.csv', { broker: row });
      return;
    }
    await this.forget(row, false, false);
    logger.info('forgotten, since its row was taken out of globalState.csv', { broker: row });
  }

  /** Does what the file says, one thing after another, again as long as only the moment is wrong. */
  #soon(row: Address, act: () => Promise<void>): void {
    const { logger, clock } = this.#runtime;
    const isWanted = this.#rows.includes(row);
    const attempt = async (): Promise<void> => {
      while (!this.#isClosed && this.#rows.includes(row) === isWanted) {
        try {
          return await act();
        } catch (error) {
          if (!(error instanceof RumormillError)) throw error;
          if (error.code === 'CLOSING') return;
          const isLater = error.code === 'BUSY' || error.code === 'NOQUORUM';
          logger.warn('globalState.csv was changed, and the members were not', {
            broker: row, reason: messageOf(error), again: String(isLater),
          });
          if (!isLater) return;
          await new Promise<void>((resolve) => void clock.schedule(RETRY_MS, resolve));
        }
      }
    };
    this.#fileTurn = this.#fileTurn.then(attempt);
  }
}

function wrong(what: string): RumormillError {
  return new RumormillError('ERR', what);
}

function said(change: Change | undefined): string {
  if (change === undefined) return 'another change of the members came first';
  const who = 'seat' in change ? change.seat.slice(change.seat.indexOf('/') + 1) : '';
  return `another change of the members is under way (${change.op} ${'address' in change ? change.address : who})`;
}

/**
 * Which brokers are members of the mesh, as this one knows it from its log; what it says and votes itself; and who else
 * is let in.
 *
 * Before the mesh is founded its members are the rows of globalState.csv. The coordinator proposes them as soon as it
 * reaches a majority of them, and they are founded by their votes (core/members/roster.ts). From then on the log says
 * who is a member, and the file is only what a person writes to have it changed (files.ts).
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import { isDiskFull, RumormillError } from '../core/error.ts';
import type { Log } from '../core/log/log.ts';
import { makeDraft, type StoredBatch } from '../core/log/record.ts';
import type { Store } from '../core/log/store.ts';
import {
  type Change, encodeSaying, MEMBERS_TOPIC, type MembersSaying, NOT_YET, type SeatName,
} from '../core/members/change.ts';
import { type Candidate, givenIn, Roster, type Seat } from '../core/members/roster.ts';
import type { BrokerId, Signatures } from '../core/mesh/identity.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import { Changes, type ChangesMesh, type Membership } from './changes.ts';
import { Closer, type CloserMesh } from './closer.ts';
import type { Publisher } from '../log/publisher.ts';
import type { Peer } from '../mesh/handshake.ts';
import { replay } from '../log/replay.ts';
import { sayingsOf } from './sayings.ts';
import { Whereabouts } from './whereabouts.ts';

const NOBODY = [[]]; // a broker that joins a mesh does not count before it knows who does

export interface MembersRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  readonly store: Store;
  readonly signatures: Pick<Signatures, 'idOf'>;
  readonly publisher: Pick<Publisher, 'publishOwn'>;
  /** Of this broker. */
  readonly id: BrokerId;
  /** Who is a member, or counts, is otherwise than before: here is whom to dial. */
  changed(dialled: readonly Address[]): void;
  /** This broker leaves the mesh: nothing new is to begin here. */
  leaving(): void;
  /** It is none of the members any more. @param error OUT, if it was put out */
  left(error?: RumormillError): void;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

/** What of the mesh it depends on. */
export interface MembersMesh extends ChangesMesh, CloserMesh {
  readonly holdings: ChangesMesh['holdings'] & CloserMesh['holdings'];
  /** The rows, if it is for this broker to propose them as members. */
  founders(): readonly Address[] | undefined;
}

export class Members implements Membership {
  readonly changes: Changes;
  readonly closer: Closer;
  readonly roster = new Roster();
  readonly #runtime: MembersRuntime;
  readonly #mesh: MembersMesh;
  readonly #whereabouts: Whereabouts;
  #rows: readonly Address[] = []; // of globalState.csv
  #members: readonly Address[] | undefined;
  #serving: ReadonlyMap<Address, BrokerId | undefined> = new Map(); // those that are in, and who they are
  #groups: readonly (readonly Address[])[] | undefined;
  readonly #returning = new Map<BrokerId, Address>(); // that were put out, and want to be members anew
  #former: SeatName | undefined; // the seat that this broker had before this process
  #wish: Change | undefined; // that somebody here waits for
  #isSaying = false;
  #isLeaving = false;
  #lonely = 0; // records that wait to be elsewhere, as was said last
  #isClosed = false;
  #lookAt = 0;

  constructor(runtime: MembersRuntime, mesh: MembersMesh) {
    this.#runtime = runtime;
    this.#mesh = mesh;
    this.changes = new Changes(runtime, this, mesh);
    this.#whereabouts = new Whereabouts(runtime, this.roster, mesh);
    this.closer = new Closer(runtime, this.roster, mesh);
  }

  /**
   * Takes up what is stored. To be called before anything else.
   * @param rows of globalState.csv
   */
  async restore(rows: readonly Address[]): Promise<void> {
    this.#rows = rows;
    const { limits } = this.#runtime.config;
    await replay(this.#runtime, MEMBERS_TOPIC, 0, limits, (batches) => this.#hear(batches));
    this.#settle();
    await this.closer.restore();
    this.#former = this.roster.seatOf(this.#runtime.id)?.name;
  }

  get isFounded(): boolean {
    return this.roster.version > 0;
  }

  /** The seat of this broker, if it has one. */
  get own(): Seat | undefined {
    const seat = this.roster.seatOf(this.#runtime.id);
    return seat?.state === 'out' ? undefined : seat;
  }

  /** Where the members are that are not out; before the mesh is founded, the rows. */
  get addresses(): readonly Address[] {
    return this.#members ?? this.#rows;
  }

  /** Whom to dial: the members, and whomever a person has named to join by: all members that it knew may be gone. */
  get dialled(): readonly Address[] {
    const { joins, rejoins } = this.#runtime.config;
    return joins || rejoins ? [...new Set([...this.addresses, ...this.#rows])] : this.addresses;
  }

  /** Of whose disks an acknowledgement needs a majority, of each of the groups; undefined for that of all rows. */
  groups(): readonly (readonly Address[])[] | undefined {
    return this.#groups ?? (this.#runtime.config.joins ? NOBODY : undefined);
  }

  /** Whether a broker may be given work: it is in, or the mesh is not founded yet. */
  serves(address: Address): boolean {
    return !this.isFounded || this.#serving.has(address);
  }

  /**
   * Whether a broker has the seat at an address, and so its disk counts there. Before the mesh is founded whoever is
   * there has it; after that, a broker with another key has none before it is settled that it replaces the former one.
   */
  hasSeat(address: Address, id: BrokerId = this.#runtime.id): boolean {
    return this.isFounded ? this.#serving.get(address) === id : !this.#runtime.config.joins;
  }

  /** Whether a broker has a seat, and so may lead. */
  mayLead(address: Address): boolean {
    return this.#members?.includes(address) ?? true;
  }

  /** Whether a broker that is let in has no seat. @param names that lead to it */
  isGuest({ id }: Peer, names: readonly Address[]): boolean {
    const seat = this.roster.seatOf(id);
    const hasNone = seat === undefined || seat.state === 'out';
    return this.isFounded && hasNone && !names.some((name) => this.roster.isFree(name));
  }

  /** Another broker has reached this one by a name. */
  called(name: Address): void {
    this.#whereabouts.called(name);
  }

  /**
   * Why a broker is not let in; undefined if it is.
   * @param names that lead to it: its own, others that were looked at, and the one by which it was dialled, if it was
   * @param isRow whether one of them is a row
   */
  refusal({ id, address, wants }: Peer, names: readonly Address[], isRow: boolean): RumormillError | undefined {
    const { config } = this.#runtime;
    if (!this.isFounded) {
      if (isRow) return undefined;
      if (config.joins) return new RumormillError('REFUSED', `${this.#self} ${NOT_YET}`);
      const remedy = `add its row, or run admin invite ${address} at a member`;
      return new RumormillError('REFUSED', `${address} is in no row of globalState.csv of ${this.#self}: ${remedy}`);
    }
    const seat = this.roster.seatOf(id);
    if (seat !== undefined && seat.state !== 'out') return undefined;
    if (names.some((name) => this.roster.isFree(name))) return undefined;
    if (seat !== undefined && wants === 'rejoin') return void this.#returning.set(id, address);
    if ((config.joins || config.rejoins) && names.some((name) => this.#rows.includes(name))) return undefined;
    const there = this.roster.seatAt(address);
    if (there !== undefined && !this.#isThere(there)) return undefined; // it may have lost its disk
    if (seat !== undefined) {
      if (this.roster.forced.length > 0) return undefined; // its records may say otherwise; they decide for both
      return new RumormillError('OUT', `${address} was put out of seat ${seat.name}; --rejoin makes it a member anew`);
    }
    const remedy = `run admin invite ${address} at a member, or add its row to globalState.csv while a member runs`;
    return new RumormillError('REFUSED', `${address} is no member of this mesh: ${remedy}`);
  }

  /**
   * A broker, which has proved its id, says that this one was put out of the mesh.
   * @param reason names the seat; this broker may have a newer one, which the other has yet to learn of
   */
  putOut({ id }: Peer, reason: string): void {
    const seat = this.roster.seatOf(id);
    const isHeeded = seat !== undefined && (seat.state !== 'out' || this.roster.forced.length > 0);
    if (!isHeeded || this.own === undefined) return;
    if (Number(/ seat (\d+)\//.exec(reason)?.[1]) < givenIn(this.own.name)) return;
    if (this.#isLeaving) this.#runtime.left();
    else if (!this.#runtime.config.rejoins) this.#out();
  }

  /** The batches are on disk. */
  committed(batches: readonly StoredBatch[]): void {
    this.closer.committed(batches);
    const own = batches.filter(({ topic }) => topic === MEMBERS_TOPIC);
    if (own.length === 0) return;
    this.#hear(own);
    if (!this.#settle()) return;
    const { logger } = this.#runtime;
    const { version, slot: { candidates } } = this.roster;
    logger.debug('members', { version, members: String(this.addresses), proposed: candidates.length });
    this.#runtime.changed(this.dialled);
    this.changes.look();
    this.act();
  }

  /** To be called every `tickMs`. */
  tick(): void {
    this.changes.look();
    const { clock, config } = this.#runtime;
    const now = clock.now();
    if (now < this.#lookAt) return;
    this.#lookAt = now + config.limits.beatMs;
    this.closer.act();
    this.act();
  }

  /** The change that this broker votes for next, if there is no other one before it; undefined for none. */
  set wish(change: Change | undefined) {
    this.#wish = change;
    this.act();
  }

  /** Says what there is to say now, and votes. */
  act(): void {
    if (this.#isSaying || this.#isClosed) return;
    if (this.own?.state === 'leaving') this.#leave();
    const isOut = this.#isOut();
    if (isOut && this.#isLeaving) return this.#runtime.left();
    if (isOut && !this.#mayReturn()) return this.#out();
    const saying = this.#claim() ?? this.#vote();
    if (saying === undefined) return;
    this.#isSaying = true;
    this.say(saying)
      .finally(() => (this.#isSaying = false))
      .then(() => this.act())
      .catch((error: unknown) => {
        const isClosing = error instanceof RumormillError && error.code === 'CLOSING';
        if (!isClosing && !isDiskFull(error)) this.#runtime.storeFailed(error); // if there is no room, it tries again
      });
  }

  /** Puts something said into the log. Settles when it is on disk here. @throws RumormillError */
  say(saying: MembersSaying): Promise<void> {
    const { publisher, clock } = this.#runtime;
    const draft = makeDraft(MEMBERS_TOPIC, clock.wallTime(), [Buffer.from(encodeSaying(saying))]);
    return new Promise((resolve, reject) => publisher.publishOwn(draft, { stored: () => resolve(), failed: reject }));
  }

  /** The rows of globalState.csv have changed while this broker runs. */
  configure(rows: readonly Address[]): void {
    const before = this.#rows;
    this.#rows = rows;
    this.#runtime.changed(this.dialled);
    if (this.isFounded) this.changes.follow(rows, before);
  }

  /** Where the file and the members differ: members that have no row, and rows that are no members. */
  differences(): { readonly unlisted: readonly Address[]; readonly strangers: readonly Address[] } {
    const members = this.#members;
    if (members === undefined || this.#rows.length === 0) return { unlisted: [], strangers: [] };
    return {
      unlisted: members.filter((address) => !this.#rows.includes(address)),
      strangers: this.#rows.filter((row) => !members.includes(row)),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.changes.close();
  }

  get #self(): Address {
    return this.#runtime.config.address;
  }

  #hear(batches: readonly StoredBatch[]): void {
    for (const [saying, stamp] of sayingsOf(this.#runtime, batches)) this.roster.hear(saying, stamp);
  }

  #isOut(): boolean {
    const isOut = this.roster.seatOf(this.#runtime.id)?.state === 'out';
    return isOut && this.#whereabouts.free === undefined;
  }

  /**
   * Whether it goes on though it is out. One that joins may have been a member before, and have a new seat that it has
   * yet to learn of.
   */
  #mayReturn(): boolean {
    const { config: { joins, rejoins }, id } = this.#runtime;
    const isFormer = this.roster.seatOf(id)?.name === this.#former;
    return rejoins || (joins && isFormer && !this.#mesh.holdings.hasAll());
  }

  #out(): void {
    if (this.#isClosed) return;
    const remedy = '--rejoin makes it a member anew';
    this.#runtime.logger.error('put out of the mesh, broker stops', { remedy });
    this.#runtime.left(new RumormillError('OUT', `${this.#self} was put out of its mesh; ${remedy}`));
  }

  /** This broker leaves, and says so. */
  #leave(): void {
    const { logger } = this.#runtime;
    const records = this.#mesh.holdings.lonely();
    if (!this.#isLeaving || records !== this.#lonely) logger.info('leaving the mesh', { waiting_for_records: records });
    this.#lonely = records;
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#runtime.leaving();
  }

  #settle(): boolean {
    if (!this.roster.settle()) return false;
    if (!this.isFounded) return true;
    const seats = this.roster.seats();
    this.#members = seats.filter(({ state }) => state !== 'out').map(({ address }) => address);
    this.#serving = new Map(seats.filter(({ state }) => state === 'in').map(({ address, id }) => [address, id]));
    this.#groups = this.roster.groups().map((group) => group.map(({ address }) => address));
    return true;
  }

  #claim(): MembersSaying | undefined {
    return this.isFounded ? this.#whereabouts.claim(this.own) : undefined;
  }

  #vote(): MembersSaying | undefined {
    if (this.#whereabouts.isElsewhere(this.own)) return undefined; // its vote would say where it is
    const { id } = this.#runtime;
    const { slot } = this.roster;
    if (this.roster.hasVoted(id, slot)) return undefined;
    const { version, attempt, candidates, isOpen } = slot;
    const right = candidates.find((candidate) => this.#isRight(candidate));
    const change = right?.change ?? (isOpen ? this.#proposal() : undefined);
    const names = this.#whereabouts.names();
    const row = change?.op === 'found' ? names.find((name) => change.addresses.includes(name))! : this.#self;
    return change && {
      say: 'vote', id, address: this.#self, row, version, attempt, change, known: this.roster.forced,
    };
  }

  /** Whether this broker would have a change that was proposed. */
  #isRight(candidate: Candidate): boolean {
    const { change } = candidate;
    if (change.op === 'found') return this.#whereabouts.names().some((name) => change.addresses.includes(name));
    if (this.own === undefined) return change.op === 'rebind' && change.id === this.#runtime.id;
    const seat = 'seat' in change ? this.roster.seat(change.seat) : undefined;
    if (change.op === 'rebind') return this.#isGone(seat!, change.id, this.roster.isWanted(candidate));
    return change.op !== 'out' || seat!.name !== this.own.name || seat!.state === 'leaving';
  }

  /** What this broker proposes itself. */
  #proposal(): Change | undefined {
    const { id } = this.#runtime;
    const isWished = this.#wish !== undefined && this.roster.allows(this.#wish);
    if (!this.isFounded) {
      const addresses = this.#mesh.founders();
      return isWished ? this.#wish : addresses && { op: 'found', addresses };
    }
    const { own } = this;
    if (own?.state === 'invited') return { op: 'join', seat: own.name, id };
    if (own?.state === 'leaving') return this.#mesh.holdings.lonely() === 0 ? { op: 'out', seat: own.name } : undefined;
    if (own !== undefined) return isWished ? this.#wish : this.#invitation();
    const lost = this.roster.seatAt(this.#self);
    if (lost?.id === undefined || lost.id === id) return undefined;
    return { op: 'rebind', seat: lost.name, id };
  }

  /** For one that was put out and is back, as soon as all that it has is here. */
  #invitation(): Change | undefined {
    for (const [id, address] of this.#returning) {
      if (this.roster.seatAt(address) !== undefined) this.#returning.delete(id);
      else if (this.#mesh.holdings.hasAllOf(id)) return { op: 'invite', address };
    }
    return undefined;
  }

  /**
   * Whether the broker that has a seat is gone, and another one is at its address: some only say so.
   * @param isSeen whether a member has looked there
   */
  #isGone({ address, id }: Seat, newId: BrokerId, isSeen: boolean): boolean {
    return this.#mesh.idAt(address) !== id && (isSeen || this.#mesh.holdings.sightOf(address) === newId);
  }

  /** Whether the broker that has a seat is up, as far as can be told. */
  #isThere({ id, address }: Seat): boolean {
    const linked = this.#mesh.idAt(address);
    return linked === undefined ? id !== undefined && this.#mesh.isReached(address) : linked === id;
  }
}

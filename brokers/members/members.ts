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
import { keyOf } from '../core/log/proof.ts';
import { makeDraft, messagesOf, type Origin, payloadText, type StoredBatch } from '../core/log/record.ts';
import type { Store } from '../core/log/store.ts';
import {
  type Change, encodeSaying, MEMBERS_TOPIC, type MembersSaying, NOT_YET, parseSaying, type SeatName,
} from '../core/members/change.ts';
import { givenIn, Roster, type Seat } from '../core/members/roster.ts';
import type { BrokerId, Signatures } from '../core/mesh/identity.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import { Changes, type ChangesMesh, type Membership } from './changes.ts';
import { Closer, type CloserMesh } from './closer.ts';
import type { Publisher } from '../log/publisher.ts';
import type { Peer } from '../mesh/handshake.ts';
import { replay } from '../log/replay.ts';

const NOBODY = [[]]; // a broker that joins a mesh does not count before it knows who does
const NAMES_MAX = 64; // that are remembered for this broker

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
  /** Who is a member, or counts, is otherwise than before: here they are. */
  changed(addresses: readonly Address[]): void;
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
  #rows: readonly Address[] = []; // of globalState.csv
  #members: readonly Address[] | undefined;
  #serving: ReadonlySet<Address> = new Set();
  #groups: readonly (readonly Address[])[] | undefined;
  readonly #names = new Set<Address>(); // by which members reach this broker
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

  /** Of whose disks an acknowledgement needs a majority, of each of the groups; undefined for that of all rows. */
  groups(): readonly (readonly Address[])[] | undefined {
    return this.#groups ?? (this.#runtime.config.joins ? NOBODY : undefined);
  }

  /** Whether a broker may be given work: it is in, or the mesh is not founded yet. */
  serves(address: Address): boolean {
    return !this.isFounded || this.#serving.has(address);
  }

  /** Another broker has reached this one by a name. */
  called(name: Address): void {
    if (name !== this.#self && this.#names.size < NAMES_MAX) this.#names.add(name);
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
    if (names.some((name) => this.#isFree(name))) return undefined;
    const there = this.roster.seatAt(address);
    if (there !== undefined && !this.#isThere(there)) return undefined; // it may have lost its disk
    if (seat !== undefined) {
      if (wants === 'rejoin') return void this.#returning.set(id, address);
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
    const isMember = seat !== undefined && seat.state !== 'out';
    if (!isMember || this.own === undefined) return;
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
    this.#runtime.changed(this.addresses);
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
    this.#runtime.changed(this.addresses);
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
    for (const batch of batches) {
      const { origin } = batch;
      for (const message of messagesOf(batch)) {
        const saying = parseSaying(payloadText(message));
        const isSaid = saying !== undefined && saying.id === this.#ownerOf(origin);
        if (isSaid) this.roster.hear(saying, { lamport: message.lamport, origin });
        else this.#ignore(message.lamport, origin, saying);
      }
    }
  }

  /** Who has signed the records of an origin. */
  #ownerOf(origin: Origin): BrokerId | undefined {
    const { log, signatures } = this.#runtime;
    const head = log.head(origin);
    return head && signatures.idOf(keyOf(head.owner));
  }

  #ignore(record: number, origin: Origin, saying: MembersSaying | undefined): void {
    const reason = saying === undefined ? 'not understood' : `said for ${saying.id} by another broker`;
    this.#runtime.logger.warn('members record ignored', { origin, record, reason });
  }

  #isOut(): boolean {
    const isOut = this.roster.seatOf(this.#runtime.id)?.state === 'out';
    return isOut && !this.#called().some((name) => this.#isFree(name));
  }

  /** Whether it goes on though it is out. One that joins may have been a member before, and learn only now who is. */
  #mayReturn(): boolean {
    const { config: { joins, rejoins }, id } = this.#runtime;
    return rejoins || (joins && this.roster.seatOf(id)?.name === this.#former);
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
    this.#members = this.roster.seats().filter(({ state }) => state !== 'out').map(({ address }) => address);
    this.#serving = new Set(this.roster.seats().filter(({ state }) => state === 'in').map(({ address }) => address));
    this.#groups = this.roster.groups().map((group) => group.map(({ address }) => address));
    return true;
  }

  /** Where this broker is, if the log does not say so. */
  #claim(): MembersSaying | undefined {
    const { id } = this.#runtime;
    const { version } = this.roster;
    const here = (row: Address): MembersSaying => ({ say: 'here', id, address: this.#self, row, version });
    if (!this.isFounded) return undefined;
    if (this.own !== undefined) return this.own.address === this.#self ? undefined : here(this.#self);
    const free = this.#called().find((name) => this.#isFree(name));
    return free && here(free);
  }

  /** What this broker is called: by itself first. */
  #called(): readonly Address[] {
    return [this.#self, ...this.#names];
  }

  /** Whether a seat was given to a name that nobody has yet. */
  #isFree(name: Address): boolean {
    const seat = this.roster.seatAt(name);
    return seat !== undefined && seat.id === undefined;
  }

  #vote(): MembersSaying | undefined {
    const { id } = this.#runtime;
    const { slot } = this.roster;
    if (this.roster.hasVoted(id, slot)) return undefined;
    const { version, attempt, candidates } = slot;
    const change = candidates.map((candidate) => candidate.change).find((each) => this.#isRight(each))
      ?? (candidates.length === 0 ? this.#proposal() : undefined);
    const row = change?.op === 'found' ? this.#called().find((name) => change.addresses.includes(name))! : this.#self;
    return change && { say: 'vote', id, address: this.#self, row, version, attempt, change };
  }

  /** Whether this broker would have a change that was proposed. */
  #isRight(change: Change): boolean {
    if (change.op === 'found') return this.#called().some((name) => change.addresses.includes(name));
    if (this.own === undefined) return change.op === 'rebind' && change.id === this.#runtime.id;
    const seat = 'seat' in change ? this.roster.seat(change.seat) : undefined;
    if (change.op === 'rebind') return !this.#isThere(seat!);
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
    const hasAll = (id: BrokerId, address: Address): boolean =>
      this.#mesh.idAt(address) === id && this.#mesh.holdings.hasAllOf(address);
    for (const [id, address] of this.#returning) {
      if (this.roster.seatAt(address) !== undefined) this.#returning.delete(id);
      else if (hasAll(id, address)) return { op: 'invite', address };
    }
    return undefined;
  }

  /** Whether the broker that has a seat is up, as far as can be told. */
  #isThere({ id, address }: Seat): boolean {
    const linked = this.#mesh.idAt(address);
    return linked === undefined ? id !== undefined && this.#mesh.isReached(address) : linked === id;
  }
}

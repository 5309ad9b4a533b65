/**
 * Closes the origins of stores that are gone: names them in closings (core/log/closings.ts), so that cursors need not.
 *
 * The coordinator does that, while it reaches every member: so it knows which store each of them runs. A store is gone
 * if the broker at its address runs another one, or if no member has that address. If this is wrong, its next record is
 * stored as any other, and its origin is named again.
 *
 * One closing at a time. The next one goes on from it as soon as every member has it on disk, and says so by that; it
 * is empty if nothing else is to be closed. A closing of a former coordinator, of which this broker cannot tell who has
 * it, is left alone: what it closes is closed again.
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import { isDiskFull, RumormillError } from '../core/error.ts';
import {
  CLOSED_MAX, CLOSED_TOPIC, type Closing, type ClosingName, closingName, closingRecord, Closings, type ClosingSaying,
  encodeClosing, parseClosing,
} from '../core/log/closings.ts';
import type { Log } from '../core/log/log.ts';
import { makeDraft, messagesOf, type Origin, payloadText, type StoredBatch } from '../core/log/record.ts';
import type { Store } from '../core/log/store.ts';
import { covers, type Vector } from '../core/log/version-vector.ts';
import type { Roster } from '../core/members/roster.ts';
import { type Group, reachedBy } from '../core/mesh/quorum.ts';
import type { Clock, Logger } from '../core/runtime.ts';
import type { Publisher } from '../log/publisher.ts';
import { replay } from '../log/replay.ts';

export interface CloserRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  readonly store: Store;
  readonly publisher: Pick<Publisher, 'publishOwn'>;
  /** The store did not do what it should. */
  storeFailed(error: unknown): void;
}

/** What of the mesh it depends on. */
export interface CloserMesh {
  readonly coordinator: Address | undefined;
  isReached(address: Address): boolean;
  readonly holdings: {
    /** The origins of stores that are gone. */
    gone(isMember: (address: Address) => boolean): Origin[];
    /** How far the brokers whose disks count hold an origin's records. */
    seqs(origin: Origin): readonly Group[];
  };
}

export class Closer {
  readonly closings = new Closings();
  readonly #runtime: CloserRuntime;
  readonly #roster: Roster;
  readonly #mesh: CloserMesh;
  #isSaying = false;

  constructor(runtime: CloserRuntime, roster: Roster, mesh: CloserMesh) {
    this.#runtime = runtime;
    this.#roster = roster;
    this.#mesh = mesh;
  }

  /** Takes up what is stored. To be called before anything else. */
  async restore(): Promise<void> {
    await replay(this.#runtime, CLOSED_TOPIC, 0, this.#runtime.config.limits, async (batches) => {
      for (const batch of batches) {
        for (const [name, saying] of sayingsOf(batch)) {
          this.#hear(name, batch.position, saying, saying !== undefined && await this.#wasHere(saying.closed, batch));
        }
      }
    });
  }

  /** The batches are on disk. */
  committed(batches: readonly StoredBatch[]): void {
    const { vector } = this.#runtime.log;
    for (const batch of batches.filter(({ topic }) => topic === CLOSED_TOPIC)) {
      const here = vectorBefore(vector.snapshot(), batches, batch);
      for (const [name, saying] of sayingsOf(batch)) {
        this.#hear(name, batch.position, saying, saying !== undefined && covers(here, saying.closed));
      }
    }
  }

  /** Closes what there is to close, if it is for this broker to do. To be called now and then. */
  act(): void {
    if (this.#isSaying || !this.#isOurs()) return;
    const saying = this.#next();
    if (saying === undefined) return;
    const { clock, publisher, storeFailed } = this.#runtime;
    const draft = makeDraft(CLOSED_TOPIC, clock.wallTime(), [Buffer.from(encodeClosing(saying))]);
    this.#isSaying = true;
    publisher.publishOwn(draft, {
      stored: () => void (this.#isSaying = false),
      failed: (error) => {
        this.#isSaying = false;
        const passes = isDiskFull(error) || (error instanceof RumormillError && error.code === 'CLOSING');
        if (!passes) storeFailed(error);
      },
    });
  }

  /** A name that is not settled must not be asked for: a store that cannot ask in time takes a new one. */
  #isOurs(): boolean {
    const { config: { address }, log } = this.#runtime;
    if (this.#mesh.coordinator !== address || log.isHeld) return false;
    const members = this.#roster.seats().filter(({ state }) => state === 'in').map((seat) => seat.address);
    return members.includes(address) && members.every((each) => each === address || this.#mesh.isReached(each));
  }

  #next(): ClosingSaying | undefined {
    const { origin, vector } = this.#runtime.log;
    const last = this.#lastHeld();
    const isPending = this.closings.counting().some(({ name, total }) =>
      closingRecord(name)[0] === origin && total > (last?.total ?? 0));
    if (isPending) return undefined; // this broker has said it, and some member has yet to store it
    const closed = this.closings.closedBy(last?.name);
    const gone = this.#mesh.holdings.gone((address) => this.#roster.seatAt(address) !== undefined);
    const open = gone.filter((each) => closed.get(each) !== vector.get(each)).slice(0, CLOSED_MAX);
    if (open.length === 0 && (last === undefined || this.closings.isSettled(last.name))) return undefined;
    for (const each of open.filter((found) => closed.has(found))) {
      const fields = { origin: each, closed: closed.get(each)!, stored: vector.get(each) };
      this.#runtime.logger.warn('more records of a closed origin have come, and it is closed again', fields);
    }
    return { after: last?.name, closed: new Map(open.map((each) => [each, vector.get(each)])) };
  }

  /** The closing that closes most, of those that all members have on disk. */
  #lastHeld(): Closing | undefined {
    const { origin } = this.#runtime.log;
    const held = reachedBy('all', this.#mesh.holdings.seqs(origin));
    let last: Closing | undefined;
    for (const each of this.closings.counting()) {
      const [by, seq] = closingRecord(each.name);
      const isHeld = this.closings.isSettled(each.name) || (by === origin && seq <= held);
      if (isHeld && each.total > (last?.total ?? 0)) last = each;
    }
    return last;
  }

  #hear(closing: ClosingName, position: number, saying: ClosingSaying | undefined, isHere: boolean): void {
    if (saying !== undefined && this.closings.hear(closing, position, saying, isHere)) return;
    const reason = saying === undefined || isHere ? 'not understood' : 'names records that were not stored before it';
    this.#runtime.logger.warn('closing ignored', { closing, reason });
  }

  /** Whether all that is closed is stored here before the batch that says so. */
  async #wasHere(closed: Vector, { position }: StoredBatch): Promise<boolean> {
    const { log, store } = this.#runtime;
    if (!covers(log.vector, closed)) return false;
    for (const [origin, seq] of closed) {
      if (await store.positionBefore([[origin, seq - 1]]) >= position - 1) return false;
    }
    return true;
  }
}

function* sayingsOf(batch: StoredBatch): Generator<[ClosingName, ClosingSaying | undefined]> {
  for (const [index, message] of messagesOf(batch).entries()) {
    yield [closingName(batch.origin, batch.seq + index), parseClosing(payloadText(message))];
  }
}

/** What was stored before one of the batches, which are the newest. */
function vectorBefore(vector: Vector, batches: readonly StoredBatch[], { position }: StoredBatch): Vector {
  const before = new Map(vector);
  for (const batch of [...batches].reverse()) if (batch.position >= position) before.set(batch.origin, batch.seq - 1);
  return before;
}

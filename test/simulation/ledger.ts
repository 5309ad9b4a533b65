/**
 * The ledger: goes through everything that ever happened to the disks, and knows which record each disk held when.
 *
 * On the way it checks what can be seen at each write: a name means one record for ever (invariant 1), nothing is at a
 * peer before it is on its origin's disk (2), an origin's records have no hole (3), nothing is stored before its
 * causes, which are all that its origin had stored before it (4), and a record's Lamport timestamp is above those of
 * its causes.
 */
import type { Address } from '../../brokers/core/address.ts';
import {
  type HeaderList, isCovered, messagesOf, type Origin, originAddress, parseRepeats, type StoredBatch,
} from '../../brokers/core/log/record.ts';
import { covers, type Vector } from '../../brokers/core/log/version-vector.ts';
import type { DiskEvent } from './disk.ts';
import { HOLDS } from './limits.ts';

/** One message of the log. */
export interface Entry {
  readonly origin: Origin;
  readonly seq: number;
  readonly id: string; // <lamport>@<host:port>
  readonly lamport: number;
  readonly topic: string;
  readonly key: string | null;
  readonly payload: string;
  /** What its headers say of the message of which it is a dead letter. */
  readonly deadLetter: { readonly subscription: string; readonly id: string; readonly deliveries: string } | null;
  readonly dedupeId: string | null;
  /** What its origin had stored before it. */
  readonly causes: Vector;
  /** Its origin had stored another with the same dedupe id before. */
  readonly isRepeat: boolean;
  /** The disks that ever held it, and since when. */
  readonly heldBy: Map<Address, number>;
  /** The disks that hold it, and since when. None: wipes and rollbacks have destroyed it. */
  readonly isOn: Map<Address, number>;
}

interface Disk {
  readonly vector: Map<Origin, number>;
  lamport: number;
}

export class Ledger {
  readonly entries = new Map<string, Entry>(); // by `nameOf`
  readonly byPayload = new Map<string, Entry[]>();
  /**
   * Names of records that no disk but their origin's ever held, lost with that disk and given again, since nobody could
   * be asked; and those records.
   */
  readonly givenAgain = new Set<string>();
  readonly superseded = new Set<Entry>();
  readonly violations: {
    readonly kind: 'reused name' | 'not durable' | 'hole' | 'causality' | 'clock';
    readonly what: string;
  }[] = [];
  readonly #byId = new Map<string, Entry>();
  readonly #disks = new Map<Address, Disk>();

  constructor(events: readonly DiskEvent[]) {
    for (const event of events) {
      if (event.kind === 'replaced') this.#replace(event);
      else for (const batch of event.batches) this.#write(event, batch);
    }
  }

  /**
   * What a subscriber was sent by a broker, by what it can see of it. An id may have been given twice, by a broker that
   * lost its disk: then it is what that broker had stored last.
   */
  find(id: string, payload: string, broker: Address, at: number): Entry | undefined {
    const entries = (this.byPayload.get(payload) ?? []).filter((entry) => entry.id === id);
    const since = ({ heldBy }: Entry): number => heldBy.get(broker) ?? Infinity;
    const held = entries.filter((entry) => since(entry) <= at).sort((a, b) => since(b) - since(a));
    return held[0] ?? entries.find(({ heldBy }) => heldBy.has(broker)) ?? entries[0];
  }

  #disk(address: Address): Disk {
    let disk = this.#disks.get(address);
    if (disk === undefined) this.#disks.set(address, (disk = { vector: new Map(), lamport: 0 }));
    return disk;
  }

  #replace({ disk, at, batches }: DiskEvent): void {
    const kept = new Set(
      batches.flatMap((batch) =>
        Array.from({ length: batch.count }, (_, index) => nameOf(batch.origin, batch.seq + index)),
      ),
    );
    for (const [name, entry] of this.entries) {
      if (!kept.has(name)) entry.isOn.delete(disk);
      else {
        if (!entry.isOn.has(disk)) entry.isOn.set(disk, at);
        if (!entry.heldBy.has(disk)) entry.heldBy.set(disk, at); // it came from another machine
      }
    }
    const state: Disk = { vector: new Map(), lamport: 0 };
    this.#disks.set(disk, state);
    for (const batch of batches) this.#advance(state, batch);
  }

  #write({ disk, store, at }: DiskEvent, batch: StoredBatch): void {
    const state = this.#disk(disk);
    const isOwn = batch.origin === store;
    const causes: Vector = isOwn ? new Map(state.vector) : new Map();
    const name = nameOf(batch.origin, batch.seq);
    if (batch.seq !== (state.vector.get(batch.origin) ?? 0) + 1) {
      this.#violated('hole', `${disk} stored ${name} after ${state.vector.get(batch.origin) ?? 0}`);
    }
    if (isOwn && batch.lamport <= state.lamport) {
      this.#violated('clock', `${name} has Lamport timestamp ${batch.lamport}, its causes have ${state.lamport}`);
    }
    if (isCovered(batch)) this.#noteCovered(batch, disk, at);
    const copies = parseRepeats(batch);
    for (const [index, message] of messagesOf(batch).entries()) {
      const entry: Entry = {
        origin: batch.origin,
        seq: batch.seq + index,
        id: message.id,
        lamport: message.lamport,
        topic: batch.topic,
        key: message.key,
        payload: Buffer.from(message.payload).toString(),
        deadLetter: deadLetterOf(message.headers),
        dedupeId: message.dedupe?.id ?? null,
        causes,
        isRepeat: isOwn && copies.has(index),
        heldBy: new Map(),
        isOn: new Map(),
      };
      this.#note(entry, disk, at, isOwn);
    }
    this.#advance(state, batch);
  }

  #note(entry: Entry, disk: Address, at: number, isOwn: boolean): void {
    const name = nameOf(entry.origin, entry.seq);
    let known = this.entries.get(name);
    if (
      known !== undefined &&
      isOwn &&
      contentOf(known) !== contentOf(entry) &&
      wasOnlyOn(known, disk) &&
      !HOLDS.restoredKnownByReaders
    ) {
      this.givenAgain.add(name);
      this.superseded.add(known);
      known = undefined;
    }
    if (known === undefined) {
      this.entries.set(name, (known = entry));
      this.byPayload.set(entry.payload, [...(this.byPayload.get(entry.payload) ?? []), entry]);
      const other = this.#byId.get(entry.id);
      if (other !== undefined && HOLDS.uniqueIds) {
        this.#violated(
          'reused name',
          `${entry.id} is ${other.payload} of ${other.origin} and ${entry.payload} of ${entry.origin}`,
        );
      }
      this.#byId.set(entry.id, entry);
      if (!isOwn) this.#violated('not durable', `${name} is on ${disk} and was never on its origin's disk`);
    } else if (contentOf(known) !== contentOf(entry)) {
      this.#violated('reused name', `${name} is ${contentOf(known)} and, on ${disk}, ${contentOf(entry)}`);
    } else if (!isOwn && !covers(this.#disk(disk).vector, known.causes)) {
      this.#violated(
        'causality',
        `${disk} stored ${name} before what ${originAddress(entry.origin)} had stored before it`,
      );
    }
    if (!known.heldBy.has(disk)) known.heldBy.set(disk, at);
    known.isOn.set(disk, at);
  }

  /** A disk has got it when it was deleted already; that counts as having it. */
  #noteCovered({ origin, seq, count }: StoredBatch, disk: Address, at: number): void {
    for (let index = 0; index < count; index += 1) {
      const heldBy = this.entries.get(nameOf(origin, seq + index))?.heldBy;
      if (heldBy !== undefined && !heldBy.has(disk)) heldBy.set(disk, at);
    }
  }

  #advance(disk: Disk, batch: StoredBatch): void {
    disk.vector.set(batch.origin, batch.seq + batch.count - 1);
    disk.lamport = Math.max(disk.lamport, batch.lamport + batch.count - 1);
  }

  #violated(kind: Ledger['violations'][number]['kind'], what: string): void {
    this.violations.push({ kind, what });
  }
}

/** Whether it is lost, and no other disk ever held it. */
function wasOnlyOn({ isOn, heldBy }: Entry, disk: Address): boolean {
  return isOn.size === 0 && heldBy.size === 1 && heldBy.has(disk);
}

export function nameOf(origin: Origin, seq: number): string {
  return `${origin} ${seq}`;
}

function contentOf({ lamport, topic, payload, dedupeId }: Entry): string {
  return JSON.stringify([lamport, topic, payload, dedupeId]);
}

function deadLetterOf(headers: HeaderList): Entry['deadLetter'] {
  const values = new Map(
    Array.from({ length: headers.length / 2 }, (_, index) => [headers[2 * index]!, headers[2 * index + 1]!]),
  );
  const [subscription, id, deliveries] = ['subscription', 'id', 'deliveries'].map((name) =>
    values.get(`dead-letter-${name}`),
  );
  return subscription === undefined ? null : { subscription, id: id ?? '', deliveries: deliveries ?? '' };
}

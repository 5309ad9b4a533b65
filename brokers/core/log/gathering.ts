/**
 * Gathering: batches of one peer wait here until their group (proof.ts) is whole, and are checked then. So nothing goes
 * on from here that its origin has not signed, and a group is accepted by all or not at all. What another peer has made
 * up is never taken for the beginning of what this one sends.
 *
 * Bounded: an origin signs before its group is large, and a peer sends one group after another. What does not fit is
 * dropped, and grafted again, as in hold-back.
 */
import { RumormillError } from '../error.ts';
import type { Group } from './hold-back.ts';
import { checkGroup, type Digests, GROUP_BATCHES, GROUP_BYTES, type Head, isSigned } from './proof.ts';
import { batchBytes, lastSeq, type Origin, type RecordBatch } from './record.ts';

/** How far an origin's records are here: the next seq, and the head before it. */
export interface End {
  readonly next: number;
  readonly head: Head | undefined;
}

interface Begun {
  readonly batches: RecordBatch[];
  bodies: number; // bytes
}

export class Gathering {
  readonly #end: (origin: Origin) => End;
  readonly #digests: Digests;
  readonly #bytesMax: number;
  readonly #groups = new Map<Origin, Begun>();
  #bytes = 0;

  /** @param end of what has gone on, from here or from other peers */
  constructor(end: (origin: Origin) => End, digests: Digests, bytesMax: number) {
    this.#end = end;
    this.#digests = digests;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes in a batch. Returns its group, if that is whole, or that its origin has two histories, both signed.
   * @throws RumormillError PROTOCOL if the peer cannot have got it so
   */
  offer(batch: RecordBatch): Group | 'gathered' | 'duplicate' | 'dropped' | 'forked' {
    const { origin, seq, proof } = batch;
    const { next, head } = this.#end(origin);
    if (this.#groups.has(origin) && this.#groups.get(origin)!.batches[0]!.seq !== next) this.drop(origin);
    const begun = this.#groups.get(origin);
    const expected = begun === undefined ? next : lastSeq(begun.batches.at(-1)!) + 1;
    if (seq !== expected) return seq < expected ? 'duplicate' : 'dropped';
    if (proof === '' && head === undefined && begun === undefined) return { batches: [batch], head: undefined };
    if (proof === '') throw new RumormillError('PROTOCOL', `record ${seq} of ${origin} has no proof, others have`);
    return isSigned(batch) ? this.#check([...begun?.batches ?? [], batch], head) : this.#gather(batch, begun);
  }

  /** Lets go of what waits of an origin. */
  drop(origin: Origin): void {
    for (const batch of this.#groups.get(origin)?.batches ?? []) this.#bytes -= batchBytes(batch);
    this.#groups.delete(origin);
  }

  /** Lets go of everything that waits. */
  clear(): void {
    this.#groups.clear();
    this.#bytes = 0;
  }

  #check(batches: readonly RecordBatch[], before: Head | undefined): Group | 'forked' {
    this.drop(batches[0]!.origin);
    const head = checkGroup(batches, before, this.#digests);
    return head === 'forked' ? head : { batches, head };
  }

  #gather(batch: RecordBatch, begun: Begun = { batches: [], bodies: 0 }): 'gathered' | 'dropped' {
    const { origin, seq, body } = batch;
    if (begun.bodies + body.length >= GROUP_BYTES || begun.batches.length + 1 >= GROUP_BATCHES) {
      throw new RumormillError('PROTOCOL', `record ${seq} of ${origin} should have been signed`);
    }
    if (this.#bytes + batchBytes(batch) > this.#bytesMax) return 'dropped';
    this.#bytes += batchBytes(batch);
    begun.batches.push(batch);
    begun.bodies += body.length;
    this.#groups.set(origin, begun);
    return 'gathered';
  }
}

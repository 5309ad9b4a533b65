/**
 * What is published becomes records of the log, and is answered once it is on as many disks as the
 * publisher wants.
 *
 * Invariants: each draft is answered once. Nothing is answered before it is on disk here, but at ACKS
 * none, which is answered by the name alone (invariant 5 in brokers/README.md).
 */
import type { AckLevel } from '../core/ack-level.ts';
import { RumormillError } from '../core/error.ts';
import { Arena } from '../core/log/arena.ts';
import type { LamportClock } from '../core/log/lamport.ts';
import type { Log } from '../core/log/log.ts';
import type { Draft, Origin } from '../core/log/record.ts';
import type { Copies } from '../core/log/copies.ts';
import type { DraftFate } from '../core/log/transaction.ts';
import type { Quorum } from '../core/mesh/quorum.ts';
import type { Clock } from '../core/runtime.ts';

/** What a publisher is answered. */
export type Outcome = { readonly lamport: number } | { readonly error: RumormillError };

export interface PublisherRuntime {
  readonly clock: Clock;
  readonly log: Log;
  readonly lamport: LamportClock;
  readonly copies: Copies;
  readonly quorum: Quorum;
}

export class Publisher {
  /** Where the payloads of publishers are gathered. */
  readonly bodies = new Arena();
  readonly #runtime: PublisherRuntime;
  #isClosed = false;
  #refusal: RumormillError | undefined; // of all that is published from now on

  constructor(runtime: PublisherRuntime) {
    this.#runtime = runtime;
  }

  /**
   * Publishes a batch; `done` is called once, with the Lamport timestamp of its first message or with what was wrong.
   */
  publish(draft: Draft, acks: AckLevel, done: (outcome: Outcome) => void): void {
    if (this.#refusal !== undefined) return this.#refuse(draft, this.#refusal, done);
    let isAnswered = false; // at ACKS none by its name, which a draft may wait for in vain
    this.#runtime.log.publish(draft, {
      named: ({ lamport }) => {
        if (acks !== 'none') return;
        isAnswered = true;
        done({ lamport });
      },
      stored: ({ origin, seq, lamport }) => {
        if (acks !== 'none') this.acknowledge(acks, origin, seq + draft.count - 1, lamport, done);
      },
      failed: (error) => this.#refuse(draft, error, isAnswered ? () => undefined : done),
    });
  }

  /** Publishes a batch that the broker itself has something to say with. */
  publishOwn(draft: Draft, fate: DraftFate): void {
    if (this.#isClosed) fate.failed(this.#refusal!);
    else this.#runtime.log.publish(draft, fate);
  }

  /** Claims a dedupe id for a message about to be published. False if it is known: then `repeat`. */
  claimId(topic: string, id: string): boolean {
    return this.#runtime.copies.claim(topic, id);
  }

  /** A publish copies a known id: its first message is what is to be acknowledged. */
  repeat(topic: string, id: string, acks: AckLevel, done: (outcome: Outcome) => void): void {
    this.#runtime.copies.fate(topic, id, (fate) => {
      if ('error' in fate) return done(fate);
      this.acknowledge(acks, fate.known.origin, fate.known.seq, fate.known.lamport, done);
    });
  }

  /** A record is on disk here: answers as soon as that is enough. */
  acknowledge(acks: AckLevel, origin: Origin, seq: number, lamport: number, done: (outcome: Outcome) => void): void {
    const { quorum, clock } = this.#runtime;
    if (acks === 'none' || acks === 'local') done({ lamport });
    else quorum.wait(acks, origin, seq, clock.now(), (error) => done(error ? { error } : { lamport }));
  }

  /** A publisher's clock is at this time. @throws RumormillError ERR if that is absurd */
  witness(lamport: number): void {
    this.#runtime.lamport.witnessPublisher(lamport);
  }

  wallTime(): number {
    return Math.round(this.#runtime.clock.wallTime());
  }

  /** Clients publish elsewhere from now on: this broker leaves the mesh. */
  leave(): void {
    this.#refusal ??= new RumormillError('LEAVING', 'this broker leaves the mesh; nothing was stored');
  }

  /** Nothing more is published. */
  close(): void {
    this.#isClosed = true;
    this.#refusal = new RumormillError('CLOSING', 'this broker is shutting down; nothing was stored');
  }

  #refuse(draft: Draft, error: RumormillError, done: (outcome: Outcome) => void): void {
    this.#runtime.copies.failed(draft, error);
    done({ error });
  }
}

/**
 * What of the promises about queues was broken in a run. As in checker.ts, everything is compared with what was asked
 * for and answered; of the brokers' own words only two are used: a token begins with the tag of the process that made
 * it, and each process logs the views that it uses.
 *
 * What is promised depends on who was the home:
 *   - A *reign* is the time in which one process is the home of a queue without a break: between two of its views that
 *   place the queue elsewhere, or from its
 *     start, or to its end. Within a reign there are no two leases of one message at a time, deliveries count on,
 *     tokens are exact, and what is acknowledged is done.
 *   - Two homes at a time are possible while brokers do not reach each other, or have not agreed since; so never in a
 *   *calm*, when nothing has been disturbed
 *     for longer than agreeing takes.
 *   - Whichever home it is: what was acknowledged is not delivered again by a broker that had the acknowledgement's
 *   record on its disk, which was not replaced since.
 */
import type { Address } from '../../brokers/core/address.ts';
import { originAddress } from '../../brokers/core/log/record.ts';
import { checkCatalogs } from './catalog-checker.ts';
import type { Violation } from './checker.ts';
import { checkFloors } from './floor-checker.ts';
import type { History } from './history.ts';
import { type Entry, type Ledger, nameOf } from './ledger.ts';
import { checkPurges } from './purge-checker.ts';
import { checkPutOff } from './put-off-checker.ts';
import { QueueFacts } from './queue-facts.ts';
import type { Lease, Queue, QueueHistory, Settlement } from './queue-history.ts';
import type { AckRecord } from './queue-records.ts';

const LATE_MS = 300; // by which an expired lease may be looked at too late

/** What consumers did, and what of it may look wrong and is not. */
export type QueueCounts = {
  leases: number;
  /** Those that came over brokers between the home and the one that was asked. */
  passedOn: number;
  redelivered: number;
  acknowledged: number;
  deadLettered: number;
  /** Deliveries after an acknowledgement, by a home that could not know of it. */
  againUnknown: number;
  /** Pairs of leases of one message by two homes at a time. */
  rivals: number;
  /** Messages that a PURGE has dropped, as it was answered. */
  purged: number;
  /** Changes of settings. */
  updated: number;
  /** Deliveries of messages that had been put off, by a home that had only the record of that. */
  afterPutOff: number;
};

export function checkQueues(
  history: History, queues: QueueHistory, ledger: Ledger,
): { violations: Violation[]; counts: QueueCounts } {
  const checker = new QueueChecker(new QueueFacts(history, queues, ledger));
  checker.run();
  return { violations: checker.violations, counts: checker.counts };
}

const PATIENCE_MS = 2900; // in which the home is found, whatever a client allows a command beyond it

class QueueChecker {
  readonly violations: Violation[] = [];
  readonly counts: QueueCounts = {
    leases: 0, passedOn: 0, redelivered: 0, acknowledged: 0, deadLettered: 0, againUnknown: 0, rivals: 0, purged: 0,
    updated: 0, afterPutOff: 0,
  };
  readonly #facts: QueueFacts;

  constructor(facts: QueueFacts) {
    this.#facts = facts;
  }

  run(): void {
    const { queues, leases, stuck, leftovers, settlements } = this.#facts.queues;
    this.counts.leases = leases.length;
    this.counts.passedOn = leases.filter(({ isPassedOn }) => isPassedOn).length;
    for (const name of stuck) this.#violated('queue stuck', `${name} could not be emptied`);
    for (const lease of leases) this.#checkLease(lease);
    for (const asked of [...this.#facts.queues.pulls, ...settlements, ...this.#facts.queues.purges]) {
      const isRefused =
        asked.outcome === 'TRYAGAIN' || (asked.outcome === 'TIMEOUT' && asked.endedAt - asked.sentAt >= PATIENCE_MS);
      const { sentAt, endedAt, outcome, broker } = asked;
      if (isRefused && (this.#facts.inBridged(sentAt, endedAt) || this.#facts.inOrder(sentAt, endedAt))) {
        this.#violated(
          'unavailable', `${asked.queue} at ${endedAt} by ${broker}: ${outcome}, and there is a way to every broker`,
        );
      }
    }
    for (const queue of queues) {
      const byMessage = new Map<string, Lease[]>();
      for (const lease of leases) {
        if (lease.pull.queue === queue.name) {
          byMessage.set(messageOf(lease), [...(byMessage.get(messageOf(lease)) ?? []), lease]);
        }
      }
      for (const some of byMessage.values()) {
        this.#checkMessage(queue, some);
        this.counts.afterPutOff += checkPutOff(this.#facts, queue, some, (kind, what) => this.#violated(kind, what));
      }
      this.#checkConsumed(queue);
      checkFloors(this.#facts, queue, (kind, what) => this.#violated(kind, what));
      this.#checkDeadLetters(queue, byMessage);
    }
    for (const settlement of settlements) if (settlement.kind === 'ack') this.#checkAck(settlement);
    for (const { broker, queue, id, payload } of leftovers) {
      this.#violated('acknowledgement unknown', `${payload} (${id}) of ${queue} is not done at ${broker} alone`);
    }
    const report = (kind: string, what: string): void => this.#violated(kind, what);
    this.counts.purged = checkPurges(this.#facts, report);
    checkCatalogs(this.#facts, report);
    this.counts.updated = this.#facts.changes.filter(
      ({ operation }) => operation['op'] === 'subscription.update',
    ).length;
  }

  /** It is for the queue, and was on the disk of the broker that leased it. */
  #checkLease(lease: Lease): void {
    const { pull, token, topic, key, id, payload } = lease;
    const queue = this.#facts.queues.queues.find(({ name }) => name === pull.queue)!;
    const broker = this.#facts.processOf(lease);
    if (broker === undefined) return this.#violated('token', `${token} bears the tag of no process`);
    if (!this.#facts.isFor(queue, topic, key)) {
      this.#violated('queue unexpected', `${payload} of ${topic}, key ${key}, to ${queue.name}`);
    }
    const entry = this.#facts.ledger.find(id, payload, broker, pull.endedAt);
    if (entry === undefined || (entry.heldBy.get(broker) ?? Infinity) > pull.endedAt) {
      this.#violated('not durable', `${payload} was leased by ${broker}, which had it not on disk`);
    }
  }

  /** All leases of one message. */
  #checkMessage(queue: Queue, leases: readonly Lease[]): void {
    this.counts.redelivered += leases.length - 1;
    for (const [index, one] of leases.entries()) {
      for (const other of leases.slice(index + 1)) {
        const [a, b] =
          one.deliveries < other.deliveries ||
          (one.deliveries === other.deliveries && one.pull.sentAt <= other.pull.sentAt)
            ? [one, other]
            : [other, one];
        if (this.#facts.inOneReign(queue, a, b)) this.#checkSuccession(queue, a, b);
        else if (this.#overlap(queue, a, b)) {
          this.counts.rivals += 1;
          const [from, to] = [Math.min(a.pull.sentAt, b.pull.sentAt), Math.max(a.pull.endedAt, b.pull.endedAt)];
          const homes = `${this.#facts.homeOf(a)} and ${this.#facts.homeOf(b)}`;
          const both = `${shown(a)} and ${shown(b)} are leased at once by ${homes}`;
          if (this.#facts.inCalm(from, to)) this.#violated('two homes', `${both}, and all is calm`);
          else if (this.#facts.inOrder(from, to)) {
            this.#violated('not handed over', `${both}, and brokers were only stopped and started`);
          }
        }
      }
      this.#checkDone(queue, one, leases);
    }
  }

  /** Two leases of a message, the one after the other in one reign. */
  #checkSuccession(queue: Queue, a: Lease, b: Lease): void {
    if (a.deliveries === b.deliveries) {
      this.#violated('delivery count', `${shown(a)} twice, at ${a.pull.sentAt} and ${b.pull.sentAt}`);
    }
    const dueAt = this.#dueAgain(queue, a, b);
    if (b.pull.endedAt < dueAt && !this.#overlap(queue, a, b)) {
      this.#violated('too early', `${shown(b)} at ${b.pull.endedAt}, and not to be delivered before ${dueAt}`);
    }
    if (this.#overlap(queue, a, b)) {
      this.#violated(
        'leased twice',
        `${shown(a)} is held until ${this.#heldUntil(queue, a)[0]} and leased again at ${b.pull.endedAt} to ${b.pull.consumer}`,
      );
    }
    if (this.#facts.ackBy(this.#facts.homeOf(a), a, b.pull.sentAt) !== undefined) {
      this.#violated('delivered after ACK', `${shown(b)} by the home that had answered its ACK`);
    }
  }

  /** Whether b was certainly leased while a was certainly held. */
  #overlap(queue: Queue, a: Lease, b: Lease): boolean {
    const [least] = this.#heldUntil(queue, a);
    return b.pull.endedAt < least && b.pull.sentAt >= a.pull.sentAt && this.#endsOf(a, b.pull.endedAt).length === 0;
  }

  /**
   * What may have ended a lease by then. That it was answered to be no good says little while links are lost: it may
   * have been carried out twice.
   */
  #endsOf(lease: Lease, by: number): Settlement[] {
    return (this.#facts.settlements.get(lease) ?? []).filter(({ kind, sentAt, endedAt, outcome }) => (
      kind !== 'extend' && sentAt <= by && (outcome !== 0 || !this.#facts.inCalm(sentAt, endedAt))));
  }

  /**
   * When the next delivery after a lease may be, at the soonest, where it was given back with all that was to be given
   * back, or has run out.
   */
  #dueAgain(queue: Queue, lease: Lease, next: Lease): number {
    const ends = this.#endsOf(lease, next.pull.endedAt);
    const nack = ends.find(({ kind, outcome, leases }) => kind === 'nack' && outcome === leases.length);
    if (nack === undefined && ends.length > 0) return 0;
    const [from, to] =
      nack === undefined ? [this.#heldUntil(queue, lease)[0], next.pull.endedAt] : [nack.sentAt, nack.endedAt];
    if (nack !== undefined && nack.ms !== null) return from + nack.ms;
    const backoffMs = Math.min(
      ...this.#facts.valuesOf(queue, 'backoffMs', this.#facts.homeOf(lease), from, to).map((ms) => ms ?? 0),
    );
    return from + backoffMs * 2 ** (lease.deliveries - 1);
  }

  /** Until when a lease holds, at least and at most, as long as it is not given back. */
  #heldUntil(queue: Queue, lease: Lease): [least: number, most: number] {
    const { pull } = lease;
    const visibilityMs = this.#facts.valuesOf(
      queue, 'visibilityMs', this.#facts.homeOf(lease), pull.sentAt, pull.endedAt,
    );
    let [least, most] = [pull.sentAt + Math.min(...visibilityMs), pull.endedAt + Math.max(...visibilityMs)];
    for (const { kind, ms, sentAt, endedAt, outcome, leases } of this.#facts.settlements.get(lease) ?? []) {
      if (kind !== 'extend' || outcome === 0) continue;
      const isSure = outcome === leases.length;
      least = isSure ? sentAt + ms! : Math.min(least, sentAt + ms!);
      most = Math.max(most, isSure ? endedAt + ms! : Infinity);
    }
    return [least, most];
  }

  /** What was acknowledged is not delivered again by who has its record, in later reigns and by other brokers too. */
  #checkDone(queue: Queue, acked: Lease, leases: readonly Lease[]): void {
    for (const ack of this.#facts.settlements.get(acked) ?? []) {
      if (ack.kind !== 'ack' || ack.outcome !== ack.leases.length) continue;
      const records = this.#facts.recordsOf(queue.name, ack);
      for (const again of leases) {
        if (again.pull.sentAt < ack.endedAt) continue;
        const broker = this.#facts.homeOf(again);
        const isKnown =
          records.length > 0 &&
          records.every(({ entry }) => (entry.heldBy.get(broker) ?? Infinity) < again.pull.sentAt);
        // then it is to wait for the record before it takes over
        const isConnected = this.#facts.areConnected(records, ack.sentAt, again.pull.endedAt);
        if (!(isKnown || isConnected) || this.#facts.wasReplaced(broker, ack.sentAt, again.pull.endedAt))
          this.counts.againUnknown += 1;
        else
          this.#violated(
            'delivered after ACK',
            `${shown(again)} by ${broker}, which ${isKnown ? 'had' : 'could have'} the acknowledgement of ${ack.sentAt} on disk`,
          );
      }
    }
  }

  /** An ACK is answered when its record is on the disk of the home, and counts what was still good. */
  #checkAck(ack: Settlement): void {
    const { queue: name, leases, outcome, sentAt, endedAt } = ack;
    if (typeof outcome !== 'number') return;
    this.counts.acknowledged += outcome;
    const strays = leases.filter(({ pull }) => pull.queue !== name).length;
    if (outcome > leases.length - strays) {
      return this.#violated('token', `ACK of ${name} takes ${strays} tokens of ${leases[0]!.pull.queue} for good`);
    }
    const records = this.#facts.recordsOf(name, ack);
    if (outcome > 0 && records.length === 0) {
      this.#violated('acknowledged', `${leases.map(shown).join()} at ${endedAt}, with no record on any disk`);
    }
    if (leases.length > 1 || strays > 0) return;
    const queue = this.#facts.queues.queues.find((each) => each.name === name)!;
    const [lease] = leases as [Lease];
    const why = this.#whyNotGood(queue, lease, ack, records);
    if (outcome === 1 && why !== undefined) {
      this.#violated('token', `ACK of ${shown(lease)} at ${sentAt} is taken for good, though ${why}`);
    }
    if (outcome === 0 && this.#mustBeGood(queue, lease, ack)) {
      this.#violated('token', `ACK of ${shown(lease)} at ${sentAt} is taken for not good`);
    }
  }

  /** What makes the token of a lease void, certainly, where its own home answers in the same reign. */
  #whyNotGood(queue: Queue, lease: Lease, ack: Settlement, records: readonly AckRecord[]): string | undefined {
    const home = this.#facts.homeOf(lease);
    if (
      !records.every(({ entry }) => originAddress(entry.origin) === home) ||
      !this.#facts.reigns(queue, lease, lease.pull.sentAt, ack.endedAt)
    ) {
      return undefined;
    }
    if (this.#facts.ackBy(home, lease, ack.sentAt) !== undefined) return 'it was acknowledged';
    if (ack.sentAt > this.#heldUntil(queue, lease)[1] + LATE_MS) return 'it had expired';
    if (this.#facts.purgeBy(home, queue, lease.pull.endedAt, ack.sentAt) !== undefined) return 'it had been purged';
    const newer = this.#facts.queues.leases.find(
      (other) =>
        other !== lease &&
        other.pull.queue === queue.name &&
        messageOf(other) === messageOf(lease) &&
        other.deliveries > lease.deliveries &&
        other.pull.endedAt <= ack.sentAt &&
        this.#facts.inOneReign(queue, lease, other),
    );
    return newer && `it had been leased again at ${newer.pull.endedAt}`;
  }

  /** It is held for certain, nobody did anything about it before, and there is one home only. */
  #mustBeGood(queue: Queue, lease: Lease, ack: Settlement): boolean {
    const before = this.#facts.settlements.get(lease)!.filter(({ kind }) => kind !== 'extend');
    return (
      before[0] === ack &&
      ack.endedAt < this.#heldUntil(queue, lease)[0] &&
      this.#facts.inCalm(lease.pull.sentAt, ack.endedAt) &&
      this.#facts.reigns(queue, lease, lease.pull.sentAt, ack.endedAt) &&
      !this.#facts.isGone(queue, ack.endedAt) &&
      !this.#facts.mayPurge(queue, lease.pull.sentAt, ack.endedAt)
    );
  }

  /**
   * Whatever is stored in the end and bound to the queue was delivered, and acknowledged or dead-lettered, or was
   * purged.
   */
  #checkConsumed(queue: Queue): void {
    if (this.#facts.isGone(queue, Infinity) || this.#facts.queues.stuck.includes(queue.name)) return;
    const isPossible = (lease: Lease, ack: Settlement): boolean =>
      ack.kind === 'ack' && ack.outcome !== 'UNREACHABLE' && (ack.outcome !== 0 || this.#mayBeRepeated(lease, ack));
    const done = new Set<string>();
    for (const [lease, settlements] of this.#facts.settlements) {
      if (lease.pull.queue === queue.name && settlements.some((ack) => isPossible(lease, ack))) done.add(lease.payload);
    }
    for (const { deadLetter, payload, isOn } of this.#facts.entries) {
      if (deadLetter?.subscription === queue.name && isOn.size > 0) done.add(payload);
    }
    for (const entry of this.#facts.entries) {
      const { topic, key, payload, isOn, origin, seq } = entry;
      if (
        isOn.size === 0 ||
        !this.#facts.isFor(queue, topic, key) ||
        done.has(payload) ||
        this.#facts.isDeleted(entry) ||
        this.#facts.isAheadOfName(entry) ||
        this.#facts.mayBePurged(queue, entry)
      ) {
        continue;
      }
      if (!this.#facts.ledger.givenAgain.has(nameOf(origin, seq))) {
        this.#violated('not consumed', `${payload} (${origin} ${seq}) of ${topic} by ${queue.name}`);
      }
    }
  }

  /**
   * The way to the home was lost before it could answer, and at the second attempt the token was used up: "carried out
   * twice" (brokers/home/errands.ts).
   */
  #mayBeRepeated({ pull, id, payload }: Lease, ack: Settlement): boolean {
    if (this.#facts.inCalm(ack.sentAt, ack.endedAt)) return false;
    return (this.#facts.records.get(pull.queue) ?? []).some((record) => {
      const home = originAddress(record.entry.origin);
      const entry = this.#facts.ledger.find(id, payload, home, pull.endedAt);
      return entry !== undefined && record.lists(entry) && record.entry.heldBy.get(home)! >= ack.sentAt;
    });
  }

  /** Dead letters come of messages that were delivered as often as may be, once, and keep their payload. */
  #checkDeadLetters(queue: Queue, byMessage: ReadonlyMap<string, readonly Lease[]>): void {
    const copies = new Map<string, Entry>(); // by origin and message
    for (const leases of byMessage.values()) {
      for (const lease of leases) {
        const [, most] = this.#maxDeliveries(queue, this.#facts.homeOf(lease), lease.pull.sentAt, lease.pull.endedAt);
        if (lease.deliveries > most) this.#violated('delivery count', `${shown(lease)} of ${most}`);
        this.#checkAttempts(queue, lease, leases);
      }
    }
    for (const entry of this.#facts.entries.filter(({ deadLetter }) => deadLetter?.subscription === queue.name)) {
      const { id, deliveries } = entry.deadLetter!;
      this.counts.deadLettered += 1;
      const at = entry.heldBy.get(originAddress(entry.origin)) ?? Infinity;
      const leases = byMessage.get(`${id} ${entry.payload}`) ?? [];
      const seen = leases.filter(({ pull }) => pull.sentAt < at);
      const [least, most] = this.#maxDeliveries(
        queue, originAddress(entry.origin), Math.min(at, ...seen.map(({ pull }) => pull.sentAt)), at,
      );
      if (Number(deliveries) < least || (Number(deliveries) > most && least === most)) {
        this.#violated('dead letter', `${entry.payload} after ${deliveries} deliveries, not ${least}`);
      }
      const copy = `${entry.origin} ${id}`;
      if (copies.has(copy) && !entry.isRepeat && !this.#facts.ledger.superseded.has(copies.get(copy)!)) {
        this.#violated('dead letter', `${entry.payload} (${id}) twice by ${entry.origin}`);
      }
      copies.set(copy, entry);
      const unseen = this.#facts.queues.pulls.filter(
        (pull) => pull.queue === queue.name && typeof pull.outcome !== 'number' && pull.sentAt < at,
      ).length;
      if (seen.length + unseen < Number(deliveries)) {
        this.#violated('dead letter', `${entry.payload} after ${leases.length} deliveries that anybody saw`);
      }
      for (const lease of leases) {
        const home = this.#facts.homeOf(lease);
        const acked = this.#facts.ackBy(home, lease, at - LATE_MS);
        if (
          home === originAddress(entry.origin) &&
          acked !== undefined &&
          this.#facts.reigns(queue, lease, lease.pull.sentAt, at)
        ) {
          this.#violated('dead letter', `${entry.payload}, which was acknowledged at ${acked.endedAt}`);
        }
      }
    }
  }

  /**
   * How often a message may have been delivered before it is a dead letter, by what a broker held at some time between
   * two.
   */
  #maxDeliveries(queue: Queue, broker: Address, from: number, to: number): [least: number, most: number] {
    const values = this.#facts.valuesOf(queue, 'maxDeliveries', broker, from, to).map((max) => max ?? Infinity);
    return [Math.min(...values), Math.max(...values)];
  }

  /** Deliveries that failed count, whichever home they were of, as far as the home of this one had the records. */
  #checkAttempts(queue: Queue, lease: Lease, leases: readonly Lease[]): void {
    const broker = this.#facts.homeOf(lease);
    const { sentAt } = lease.pull;
    const entry = this.#facts.ledger.find(lease.id, lease.payload, broker, lease.pull.endedAt);
    const isUnlimited = (from: number, to: number): boolean =>
      this.#maxDeliveries(queue, broker, from, to)[1] === Infinity;
    if (entry === undefined || this.#facts.wasReplaced(broker, 0, lease.pull.endedAt) ) return;
    const known = (this.#facts.records.get(queue.name) ?? []).filter(
      ({ entry: { heldBy } }) => (heldBy.get(broker) ?? Infinity) < sentAt,
    );
    const attempts = Math.max(0, ...known.map((record) => record.attempts(entry)));
    if (lease.deliveries <= attempts) {
      return this.#violated(
        'delivery count',
        `${shown(lease)} by ${broker}, which had on disk that ${attempts} had failed`,
      );
    }
    for (const failed of leases) {
      const nack = (this.#facts.settlements.get(failed) ?? []).find(
        ({ kind, outcome, leases: some }) => kind === 'nack' && outcome === some.length,
      );
      if (
        nack === undefined ||
        nack.endedAt >= sentAt ||
        failed.deliveries < lease.deliveries ||
        isUnlimited(nack.sentAt, sentAt)
      ) {
        continue;
      }
      // if two of its records came to the disk after the NACK, the second of them or one before has it
      const home = this.#facts.homeOf(failed);
      const later = known.filter(
        ({ entry: { origin }, writtenAt }) =>
          originAddress(origin) === home &&
          writtenAt > nack.endedAt &&
          !this.#facts.wasStarted(home, nack.endedAt, writtenAt),
      );
      if (later.length >= 2) {
        this.#violated(
          'delivery count',
          `${shown(lease)} by ${broker}, after delivery ${failed.deliveries} had been given back at ${nack.sentAt}`,
        );
      }
    }
  }

  #violated(kind: string, what: string): void {
    this.violations.push({ kind, what });
  }
}

/** What names a message: its id may have been given twice. */
function messageOf({ id, payload }: Lease): string {
  return `${id} ${payload}`;
}

function shown({ pull, payload, deliveries }: Lease): string {
  return `${payload} of ${pull.queue}, delivery ${deliveries} to ${pull.consumer}`;
}

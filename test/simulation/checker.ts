/**
 * The checker: what of the promises was broken in a run. In the manner of Jepsen's checkers for queues, sets and logs:
 * everything is compared with what was asked for and answered, and nothing with what a broker says of itself.
 *
 * An acknowledgement covers what its level promises. `local` is one disk: where that disk was wiped or rolled back
 * before any other held the message, its loss is excused. `quorum` and `all` are never excused, since only a minority
 * of the disks is ever touched.
 */
import type { AckLevel } from '../../brokers/core/ack-level.ts';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { type Address, compareAddresses } from '../../brokers/core/address.ts';
import type { Attempt, Delivery, History, Publication, Subscription } from './history.ts';
import { type Entry, Ledger, nameOf } from './ledger.ts';
import { HOLDS } from './limits.ts';
import { checkQueues, type QueueCounts } from './queue-checker.ts';
import { checkMembers, Memberships } from './members-checker.ts';
import type { TermEvent } from './world.ts';

export interface Violation {
  readonly kind: string;
  readonly what: string;
}

export interface Verdict {
  readonly violations: Violation[];
  readonly counts: {
    /** Acknowledged messages that were lost with the only disk that they were promised to be on. */
    excused: number;
    /** Second copies of a dedupe id that subscribers had to drop, sent by brokers that could not know. */
    dropped: number;
    /** Messages that were stored more than once, by brokers that did not know of each other. */
    twice: number;
    /**
     * Answers that a subscriber got before their questions, because the broker that took the answer had not got the
     * question yet.
     */
    answeredAhead: number;
  };
  /** What consumers did; undefined in a run without queues. */
  readonly queues: QueueCounts | undefined;
}

/** What a publisher may be told, beside an acknowledgement. The last three it tells itself. */
const ERRORS = ['ERR', 'NOQUORUM', 'DISKFULL', 'CLOSING', 'LEAVING', 'DISCONNECTED', 'TIMEOUT', 'UNREACHABLE'];
const NOTHING_STORED = ['ERR', 'DISKFULL', 'CLOSING', 'LEAVING', 'UNREACHABLE'];

export function check(history: History): Verdict {
  const checker = new Checker(history);
  checker.run();
  return { violations: checker.violations, counts: checker.counts, queues: checker.queues };
}

class Checker {
  readonly violations: Violation[] = [];
  readonly counts = { excused: 0, dropped: 0, twice: 0, answeredAhead: 0 };
  queues: QueueCounts | undefined;
  readonly #history: History;
  readonly #ledger: Ledger;
  readonly #memberships: Memberships | undefined;
  readonly #questions: ReadonlyMap<string, string>; // by answer, payloads both

  constructor(history: History) {
    this.#history = history;
    this.#ledger = new Ledger(history.disks);
    const { members, disks } = history;
    this.#memberships = members && new Memberships(disks, members.rows);
    this.#questions = new Map(
      history.publications.flatMap(({ payload, question }) => (question === null ? [] : [[payload, question.payload]])),
    );
  }

  run(): void {
    const { publications, subscriptions, incidents } = this.#history;
    for (const { who, what } of incidents) this.#violated('incident', `${who}: ${what}`);
    this.violations.push(...this.#ledger.violations);
    for (const publication of publications) this.#checkPublication(publication);
    this.#checkUnexpected();
    for (const subscription of subscriptions) this.#checkSubscription(subscription);
    this.#checkConvergence();
    this.#checkTerms();
    this.#checkGrowth();
    const { members } = this.#history;
    if (members !== undefined) this.violations.push(...checkMembers(this.#history, members, this.#memberships!));
    if (this.#history.queues === undefined) return;
    const { violations, counts } = checkQueues(this.#history, this.#history.queues, this.#ledger);
    this.violations.push(...violations);
    this.queues = counts;
  }

  #checkPublication(publication: Publication): void {
    const { payload, dedupeId, acks, attempts, question } = publication;
    const copies = (this.#ledger.byPayload.get(payload) ?? []).filter(({ deadLetter }) => deadLetter === null);
    const kept = copies.filter((entry) => !this.#ledger.superseded.has(entry));
    const origins = new Set(kept.map(({ origin }) => origin));
    if (kept.length > 1) this.counts.twice += 1;
    if (origins.size < kept.length || (kept.length > 1 && dedupeId === null)) {
      this.#violated('stored twice', `${payload} at ${[...origins].join()}`);
    }
    for (const attempt of attempts) this.#checkAttempt(publication, attempt, copies);
    if (attempts.every(({ outcome }) => NOTHING_STORED.includes(String(outcome))) && copies.length > 0) {
      this.#violated('refused and stored', `${payload}: ${attempts.map(({ outcome }) => outcome).join()}`);
    }
    if (question !== null && copies.some(({ lamport }) => lamport <= question.lamport)) {
      this.#violated('clock', `answer ${payload} has no greater Lamport timestamp than its question`);
    }
    if (
      acks === 'none' ||
      !attempts.some(({ outcome }) => typeof outcome === 'number') ||
      copies.some(({ isOn }) => isOn.size > 0)
    ) {
      return;
    }
    if ((acks === 'local' && copies.length > 0) || this.#isForgotten(copies)) this.counts.excused += 1;
    else this.#violated('lost', `${payload}, acknowledged with ${acks}`);
  }

  /** Whether the disks held what the acknowledgement says when it came. */
  #checkAttempt({ payload, acks }: Publication, attempt: Attempt, copies: readonly Entry[]): void {
    const { broker, outcome, endedAt } = attempt;
    if (typeof outcome !== 'number') {
      if (outcome !== undefined && !ERRORS.includes(outcome)) {
        this.#violated('error', `${payload} at ${broker}: ${outcome}`);
      }
      return;
    }
    if (acks === 'none') return;
    const holders = new Set(
      copies.flatMap(({ heldBy }) => [...heldBy].filter(([, since]) => since <= endedAt).map(([disk]) => disk)),
    );
    if (!holders.has(broker) || !this.#areEnough(acks, holders, attempt)) {
      this.#violated(
        'acknowledged',
        `${payload} with ${acks} by ${broker}, when it was on ${holders.size} disks: ${[...holders].join()}`,
      );
    } else if (!copies.some(({ lamport }) => lamport === outcome)) {
      this.#violated('acknowledged', `${payload} with a Lamport timestamp that it has not`);
    }
  }

  #areEnough(acks: AckLevel, holders: ReadonlySet<Address>, { broker, sentAt, endedAt }: Attempt): boolean {
    const { length } = this.#history.brokers;
    if (this.#memberships === undefined || acks === 'local') {
      return holders.size >= { none: 0, local: 1, quorum: Math.floor(length / 2) + 1, all: length }[acks];
    }
    return acks === 'none' || this.#memberships.areEnough(acks, holders, broker, sentAt, endedAt);
  }

  /** Whether brokers were forgotten that alone had it. */
  #isForgotten(copies: readonly Entry[]): boolean {
    const { departures = [] } = this.#history.members ?? {};
    const isAlone = ({ origin, seq }: Entry): boolean =>
      departures.some(({ alone }) => alone.has(nameOf(origin, seq)));
    return copies.length > 0 && copies.every(isAlone);
  }

  #checkUnexpected(): void {
    const { publications, queues } = this.#history;
    // whichever of its names a topic was called by
    const named = (topic: string, payload: string): string => `${queues?.aliases.get(topic) ?? topic} ${payload}`;
    const expected = new Set(publications.map(({ topic, payload }) => named(topic, payload)));
    const payloads = new Set(publications.map(({ payload }) => payload));
    for (const { topic, payload, deadLetter } of this.#ledger.entries.values()) {
      const isExpected =
        deadLetter === null ? topic.startsWith('$') || expected.has(named(topic, payload)) : payloads.has(payload);
      if (!isExpected) this.#violated('unexpected', `${payload} in ${topic}, which nobody published`);
    }
  }

  #checkSubscription(subscription: Subscription): void {
    const { name, topics, start, deliveries, isComplete } = subscription;
    const had = new Map<string, Entry>(); // by payload, the first copy
    const newest = new Map<string, number>(); // by origin
    for (const delivery of deliveries) {
      const entry = this.#ledger.find(delivery.id, delivery.payload, delivery.broker, delivery.at);
      if (entry === undefined || (entry.heldBy.get(delivery.broker) ?? Infinity) > delivery.at) {
        this.#violated(
          'not durable',
          `${delivery.payload} was sent to ${name} by ${delivery.broker}, which had it not on disk`,
        );
        if (entry === undefined) continue;
      }
      if (!topics.includes(delivery.topic)) {
        this.#violated('unexpected', `${delivery.payload} in ${delivery.topic}, to which ${name} did not subscribe`);
      }
      const last = newest.get(entry.origin) ?? 0;
      if (entry.seq < last) {
        this.#violated('order', `${name} got ${delivery.payload}, ${entry.origin} ${entry.seq}, after ${last}`);
      }
      newest.set(entry.origin, Math.max(last, entry.seq));
      this.#checkRepeated(name, delivery, entry, had.get(delivery.payload));
      this.#checkCauses(subscription, entry, had);
      if (!had.has(delivery.payload)) had.set(delivery.payload, entry);
    }
    if (!isComplete) return this.#violated('stuck', `${name} could not read to the end`);
    const missed = [...this.#ledger.entries.values()].filter(
      (entry) =>
        entry.isOn.size > 0 &&
        topics.includes(entry.topic) &&
        !had.has(entry.payload) &&
        !this.#isBefore(entry.payload, start) &&
        !this.#ledger.givenAgain.has(nameOf(entry.origin, entry.seq)),
    );
    if (missed.length > 0) {
      this.#violated(
        'missed',
        `${name} did not get ${missed.map(({ payload, origin, seq }) => `${payload} (${origin} ${seq})`).join()}`,
      );
    }
  }

  /**
   * A second copy of a dedupe id may be sent by a broker that cannot know that the subscriber has had the first one,
   * because it lacks it.
   */
  #checkRepeated(name: string, { payload, broker, askedAt }: Delivery, entry: Entry, first: Entry | undefined): void {
    if (first === undefined) return;
    const known = [entry, first].every(({ isOn }) => (isOn.get(broker) ?? Infinity) < askedAt);
    if (entry === first || entry.dedupeId === null || known) {
      this.#violated('delivered twice', `${payload} to ${name} by ${broker}`);
    } else this.counts.dropped += 1;
  }

  /**
   * An answer whose origin had stored the question comes after it, unless the question has a name that was given
   * before, so that a cursor may cover it.
   */
  #checkCauses({ name, topics, start }: Subscription, entry: Entry, had: ReadonlyMap<string, Entry>): void {
    const question = this.#questions.get(entry.payload);
    if (question === undefined || had.has(question) || this.#isBefore(question, start)) return;
    const causes = (this.#ledger.byPayload.get(question) ?? [])
      .filter(({ topic, origin, seq }) => topics.includes(topic) && !this.#ledger.givenAgain.has(nameOf(origin, seq)));
    if (causes.length === 0) return;
    const wasStored = causes.some((cause) => seqBefore(entry, cause) >= cause.seq);
    if (wasStored || HOLDS.causalAcrossBrokers) {
      this.#violated('causality', `${name} got ${entry.payload} before its question`);
    } else this.counts.answeredAhead += 1;
  }

  /** Whether it was there before the subscription began. */
  #isBefore(payload: string, start: Subscription['start']): boolean {
    return this.#ledger.byPayload.get(payload)?.some(({ origin, seq }) => (start?.get(origin) ?? 0) >= seq) ?? false;
  }

  #checkConvergence(): void {
    const { records, coordinators, brokers } = this.#history;
    const [[first, expected] = [undefined, []], ...others] = [...records];
    for (const [broker, found] of others) {
      const difference = [...differing(expected, found), ...differing(found, expected)];
      if (difference.length > 0) {
        this.#violated(
          'divergence',
          `${first} and ${broker} differ in ${difference.length} batches, as ${difference[0]}`,
        );
      }
    }
    const highest = brokers.at(-1);
    const term = coordinators[0]?.term;
    for (const { broker, coordinator, term: its } of coordinators) {
      if (coordinator !== highest || its !== term) {
        this.#violated(
          'coordinator',
          `${broker} follows ${coordinator ?? 'nobody'} in term ${its}, not ${highest} in ${term}`,
        );
      }
    }
  }

  /**
   * A broker's term never falls, in no later life either, unless its disk was lost. In one term and life it leaves a
   * coordinator for a higher one, as when a partition heals, and never for a lower one: but for one that the other side
   * of a partition chose in that term, once it has lost its own.
   */
  #checkTerms(): void {
    const newest = new Map<Address, TermEvent>();
    let termsLost = false;
    for (const event of this.#history.terms) {
      const { kind, broker, term, coordinator } = event;
      const before = newest.get(broker);
      if (kind === 'replaced') {
        newest.delete(broker);
        termsLost = true;
        continue;
      }
      if (before !== undefined && term < before.term) {
        this.#violated('term', `${broker} ${kind} in term ${term} after ${before.term}`);
      }
      const known = term === before?.term ? before.coordinator : undefined;
      const isLower = coordinator !== undefined && known !== undefined && compareAddresses(coordinator, known) < 0;
      const follows = before?.kind === 'electing' && coordinator !== broker;
      if (isLower && !follows && !termsLost) {
        this.#violated('term', `${broker} chose ${coordinator} after ${known} in term ${term}`);
      }
      newest.set(broker, kind === 'electing' && known !== undefined ? { ...event, coordinator: known } : event);
    }
  }

  /**
   * Whatever publishers ask for, Lamport timestamps grow by no more than each broker lets them in the time that passes,
   * and by the events.
   */
  #checkGrowth(): void {
    const { brokers, terms, disks } = this.#history;
    const count = new Set([...brokers, ...disks.map(({ disk }) => disk)]).size;
    const starts = terms.filter(({ kind }) => kind === 'started').length;
    const { lamportSavedFirst, lamportPerSecondMax } = DEFAULT_LIMITS;
    for (const { kind, at, disk, batches } of disks) {
      const most =
        (starts + count) * lamportSavedFirst + count * lamportPerSecondMax * (at / 1000 + 1);
      const absurd = kind === 'written' ? batches.find(({ lamport }) => lamport > most) : undefined;
      if (absurd !== undefined) {
        return this.#violated('clock', `${disk} stored Lamport timestamp ${absurd.lamport}, above ${most}`);
      }
    }
  }

  #violated(kind: string, what: string): void {
    this.violations.push({ kind, what });
  }
}

/** Up to which seq of the cause's origin the entry's origin had stored everything before it. */
function seqBefore(entry: Entry, cause: Entry): number {
  return entry.origin === cause.origin ? entry.seq - 1 : (entry.causes.get(cause.origin) ?? 0);
}

function differing(left: readonly string[], right: readonly string[]): string[] {
  const others = new Set(right);
  return left.filter((each) => !others.has(each));
}

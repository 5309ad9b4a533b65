/**
 * What of the promises about queues was broken in a run. As in checker.ts, everything is compared with what was asked for and answered; of the brokers'
 * own words only two are used: a token begins with the tag of the process that made it, and each process logs the views that it uses.
 *
 * What is promised depends on who was the home:
 *   - A *reign* is the time in which one process is the home of a queue without a break: between two of its views that place the queue elsewhere, or from its
 *     start, or to its end. Within a reign there are no two leases of one message at a time, deliveries count on, tokens are exact, and what is acknowledged is done.
 *   - Two homes at a time are possible while brokers do not reach each other, or have not agreed since; so never in a *calm*, when nothing has been disturbed
 *     for longer than agreeing takes.
 *   - Whichever home it is: what was acknowledged is not delivered again by a broker that had the acknowledgement's record on its disk, which was not replaced since.
 */
import { type Address } from '../../brokers/core/address.ts';
import { compareRecords, originAddress } from '../../brokers/core/record.ts';
import { homeOf } from '../../brokers/core/view.ts';
import type { Violation } from './checker.ts';
import type { History } from './history.ts';
import { type Entry, type Ledger, nameOf } from './ledger.ts';
import type { Lease, Queue, QueueHistory, Settlement } from './queue-history.ts';
import { AckRecord } from './queue-records.ts';

const TAG_CHARS = 8; // 6 bytes in base64url
const LINKED_MS = 3500; // in which a broker that has come back is linked with all others
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
};

export function checkQueues(history: History, queues: QueueHistory, ledger: Ledger): { violations: Violation[]; counts: QueueCounts } {
  const checker = new QueueChecker(history, queues, ledger);
  checker.run();
  return { violations: checker.violations, counts: checker.counts };
}

class QueueChecker {
  readonly violations: Violation[] = [];
  readonly counts: QueueCounts = { leases: 0, passedOn: 0, redelivered: 0, acknowledged: 0, deadLettered: 0, againUnknown: 0, rivals: 0 };
  readonly #history: History;
  readonly #queues: QueueHistory;
  readonly #ledger: Ledger;
  readonly #entries: readonly Entry[];
  readonly #brokerOf: ReadonlyMap<string, Address>; // by process
  readonly #replaced: readonly { readonly broker: Address; readonly at: number }[];
  /** Records of acknowledgements by queue, and changes of the catalog. */
  readonly #records = new Map<string, AckRecord[]>();
  readonly #changes: { readonly entry: Entry; readonly operation: Readonly<Record<string, unknown>> }[] = [];
  readonly #settlements = new Map<Lease, Settlement[]>(); // in order, those under the name of the lease's queue

  constructor(history: History, queues: QueueHistory, ledger: Ledger) {
    this.#history = history;
    this.#queues = queues;
    this.#ledger = ledger;
    this.#entries = [...ledger.entries.values()];
    this.#brokerOf = new Map(queues.processes.map(({ tag, broker }) => [tag, broker]));
    this.#replaced = history.disks.filter(({ kind }) => kind === 'replaced').map(({ disk, at }) => ({ broker: disk, at }));
    for (const entry of this.#entries) {
      if (entry.topic === '$catalog') this.#changes.push({ entry, operation: JSON.parse(entry.payload) as Record<string, unknown> });
      if (entry.topic !== '$acks') continue;
      const record = new AckRecord(entry);
      this.#records.set(record.subscription, [...(this.#records.get(record.subscription) ?? []), record]);
    }
    for (const settlement of queues.settlements) {
      for (const lease of settlement.leases) {
        if (lease.pull.queue === settlement.queue) this.#settlements.set(lease, [...(this.#settlements.get(lease) ?? []), settlement]);
      }
    }
  }

  run(): void {
    const { queues, leases, stuck, leftovers, settlements } = this.#queues;
    this.counts.leases = leases.length;
    this.counts.passedOn = leases.filter(({ isPassedOn }) => isPassedOn).length;
    for (const name of stuck) this.#violated('queue stuck', `${name} could not be emptied`);
    for (const lease of leases) this.#checkLease(lease);
    for (const queue of queues) {
      const byMessage = new Map<string, Lease[]>();
      for (const lease of leases) {
        if (lease.pull.queue === queue.name) byMessage.set(messageOf(lease), [...(byMessage.get(messageOf(lease)) ?? []), lease]);
      }
      for (const some of byMessage.values()) this.#checkMessage(queue, some);
      this.#checkConsumed(queue);
      if (queue.maxDeliveries !== null) this.#checkDeadLetters(queue, byMessage);
    }
    for (const settlement of settlements) if (settlement.kind === 'ack') this.#checkAck(settlement);
    for (const { broker, queue, id, payload } of leftovers) this.#violated('acknowledgement unknown', `${payload} (${id}) of ${queue} is not done at ${broker} alone`);
    this.#checkCatalogs();
  }

  /** It is for the queue, and was on the disk of the broker that leased it. */
  #checkLease({ pull, token, topic, key, id, payload }: Lease): void {
    const queue = this.#queues.queues.find(({ name }) => name === pull.queue)!;
    const broker = this.#brokerOf.get(token.slice(0, TAG_CHARS));
    if (broker === undefined) return this.#violated('token', `${token} bears the tag of no process`);
    if (!this.#isFor(queue, topic, key)) this.#violated('queue unexpected', `${payload} of ${topic}, key ${key}, to ${queue.name}`);
    const entry = this.#ledger.find(id, payload, broker);
    if (entry === undefined || (entry.heldBy.get(broker) ?? Infinity) > pull.endedAt) this.#violated('not durable', `${payload} was leased by ${broker}, which had it not on disk`);
  }

  /** All leases of one message. */
  #checkMessage(queue: Queue, leases: readonly Lease[]): void {
    this.counts.redelivered += leases.length - 1;
    for (const [index, one] of leases.entries()) {
      for (const other of leases.slice(index + 1)) {
        const [a, b] = one.deliveries < other.deliveries || (one.deliveries === other.deliveries && one.pull.sentAt <= other.pull.sentAt) ? [one, other] : [other, one];
        if (this.#inOneReign(queue, a, b)) this.#checkSuccession(queue, a, b);
        else if (this.#overlap(queue, a, b)) {
          this.counts.rivals += 1;
          if (this.#inCalm(Math.min(a.pull.sentAt, b.pull.sentAt), Math.max(a.pull.endedAt, b.pull.endedAt))) {
            this.#violated('two homes', `${shown(a)} and ${shown(b)} are leased at once by ${this.#homeOf(a)} and ${this.#homeOf(b)}, and all is calm`);
          }
        }
      }
      this.#checkDone(queue, one, leases);
    }
  }

  /** Two leases of a message, the one after the other in one reign. */
  #checkSuccession(queue: Queue, a: Lease, b: Lease): void {
    if (a.deliveries === b.deliveries) this.#violated('delivery count', `${shown(a)} twice, at ${a.pull.sentAt} and ${b.pull.sentAt}`);
    if (this.#overlap(queue, a, b)) this.#violated('leased twice', `${shown(a)} is held until ${this.#heldUntil(queue, a)[0]} and leased again at ${b.pull.endedAt} to ${b.pull.consumer}`);
    if (this.#ackBy(this.#homeOf(a), a, b.pull.sentAt) !== undefined) this.#violated('delivered after ACK', `${shown(b)} by the home that had answered its ACK`);
  }

  /** Whether b was certainly leased while a was certainly held. */
  #overlap(queue: Queue, a: Lease, b: Lease): boolean {
    const [least] = this.#heldUntil(queue, a);
    const isGivenBack = (this.#settlements.get(a) ?? []).some(({ kind, sentAt, outcome }) => kind !== 'extend' && outcome !== 0 && sentAt <= b.pull.endedAt);
    return b.pull.endedAt < least && b.pull.sentAt >= a.pull.sentAt && !isGivenBack;
  }

  /** Until when a lease holds, at least and at most, as long as it is not given back. */
  #heldUntil({ visibilityMs }: Queue, lease: Lease): [least: number, most: number] {
    let [least, most] = [lease.pull.sentAt + visibilityMs, lease.pull.endedAt + visibilityMs];
    for (const { kind, ms, sentAt, endedAt, outcome, leases } of this.#settlements.get(lease) ?? []) {
      if (kind !== 'extend' || outcome === 0) continue;
      const isSure = outcome === leases.length;
      least = isSure ? sentAt + ms : Math.min(least, sentAt + ms);
      most = Math.max(most, isSure ? endedAt + ms : Infinity);
    }
    return [least, most];
  }

  /** What was acknowledged is not delivered again by who has its record, in later reigns and by other brokers too. */
  #checkDone(queue: Queue, acked: Lease, leases: readonly Lease[]): void {
    for (const ack of this.#settlements.get(acked) ?? []) {
      if (ack.kind !== 'ack' || ack.outcome !== ack.leases.length) continue;
      const records = this.#recordsOf(queue.name, ack);
      for (const again of leases) {
        if (again.pull.sentAt < ack.endedAt) continue;
        const broker = this.#homeOf(again);
        const isKnown = records.length > 0 && records.every(({ entry }) => (entry.heldBy.get(broker) ?? Infinity) < again.pull.sentAt);
        const isConnected = this.#areConnected(records, ack.sentAt, again.pull.endedAt); // then it is to wait for the record before it takes over
        if (!(isKnown || isConnected) || this.#wasReplaced(broker, ack.sentAt, again.pull.endedAt)) this.counts.againUnknown += 1;
        else this.#violated('delivered after ACK', `${shown(again)} by ${broker}, which ${isKnown ? 'had' : 'could have'} the acknowledgement of ${ack.sentAt} on disk`);
      }
    }
  }

  /** Whether those who wrote the records ran all the time, and everybody who ran was linked with them. */
  #areConnected(records: readonly AckRecord[], since: number, until: number): boolean {
    if (this.#queues.isSparse) return false;
    const wasAbsent = (broker: Address): boolean => this.#queues.absences.some(({ absent, from, to }) => absent === broker && from <= until && to + LINKED_MS >= since);
    return within(this.#queues.peaces, since, until) && !records.some(({ entry }) => wasAbsent(originAddress(entry.origin)));
  }

  /** An ACK is answered when its record is on the disk of the home, and counts what was still good. */
  #checkAck(ack: Settlement): void {
    const { queue: name, leases, outcome, sentAt, endedAt } = ack;
    if (typeof outcome !== 'number') return;
    this.counts.acknowledged += outcome;
    const strays = leases.filter(({ pull }) => pull.queue !== name).length;
    if (outcome > leases.length - strays) return this.#violated('token', `ACK of ${name} takes ${strays} tokens of ${leases[0]!.pull.queue} for good`);
    const records = this.#recordsOf(name, ack);
    if (outcome > 0 && records.length === 0) this.#violated('acknowledged', `${leases.map(shown).join()} at ${endedAt}, with no record on any disk`);
    if (leases.length > 1 || strays > 0) return;
    const queue = this.#queues.queues.find((each) => each.name === name)!;
    const [lease] = leases as [Lease];
    const why = this.#whyNotGood(queue, lease, ack, records);
    if (outcome === 1 && why !== undefined) this.#violated('token', `ACK of ${shown(lease)} at ${sentAt} is taken for good, though ${why}`);
    if (outcome === 0 && this.#mustBeGood(queue, lease, ack)) this.#violated('token', `ACK of ${shown(lease)} at ${sentAt} is taken for not good`);
  }

  /** What makes the token of a lease void, certainly, where its own home answers in the same reign. */
  #whyNotGood(queue: Queue, lease: Lease, ack: Settlement, records: readonly AckRecord[]): string | undefined {
    const home = this.#homeOf(lease);
    if (!records.every(({ entry }) => originAddress(entry.origin) === home) || !this.#reigns(queue, lease, lease.pull.sentAt, ack.endedAt)) return undefined;
    if (this.#ackBy(home, lease, ack.sentAt) !== undefined) return 'it was acknowledged';
    if (ack.sentAt > this.#heldUntil(queue, lease)[1] + LATE_MS) return 'it had expired';
    const newer = this.#queues.leases.find((other) => other !== lease && other.pull.queue === queue.name && messageOf(other) === messageOf(lease)
      && other.deliveries > lease.deliveries && other.pull.endedAt <= ack.sentAt && this.#inOneReign(queue, lease, other));
    return newer && `it had been leased again at ${newer.pull.endedAt}`;
  }

  /** It is held for certain, nobody did anything about it before, and there is one home only. */
  #mustBeGood(queue: Queue, lease: Lease, ack: Settlement): boolean {
    const before = this.#settlements.get(lease)!.filter(({ kind }) => kind !== 'extend');
    return before[0] === ack && ack.endedAt < this.#heldUntil(queue, lease)[0] && this.#inCalm(lease.pull.sentAt, ack.endedAt)
      && this.#reigns(queue, lease, lease.pull.sentAt, ack.endedAt) && !this.#isGone(queue, ack.endedAt);
  }

  /** Whatever is stored in the end and bound to the queue was delivered, and acknowledged or dead-lettered. */
  #checkConsumed(queue: Queue): void {
    if (this.#isGone(queue, Infinity) || this.#queues.stuck.includes(queue.name)) return;
    const isPossible = (lease: Lease, ack: Settlement): boolean => ack.kind === 'ack' && ack.outcome !== 'UNREACHABLE' && (ack.outcome !== 0 || this.#mayBeRepeated(lease, ack));
    const done = new Set<string>();
    for (const [lease, settlements] of this.#settlements) {
      if (lease.pull.queue === queue.name && settlements.some((ack) => isPossible(lease, ack))) done.add(lease.payload);
    }
    for (const { deadLetter, payload, isOn } of this.#entries) if (deadLetter?.subscription === queue.name && isOn.size > 0) done.add(payload);
    for (const entry of this.#entries) {
      const { topic, key, payload, isOn, origin, seq } = entry;
      if (isOn.size === 0 || !this.#isFor(queue, topic, key) || done.has(payload) || this.#isDeleted(entry) || this.#isAheadOfName(entry)) continue;
      if (!this.#ledger.givenAgain.has(nameOf(origin, seq))) this.#violated('not consumed', `${payload} (${origin} ${seq}) of ${topic} by ${queue.name}`);
    }
  }

  /** The way to the home was lost before it could answer, and at the second attempt the token was used up: "carried out twice" (brokers/errands.ts). */
  #mayBeRepeated({ pull, id, payload }: Lease, ack: Settlement): boolean {
    if (this.#inCalm(ack.sentAt, ack.endedAt)) return false;
    return (this.#records.get(pull.queue) ?? []).some((record) => {
      const home = originAddress(record.entry.origin);
      const entry = this.#ledger.find(id, payload, home);
      return entry !== undefined && record.lists(entry) && record.entry.heldBy.get(home)! >= ack.sentAt;
    });
  }

  /** Dead letters come of messages that were delivered as often as may be, once, and keep their payload. */
  #checkDeadLetters(queue: Queue, byMessage: ReadonlyMap<string, readonly Lease[]>): void {
    const max = queue.maxDeliveries!;
    const copies = new Map<string, Entry>(); // by origin and message
    for (const leases of byMessage.values()) {
      for (const lease of leases) {
        if (lease.deliveries > max) this.#violated('delivery count', `${shown(lease)} of ${max}`);
        this.#checkAttempts(queue, lease, leases);
      }
    }
    for (const entry of this.#entries.filter(({ deadLetter }) => deadLetter?.subscription === queue.name)) {
      const { id, deliveries } = entry.deadLetter!;
      this.counts.deadLettered += 1;
      const at = entry.heldBy.get(originAddress(entry.origin)) ?? Infinity;
      if (deliveries !== String(max)) this.#violated('dead letter', `${entry.payload} after ${deliveries} deliveries, not ${max}`);
      const copy = `${entry.origin} ${id}`;
      if (copies.has(copy) && !entry.isRepeat && !this.#ledger.superseded.has(copies.get(copy)!)) this.#violated('dead letter', `${entry.payload} (${id}) twice by ${entry.origin}`);
      copies.set(copy, entry);
      const leases = byMessage.get(`${id} ${entry.payload}`) ?? [];
      const unseen = this.#queues.pulls.filter((pull) => pull.queue === queue.name && typeof pull.outcome !== 'number' && pull.sentAt < at).length;
      if (leases.filter(({ pull }) => pull.sentAt < at).length + unseen < max) this.#violated('dead letter', `${entry.payload} after ${leases.length} deliveries that anybody saw`);
      for (const lease of leases) {
        const home = this.#homeOf(lease);
        const acked = this.#ackBy(home, lease, at - LATE_MS);
        if (home === originAddress(entry.origin) && acked !== undefined && this.#reigns(queue, lease, lease.pull.sentAt, at)) {
          this.#violated('dead letter', `${entry.payload}, which was acknowledged at ${acked.endedAt}`);
        }
      }
    }
  }

  /** Deliveries that failed count, whichever home they were of, as far as the home of this one had the records. */
  #checkAttempts(queue: Queue, lease: Lease, leases: readonly Lease[]): void {
    const broker = this.#homeOf(lease);
    const { sentAt } = lease.pull;
    const entry = this.#ledger.find(lease.id, lease.payload, broker);
    if (entry === undefined || this.#wasReplaced(broker, 0, lease.pull.endedAt)) return;
    const known = (this.#records.get(queue.name) ?? []).filter(({ entry: { heldBy } }) => (heldBy.get(broker) ?? Infinity) < sentAt);
    const attempts = Math.max(0, ...known.map((record) => record.attempts(entry)));
    if (lease.deliveries <= attempts) return this.#violated('delivery count', `${shown(lease)} by ${broker}, which had on disk that ${attempts} had failed`);
    for (const failed of leases) {
      const nack = (this.#settlements.get(failed) ?? []).find(({ kind, outcome, leases: some }) => kind === 'nack' && outcome === some.length);
      if (nack === undefined || nack.endedAt >= sentAt || failed.deliveries < lease.deliveries) continue;
      const home = this.#homeOf(failed); // if two of its records came to the disk after the NACK, the second of them or one before has it
      const later = known.filter(({ entry: { origin, heldBy } }) => originAddress(origin) === home && (heldBy.get(home) ?? 0) > nack.endedAt);
      if (later.length >= 2) this.#violated('delivery count', `${shown(lease)} by ${broker}, after delivery ${failed.deliveries} had been given back at ${nack.sentAt}`);
    }
  }

  /** All brokers know the same, and what they were told. */
  #checkCatalogs(): void {
    const { catalogs, acts } = this.#queues;
    const [first, ...others] = catalogs;
    if (first === undefined) return;
    for (const other of others) {
      for (const what of ['topics', 'subscriptions', 'bindings'] as const) {
        if (String(first[what]) !== String(other[what])) {
          this.#violated('catalog', `${what} of ${first.broker} are ${String(first[what])}, of ${other.broker} ${String(other[what])}`);
        }
      }
    }
    for (const catalog of catalogs) {
      for (const { args: [noun, verb, name, to], outcome } of acts) {
        if (outcome !== 'OK' || !this.#isKept(noun!, verb!, name!)) continue;
        const isDeleted = noun === 'SUBSCRIPTION' && acts.some(({ args }) => args[1] === 'DELETE' && args[0] === noun && args[2] === name);
        const isChanged = noun === 'TOPIC' && verb === 'CREATE' && acts.some(({ args }) => args[0] === noun && args[1] !== verb && args[2] === name);
        const has = (names: readonly string[]): boolean => names.includes(JSON.stringify(noun === 'TOPIC' && verb === 'RENAME' ? to : name));
        if (noun === 'SUBSCRIPTION' && verb === 'CREATE' && !isDeleted && !has(catalog.subscriptions)) this.#violated('catalog', `${catalog.broker} has no subscription ${name}`);
        if (noun === 'SUBSCRIPTION' && verb === 'DELETE' && has(catalog.subscriptions)) this.#violated('catalog', `${catalog.broker} has subscription ${name}, which was deleted`);
        if (noun === 'TOPIC' && verb !== 'DELETE' && !isChanged && !has(catalog.topics)) this.#violated('catalog', `${catalog.broker} has no topic ${name} ${verb === 'RENAME' ? to : ''}`);
      }
      for (const [topic, found] of catalog.messages) this.#checkMessages(catalog.broker, topic, found);
    }
  }

  /** Reading a topic gives what is stored under all its names and was not deleted, under its newest name. */
  #checkMessages(broker: Address, topic: string, found: readonly string[]): void {
    const name = this.#canonical(topic);
    const expected = this.#entries.filter((entry) => this.#canonical(entry.topic) === name && entry.isOn.size > 0 && !this.#isDeleted(entry));
    const got = new Set(found.map((line) => line.slice(line.indexOf(' ') + 1)));
    const payloads = new Set([...got].map((line) => line.slice(line.indexOf(' ') + 1))); // of two copies of one dedupe id one is shown
    const missing = expected.map(({ payload }) => payload).filter((payload) => !payloads.has(payload));
    const may = new Set(expected.map(({ id, payload }) => `${id} ${payload}`));
    const more = [...got].filter((line) => !may.has(line));
    if (missing.length > 0) this.#violated('topic', `${broker} does not show ${missing.slice(0, 3).join(', ')} of ${topic}`);
    if (more.length > 0) this.#violated('topic', `${broker} shows ${more.slice(0, 3).join(', ')} of ${topic}, which was deleted`);
    const renamed = this.#queues.acts.find(({ args, outcome }) => args[1] === 'RENAME' && args[2] === name && outcome === 'OK');
    if (renamed === undefined || !this.#isKept('TOPIC', 'RENAME', name)) return;
    const under = new Set(found.map((line) => line.slice(0, line.indexOf(' '))));
    if (under.size > 0 && String([...under]) !== renamed.args[3]) this.#violated('topic', `${broker} shows messages of ${topic} under ${[...under].join()}`);
  }

  /** The records of acknowledgement that an ACK may stand in: those that came to their home's disk before it was answered. */
  #recordsOf(queue: string, { sentAt, endedAt }: Settlement): AckRecord[] {
    return (this.#records.get(queue) ?? []).filter(({ entry: { heldBy, origin } }) => {
      const at = heldBy.get(originAddress(origin)) ?? Infinity;
      return at >= sentAt && at <= endedAt;
    });
  }

  /** Whether the record of a change is still on some disk. */
  #isKept(noun: string, verb: string, name: string): boolean {
    const op = `${noun.toLowerCase()}.${verb.toLowerCase()}`;
    return this.#changes.some(({ entry, operation }) => operation['op'] === op && entry.isOn.size > 0 && JSON.stringify(operation).includes(JSON.stringify(name)));
  }

  /** Whether a topic's deletion that is kept stands above the message. */
  #isDeleted(message: Entry): boolean {
    return this.#changes.some(({ entry, operation }) => operation['op'] === 'topic.delete' && (operation['topics'] as string[]).includes(message.topic)
      && entry.isOn.size > 0 && compareRecords(message, entry) < 0);
  }

  /** Whether its broker stored it under a name that was given to the topic by a record which that broker had not got (README, "What is not guaranteed"). */
  #isAheadOfName({ topic, causes }: Entry): boolean {
    return this.#changes.some(({ entry, operation }) => operation['op'] === 'topic.rename' && operation['to'] === topic && (causes.get(entry.origin) ?? 0) < entry.seq);
  }

  #isFor({ bindings }: Queue, topic: string, key: string | null): boolean {
    return bindings.some((binding) => binding.topic === this.#canonical(topic) && (binding.key === null || binding.key === key));
  }

  #canonical(topic: string): string {
    return this.#queues.aliases.get(topic) ?? topic;
  }

  /** Whether it, or its topic, may have been deleted by then. */
  #isGone(queue: Queue, at: number): boolean {
    return this.#queues.acts.some(({ args, sentAt }) => args[1] === 'DELETE' && sentAt < at && (args[2] === queue.name || queue.bindings.some(({ topic }) => topic === args[2])));
  }

  /** The ACK of a lease that a home had answered by then. */
  #ackBy(home: Address, lease: Lease, before: number): Settlement | undefined {
    const entry = this.#ledger.find(lease.id, lease.payload, home);
    return entry && (this.#settlements.get(lease) ?? []).find((ack) => ack.kind === 'ack' && ack.outcome === ack.leases.length && ack.endedAt <= before
      && this.#recordsOf(lease.pull.queue, ack).some((record) => record.lists(entry) && originAddress(record.entry.origin) === home));
  }

  #homeOf(lease: Lease): Address {
    return this.#brokerOf.get(tagOf(lease)) ?? lease.pull.broker;
  }

  /** Whether both were made by one process that was the home from the one to the other. */
  #inOneReign(queue: Queue, a: Lease, b: Lease): boolean {
    return tagOf(a) === tagOf(b) && this.#reigns(queue, a, Math.min(a.pull.sentAt, b.pull.sentAt), Math.max(a.pull.endedAt, b.pull.endedAt));
  }

  /** Whether the process that made the lease was, as far as it knew, the home all the time. */
  #reigns(queue: Queue, lease: Lease, from: number, to: number): boolean {
    const home = this.#homeOf(lease);
    const ended = this.#queues.processes.some(({ broker, since, tag }) => broker === home && tag !== tagOf(lease) && since >= from && since <= to);
    return !ended && !this.#history.views.some(({ broker, at, members }) => broker === home && at >= from && at <= to
      && homeOf(queue.name, { coordinator: broker, term: 0, number: 0, members }) !== broker);
  }

  #inCalm(from: number, to: number): boolean {
    return within(this.#queues.calms, from, to);
  }

  #wasReplaced(broker: Address, from: number, to: number): boolean {
    return this.#replaced.some((event) => event.broker === broker && event.at >= from && event.at <= to);
  }

  #violated(kind: string, what: string): void {
    this.violations.push({ kind, what });
  }
}

function within(times: readonly (readonly [from: number, to: number])[], from: number, to: number): boolean {
  return times.some(([begin, end]) => begin <= from && to <= end);
}

/** What names a message: its id may have been given twice. */
function messageOf({ id, payload }: Lease): string {
  return `${id} ${payload}`;
}

function tagOf({ token }: Lease): string {
  return token.slice(0, TAG_CHARS);
}

function shown({ pull, payload, deliveries }: Lease): string {
  return `${payload} of ${pull.queue}, delivery ${deliveries} to ${pull.consumer}`;
}

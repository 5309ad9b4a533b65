/**
 * What is known of the queues of a run beside what their consumers wrote down: records of the log, who was a home when,
 * which settings a broker went by.
 */
import type { Address } from '../../brokers/core/address.ts';
import { compareRecords, originAddress } from '../../brokers/core/log/record.ts';
import { homeOf } from '../../brokers/core/home/view.ts';
import type { History } from './history.ts';
import type { Entry, Ledger } from './ledger.ts';
import type { Lease, Purge, Queue, QueueHistory, Settings, Settlement } from './queue-history.ts';
import { AckRecord } from './queue-records.ts';

const TAG_CHARS = 8; // 6 bytes in base64url
const LINKED_MS = 3500; // in which a broker that has come back is linked with all others
const LOST_MS = 15_000; // in which a command without an answer may still be carried out
const HEARD_MS = 300; // after which a broker goes by what is on its disk

/** A change of topics, subscriptions or bindings, as it stands in the log. */
interface Change {
  readonly entry: Entry;
  readonly operation: Readonly<Record<string, unknown>>;
}

export class QueueFacts {
  readonly history: History;
  readonly queues: QueueHistory;
  readonly ledger: Ledger;
  readonly entries: readonly Entry[];
  /** Records of acknowledgements by queue. */
  readonly records = new Map<string, AckRecord[]>();
  readonly changes: Change[] = [];
  /** In order, those under the name of the lease's queue. */
  readonly settlements = new Map<Lease, Settlement[]>();
  readonly #brokerOf: ReadonlyMap<string, Address>; // by process
  readonly #replaced: readonly { readonly broker: Address; readonly at: number }[];
  readonly #settings = new Map<string, Change[]>(); // by queue, in the order of their stamps

  constructor(history: History, queues: QueueHistory, ledger: Ledger) {
    this.history = history;
    this.queues = queues;
    this.ledger = ledger;
    this.entries = [...ledger.entries.values()];
    this.#brokerOf = new Map(queues.processes.map(({ tag, broker }) => [tag, broker]));
    this.#replaced = history.disks
      .filter(({ kind }) => kind === 'replaced')
      .map(({ disk, at }) => ({ broker: disk, at }));
    for (const entry of [...ledger.superseded, ...this.entries]) {
      if (entry.topic === '$catalog') {
        this.changes.push({ entry, operation: JSON.parse(entry.payload) as Record<string, unknown> });
      }
      if (entry.topic !== '$acks') continue;
      const record = new AckRecord(entry);
      this.records.set(record.subscription, [...(this.records.get(record.subscription) ?? []), record]);
    }
    for (const settlement of queues.settlements) {
      for (const lease of settlement.leases) {
        if (lease.pull.queue === settlement.queue) {
          this.settlements.set(lease, [...(this.settlements.get(lease) ?? []), settlement]);
        }
      }
    }
    for (const { name } of queues.queues) {
      const said = this.changes.filter(
        ({ operation: { op, name: of } }) =>
          of === name && (op === 'subscription.create' || op === 'subscription.update'),
      );
      this.#settings.set(name, said.sort((a, b) => compareRecords(a.entry, b.entry)));
    }
  }

  /** The process that made a lease; undefined for one that is nobody's. */
  processOf(lease: Lease): Address | undefined {
    return this.#brokerOf.get(tagOf(lease));
  }

  /**
   * What a broker may have taken for a setting of a queue at some time between two: the last word on it, by stamp, of
   * those on its disk. Where the disk was replaced, anything that was ever said.
   */
  valuesOf<K extends keyof Settings>(
    queue: Queue, setting: K, broker: Address, from: number, to: number,
  ): Settings[K][] {
    const said = this.#settings.get(queue.name)!.filter(({ operation }) => setting in settingsIn(operation));
    const value = ({ operation }: Change): Settings[K] => settingsIn(operation)[setting]!;
    const all = [queue[setting], ...said.map(value)];
    if (said.length === 0 || this.wasReplaced(broker, 0, to)) return all;
    const heldAt = ({ entry }: Change): number => entry.heldBy.get(broker) ?? Infinity;
    const begin = from - HEARD_MS;
    const times = [begin, ...said.map(heldAt).filter((at) => at > begin && at <= to)];
    return times.map((time) => {
      const last = said.findLast((change) => heldAt(change) <= time);
      return last === undefined ? queue[setting] : value(last);
    });
  }

  /** What everybody goes by in the end. */
  finalSettings(queue: Queue): Settings {
    const { visibilityMs, maxDeliveries, deadLetter, backoffMs } = queue;
    const kept = this.#settings.get(queue.name)!.filter(({ entry }) => entry.isOn.size > 0);
    return kept.reduce((settings, { operation }) => ({ ...settings, ...settingsIn(operation) }), {
      visibilityMs, maxDeliveries, deadLetter, backoffMs,
    });
  }

  /** Whether those who wrote the records ran all the time, and everybody who ran was linked with them. */
  areConnected(records: readonly AckRecord[], since: number, until: number): boolean {
    if (this.inOrder(since, until)) return true;
    if (this.queues.isSparse) return false;
    const wasAbsent = (broker: Address): boolean =>
      this.queues.absences.some(
        ({ absent, from, to }) => absent === broker && from <= until && to + LINKED_MS >= since,
      );
    return (
      within(this.queues.peaces, since, until) && !records.some(({ entry }) => wasAbsent(originAddress(entry.origin)))
    );
  }

  /**
   * The records of acknowledgement that an ACK or a PURGE may stand in: those that came to their home's disk before it
   * was answered.
   */
  recordsOf(queue: string, { sentAt, endedAt }: Pick<Settlement | Purge, 'sentAt' | 'endedAt'>): AckRecord[] {
    return (this.records.get(queue) ?? []).filter(({ entry: { heldBy, origin } }) => {
      const at = heldBy.get(originAddress(origin)) ?? Infinity;
      return at >= sentAt && at <= endedAt;
    });
  }

  /** The records that a PURGE may stand in. */
  floorsOf(purge: Purge): AckRecord[] {
    return this.recordsOf(purge.queue, purge).filter(({ hasFloors }) => hasFloors);
  }

  /**
   * Whether a PURGE, answered or not, may have dropped a message: its home had it, and a record of that time covers it.
   */
  mayBePurged(queue: Queue, message: Entry): boolean {
    const purges = this.#purgesOf(queue);
    return purges.length > 0 && (this.records.get(queue.name) ?? []).some((record) => {
      const home = originAddress(record.entry.origin);
      const at = record.entry.heldBy.get(home) ?? Infinity;
      return (
        record.covers(message) &&
        (message.heldBy.get(home) ?? Infinity) <= at &&
        purges.some((purge) => purge.sentAt <= at && at <= endOf(purge))
      );
    });
  }

  /** Whether a PURGE may have been carried out between two times. */
  mayPurge(queue: Queue, from: number, to: number): boolean {
    return this.#purgesOf(queue).some((purge) => purge.sentAt <= to && endOf(purge) >= from);
  }

  /** The PURGE that a home has certainly carried out between two times. */
  purgeBy(home: Address, queue: Queue, from: number, to: number): Purge | undefined {
    return this.#purgesOf(queue).find((purge) => {
      const records =
        typeof purge.outcome === 'number' && purge.sentAt >= from && purge.endedAt <= to ? this.floorsOf(purge) : [];
      return records.length > 0 && records.every(({ entry }) => originAddress(entry.origin) === home);
    });
  }

  #purgesOf({ name }: Queue): Purge[] {
    return this.queues.purges.filter(({ queue, outcome }) => queue === name && outcome !== 'UNREACHABLE');
  }

  /** Whether the record of a change is still on some disk. */
  isKept(noun: string, verb: string, name: string): boolean {
    const op = `${noun.toLowerCase()}.${verb.toLowerCase()}`;
    return this.changes.some(
      ({ entry, operation }) =>
        operation['op'] === op && entry.isOn.size > 0 && JSON.stringify(operation).includes(JSON.stringify(name)),
    );
  }

  /** Whether a topic's deletion that is kept stands above the message. */
  isDeleted(message: Entry): boolean {
    return this.changes.some(
      ({ entry, operation }) =>
        operation['op'] === 'topic.delete' &&
        (operation['topics'] as string[]).includes(message.topic) &&
        entry.isOn.size > 0 &&
        compareRecords(message, entry) < 0,
    );
  }

  /** Whether a topic was deleted, maybe, in which the message stood. */
  isInDeletion({ topic }: Entry): boolean {
    return this.changes.some(
      ({ operation }) => operation['op'] === 'topic.delete' && (operation['topics'] as string[]).includes(topic),
    );
  }

  /**
   * Whether its broker stored it under a name that was given to the topic by a record which that broker had not got
   * (brokers/RUNNING.md, "Not guaranteed").
   */
  isAheadOfName({ topic, causes }: Entry): boolean {
    return this.changes.some(
      ({ entry, operation }) =>
        operation['op'] === 'topic.rename' && operation['to'] === topic && (causes.get(entry.origin) ?? 0) < entry.seq,
    );
  }

  isFor({ bindings }: Queue, topic: string, key: string | null): boolean {
    return bindings.some(
      (binding) => binding.topic === this.canonical(topic) && (binding.key === null || binding.key === key),
    );
  }

  /** The name that a topic had first. A rename that was acknowledged by one disk may be lost with it. */
  canonical(topic: string): string {
    const former = this.queues.aliases.get(topic);
    return former !== undefined && this.isKept('TOPIC', 'RENAME', topic) ? former : topic;
  }

  /** Whether it, or its topic, may have been deleted by then. */
  isGone(queue: Queue, at: number): boolean {
    return this.queues.acts.some(
      ({ args, sentAt }) =>
        args[1] === 'DELETE' &&
        sentAt < at &&
        (args[2] === queue.name || queue.bindings.some(({ topic }) => topic === args[2])),
    );
  }

  /** The ACK of a lease that a home had answered by then. */
  ackBy(home: Address, lease: Lease, before: number): Settlement | undefined {
    const entry = this.ledger.find(lease.id, lease.payload, home, lease.pull.endedAt);
    return (
      entry &&
      (this.settlements.get(lease) ?? []).find(
        (ack) =>
          ack.kind === 'ack' &&
          ack.outcome === ack.leases.length &&
          ack.endedAt <= before &&
          this.recordsOf(lease.pull.queue, ack).some(
            (record) => record.lists(entry) && originAddress(record.entry.origin) === home,
          ),
      )
    );
  }

  homeOf(lease: Lease): Address {
    return this.processOf(lease) ?? lease.pull.broker;
  }

  isSameProcess(a: Lease, b: Lease): boolean {
    return tagOf(a) === tagOf(b);
  }

  /** Whether both were made by one process that was the home from the one to the other. */
  inOneReign(queue: Queue, a: Lease, b: Lease): boolean {
    return (
      tagOf(a) === tagOf(b) &&
      this.reigns(queue, a, Math.min(a.pull.sentAt, b.pull.sentAt), Math.max(a.pull.endedAt, b.pull.endedAt))
    );
  }

  /** Whether the process that made the lease was, as far as it knew, the home all the time. */
  reigns(queue: Queue, lease: Lease, from: number, to: number): boolean {
    const home = this.homeOf(lease);
    const ended = this.queues.processes.some(
      ({ broker, since, tag }) => broker === home && tag !== tagOf(lease) && since >= from && since <= to,
    );
    return !ended && !this.#leaves(queue, home, from, to);
  }

  /** Whether a home is one process, and the home, all the time. */
  stays(queue: Queue, home: Address, from: number, to: number): boolean {
    return !this.wasStarted(home, from, to) && !this.#leaves(queue, home, from, to);
  }

  wasStarted(home: Address, from: number, to: number): boolean {
    return this.queues.processes.some(({ broker, since }) => broker === home && since > from && since <= to);
  }

  /** Whether a view of a broker places the queue elsewhere. */
  #leaves(queue: Queue, home: Address, from: number, to: number): boolean {
    return this.history.views.some(({ broker, at, members }) => broker === home && at >= from && at <= to
      && homeOf(queue.name, { coordinator: broker, term: 0, number: 0, members }) !== broker);
  }

  /** How far apart wall clocks have been by then, ms. */
  wallSpread(by: number): number {
    const offsets = [0, ...this.queues.walls.filter(({ at }) => at <= by).map(({ offsetMs }) => offsetMs)];
    return Math.max(...offsets) - Math.min(...offsets);
  }

  inCalm(from: number, to: number): boolean {
    return within(this.queues.calms, from, to);
  }

  /** The same, though brokers may have been stopped and started: then everything is handed over. */
  inOrder(from: number, to: number): boolean {
    return within(this.queues.orderly, from, to);
  }

  /** The same, though one pair of brokers may have been cut, which others reached both. */
  inBridged(from: number, to: number): boolean {
    return within(this.queues.bridged, from, to);
  }

  wasReplaced(broker: Address, from: number, to: number): boolean {
    return this.#replaced.some((event) => event.broker === broker && event.at >= from && event.at <= to);
  }
}

/** When a PURGE had been carried out at the latest. */
function endOf({ outcome, endedAt }: Purge): number {
  return typeof outcome === 'number' ? endedAt : endedAt + LOST_MS;
}

function settingsIn({ settings }: Readonly<Record<string, unknown>>): Partial<Settings> {
  return settings as Partial<Settings>;
}

function within(times: readonly (readonly [from: number, to: number])[], from: number, to: number): boolean {
  return times.some(([begin, end]) => begin <= from && to <= end);
}

function tagOf({ token }: Lease): string {
  return token.slice(0, TAG_CHARS);
}

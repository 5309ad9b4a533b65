/**
 * The clients of a chaos run, with the library as users have it: publishers that number what they publish, subscribers
 * that remember what they were given, and how long each of them stood still when its broker was taken away.
 */
import { type Client, type ClientEvent, connect, type Message } from '../../clients/client.ts';
import { RumormillError } from '../../brokers/core/error.ts';

export const TOPIC = 'load';
const TICK_MS = 10;
const IN_FLIGHT_MAX = 5_000;
const SEARCH_MS = 60_000; // how long a subscriber looks for a broker: longer than any fault

/** Times from a fault to the first progress that a client of the broker that it hit makes elsewhere. */
class Failover {
  broker = '';
  #pending: { readonly from: string; readonly since: number; readonly moved: (ms: number) => void } | undefined;

  /** Something was acknowledged, or came. */
  progress(): void {
    if (this.#pending === undefined || this.broker === this.#pending.from) return;
    this.#pending.moved(performance.now() - this.#pending.since);
    this.#pending = undefined;
  }

  /**
   * The broker is taken away now. `moved` is told how long the client stood still, if it was there and moves before
   * `endWatch`.
   */
  watch(from: string, moved: (ms: number) => void): void {
    if (this.broker === from) this.#pending = { from, since: performance.now(), moved };
  }

  endWatch(from: string): void {
    if (this.#pending?.from === from) this.#pending = undefined;
  }
}

export class Publisher {
  readonly name: string;
  readonly failover = new Failover();
  /** Payloads that were acknowledged. */
  readonly acknowledged: string[] = [];
  /** Publishes that failed, by the code of their error. */
  readonly failed = new Map<string, number>();
  published = 0;
  retried = 0;
  readonly #client: Client;
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  readonly #ratePerS: number;
  #skipped = 0;
  #inFlight = 0;
  #idle: (() => void) | undefined;

  static async start(name: string, brokers: readonly string[], ratePerS: number): Promise<Publisher> {
    let publisher: Publisher | undefined;
    const onEvent = (event: ClientEvent): void => {
      if (event.type === 'failover' && publisher !== undefined) publisher.failover.broker = event.broker;
    };
    const client = await connect({ brokers, onEvent });
    publisher = new Publisher(name, client, ratePerS);
    return publisher;
  }

  private constructor(name: string, client: Client, ratePerS: number) {
    this.name = name;
    this.#client = client;
    this.#ratePerS = ratePerS;
    this.failover.broker = client.knownBrokers[0]!;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Publishes no more; resolves when everything is acknowledged or has failed. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.#client.close();
  }

  #tick(): void {
    const due = Math.floor(((performance.now() - this.#startedAt) * this.#ratePerS) / 1000) - this.#skipped;
    const room = IN_FLIGHT_MAX - this.#inFlight;
    for (let left = Math.min(due - this.published, room); left > 0; left -= 1) void this.#publish();
    this.#skipped += Math.max(0, due - this.published); // what did not fit is not made up for
  }

  async #publish(): Promise<void> {
    const payload = `${this.name}/${(this.published += 1)}`;
    this.#inFlight += 1;
    try {
      const { attempts } = await this.#client.publish(TOPIC, payload, { acks: 'quorum' });
      this.acknowledged.push(payload);
      if (attempts > 1) this.retried += 1;
      this.failover.progress();
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.failed.set(error.code, (this.failed.get(error.code) ?? 0) + 1);
    }
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#idle?.();
  }
}

/** What a reader was given, and what of it was wrong. */
export class Delivery {
  /** How often each payload came. */
  readonly counts = new Map<string, number>();
  readonly disorder: string[] = [];
  readonly #newest = new Map<string, number>();

  /** What one broker took from one publisher comes in the order in which it was published. */
  add({ id, text }: Message): void {
    this.counts.set(text, (this.counts.get(text) ?? 0) + 1);
    const [publisher, number] = text.split('/') as [string, string];
    const line = `${publisher} at ${id.slice(id.indexOf('@') + 1)}`;
    const newest = this.#newest.get(line) ?? 0;
    if (Number(number) < newest) this.disorder.push(`${text} (${id}) came after ${publisher}/${newest}`);
    else this.#newest.set(line, Number(number));
  }

  get repeated(): string[] {
    return [...this.counts].filter(([, count]) => count > 1).map(([payload]) => payload);
  }

  missing(payloads: readonly string[]): string[] {
    return payloads.filter((payload) => !this.counts.has(payload));
  }
}

export class Subscriber {
  readonly name: string;
  readonly failover = new Failover();
  readonly delivery = new Delivery();
  moves = 0;
  readonly #client: Client;
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;

  static async start(name: string, brokers: readonly string[]): Promise<Subscriber> {
    let subscriber: Subscriber | undefined;
    const onEvent = (event: ClientEvent): void => {
      if (event.type === 'failover' && event.purpose === 'poll') subscriber?.moved(event.broker);
    };
    const client = await connect({ brokers, timeoutMs: SEARCH_MS, onEvent });
    subscriber = new Subscriber(name, client);
    return subscriber;
  }

  private constructor(name: string, client: Client) {
    this.name = name;
    this.#client = client;
    this.failover.broker = client.knownBrokers[0]!;
    this.#reading = this.#read();
    this.#reading.catch(() => undefined); // `stop` tells
  }

  /** @throws RumormillError where it could not read on */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
    await this.#client.close();
  }

  async #read(): Promise<void> {
    for await (const { messages } of this.#client
      .subscribe(TOPIC, { from: 'earliest', signal: this.#stop.signal })
      .batches()) {
      for (const message of messages) this.delivery.add(message);
      this.failover.progress();
    }
  }

  /** Its connection leads to another broker now. */
  moved(broker: string): void {
    this.moves += 1;
    this.failover.broker = broker;
  }
}

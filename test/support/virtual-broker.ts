/**
 * A real Broker in this process, on a store in memory, a clock that stands still, and connections that the test holds
 * the other end of.
 */
import type { ConfigOptions } from '../../brokers/config.ts';
import type { Address } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { Channel, LogFields, Transport } from '../../brokers/core/runtime.ts';
import { Broker } from '../../brokers/host.ts';
import { ReplyParser, type Reply } from '../../brokers/wire/reply-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import { testIdentity, testSignatures } from './identity.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryStore } from './memory-store.ts';
import { SeededRandom } from './random.ts';
import { origin } from './record.ts';
import { VirtualChannel } from './virtual-channel.ts';

/** The seed of its key. */
export const VIRTUAL_KEY = 3000;

export class VirtualBroker {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  /** Log lines of that level. */
  readonly warnings: string[] = [];
  /** The same with their fields. */
  readonly warned: (LogFields & { readonly event: string })[] = [];
  #broker: Broker | undefined;
  #before = 0;
  #accept: ((channel: Channel) => void) | undefined;

  private constructor(store: MemoryStore, clock: ManualClock) {
    this.store = store;
    this.clock = clock;
  }

  static async start(
    options: ConfigOptions = {},
    store = new MemoryStore(origin('localhost:3000')),
    random = (): number => 0,
    rows: readonly Address[] = [],
    clock = new ManualClock(),
    dial: Transport['dial'] = () => Promise.reject(new RumormillError('UNREACHABLE', 'there is nobody else')),
  ): Promise<VirtualBroker> {
    const virtual = new VirtualBroker(store, clock);
    virtual.#broker = await Broker.start(options, rows, {
      version: '0.0.0',
      clock: virtual.clock,
      random,
      signatures: testSignatures(new SeededRandom().word),
      logger: {
        debug: () => undefined,
        info: () => undefined,
        warn(event, fields) {
          virtual.warnings.push(event);
          virtual.warned.push({ event, ...fields });
        },
        error: () => undefined,
      },
      openStore: () => Promise.resolve(virtual.store),
      openIdentity: () => Promise.resolve(testIdentity(VIRTUAL_KEY)),
      transport: {
        listen: (_, accept) => {
          virtual.#accept = accept;
          return Promise.resolve({ close: () => Promise.resolve() });
        },
        dial,
      },
    });
    await virtual.clock.advance(200); // it elects itself, which takes a few timestamps
    virtual.#before = Number(virtual.broker.status()['lamport']);
    return virtual;
  }

  get broker(): Broker {
    return this.#broker!;
  }

  /** @param host from where */
  connect(host = 'client'): VirtualClient {
    const channel = new VirtualChannel(host);
    this.#accept!(channel);
    return new VirtualClient(channel, this.clock, this.#before);
  }
}

/** The other end of a connection: what it sends arrives at once, what it is sent lies in `channel.onTheWay`. */
export class VirtualClient {
  readonly channel: VirtualChannel;
  readonly #clock: ManualClock;
  /** The Lamport timestamp before the first publish. */
  readonly before: number;
  readonly #parser = new ReplyParser();

  constructor(channel: VirtualChannel, clock: ManualClock, before: number) {
    this.before = before;
    this.channel = channel;
    this.#clock = clock;
  }

  /** Commands, as words between blanks, that arrive together; nothing is waited for. */
  send(...commands: readonly string[]): void {
    this.sendBytes(Buffer.concat(commands.map((command) => encodeCommand(command.split(' ')))));
  }

  sendBytes(bytes: Uint8Array): void {
    this.channel.receive(bytes);
  }

  /** The client sends no more. */
  end(): void {
    this.channel.handler.ended();
  }

  /**
   * The replies that have come, after everything that can be done now is done: bytes as text, errors as `-CODE
   * message`, a Lamport timestamp that is a reply by itself counted from the first publish.
   */
  async replies(): Promise<unknown[]> {
    await this.#clock.settle();
    for (const bytes of this.channel.onTheWay.splice(0)) this.#parser.push(Buffer.from(bytes));
    const replies: unknown[] = [];
    for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) {
      replies.push(typeof reply === 'number' ? reply - this.before : plain(reply));
    }
    return replies;
  }

  /** The commands' replies. */
  async ask(...commands: readonly string[]): Promise<unknown[]> {
    this.send(...commands);
    return this.replies();
  }
}

function plain(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString();
  if (reply instanceof RumormillError) return `-${reply.code} ${reply.message}`;
  return Array.isArray(reply) ? reply.map(plain) : reply;
}

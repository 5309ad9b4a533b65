/**
 * Clients of the brokers that speak the bare protocol: one connection each, replies in order.
 */
import { RumormillError } from '../../brokers/core/error.ts';
import type { Channel, ChannelHandler } from '../../brokers/core/runtime.ts';
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import type { Machine } from './machine.ts';
import { Life } from './time.ts';
import type { World } from './world.ts';

const CONNECT_MS = 1000;

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: RumormillError): void;
}

/** A connection. An error reply is a value, as in `Reply`; a command without a reply rejects. */
export class VirtualClient implements ChannelHandler {
  readonly #world: World;
  readonly #channel: Channel;
  readonly #parser = new ReplyParser();
  readonly #waiting: Waiting[] = [];
  #isClosed = false;

  /** @throws RumormillError UNREACHABLE */
  static async connect(world: World, host: string, machine: Machine): Promise<VirtualClient> {
    return new VirtualClient(
      world,
      await world.network.transport(host, new Life(world.time)).dial(machine.address, CONNECT_MS),
    );
  }

  private constructor(world: World, channel: Channel) {
    this.#world = world;
    this.#channel = channel;
    channel.attach(this);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** @throws RumormillError DISCONNECTED; whether the command was carried out is not known */
  command(...args: (string | number)[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(disconnected());
      this.#waiting.push({ resolve, reject });
      this.#channel.write(encodeCommand(args));
    });
  }

  /** As `command`; gives the connection up where no reply comes in time. @throws RumormillError TIMEOUT too */
  async within(timeoutMs: number, ...args: (string | number)[]): Promise<Reply> {
    let late = false;
    const timer = this.#world.time.after(timeoutMs, () => {
      late = true;
      this.close();
    });
    try {
      return await this.command(...args);
    } catch (error) {
      throw late ? new RumormillError('TIMEOUT', `no reply within ${timeoutMs} ms`) : error;
    } finally {
      timer.cancel();
    }
  }

  close(): void {
    this.#channel.destroy();
    this.closed();
  }

  data(chunk: Buffer): void {
    this.#parser.push(chunk);
    for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) {
      this.#waiting.shift()?.resolve(reply);
    }
  }

  sent(): void {}

  drain(): void {}

  ended(): void {
    this.#channel.end();
    this.closed();
  }

  closed(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(disconnected());
  }
}

function disconnected(): RumormillError {
  return new RumormillError('DISCONNECTED', 'connection closed');
}

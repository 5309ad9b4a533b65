/**
 * The connections of clients, all of them: how many there may be, who waits for room in the log, and
 * how they end when the broker stops.
 */
import type { Channel } from './core/runtime.ts';
import type { Broker } from './host.ts';
import { Session } from './session.ts';

export class Sessions {
  readonly #broker: Broker;
  readonly #open = new Set<Session>();
  readonly #paused = new Set<Session>(); // publishers that wait for room in the log
  #ids = 0;
  #refusing = false;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** Open connections, those of peers that have not introduced themselves among them. */
  get size(): number {
    return this.#open.size;
  }

  /** Takes a connection in, or closes it at once where there are too many or the broker stops. */
  accept(channel: Channel): void {
    const isFull = this.#open.size >= this.#broker.config.limits.connectionsMax;
    if (this.#refusing || isFull) return channel.destroy();
    this.#open.add(new Session((this.#ids += 1), this.#broker, channel));
  }

  /** Takes no more connections in. */
  refuse(): void {
    this.#refusing = true;
  }

  paused(session: Session): void {
    this.#paused.add(session);
  }

  closed(session: Session): void {
    this.#open.delete(session);
    this.#paused.delete(session);
  }

  /** The log has room again. */
  drained(): void {
    for (const session of [...this.#paused]) {
      this.#paused.delete(session);
      session.work();
    }
  }

  /** Every session ends once its client has its replies. */
  end(): void {
    for (const session of [...this.#open]) session.end();
  }

  /**
   * Gives every session the time to get its last replies, `shutdownMs` at most, and ends it.
   * @param abandon gives up what is still waited for on behalf of clients
   */
  async finish(abandon: () => void): Promise<void> {
    const { clock, config } = this.#broker;
    const deadline = clock.now() + config.limits.shutdownMs;
    const until = async (done: () => boolean): Promise<void> => {
      while (!done() && clock.now() < deadline) {
        await new Promise<void>((resolve) => clock.schedule(10, resolve));
      }
    };
    await until(() => ![...this.#open].some((session) => session.isBusy));
    abandon();
    this.end();
    await until(() => this.#open.size === 0);
    for (const session of [...this.#open]) session.destroy();
  }
}

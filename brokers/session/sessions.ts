/**
 * The connections of clients, all of them: how many there may be, who waits for room, and how they
 * end when the broker stops.
 *
 * Too many clients must not keep peers out, and a connection does not say whose it is before its first
 * bytes come. So a few more are taken in, at the door: those who do not say at once that they are peers
 * are told that there is no room, and a client that comes while the door is full pushes out the first of them.
 */
import { RumormillError } from '../core/error.ts';
import type { Channel } from '../core/runtime.ts';
import { type Keeper, Session } from './session.ts';
import type { SessionRuntime } from './session-runtime.ts';

const PEER_CONNECTIONS = 2; // both sides may dial at once
const CONNECTIONS_SHARE = 3; // of the memory, a third may be spent on connections that hold nothing
const LOOK_MS = 1000;
const STOOD_STILL_MS = 3000;

export interface SessionsRuntime extends SessionRuntime {
  /** How many brokers there are that this one may have a link with. */
  readonly peerCount: number;
}

export class Sessions implements Keeper {
  readonly #broker: SessionsRuntime;
  readonly #open = new Set<Session>();
  readonly #paused = new Set<Session>(); // who waits for room in the log, or in memory
  readonly #door = new Map<Session, number>(); // in the order in which they came, and when that was
  #ids = 0;
  #lookedAt = 0;
  #refusing = false;

  constructor(broker: SessionsRuntime) {
    this.#broker = broker;
  }

  /** Open connections, those of peers that have not introduced themselves among them. */
  get size(): number {
    return this.#open.size;
  }

  /** How many clients there may be: what peers may need is kept for them. */
  get max(): number {
    const { memoryBytes, connectionBytes, connectionsMax } = this.#broker.config.limits;
    const forPeers = PEER_CONNECTIONS * this.#broker.peerCount;
    const inMemory = Math.floor(memoryBytes / CONNECTIONS_SHARE / connectionBytes);
    return Math.max(1, Math.min(connectionsMax, inMemory) - forPeers);
  }

  /** Takes a connection in, at the door if there are too many. Closes it at once if the broker stops. */
  accept(channel: Channel): void {
    if (this.#refusing) return channel.destroy();
    const isGuest = this.#open.size - this.#door.size >= this.max;
    const session = new Session((this.#ids += 1), this.#broker, this, channel, isGuest);
    this.#open.add(session);
    if (!isGuest) return;
    const { limits } = this.#broker.config;
    this.#door.set(session, this.#broker.clock.now());
    const [[first] = []] = this.#door;
    if (this.#door.size <= limits.doorMax || first === undefined) return;
    if (!first.isOver) this.#count();
    first.destroy();
  }

  /** Somebody at the door is no peer. */
  turnAway(session: Session): void {
    this.#count();
    session.dismiss(new RumormillError('ERR', 'max number of clients reached'));
  }

  #count(): void {
    this.#broker.tally.warn('client refused, there are too many; peers are let in', { clients: this.max });
  }

  /** Looks who has been here for too long. To be called now and then. */
  tick(now: number): void {
    const { doorMs } = this.#broker.config.limits;
    for (const [session, since] of this.#door) {
      if (now - since < doorMs) break;
      if (session.isOver) session.destroy();
      else this.turnAway(session);
    }
    const passedMs = now - this.#lookedAt;
    if (passedMs < LOOK_MS) return;
    this.#lookedAt = now;
    const stoodStill = passedMs > STOOD_STILL_MS; // this process did: what came meanwhile is not read yet
    for (const session of this.#open) {
      if (!session.isLate(now, passedMs, stoodStill)) continue;
      this.#broker.tally.warn('client closed: it did not send the rest of its command in time', {});
      session.dismiss(new RumormillError('ERR', 'the rest of this command did not come in time'));
    }
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
    this.#door.delete(session);
  }

  /** There is room again. */
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

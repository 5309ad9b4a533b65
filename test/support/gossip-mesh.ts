/**
 * Brokers that do nothing but gossip: real logs, links and codec, stores in memory, and a network of which the test
 * decides what arrives when. Links are up or cut as the test says; there is no election and nobody dials.
 */
import { makeConfig, type Limits } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { LamportClock } from '../../brokers/core/log/lamport.ts';
import { Log } from '../../brokers/core/log/log.ts';
import { RunningTime } from '../../brokers/core/log/running-time.ts';
import type { Origin, RecordBatch } from '../../brokers/core/log/record.ts';
import { makeName } from '../../brokers/core/log/proof.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';
import type { Identity } from '../../brokers/core/mesh/identity.ts';
import { Gossip } from '../../brokers/mesh/gossip.ts';
import { Link } from '../../brokers/mesh/link.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryStore } from './memory-store.ts';
import { virtualIdentity, virtualSignatures } from './identity.ts';
import { hello } from './peer.ts';
import { draft } from './record.ts';
import { VirtualChannel } from './virtual-channel.ts';

const signatures = virtualSignatures(() => 0);

/** One broker's log and gossip on a store that outlives it. */
export class GossipBroker {
  readonly log: Log;
  readonly gossip: Gossip;
  readonly links = new Map<Origin, Link>();
  /** Every batch that came from a peer, in order. */
  readonly received: RecordBatch[] = [];

  constructor(store: MemoryStore, identity: Identity, clock: ManualClock, limits: Partial<Limits>) {
    const nothing = (): void => undefined;
    const lamport = new LamportClock(store.state.lamport);
    const config = makeConfig({ limits });
    this.log = new Log(store, clock, lamport, { instance: 'aaaaaaaaaaaa', identity, signatures, ...config.limits }, {
      mark: (batches) => batches,
      committed: (batches) => this.gossip.committed(batches),
      failed: () => this.gossip.rolledBack(),
      drained: () => undefined,
    });
    this.gossip = new Gossip({
      config,
      clock,
      store,
      lamport,
      log: this.log,
      signatures,
      logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      time: new RunningTime(
        undefined, () => clock.now(), () => clock.wallTime(),
      ),
      members: () => ({ hasSeat: () => true }),
      storeFailed: (error) => {
        throw error;
      },
    });
    this.connect = (channel, peer) => {
      const link = new Link(channel, undefined, config.limits, () => clock.now(), {
        heard: () => undefined,
        handshake: (each, message) => {
          if (message.type !== 'PEER') return;
          each.agree();
          each.introduce({ ...message, id: systemSignatures.idOf(message.key) });
          this.links.set(peer, each);
          this.gossip.linkUp(each);
        },
        accepted: () => undefined,
        message: (each, message) => this.#receive(each, message),
        drained: (each) => this.gossip.pump(each),
        closed: (each) => {
          if (this.links.get(peer) !== each) return;
          this.links.delete(peer);
          this.gossip.linkDown(each);
        },
      });
      link.send(hello({ address: config.address, origin: this.log.origin, lamport: lamport.time }));
    };
  }

  /** A new connection with a peer; the link is up once the peer's PEER has arrived, and nothing is proved. */
  readonly connect: (channel: VirtualChannel, peer: Origin) => void;

  publish(payloads: readonly string[], topic = 'news'): void {
    this.log.publish(draft(payloads, { topic }), { stored: () => undefined, failed: () => undefined });
  }

  #receive(link: Link, message: PeerMessage): void {
    switch (message.type) {
      case 'VECTOR':
        this.gossip.learnVector(link, message.entries);
        break;
      case 'RECORDS':
        this.received.push(message.batch);
        this.gossip.takeIn(link, message.batch, message.ageMs);
        break;
      case 'GRAFT':
        this.gossip.graft(link, message.wanted);
        break;
      case 'PRUNE':
        this.gossip.prune(link, message.origins);
        break;
      case 'HELD':
        this.gossip.learnHeld(link, message.held);
        break;
      default:
        throw new Error(`${message.type} is none of gossip's`);
    }
  }
}

export class GossipMesh {
  readonly clock = new ManualClock();
  readonly stores: readonly MemoryStore[];
  readonly brokers: GossipBroker[];
  readonly #limits: Partial<Limits>;
  readonly #channels = new Map<string, [VirtualChannel, VirtualChannel]>();

  constructor(count: number, limits: Partial<Limits> = {}) {
    this.#limits = limits;
    this.stores = Array.from(
      { length: count },
      (_, index) => {
        const address = parseAddress(`10.0.0.${index + 1}:3000`);
        const { origin, owner } = makeName(address, virtualIdentity(index), signatures, () => index);
        return new MemoryStore(origin, owner);
      },
    );
    this.brokers = this.stores.map((store, index) =>
      new GossipBroker(store, virtualIdentity(index), this.clock, limits));
  }

  isUp(left: number, right: number): boolean {
    return this.#channels.has(key(left, right));
  }

  connect(left: number, right: number): void {
    if (left === right || this.isUp(left, right)) return;
    const [a, b] = [Math.min(left, right), Math.max(left, right)];
    const ends = VirtualChannel.pair(String(a), String(b));
    this.#channels.set(key(a, b), ends);
    this.brokers[a]!.connect(ends[0], this.stores[b]!.origin);
    this.brokers[b]!.connect(ends[1], this.stores[a]!.origin);
  }

  cut(left: number, right: number): void {
    this.#channels.get(key(left, right))?.[0].cut();
    this.#channels.delete(key(left, right));
  }

  /** The broker's process dies and comes back on its store; its links are cut. */
  restart(index: number): void {
    for (let other = 0; other < this.brokers.length; other += 1) this.cut(index, other);
    this.brokers[index] = new GossipBroker(this.stores[index]!, virtualIdentity(index), this.clock, this.#limits);
  }

  /** The way from one broker to another; undefined where they have no link. */
  way(from: number, to: number): VirtualChannel | undefined {
    return this.#channels.get(key(from, to))?.[from < to ? 0 : 1];
  }

  /** The ways, each in one direction, on which something is. */
  waysInUse(): VirtualChannel[] {
    return [...this.#channels.values()].flat().filter((end) => end.onTheWay.length > 0);
  }

  /** Delivers all there is, and all that follows from it, without time passing. */
  async flow(): Promise<void> {
    do {
      for (const way of this.waysInUse()) while (way.deliver());
      await this.clock.settle();
    } while (this.waysInUse().length > 0);
  }

  /** Lets time pass in steps, with everything that brokers do at each tick and beat. */
  async pass(ms: number, stepMs = 100): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.clock.advance(stepMs);
      for (const { gossip } of this.brokers) {
        gossip.tick();
        if (this.clock.now() % 1000 === 0) gossip.announce(true);
      }
      await this.flow();
    }
  }
}

function key(left: number, right: number): string {
  return left < right ? `${left} ${right}` : `${right} ${left}`;
}

/**
 * The broker's side towards its peers: links, membership, election; gossip goes over the links. It runs those cores and performs their effects.
 *
 * One link a pair of brokers. Both sides dial; of two links with one process the one that the higher address dialled stays, and of
 * two that the same side dialled, or that lead to different lives of the peer, the newer one.
 */
import { type Address, compareAddresses } from './core/address.ts';
import type { Bully } from './core/bully.ts';
import { messageOf, RumormillError } from './core/error.ts';
import type { Membership, MemberState } from './core/membership.ts';
import { type Origin, originAddress, type StoredBatch } from './core/record.ts';
import type { Channel, Transport } from './core/runtime.ts';
import { countMissing, EMPTY_VECTOR, type Vector } from './core/version-vector.ts';
import { Election } from './election.ts';
import { Gossip, type GossipRuntime } from './gossip.ts';
import { Homes, type HomesRuntime } from './homes.ts';
import { Link } from './link.ts';
import { Naming, type NamingRuntime } from './naming.ts';
import { Overlay } from './overlay.ts';
import type { Args, CommandParser } from './wire/command-parser.ts';
import { decodePeerMessage, type Hello, PEER_PROTOCOL_VERSION, type PeerMessage } from './wire/peer-message.ts';
import { encodeReply } from './wire/resp.ts';

export interface MeshRuntime extends GossipRuntime, NamingRuntime, HomesRuntime {
  readonly transport: Transport;
  /** How far each configured broker holds an origin's records may have changed. */
  acknowledged(): void;
}

export interface BrokerInfo {
  readonly address: Address;
  readonly state: MemberState | 'self';
  /** Records held here that the peer does not have yet, as far as it told. */
  readonly behind: number;
}

export class Mesh {
  /** Who does the work of which subscription. */
  readonly homes: Homes;
  readonly #runtime: MeshRuntime;
  readonly #links = new Map<Origin, Link>();
  readonly #opening = new Set<Link>();
  readonly #dialled = new Map<Link, Address>(); // which address an opening link was to reach
  readonly #overlay: Overlay;
  readonly #membership: Membership;
  readonly #gossip: Gossip;
  readonly #election: Election;
  readonly #bully: Bully;
  readonly #naming: Naming;
  readonly #lastSeen = new Map<Address, Vector>(); // what peers had when their links were lost
  readonly #said = new Set<string>(); // what is logged once
  #joinBy: number | undefined; // the first election is held by then
  #joined = false;
  #beatAt = 0;
  #savedLamport = 0;
  #isSaving = false;
  #closing = false;

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime;
    this.#overlay = new Overlay(runtime, this.#links);
    this.#membership = this.#overlay.membership;
    this.#gossip = new Gossip(runtime);
    this.#naming = new Naming(runtime, () => {
      for (const link of [...this.#links.values()]) link.close('this broker has a new name');
    });
    this.#election = new Election(runtime, (address) => this.#overlay.linkTo(address));
    this.#bully = this.#election.bully;
    this.homes = new Homes(runtime, {
      links: this.#links, membership: this.#membership, bully: this.#bully,
      linkTo: (address) => this.#overlay.linkTo(address),
      route: (address) => this.#overlay.route(address) ?? (this.coordinator && this.#overlay.linkTo(this.coordinator)),
    });
  }

  get coordinator(): Address | undefined {
    return this.#bully.coordinator;
  }

  get term(): number {
    return this.#bully.term;
  }

  get linkCount(): number {
    return this.#links.size;
  }

  /** Records received from peers, and how many of them were here already. */
  get received(): Readonly<Gossip['received']> {
    return this.#gossip.received;
  }

  brokers(): BrokerInfo[] {
    const { config, clock, log } = this.#runtime;
    const now = clock.now();
    const byAddress = new Map([...this.#links.values()].map((link) => [link.peer.address, link]));
    const mine = log.vector.snapshot();
    const peers = this.#membership.all().map((address): BrokerInfo => ({
      address,
      state: this.#membership.state(address, now),
      behind: countMissing(mine, byAddress.get(address)?.vector.snapshot() ?? this.#lastSeen.get(address) ?? EMPTY_VECTOR),
    }));
    return [...peers, { address: config.address, state: 'self' as const, behind: 0 }].sort((a, b) => compareAddresses(a.address, b.address));
  }

  /** How far this broker, and each configured one, holds an origin's records. */
  seqs(origin: Origin): number[] {
    const { log } = this.#runtime;
    const held = (address: Address): number => {
      const link = this.#overlay.linkTo(address);
      const store = link?.peer.origin ?? this.#overlay.storeOf(address);
      return Math.max(link?.vector.get(origin) ?? 0, store === undefined ? 0 : this.#gossip.heldBy(origin, store));
    };
    return [log.vector.get(origin), ...this.#membership.configured().map(held)];
  }

  /** Takes over the rows of globalState.csv: new ones are dialled, those taken out are hung up. */
  configure(rows: readonly Address[]): void {
    const removed = new Set(this.#membership.configure(rows, this.#runtime.clock.now()));
    for (const link of [...this.#links.values()]) if (removed.has(link.peer.address)) link.close('not in globalState.csv any more');
    this.#runtime.acknowledged();
  }

  /** A connection turned out to be a peer's, with this as its first message. */
  accept(channel: Channel, parser: CommandParser, args: Args): void {
    const link = this.#open(channel, parser);
    let peer = channel.remote.replace(/:\d+$/, ''); // each attempt comes from another port, and is not worth another line
    try {
      const hello = decodePeerMessage(args);
      if (hello.type !== 'PEER') throw new RumormillError('PROTOCOL', 'a peer begins with PEER');
      peer = hello.address;
      this.#checkMesh(hello);
      link.send(this.#hello());
      link.introduce(hello);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      if (link.isOpen) link.sendRaw(encodeReply(error));
      this.#once('warn', 'peer refused', { peer, reason: error.message });
      link.close(undefined);
    }
    link.work();
  }

  /** Everything that time brings: dials, beats, stalled gossip, elections. To be called every `tickMs`. */
  tick(): void {
    const { clock, config, store, lamport, log } = this.#runtime;
    const now = clock.now();
    for (const address of this.#membership.takeDials(now)) void this.#dial(address);
    for (const address of this.#membership.silent(now)) this.#overlay.linkTo(address)?.destroy(`silent for ${config.limits.deadAfterMs} ms`);
    this.#overlay.tick(now);
    this.#gossip.tick();
    if (log.isHeld) this.#naming.settle(this.#membership.configured());
    this.#joinBy ??= now + config.limits.joinTimeoutMs; // from the first tick, since what was stored may take long to read
    if (!this.#joined && (this.#membership.settled(now) || now >= this.#joinBy)) {
      this.#joined = true;
      this.#election.perform(this.#bully.start(now));
    } else if (this.#joined) this.#election.perform(this.#bully.tick(now));
    this.homes.tick();
    if (now < this.#beatAt) return;
    this.#beatAt = now + config.limits.beatMs;
    this.#gossip.announce(true);
    if (lamport.time > this.#savedLamport && !this.#isSaving) {
      this.#savedLamport = lamport.time;
      this.#isSaving = true; // one at a time, however long the disk takes
      store.saveClock(lamport.time, this.term)
        .catch((error: unknown) => this.#runtime.storeFailed(error))
        .finally(() => (this.#isSaving = false));
    }
  }

  /** Records are on disk: those of them that were grafted go out, and who waits for it learns that they are here. */
  committed(batches: readonly StoredBatch[]): void {
    this.#gossip.committed(batches);
    this.homes.committed();
  }

  /** Records of peers could not be stored. */
  rolledBack(): void {
    this.#gossip.rolledBack();
  }

  /** Local batches that still wait for this store's name get one. */
  hurry(): Promise<void> {
    return this.#naming.hurry();
  }

  /** Takes leave of every peer. */
  close(): void {
    this.#closing = true;
    this.#election.close();
    for (const link of [...this.#links.values()]) {
      link.send({ type: 'BYE' });
      link.close(undefined);
    }
    for (const link of [...this.#opening]) link.destroy('shutting down');
  }

  // Links

  async #dial(address: Address): Promise<void> {
    const { clock, transport, config } = this.#runtime;
    try {
      const channel = await transport.dial(address, config.limits.dialTimeoutMs);
      if (this.#closing) return channel.destroy();
      const link = this.#open(channel, undefined);
      this.#dialled.set(link, address);
      link.send(this.#hello());
    } catch (error) {
      this.#runtime.logger.debug('peer not reached', { peer: address, reason: messageOf(error) });
      this.#membership.dialFailed(address, clock.now());
    }
  }

  #open(channel: Channel, parser: CommandParser | undefined): Link {
    const { clock, config, log } = this.#runtime;
    const link = new Link(channel, parser, config.limits, log.position, {
      introduced: (each, hello) => this.#introduced(each, hello),
      message: (each, message) => this.#receive(each, message),
      drained: (each) => {
        void this.#gossip.pump(each);
        this.homes.errands.committed();
      },
      closed: (each, reason) => this.#closed(each, reason),
    });
    this.#opening.add(link);
    clock.schedule(config.limits.dialTimeoutMs, () => {
      if (this.#opening.has(link)) link.destroy('no handshake in time');
    });
    return link;
  }

  #hello(): Hello {
    const { config, log, lamport } = this.#runtime;
    return {
      type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh: config.mesh, address: config.address, origin: log.origin, instance: log.instance,
      lamport: lamport.increment(),
    };
  }

  #checkMesh(hello: Hello): void {
    const { mesh, address } = this.#runtime.config;
    if (hello.mesh !== mesh) {
      throw new RumormillError('REFUSED', `${address} belongs to mesh ${JSON.stringify(mesh)}, not ${JSON.stringify(hello.mesh)}`);
    }
  }

  #introduced(link: Link, hello: Hello): void {
    const { clock, log, lamport, logger, config } = this.#runtime;
    const now = clock.now();
    const dialled = this.#dialled.get(link);
    this.#checkMesh(hello);
    lamport.witnessPeer(hello.lamport);
    if (hello.origin === log.origin) return this.#refuseSelf(link, hello, dialled);
    if (hello.address === config.address) throw new RumormillError('REFUSED', `${hello.address} is this broker's own address`);
    if (dialled !== undefined) this.#membership.alias(dialled, hello.address, now);
    const other = this.#links.get(hello.origin) ?? this.#overlay.linkTo(hello.address);
    if (other !== undefined && other.peer.instance !== hello.instance && this.#membership.state(other.peer.address, now) === 'alive') {
      throw new RumormillError('REFUSED', `another process runs as ${other.peer.address}`);
    }
    if (other !== undefined && !this.#replaces(link, other)) return link.close('another link with this peer stays');
    this.#opening.delete(link);
    this.#dialled.delete(link);
    if (other !== undefined) {
      other.replaced = true;
      other.close('a newer link with this peer replaces it');
    }
    this.#links.set(hello.origin, link);
    this.#membership.linkUp(hello.address, now);
    this.#lastSeen.delete(hello.address);
    logger[other === undefined ? 'info' : 'debug']('peer connected', { lamport: lamport.time, peer: hello.address });
    this.#overlay.linkUp(link);
    this.#gossip.linkUp(link);
    this.homes.linkUp(link);
    this.#election.perform(this.#bully.linkUp(hello.address));
  }

  #replaces(link: Link, other: Link): boolean {
    if (other.peer.instance !== link.peer.instance || other.peer.origin !== link.peer.origin || other.dialled === link.dialled) return true;
    const higher = compareAddresses(this.#runtime.config.address, link.peer.address) > 0;
    return link.dialled === higher;
  }

  /** A row is this very broker under another name, or somebody runs a copy of its data folder. */
  #refuseSelf(link: Link, hello: Hello, dialled: Address | undefined): void {
    const { clock, config, log } = this.#runtime;
    const copy = hello.instance !== log.instance;
    if (dialled !== undefined && !copy) {
      this.#membership.alias(dialled, config.address, clock.now());
      this.#once('info', 'a row of globalState.csv is this broker itself', { row: dialled, broker: config.address });
    }
    if (copy && log.isHeld) this.#naming.copied(hello.address);
    else if (copy) this.#once('error', 'another broker runs on a copy of this data folder; it is refused', { peer: hello.address });
    link.close(copy ? 'runs on a copy of this data folder' : 'is this broker itself');
  }

  #closed(link: Link, reason: string | undefined): void {
    const { clock, logger, lamport } = this.#runtime;
    const now = clock.now();
    const dialled = this.#dialled.get(link);
    this.#dialled.delete(link);
    if (this.#opening.delete(link)) {
      if (dialled !== undefined) this.#membership.dialFailed(dialled, now);
      if (dialled !== undefined && reason?.startsWith('REFUSED')) this.#once('warn', 'refused by a peer', { peer: dialled, reason });
      return;
    }
    const { address, origin } = link.peer;
    if (this.#links.get(origin) !== link) return;
    this.#links.delete(origin);
    this.#membership.linkDown(address, link.leaving, now);
    if (this.#lastSeen.size < this.#runtime.config.limits.membersMax) this.#lastSeen.set(address, link.vector.snapshot());
    if (this.#closing) return;
    logger[link.replaced ? 'debug' : 'info'](link.leaving ? 'peer left' : link.replaced ? 'link replaced' : 'peer lost', { lamport: lamport.time, peer: address, reason });
    this.#overlay.linkDown(link);
    this.#gossip.linkDown(link);
    this.#election.perform(this.#bully.linkDown(address, link.leaving, now));
    this.homes.linkDown(link);
    this.#runtime.acknowledged();
  }

  #receive(link: Link, message: PeerMessage): void {
    const { clock, lamport } = this.#runtime;
    const now = clock.now();
    this.#membership.heard(link.peer.address, now);
    switch (message.type) {
      case 'VECTOR':
        lamport.witnessPeer(message.lamport);
        this.#hearOwnRecords(link, message.entries);
        if (this.#gossip.learnVector(link, message.entries)) this.#runtime.acknowledged();
        break;
      case 'RECORDS':
        this.#gossip.takeIn(link, message.batch);
        break;
      case 'GRAFT':
        void this.#gossip.graft(link, message.origin, message.after);
        break;
      case 'PRUNE':
        this.#gossip.prune(link, message.origin);
        break;
      case 'HELD':
        if (this.#gossip.learnHeld(link, message.origin, message.claims)) this.#runtime.acknowledged();
        break;
      case 'MEMBERS':
        this.#overlay.heardOf(link, message.beats);
        this.#runtime.acknowledged(); // a store of which there are claims may be a broker's current one only now
        break;
      case 'SURPLUS':
        this.#overlay.surplus(link);
        break;
      case 'ELECTION':
      case 'OK':
      case 'COORDINATOR':
        lamport.witnessPeer(message.lamport);
        this.#election.perform(this.#bully.receive(link.peer.address, message, now));
        break;
      case 'BYE':
        link.leaving = true;
        break;
      case 'PEER':
        throw new RumormillError('PROTOCOL', 'PEER out of turn');
      default:
        this.homes.receive(link, message);
    }
  }

  /**
   * Before this store's name is settled, this is what it depends on. Afterwards nobody can have more of our records than we do, since nothing
   * leaves before it is on disk: whoever says so lies, or had none of it when it was asked, and there is no link with it.
   * @throws RumormillError REFUSED
   */
  #hearOwnRecords(link: Link, entries: readonly (readonly [Origin, number])[]): void {
    const { log, config } = this.#runtime;
    const seq = entries.find(([origin]) => origin === log.origin)?.[1] ?? 0;
    for (const [origin, records] of entries) {
      if (originAddress(origin) !== config.address || origin === log.origin || log.vector.get(origin) > 0) continue;
      this.#once('info', 'peers know an earlier store of this broker; its records are fetched', { origin, records: String(records) });
    }
    if (log.isHeld) {
      this.#naming.heard(link.peer.address, seq);
      this.#naming.settle(this.#membership.configured());
    } else if (seq > log.vector.get(log.origin)) {
      const reason = 'it claims to hold more records of this store than the store itself';
      this.#once('error', 'peer refused', { peer: link.peer.address, reason });
      throw new RumormillError('REFUSED', reason);
    }
  }

  #once(level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, string>>): void {
    const line = `${event} ${Object.values(fields).join(' ')}`;
    if (this.#said.has(line) || this.#said.size > 10_000) return;
    this.#said.add(line);
    this.#runtime.logger[level](event, fields);
  }
}

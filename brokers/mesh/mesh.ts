/**
 * The broker's side towards its peers: links, membership, election; gossip goes over the links. It runs those cores and
 * performs their effects.
 */
import type { Address } from '../core/address.ts';
import type { Budget } from '../core/budget.ts';
import type { Ages } from '../core/log/ages.ts';
import type { Bully } from '../core/mesh/bully.ts';
import type { RumormillError } from '../core/error.ts';
import type { BrokerId } from '../core/mesh/identity.ts';
import type { Membership } from '../core/mesh/membership.ts';
import type { Origin, StoredBatch } from '../core/log/record.ts';
import type { Channel, Transport } from '../core/runtime.ts';
import { Election } from './election.ts';
import { Gossip, type GossipRuntime } from './gossip.ts';
import { type HandshakeRuntime, type Peer, REFUSED } from './handshake.ts';
import { type Counted, Holdings, type HoldingsRuntime } from './holdings.ts';
import { Guests } from './guests.ts';
import { Introductions } from './introductions.ts';
import type { Link, MeshMessage } from './link.ts';
import type { Port } from './port.ts';
import { Naming, type NamingRuntime } from './naming.ts';
import { Overlay } from './overlay.ts';
import { Recurring } from '../logging/recurring.ts';
import { Said } from '../logging/said.ts';
import type { Args, CommandParser } from '../wire/command-parser.ts';
import type { PeerMessage } from '../wire/peer-message.ts';

/** What peers say about the homes of subscriptions. */
export type HomesMessage = Extract<PeerMessage, { type: 'VIEW' | 'SEEN' | 'LEASES' | 'TAKEN' }>;

/** What peers say about commands that are carried out elsewhere. */
export type ErrandMessage = Extract<PeerMessage, { type: 'ASK' | 'ANSWER' | 'FORGET' }>;

/** The members, as a mesh asks them (members/members.ts). */
export interface Doorkeeper extends Counted {
  /**
   * Why a broker is not let in; undefined if it is.
   * @param names that lead to it: its own, others that were looked at, and the one by which it was dialled, if it was
   * @param isRow whether one of them is a row
   */
  refusal(peer: Peer, names: readonly Address[], isRow: boolean): RumormillError | undefined;
  /** Another broker has reached this one by a name. */
  called(name: Address): void;
  /** A broker, which has proved its id, says that this one was put out of the mesh, and of which seat. */
  putOut(by: Peer, reason: string): void;
  /** Whether a broker has a seat, and so may lead. */
  mayLead(address: Address): boolean;
  /** Whether a broker that is let in has no seat. @param names that lead to it */
  isGuest(peer: Peer, names: readonly Address[]): boolean;
}

export interface MeshRuntime extends HoldingsRuntime, GossipRuntime, NamingRuntime, HandshakeRuntime {
  readonly ages: Ages;
  members(): Doorkeeper;
  readonly transport: Transport;
  readonly budget: Budget;
  /** How far each configured broker holds an origin's records may have changed. */
  acknowledged(): void;
  /** A peer has missed this broker for so long. */
  missed(ms: number): void;
  linkUp(link: Link): void;
  linkDown(link: Link): void;
  /** A broker has said that it stops. */
  left(): void;
  /** There may be a way to a broker now, or room on one. */
  waysChanged(): void;
  homesSaid(link: Link, message: HomesMessage): void;
  errandsSaid(link: Link, message: ErrandMessage): void;
}

export class Mesh implements Port {
  /** Who holds what. */
  readonly holdings: Holdings;
  readonly #runtime: MeshRuntime;
  readonly #links = new Map<Origin, Link>();
  readonly #guests: Guests;
  readonly #introductions: Introductions;
  readonly #overlay: Overlay;
  readonly #membership: Membership;
  readonly #gossip: Gossip;
  readonly #election: Election;
  readonly #bully: Bully;
  readonly #naming: Naming;
  readonly #said: Said;
  readonly #recurring: Recurring;
  #joinBy: number | undefined; // the first election is held by then
  #joined = false;
  #beatAt = 0;
  #closing = false;

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime;
    this.#overlay = new Overlay(runtime, this.#links);
    this.#membership = this.#overlay.membership;
    this.#gossip = new Gossip(runtime);
    this.holdings = new Holdings(runtime, {
      links: this.#links, guests: () => this.#guests.links(), overlay: this.#overlay, gossip: this.#gossip,
    });
    runtime.budget.gauge('held back', () => this.#gossip.heldBackBytes);
    this.#said = new Said(runtime.logger, runtime.clock);
    this.#naming = new Naming(runtime, {
      said: this.#said,
      configured: () => this.#membership.configured(),
      linkTo: (address) => this.#overlay.linkTo(address),
      renamed: () => {
        for (const link of [...this.#links.values()]) link.close('this broker has a new name');
      },
    });
    this.#guests = new Guests(runtime, {
      gossip: this.#gossip, naming: this.#naming,
      isGuest: (peer) => runtime.members().isGuest(peer, this.#membership.namesOf(peer.address)),
    });
    this.#introductions = new Introductions(runtime, {
      called: (name) => {
        this.#membership.reached(name, runtime.clock.now());
        runtime.members().called(name);
      },
      membership: this.#membership, naming: this.#naming, said: this.#said,
      refusal: (peer, dialled) => {
        const names = this.#membership.namesOf(peer.address).concat(dialled ?? []);
        return runtime.members().refusal(peer, names, names.some((name) => this.#membership.isRow(name)));
      },
      putOut: (by, reason) => runtime.members().putOut(by, reason),
      linksLike: (like) => [...this.#links.values()].filter(({ peer: { id, address, origin } }) =>
        id === like.id || address === like.address || origin === like.origin).concat(this.#guests.like(like)),
      linked: (link, other) => this.#linked(link, other),
      heard: (link) => {
        if (!this.#guests.has(link)) this.#membership.heard(link.peer.address, runtime.clock.now());
      },
      message: (link, message) => this.#receive(link, message),
      drained: (link) => {
        this.#gossip.pump(link);
        runtime.waysChanged();
      },
      lost: (link, reason) => this.#lost(link, reason),
    });
    this.#recurring = new Recurring(runtime.logger, runtime.clock);
    this.#election = new Election(runtime, {
      linkTo: (address) => this.#overlay.linkTo(address),
      roundTripMs: () => this.roundTripMs(),
      recurring: this.#recurring,
    });
    this.#bully = this.#election.bully;
  }

  get coordinator(): Address | undefined {
    return this.#bully.coordinator;
  }

  get term(): number {
    return this.#bully.term;
  }

  links(): Iterable<Link> {
    return this.#links.values();
  }

  linkTo(address: Address): Link | undefined {
    return this.#overlay.linkTo(address);
  }

  /** If no way is known, the coordinator may know one. */
  route(address: Address): Link | undefined {
    return this.#overlay.route(address) ?? (this.coordinator && this.#overlay.linkTo(this.coordinator));
  }

  isReached(address: Address): boolean {
    return this.#overlay.isReached(address);
  }

  isGone(address: Address): boolean {
    return this.#overlay.isGone(address);
  }

  isSilent(link: Link): boolean {
    return this.#overlay.isSilent(link);
  }

  roundTripMs(): number {
    let longest = 0;
    for (const link of this.#links.values()) longest = Math.max(longest, link.roundTripMs);
    return longest;
  }

  /** How many brokers it knows. */
  get peerCount(): number {
    return this.#membership.size;
  }

  get linkCount(): number {
    return this.#links.size;
  }

  /** Records received from peers, and how many of them were here already. */
  get received(): Readonly<Gossip['received']> {
    return this.#gossip.received;
  }

  idAt(address: Address): BrokerId | undefined {
    return this.#overlay.linkTo(address)?.peer.id;
  }

  /** The rows, this broker among them, if it leads a majority of them and they are as many brokers. */
  founders(): readonly Address[] | undefined {
    const { config: { address, joins } } = this.#runtime;
    return joins || this.coordinator !== address ? undefined : this.holdings.founders();
  }

  /** Takes over the members, or the rows of globalState.csv: new ones are dialled, those taken out are hung up. */
  configure(rows: readonly Address[]): void {
    const { clock, config, acknowledged } = this.#runtime;
    this.#membership.configure(rows, clock.now());
    this.#gossip.reseated();
    this.#guests.reseated();
    acknowledged();
    clock.schedule(config.limits.beatMs, () => { // one that leaves hears first that it may
      for (const link of [...this.#links.values()]) {
        if (!this.#membership.isRow(link.peer.address)) link.close('no member any more');
      }
    });
  }

  /** A connection turned out to be a peer's, with this as its first message. */
  accept(channel: Channel, parser: CommandParser, args: Args): void {
    this.#introductions.accept(channel, parser, args);
  }

  /** Everything that time brings: dials, beats, stalled gossip, elections. To be called every `tickMs`. */
  tick(): void {
    const { clock, config } = this.#runtime;
    const now = clock.now();
    for (const address of this.#membership.takeDials(now)) void this.#introductions.dial(address);
    const name = this.#membership.takeLook(now);
    if (name !== undefined) void this.#introductions.look(name);
    if (this.#membership.takeRecounted()) this.#runtime.acknowledged();
    for (const address of this.#membership.silent(now)) {
      this.#overlay.linkTo(address)?.destroy(`silent for ${config.limits.deadAfterMs} ms`);
    }
    this.#overlay.tick(now);
    this.#gossip.tick();
    this.#guests.tick();
    this.#recurring.tick();
    this.#naming.tick();
    // from the first tick, since what was stored may take long to read
    this.#joinBy ??= now + config.limits.joinTimeoutMs;
    if (!this.#joined && (this.#membership.settled(now) || now >= this.#joinBy)) {
      this.#joined = true;
      this.#election.perform(this.#bully.start(now));
    } else if (this.#joined) this.#election.perform(this.#bully.tick(now));
    if (now < this.#beatAt) return;
    this.#beatAt = now + config.limits.beatMs;
    this.#gossip.announce(true);
  }

  /** Records are on disk: those of them that were grafted go out, and who waits for it learns that they are here. */
  committed(batches: readonly StoredBatch[]): void {
    this.#gossip.committed(batches);
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
    this.#naming.leave();
    this.#election.close();
    this.#overlay.leave();
    for (const link of [...this.#links.values(), ...this.#guests.links()]) {
      link.send({ type: 'BYE' });
      link.close(undefined);
    }
    this.#introductions.close();
  }

  /** Nothing more is named in this life of the store. @throws RumormillError DISKFULL or STORE */
  seal(): Promise<void> {
    return this.#naming.seal();
  }

  // Links

  /** A link with a peer that has introduced itself; it replaces another one, if there is one. */
  #linked(link: Link, other: Link | undefined): void {
    const { clock, lamport, logger } = this.#runtime;
    const { address, origin } = link.peer;
    if (other !== undefined) {
      other.replaced = true;
      other.close('a newer link with this peer replaces it');
    }
    if (this.#guests.linked(link)) return this.#membership.dialFailed(address, clock.now(), true); // by the member
    this.#links.set(origin, link);
    const missedMs = this.#membership.missedMs(address, clock.now());
    if (missedMs !== undefined) link.send({ type: 'MISSED', ms: missedMs });
    this.#membership.linkUp(address, clock.now());
    this.holdings.linkUp(address);
    const fields = { lamport: lamport.time, peer: address };
    if (other === undefined) this.#recurring.say(`peer ${address}`, 'peer connected', fields);
    else logger.debug('peer connected', fields);
    this.#overlay.linkUp(link);
    this.#naming.linkUp(link);
    this.#gossip.linkUp(link);
    this.#runtime.linkUp(link);
    this.#election.perform(this.#bully.linkUp(address));
    if (this.#membership.takeRecounted()) this.#runtime.acknowledged();
  }

  #lost(link: Link, reason: string | undefined): void {
    const { clock, logger, lamport } = this.#runtime;
    const now = clock.now();
    const { address, origin, id } = link.peer;
    if (this.#guests.lost(link) || this.#links.get(origin) !== link) return;
    this.#links.delete(origin);
    this.#membership.linkDown(address, link.leaving, now, link.refusedBy !== undefined);
    this.holdings.linkDown(link);
    this.#naming.linkDown(link);
    if (this.#closing) return;
    if (link.refusedBy !== undefined) {
      this.#said.nowAndThen('warn', REFUSED[link.refusedBy], { peer: address, id, reason: String(reason) });
    }
    const fields = { lamport: lamport.time, peer: address, reason };
    if (link.replaced) logger.debug('link replaced', fields);
    else this.#recurring.say(`peer ${address}`, link.leaving ? 'peer left' : 'peer lost', fields);
    this.#overlay.linkDown(link);
    this.#gossip.linkDown(link);
    lamport.parted(id);
    this.#election.perform(this.#bully.linkDown(address, link.leaving, now, id));
    this.#runtime.linkDown(link);
    if (link.leaving) this.#runtime.left();
    this.#runtime.acknowledged();
  }

  #receive(link: Link, message: MeshMessage): void {
    const { clock, lamport } = this.#runtime;
    const now = clock.now();
    if (this.#guests.receive(link, message)) return;
    if ('lamport' in message) lamport.told(link.peer.id, message.lamport);
    switch (message.type) {
      case 'VECTOR':
        this.#naming.heardRecords(link, message.entries);
        if (this.#gossip.learnVector(link, message.entries)) this.#runtime.acknowledged();
        break;
      case 'LIFE':
        this.#naming.told(link, message);
        break;
      case 'CLAIM':
        this.#naming.claimed(link, message.life);
        break;
      case 'RECORDS':
        this.#gossip.takeIn(link, message.batch, message.ageMs);
        break;
      case 'MISSED':
        return this.#runtime.missed(message.ms);
      case 'GRAFT':
        return this.#gossip.graft(link, message.wanted);
      case 'PRUNE':
        this.#gossip.prune(link, message.origins);
        break;
      case 'HELD':
        if (this.#gossip.learnHeld(link, this.#overlay.credible(message.held))) this.#runtime.acknowledged();
        break;
      case 'MEMBERS':
        if (this.#overlay.heardOf(link, message.beats)) this.#runtime.left();
        this.#runtime.waysChanged();
        this.#runtime.acknowledged(); // a store with claims may be a broker's current one only now
        break;
      case 'SEEK':
        this.#overlay.sought(link, message.address, message.hops);
        break;
      case 'SURPLUS':
        return this.#overlay.surplus(link);
      case 'ELECTION':
      case 'OK':
      case 'COORDINATOR':
        if (message.type === 'COORDINATOR' && !this.#runtime.members().mayLead(message.address)) break;
        this.#election.perform(this.#bully.receive(link.peer.address, message, now, link.peer.id));
        break;
      case 'BYE':
        link.leaving = true;
        break;
      case 'VIEW':
      case 'SEEN':
      case 'LEASES':
      case 'TAKEN':
        return this.#runtime.homesSaid(link, message);
      case 'ASK':
      case 'ANSWER':
      case 'FORGET':
        return this.#runtime.errandsSaid(link, message);
    }
  }
}

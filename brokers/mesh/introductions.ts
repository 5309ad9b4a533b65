/**
 * How a connection becomes a link: dials, handshakes, and who is refused.
 *
 * A peer is known by the id that it has proved (handshake.ts); its address, origin and instance are what it says, and
 * many have heard them. So a link gives way only to one of the same id. Of two brokers that say the same of themselves,
 * or of one that says two things, the one that was there first stays; the other is refused as long as that is there.
 *
 * One link per pair of brokers. Both sides dial. Of two links with one process, the one that the
 * higher address dialled stays. If the same side dialled both, or they lead to different lives of
 * the peer, the newer one stays.
 */
import type { Ages } from '../core/log/ages.ts';
import { type Address, compareAddresses, splitAddress } from '../core/address.ts';
import type { Budget } from '../core/budget.ts';
import { ClockClaims } from '../core/mesh/clock-claims.ts';
import { isUnresolved, messageOf, RumormillError } from '../core/error.ts';
import { NOT_YET } from '../core/members/change.ts';
import type { Membership } from '../core/mesh/membership.ts';
import type { Channel, Timer, Transport } from '../core/runtime.ts';
import { recordLimits } from '../config.ts';
import type { GossipRuntime } from './gossip.ts';
import { Handshake, type HandshakeRuntime, type Peer } from './handshake.ts';
import { Link, type LinkEvents } from './link.ts';
import type { Naming, NamingRuntime } from './naming.ts';
import { crowding, type Opening } from './opening.ts';
import type { Said } from '../logging/said.ts';
import type { Args, CommandParser } from '../wire/command-parser.ts';
import { decodePeerMessage } from '../wire/peer-codec.ts';
import { type Hello, PEER_PROTOCOL_VERSION, type Proof } from '../wire/peer-message.ts';

const IS_SELF = 'a row of globalState.csv is this broker itself';
const LEADS_ELSEWHERE = 'a row of globalState.csv leads to a broker that has another row, and counts as missing';

const COPIED_KEY = 'if its data folder is a copy, stop it, remove broker.key there and start it again';
const NO_HANDSHAKE = 'no handshake in time'; // of a peer that was dialled
const NO_PROOF = 'no proof of its key in time'; // of one that has dialled
const CROWDED = 'too many connections that prove nothing'; // from its host
const AGAIN_MS = 60_000; // after which it is said again who is refused

export interface IntroductionsRuntime extends GossipRuntime, NamingRuntime, HandshakeRuntime {
  readonly transport: Transport;
  readonly budget: Budget;
  readonly ages: Ages;
}

/** Whom this broker knows, and what becomes of those who introduce themselves. */
export interface Peers extends Pick<LinkEvents, 'heard' | 'message' | 'drained'> {
  readonly membership: Membership;
  readonly naming: Naming;
  readonly said: Said;
  /** Another broker has reached this one by this name. */
  called(name: Address): void;
  /** Why a broker is not let in; undefined if it is. @param dialled the name by which it was reached, if it was */
  refusal(peer: Peer, dialled: Address | undefined): RumormillError | undefined;
  /** A broker, which has proved its id, says that this one was put out of the mesh, and of which seat. */
  putOut(by: Peer, reason: string): void;
  /** The links whose peers have the id, the address or the store of this one. */
  linksLike(peer: Peer): Link[];
  /** The peer is who it says; `other` is the link that this one replaces. */
  linked(link: Link, other: Link | undefined): void;
  /** A link that was introduced is closed. */
  lost(link: Link, reason: string | undefined): void;
}

export class Introductions {
  readonly #runtime: IntroductionsRuntime;
  readonly #peers: Peers;
  readonly #opening = new Map<Link, Opening>();
  readonly #claims: ClockClaims;
  #closing = false;

  constructor(runtime: IntroductionsRuntime, peers: Peers) {
    this.#runtime = runtime;
    this.#peers = peers;
    this.#claims = new ClockClaims(runtime.config.limits.joinTimeoutMs);
  }

  /** A connection turned out to be a peer's, with this as its first message. */
  accept(channel: Channel, parser: CommandParser, args: Args): void {
    const link = this.#open(channel, parser, undefined);
    crowding(this.#opening, this.#runtime.config.limits.handshakesMax)?.destroy(CROWDED);
    try {
      const hello = decodePeerMessage(args, recordLimits(this.#runtime.config.limits));
      if (hello.type !== 'PEER') throw new RumormillError('PROTOCOL', 'a peer begins with PEER');
      this.#answer(link, hello);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      link.refuse(error);
    }
    link.work();
  }

  /** Dials a broker. The membership learns what became of it. */
  dial(address: Address): Promise<void> {
    return this.#dial(address, this.#runtime.config.rejoins ? 'rejoin' : 'link');
  }

  /** Dials a name only to see who is there. The membership learns who is, or that nobody answers. */
  look(name: Address): Promise<void> {
    return this.#dial(name, 'look');
  }

  async #dial(name: Address, wants: Hello['wants']): Promise<void> {
    const { transport, config, logger } = this.#runtime;
    try {
      const channel = await transport.dial(name, config.limits.dialTimeoutMs, this.#ports());
      if (this.#closing) return channel.destroy();
      const link = this.#open(channel, undefined, { name, wants });
      const hello = this.#hello(wants, name);
      this.#opening.get(link)!.handshake = new Handshake(this.#runtime, 'dialler', hello);
      link.send(hello);
    } catch (error) {
      const fields = { peer: name, reason: messageOf(error) };
      if (!this.#isWithoutGuide()) logger.debug('peer not reached', fields);
      else this.#peers.said.nowAndThen('warn', 'no member is reached to join by', fields, AGAIN_MS);
      this.#failed(name, wants, false, isUnresolved(error));
    }
  }

  /** Whether this broker was told by whom to join, and reaches nobody. */
  #isWithoutGuide(): boolean {
    const { config: { joins, rejoins } } = this.#runtime;
    const { membership } = this.#peers;
    return (joins || rejoins) && !membership.all().some((each) => membership.isLinked(each));
  }

  #failed(address: Address, wants: Hello['wants'], isRefused: boolean, unresolved = false): void {
    const now = this.#runtime.clock.now();
    if (wants === 'look') this.#peers.membership.unanswered(address, unresolved, now);
    else this.#peers.membership.dialFailed(address, now, isRefused);
  }

  /** On which brokers listen, as far as is known. */
  #ports(): Set<number> {
    const { address, bind } = this.#runtime.config;
    return new Set([address, bind, ...this.#peers.membership.all()].map((each) => splitAddress(each).port));
  }

  #open(channel: Channel, parser: CommandParser | undefined, dial: Opening['dial']): Link {
    const { clock, config, budget } = this.#runtime;
    const from = channel.remote.replace(/:\d+$/, '');
    const link = new Link(channel, parser, config.limits, () => clock.now(), {
      handshake: (each, message) => {
        if (message.type === 'PEER') this.#greeted(each, message);
        else this.#proved(each, message);
      },
      accepted: (each) => this.#accepted(each),
      heard: (each) => this.#peers.heard(each),
      message: (each, message) => this.#peers.message(each, message),
      drained: (each) => this.#peers.drained(each),
      closed: (each, reason) => this.#closed(each, reason),
    });
    link.chargeTo(budget);
    this.#opening.set(link, { dial, from, handshake: undefined, greetedAt: 0, timer: this.#timeOut(link) });
    return link;
  }

  /** The peer has so long for its next step. */
  #timeOut(link: Link): Timer {
    const { clock, config } = this.#runtime;
    return clock.schedule(config.limits.dialTimeoutMs, () => link.destroy(link.dialled ? NO_HANDSHAKE : NO_PROOF));
  }

  #hello(wants: Hello['wants'], dialled: Address): Hello {
    const { config, log, lamport, ages, identity, signatures } = this.#runtime;
    const { mesh, address } = config;
    const { origin, instance } = log;
    return {
      type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh, address, origin, instance, lamport: lamport.tick(),
      wants, dialled, time: ages.processTime, key: identity.publicKey, nonce: signatures.nonce(),
      names: this.#peers.membership.ownNames(),
    };
  }

  // The handshake

  /** A broker that has dialled this one says who it is. If it only wants to see who is here, this is all. */
  #answer(link: Link, hello: Hello): void {
    const { log, config } = this.#runtime;
    const opening = this.#opening.get(link)!;
    if (hello.instance !== log.instance) this.#peers.called(hello.dialled);
    const mine = this.#hello(config.rejoins && hello.wants !== 'look' ? 'rejoin' : hello.wants, hello.dialled);
    opening.handshake = new Handshake(this.#runtime, 'answerer', mine);
    this.#greeted(link, hello);
    link.send(mine);
    link.send(opening.handshake.prove());
    if (hello.wants === 'look') link.close(undefined);
  }

  /** Either side says who it is. */
  #greeted(link: Link, hello: Hello): void {
    const opening = this.#opening.get(link)!;
    const handshake = opening.handshake!;
    handshake.hear(hello);
    opening.greetedAt = this.#runtime.clock.now();
    if (handshake.isEcho) return link.close('what was sent came back');
    this.#checkMesh(hello);
  }

  /** Either side has proved that, or has not. */
  #proved(link: Link, proof: Proof): void {
    const { dial, handshake } = this.#opening.get(link)!;
    const peer = handshake!.verify(proof);
    if (dial?.wants === 'look') return this.#seen(link, peer);
    if (link.dialled) return this.#confirm(link, peer);
    if (!this.#mayLink(link, peer)) return;
    link.agree();
    this.#introduce(link, peer);
  }

  /** The broker that was dialled is who it says: it gets our proof, and has the last word. */
  #confirm(link: Link, peer: Peer): void {
    const { log, identity } = this.#runtime;
    const opening = this.#opening.get(link)!;
    const isCopy = peer.instance !== log.instance && (peer.origin === log.origin || peer.id === identity.id);
    if (isCopy) link.send(opening.handshake!.prove()); // both have to learn it
    if (!this.#mayLink(link, peer)) return;
    link.send(opening.handshake!.prove());
    link.agree();
    opening.timer.cancel();
    opening.timer = this.#timeOut(link);
  }

  /** The broker that was dialled has taken our proof, and goes on. */
  #accepted(link: Link): void {
    const peer = this.#opening.get(link)!.handshake!.peer!;
    if (this.#mayLink(link, peer)) this.#introduce(link, peer); // much may have happened meanwhile
  }

  #introduce(link: Link, peer: Peer): void {
    const { ages, clock, lamport } = this.#runtime;
    const [other] = this.#peers.linksLike(peer);
    const { greetedAt } = this.#opening.get(link)!;
    this.#forget(link);
    link.introduce(peer);
    lamport.told(peer.id, peer.lamport);
    ages.met(peer.address, Math.round(peer.time + clock.now() - greetedAt));
    this.#peers.linked(link, other);
  }

  // Who is refused

  /** Whether a link with a peer that has proved its id is to be; closes it if not. @throws RumormillError REFUSED */
  #mayLink(link: Link, peer: Peer): boolean {
    const { dial } = this.#opening.get(link)!;
    this.#check(peer);
    if (peer.origin === this.#runtime.log.origin) {
      this.#refuseSelf(link, peer);
      return false;
    }
    if (dial !== undefined) this.#led(dial.name, peer); // first: rows are asked for their clocks
    const refusal = this.#peers.refusal(peer, dial?.name);
    if (refusal !== undefined) throw refusal;
    this.#checkClock(peer);
    if (this.#peers.linksLike(peer).every((other) => this.#replaces(link, peer, other))) return true;
    link.close('another link with this peer stays');
    return false;
  }

  /** @throws RumormillError REFUSED if there can be no link with a broker that has proved to be this */
  #check(peer: Peer): void {
    const { log, config, identity } = this.#runtime;
    if (peer.origin === log.origin) return; // this broker, or a copy of it, which has to learn that it is one
    if (peer.address === config.address) {
      throw new RumormillError('REFUSED', `${peer.address} is this broker's own address`);
    }
    if (peer.id === identity.id) {
      throw new RumormillError('REFUSED', `${peer.address} has the key of ${config.address}: ${COPIED_KEY}`);
    }
    for (const other of this.#peers.linksLike(peer)) {
      const reason = this.#conflict(peer, other.peer);
      if (reason !== undefined) throw new RumormillError('REFUSED', reason);
    }
  }

  /**
   * Why a peer cannot take the place of one that has a link, if it cannot. The next life of that one can, as soon as
   * the link is silent; nobody else can.
   */
  #conflict(peer: Peer, other: Peer): string | undefined {
    const { clock } = this.#runtime;
    const isHere = peer.address === other.address;
    if (peer.id !== other.id) {
      return isHere
        ? `another process runs as ${other.address}, with another key`
        : `its store is that of ${other.address}, which has another key`;
    }
    if (isHere && peer.instance === other.instance) return undefined;
    if (this.#peers.membership.state(other.address, clock.now()) !== 'alive') return undefined;
    return isHere
      ? `another process runs as ${other.address}`
      : `${peer.address} has the key of ${other.address}: ${COPIED_KEY}`;
  }

  /** @throws RumormillError REFUSED */
  #checkMesh(hello: Hello): void {
    const { mesh, address } = this.#runtime.config;
    if (hello.mesh === mesh) return;
    const meshes = `mesh ${JSON.stringify(mesh)}, not ${JSON.stringify(hello.mesh)}`;
    throw new RumormillError('REFUSED', `${address} belongs to ${meshes}`);
  }

  /** @throws RumormillError REFUSED for a clock that is not believed, or not yet */
  #checkClock({ address, lamport: time }: Hello): void {
    const { lamport, clock } = this.#runtime;
    const { membership } = this.#peers;
    const rows = membership.configured();
    if (rows.some((row) => membership.isLinked(row))) this.#claims.clear();
    else if (!lamport.mayWitness(time)) {
      const median = this.#claims.hear(address, time, rows, clock.now());
      if (median !== undefined) lamport.follow(median);
    }
    if (!lamport.mayWitness(time)) {
      throw new RumormillError(
        'REFUSED',
        'its Lamport clock is further ahead than a mesh can have counted; where that is wrong,' +
          ' stop all brokers and run each with --mend-clock',
      );
    }
  }

  /** A look has shown who is there. Another process with our own name is nobody that we could know. */
  #seen(link: Link, peer: Peer): void {
    const { log, config } = this.#runtime;
    const opening = this.#opening.get(link)!;
    const isSelf = peer.instance === log.instance;
    if (peer.address === config.address && !isSelf) return link.close('somebody else goes by our name');
    this.#led(opening.dial!.name, peer);
    opening.dial = undefined;
    link.close(undefined);
  }

  #led(dialled: Address, { address, id, names }: Peer): void {
    const { clock, config } = this.#runtime;
    const { membership, said } = this.#peers;
    membership.saw(dialled, id, clock.now());
    membership.led(dialled, address, names.includes(dialled), clock.now());
    if (membership.seats.some(({ row, broker }) => row === dialled && broker === undefined)) {
      said.once('warn', LEADS_ELSEWHERE, { row: dialled, broker: address });
    } else if (address === config.address) said.once('info', IS_SELF, { row: dialled, broker: config.address });
  }

  #replaces(link: Link, peer: Peer, other: Link): boolean {
    if (
      other.peer.instance !== peer.instance ||
      other.peer.origin !== peer.origin ||
      other.dialled === link.dialled
    ) {
      return true;
    }
    const higher = compareAddresses(this.#runtime.config.address, peer.address) > 0;
    return link.dialled === higher;
  }

  /** A row is this very broker under another name, or somebody runs a copy of its data folder. */
  #refuseSelf(link: Link, peer: Peer): void {
    const { log } = this.#runtime;
    const { dial } = this.#opening.get(link)!;
    const copy = peer.instance !== log.instance;
    if (dial !== undefined && !copy) this.#led(dial.name, peer);
    if (copy && log.isHeld) this.#peers.naming.copied(peer.address);
    else if (copy) {
      const event = 'another broker runs on a copy of this data folder; it is refused';
      this.#peers.said.nowAndThen('error', event, { peer: peer.address });
      return link.refuse(new RumormillError('REFUSED', 'runs on a copy of this data folder'));
    }
    link.close(copy ? 'runs on a copy of this data folder' : 'is this broker itself');
  }

  #closed(link: Link, reason: string | undefined): void {
    const opening = this.#opening.get(link);
    if (opening === undefined) return this.#peers.lost(link, reason);
    const { dial, handshake } = opening;
    this.#forget(link);
    const isOut = link.dialled && link.refusedBy === 'peer' && handshake?.isProven === true;
    if (isOut && String(reason).startsWith('OUT ')) this.#peers.putOut(handshake.peer!, String(reason));
    if (dial !== undefined) this.#failed(dial.name, dial.wants, link.refusedBy !== undefined);
    if (link.refusedBy === undefined && ![NO_HANDSHAKE, NO_PROOF, CROWDED].includes(String(reason))) return;
    if (link.refusedBy === 'peer' && !link.dialled) return; // whoever dials may say anything
    this.#sayRefused(link.refusedBy === 'peer' ? 'refused by a peer' : 'peer refused', opening, String(reason));
  }

  #sayRefused(event: string, { dial, handshake, from }: Opening, reason: string): void {
    const peer = dial?.name ?? handshake?.peer?.address ?? from;
    const isClaim = dial === undefined && handshake?.peer !== undefined && !handshake.isProven;
    const level = reason.includes(NOT_YET) ? 'debug' : 'warn';
    this.#peers.said.nowAndThen(level, event, { peer, ...(isClaim && { from }), reason }, AGAIN_MS);
  }

  #forget(link: Link): void {
    this.#opening.get(link)!.timer.cancel();
    this.#opening.delete(link);
  }

  /** Ends what is still being introduced. */
  close(): void {
    this.#closing = true;
    for (const link of [...this.#opening.keys()]) link.destroy('shutting down');
  }
}

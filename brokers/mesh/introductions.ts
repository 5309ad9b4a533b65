/**
 * How a connection becomes a link: dials, handshakes, and who is refused.
 *
 * One link per pair of brokers. Both sides dial. Of two links with one process, the one that the
 * higher address dialled stays. If the same side dialled both, or they lead to different lives of
 * the peer, the newer one stays.
 */
import type { Ages } from '../core/log/ages.ts';
import { type Address, compareAddresses, splitAddress } from '../core/address.ts';
import type { Budget } from '../core/budget.ts';
import type { Id } from '../core/members/change.ts';
import { fakeId } from '../members/fake.ts';
import { ClockClaims } from '../core/mesh/clock-claims.ts';
import { isUnresolved, messageOf, RumormillError } from '../core/error.ts';
import type { Membership } from '../core/mesh/membership.ts';
import type { Channel, Transport } from '../core/runtime.ts';
import { recordLimits } from '../config.ts';
import type { GossipRuntime } from './gossip.ts';
import { Link, type LinkEvents } from './link.ts';
import type { Naming, NamingRuntime } from './naming.ts';
import type { Said } from '../logging/said.ts';
import type { Args, CommandParser } from '../wire/command-parser.ts';
import { decodePeerMessage } from '../wire/peer-codec.ts';
import { type Hello, PEER_PROTOCOL_VERSION } from '../wire/peer-message.ts';

const IS_SELF = 'a row of globalState.csv is this broker itself';
const LEADS_ELSEWHERE = 'a row of globalState.csv leads to a broker that has another row, and counts as missing';

// of a dialled peer: a connection that is accepted is a link only once its PEER is here
const NO_HANDSHAKE = 'no handshake in time';

export interface IntroductionsRuntime extends GossipRuntime, NamingRuntime {
  readonly transport: Transport;
  readonly budget: Budget;
  readonly ages: Ages;
}

/** Whom this broker knows, and what becomes of those who introduce themselves. */
export interface Peers extends Pick<LinkEvents, 'heard' | 'message' | 'drained'> {
  readonly membership: Membership;
  readonly naming: Naming;
  readonly said: Said;
  /** Another broker has reached this one by a name. */
  called(name: Address): void;
  /**
   * Why a broker is not let in; undefined if it is.
   * @param dialled the name by which it was reached, if it was
   */
  refusal(id: Id, address: Address, dialled: Address | undefined): RumormillError | undefined;
  /** The link that there is with a broker. */
  linkWith(hello: Hello): Link | undefined;
  /** The peer is who it says; `other` is the link that this one replaces. */
  linked(link: Link, other: Link | undefined): void;
  /** A link that was introduced is closed. */
  lost(link: Link, reason: string | undefined): void;
}

/** What a connection was dialled for: the name that it was to reach, and what was said over it. */
interface Dial {
  readonly address: Address;
  readonly hello: Hello;
}

export class Introductions {
  readonly #runtime: IntroductionsRuntime;
  readonly #peers: Peers;
  readonly #opening = new Set<Link>();
  readonly #dials = new Map<Link, Dial>(); // what an opening link was dialled for
  readonly #claims: ClockClaims;
  #closing = false;

  constructor(runtime: IntroductionsRuntime, peers: Peers) {
    this.#runtime = runtime;
    this.#peers = peers;
    this.#claims = new ClockClaims(runtime.config.limits.joinTimeoutMs);
  }

  /** A connection turned out to be a peer's, with this as its first message. */
  accept(channel: Channel, parser: CommandParser, args: Args): void {
    const link = this.#open(channel, parser);
    // each attempt comes from another port, and is not worth another line
    let peer = channel.remote.replace(/:\d+$/, '');
    try {
      const hello = decodePeerMessage(args, recordLimits(this.#runtime.config.limits));
      if (hello.type !== 'PEER') throw new RumormillError('PROTOCOL', 'a peer begins with PEER');
      peer = hello.address;
      if (hello.instance !== this.#runtime.log.instance) {
        this.#peers.called(hello.dialled);
      }
      if (hello.wants === 'look') return this.#show(link, hello);
      this.#checkMember(link, hello);
      this.#check(hello); // before our own PEER: it says that the link is up
      this.#checkClock(hello);
      link.send(this.#hello('link', hello.dialled));
      link.introduce(hello);
    } catch (error) {
      if (!(error instanceof RumormillError)) throw error;
      this.#peers.said.nowAndThen('warn', 'peer refused', { peer, reason: error.message });
      link.refuse(error);
    }
    link.work();
  }

  /** Dials a broker. The membership learns what became of it. */
  dial(address: Address): Promise<void> {
    return this.#dial(address, 'link');
  }

  /** Dials a name only to see who is there. The membership learns who is, or that nobody answers. */
  look(name: Address): Promise<void> {
    return this.#dial(name, 'look');
  }

  async #dial(address: Address, wants: Hello['wants']): Promise<void> {
    const { transport, config, logger } = this.#runtime;
    try {
      const channel = await transport.dial(address, config.limits.dialTimeoutMs, this.#ports());
      if (this.#closing) return channel.destroy();
      const link = this.#open(channel, undefined);
      const hello = this.#hello(wants, address);
      this.#dials.set(link, { address, hello });
      link.send(hello);
    } catch (error) {
      logger.debug('peer not reached', { peer: address, reason: messageOf(error) });
      this.#failed(address, wants, false, isUnresolved(error));
    }
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

  #open(channel: Channel, parser: CommandParser | undefined): Link {
    const { clock, config, budget } = this.#runtime;
    const link = new Link(channel, parser, config.limits, () => clock.now(), {
      introduced: (each, hello) => this.#introduced(each, hello),
      heard: (each) => this.#peers.heard(each),
      message: (each, message) => this.#peers.message(each, message),
      drained: (each) => this.#peers.drained(each),
      closed: (each, reason) => this.#closed(each, reason),
    });
    link.chargeTo(budget);
    this.#opening.add(link);
    clock.schedule(config.limits.dialTimeoutMs, () => {
      if (this.#opening.has(link)) link.destroy(NO_HANDSHAKE);
    });
    return link;
  }

  #hello(wants: Hello['wants'], dialled: Address): Hello {
    const { config, log, lamport, ages } = this.#runtime;
    const { mesh, address } = config;
    const { origin, instance } = log;
    return {
      type: 'PEER', version: PEER_PROTOCOL_VERSION, mesh, address, origin, instance, lamport: lamport.tick(),
      wants, dialled, time: ages.processTime, names: this.#peers.membership.ownNames(),
    };
  }

  /** Somebody wants to see who is here. */
  #show(link: Link, hello: Hello): void {
    this.#checkMesh(hello);
    link.send(this.#hello('look', hello.dialled));
    link.close(undefined);
  }

  /** @throws RumormillError REFUSED if there can be no link with a broker that says this */
  #check(hello: Hello): void {
    const { log, config, clock } = this.#runtime;
    this.#checkMesh(hello);
    if (hello.origin === log.origin) return; // this broker, or a copy of it, which has to learn that it is one
    if (hello.address === config.address) {
      throw new RumormillError('REFUSED', `${hello.address} is this broker's own address`);
    }
    const other = this.#peers.linkWith(hello);
    if (other === undefined || other.peer.instance === hello.instance) return;
    if (this.#peers.membership.state(other.peer.address, clock.now()) === 'alive') {
      throw new RumormillError('REFUSED', `another process runs as ${other.peer.address}`);
    }
  }

  /**
   * One that is not let in sees all the same who is here: a row of its file may have another name for this broker, and
   * one of ours for it.
   * @throws RumormillError REFUSED, or OUT for one that was put out
   */
  #checkMember(link: Link, hello: Hello): void {
    this.#checkMesh(hello);
    const { log } = this.#runtime;
    const refusal = this.#peers.refusal(fakeId(hello.address), hello.address, undefined);
    if (refusal === undefined || hello.origin === log.origin) return;
    link.send(this.#hello('look', hello.dialled));
    throw refusal;
  }

  /** @throws RumormillError REFUSED */
  #checkMesh(hello: Hello): void {
    const { mesh, address } = this.#runtime.config;
    if (hello.mesh === mesh) return;
    const meshes = `mesh ${JSON.stringify(mesh)}, not ${JSON.stringify(hello.mesh)}`;
    throw new RumormillError('REFUSED', `${address} belongs to ${meshes}`);
  }

  #introduced(link: Link, hello: Hello): void {
    const { log, lamport } = this.#runtime;
    const dial = this.#dials.get(link);
    if (dial !== undefined && isEcho(dial.hello, hello)) return link.close('what was sent came back');
    if (dial?.hello.wants === 'look') return this.#seen(link, hello, dial);
    if (dial !== undefined && hello.wants === 'look') return this.#led(dial.address, hello); // it says next why not
    this.#check(hello);
    if (hello.origin === log.origin) return this.#refuseSelf(link, hello, dial);
    if (dial !== undefined) this.#led(dial.address, hello); // first: rows are asked for their clocks
    this.#checkClock(hello);
    const refusal = dial && this.#peers.refusal(fakeId(hello.address), hello.address, dial.address);
    if (refusal !== undefined) throw refusal;
    lamport.witnessPeer(hello.lamport);
    const other = this.#peers.linkWith(hello);
    if (other !== undefined && !this.#replaces(link, other)) return link.close('another link with this peer stays');
    this.#opening.delete(link);
    this.#dials.delete(link);
    this.#runtime.ages.met(hello.address, hello.time);
    this.#peers.linked(link, other);
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
  #seen(link: Link, hello: Hello, { address }: Dial): void {
    const { log, config } = this.#runtime;
    this.#checkMesh(hello);
    const isSelf = hello.instance === log.instance;
    if (hello.address === config.address && !isSelf) return link.close('somebody else goes by our name');
    this.#dials.delete(link);
    this.#led(address, hello);
    link.close(undefined);
  }

  #led(dialled: Address, hello: Hello): void {
    const { clock, config } = this.#runtime;
    const { membership, said } = this.#peers;
    const isSelf = hello.address === config.address;
    membership.led(dialled, hello.address, hello.names.includes(dialled), clock.now());
    if (membership.seats.some(({ row, broker }) => row === dialled && broker === undefined)) {
      said.once('warn', LEADS_ELSEWHERE, { row: dialled, broker: hello.address });
    } else if (isSelf) said.once('info', IS_SELF, { row: dialled, broker: config.address });
  }

  #replaces(link: Link, other: Link): boolean {
    if (
      other.peer.instance !== link.peer.instance ||
      other.peer.origin !== link.peer.origin ||
      other.dialled === link.dialled
    ) {
      return true;
    }
    const higher = compareAddresses(this.#runtime.config.address, link.peer.address) > 0;
    return link.dialled === higher;
  }

  /** A row is this very broker under another name, or somebody runs a copy of its data folder. */
  #refuseSelf(link: Link, hello: Hello, dial: Dial | undefined): void {
    const { log } = this.#runtime;
    const copy = hello.instance !== log.instance;
    if (dial !== undefined && !copy) this.#led(dial.address, hello);
    if (copy && log.isHeld) this.#peers.naming.copied(hello.address);
    else if (copy) {
      const event = 'another broker runs on a copy of this data folder; it is refused';
      this.#peers.said.nowAndThen('error', event, { peer: hello.address });
      return link.refuse(new RumormillError('REFUSED', 'runs on a copy of this data folder'));
    }
    link.close(copy ? 'runs on a copy of this data folder' : 'is this broker itself');
  }

  #closed(link: Link, reason: string | undefined): void {
    const dial = this.#dials.get(link);
    this.#dials.delete(link);
    if (!this.#opening.delete(link)) return this.#peers.lost(link, reason);
    if (dial === undefined) return;
    this.#failed(dial.address, dial.hello.wants, link.refusedBy !== undefined);
    if (link.refusedBy === undefined && reason !== NO_HANDSHAKE) return;
    const event = link.refusedBy === 'peer' ? 'refused by a peer' : 'peer refused';
    this.#peers.said.nowAndThen('warn', event, { peer: dial.address, reason: String(reason) });
  }

  /** Ends what is still being introduced. */
  close(): void {
    this.#closing = true;
    for (const link of [...this.#opening]) link.destroy('shutting down');
  }
}

/**
 * Whether our own PEER came back, from a socket that met itself or from an echo of what it hears. If this
 * broker answers itself, its answer has a later time.
 */
function isEcho(sent: Hello, received: Hello): boolean {
  return received.instance === sent.instance && received.lamport === sent.lamport;
}

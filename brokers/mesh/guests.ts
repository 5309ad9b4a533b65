/**
 * Guests: brokers that are let in without having a seat. One has lost its disk, and with it its key; one was put out,
 * and wants to be a member anew; one only says that it has a member's address.
 *
 * They give and get records, so that nothing is lost with them, and so that others can vote on them. They count for
 * nothing, lead nobody, get no work, and stand in nobody's way: the member whose address one has is dialled, and let
 * in, as if there was no guest. Once a guest has a seat its link is closed, and it comes back as a member.
 */
import type { Config } from '../config.ts';
import type { Origin } from '../core/log/record.ts';
import type { Clock } from '../core/runtime.ts';
import type { Gossip } from './gossip.ts';
import type { Peer } from './handshake.ts';
import type { Link, MeshMessage } from './link.ts';
import type { Naming } from './naming.ts';

export interface GuestsRuntime {
  readonly config: Config;
  readonly clock: Clock;
}

/** What guests have to do with. */
export interface GuestsMesh {
  readonly gossip: Gossip;
  readonly naming: Naming;
  /** Whether a peer has no seat. */
  isGuest(peer: Peer): boolean;
}

export class Guests {
  readonly #runtime: GuestsRuntime;
  readonly #mesh: GuestsMesh;
  readonly #links = new Map<Origin, Link>();

  constructor(runtime: GuestsRuntime, mesh: GuestsMesh) {
    this.#runtime = runtime;
    this.#mesh = mesh;
  }

  links(): readonly Link[] {
    return [...this.#links.values()];
  }

  has(link: Link): boolean {
    return this.#links.get(link.peer.origin) === link;
  }

  /** Says whether the peer is a guest. */
  linked(link: Link): boolean {
    if (!this.#mesh.isGuest(link.peer)) return false;
    this.#links.set(link.peer.origin, link);
    this.#mesh.gossip.linkUp(link);
    return true;
  }

  /** Says whether it was a guest's. */
  lost(link: Link): boolean {
    if (!this.has(link)) return false;
    this.#links.delete(link.peer.origin);
    this.#mesh.gossip.linkDown(link);
    return true;
  }

  /** The links whose peers have the id or the store of this one. */
  like({ id, origin }: Peer): Link[] {
    return this.links().filter(({ peer }) => peer.id === id || peer.origin === origin);
  }

  /** Says whether it was said by a guest. What is not about records is not heard. */
  receive(link: Link, message: MeshMessage): boolean {
    if (!this.has(link)) return false;
    const { gossip, naming } = this.#mesh;
    if (message.type === 'VECTOR') {
      naming.heardRecords(link, message.entries);
      gossip.learnVector(link, message.entries);
    } else if (message.type === 'RECORDS') gossip.takeIn(link, message.batch, message.ageMs);
    else if (message.type === 'GRAFT') gossip.graft(link, message.wanted);
    else if (message.type === 'PRUNE') gossip.prune(link, message.origins);
    else if (message.type === 'CLAIM') naming.claimed(link, message.life);
    return true;
  }

  /** The members are others than before. */
  reseated(): void {
    for (const link of this.links()) if (!this.#mesh.isGuest(link.peer)) link.close('has a seat now');
  }

  tick(): void {
    const { clock, config: { limits: { deadAfterMs } } } = this.#runtime;
    for (const link of this.links()) {
      if (link.silentMs(clock.now()) >= deadAfterMs) link.destroy(`silent for ${deadAfterMs} ms`);
    }
  }
}

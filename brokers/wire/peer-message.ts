/**
 * The language of brokers among each other: one sentence for each type of message, and its fields. peer-codec.ts makes
 * bytes of them. No message is answered by position, as the commands of clients are.
 *
 * A link begins, and is kept alive:
 *
 *   PEER         I am this broker of this mesh, this store, this process; my Lamport clock shows this time. I dialled
 *                this name, and these other names lead to me. I have this key, and drew this nonce for this connection.
 *                It is the first message on a link, in both directions. Or: I only want to see who is there; your PEER
 *                and PROOF end the connection.
 *   PROOF        This is the signature that the key in my PEER makes of what we both have said of ourselves
 *                (core/mesh/identity.ts). The broker that was dialled sends it behind its PEER; the one that dialled
 *                answers with its own. Nothing else is said before, except why not (an error reply). What the broker
 *                that was dialled says next, whatever it is, tells the other that its PROOF is accepted.
 *   MISSED       I have heard nothing of you for so many ms, and was there all the time. Sent at the beginning of a
 *                link, if there was one before.
 *   VECTOR       This much is on disk here, for the origins that changed since I last told you. Sent each beat at the
 *                latest, even if it is empty: I am alive.
 *   BYE          I am shutting down.
 *
 * Names of stores:
 *
 *   LIFE         I have this life of your store on disk; this process of yours claimed it. Sent when a link begins, and
 *                when you claim a life.
 *   CLAIM        I name records of my store in this life: keep that, unless you know of a later life, or another
 *                process has claimed this one.
 *
 * Gossip:
 *
 *   GRAFT        Send me the records of these origins, for each after this seq, and go on sending them.
 *   PRUNE        Send me no more of these origins.
 *   RECORDS      One batch of an origin that you grafted, and how old it is, ms.
 *   HELD         These brokers hold the records of these origins up to these seqs, as I was told. Sent towards an
 *                origin that has no link with those brokers.
 *
 * The shape of the mesh:
 *
 *   MEMBERS      I have heard of these brokers, of each up to this beat: an odd one if it lives, an even one if it has
 *                stopped. Without what I have told you, or you me.
 *   SEEK         Which way leads to this broker? It beats at once, and news of it come back to the broker that asked.
 *                Passed on over so many more hops.
 *   SURPLUS      I have enough links: hang up, unless I am next to you on the ring.
 *
 * Election:
 *
 *   ELECTION     I am electing a coordinator, and your address is higher than mine: are you there?
 *   OK           I am, and my address is higher than yours: I take it from here.
 *   COORDINATOR  This broker is the coordinator of this term. Sent by the elected broker, and passed on once by each
 *                that accepts it.
 *
 * Homes of subscriptions, and commands on their way there:
 *
 *   VIEW         These brokers share the work on subscriptions, says this coordinator in this term. Passed on once by
 *                each broker to which it is news.
 *   SEEN         These members, and I may be one of them, use this view: they serve no subscription any more that has
 *                another home in it, and this much at most was on their disks when they began to use it. If it is far,
 *                tell it on, each word once: they have no links with some of the members.
 *   LEASES       What the next home has to know of a subscription that was at home here. It is sent again until it is
 *                taken. SEEN comes after that.
 *   TAKEN        I have these leases, as the home of the subscription, or for the time when you are gone. LEASES and
 *                TAKEN say from whom and to whom they go. They are passed on over so many more hops, if those two
 *                brokers have no link.
 *   ASK          Carry out this command of a client, here or on its way to the home of the subscription, as soon as
 *                you have on disk what I know.
 *   ANSWER       The reply to what you asked, as the client gets it.
 *   FORGET       The asker is gone.
 *
 * Sent by the two ends of a link about the link itself:
 *
 *   GOT          So many bytes have come over this link since the introductions, the last of them so many ms ago.
 *   PART         The next bytes of a message that is too large to go at once, in this lane; so many more come after
 *                them.
 */
import type { Address } from '../core/address.ts';
import type { View } from '../core/home/view.ts';
import type { Word } from '../core/home/words.ts';
import type { Origin, RecordBatch } from '../core/log/record.ts';
import type { Beat } from '../core/mesh/hearsay.ts';
import type { HeldOf } from '../core/mesh/held.ts';
import type { Life } from '../core/log/life.ts';
import type { Wanted } from '../core/mesh/plumtree.ts';
import type { RespVersion } from './resp.ts';

/** Brokers talk to brokers of their own protocol version only. */
export const PEER_PROTOCOL_VERSION = 6;

export const WANTS = ['link', 'look', 'rejoin'] as const;

export interface Hello {
  readonly type: 'PEER';
  readonly version: number;
  readonly mesh: string;
  readonly address: Address;
  readonly origin: Origin;
  /** Drawn by each process when it starts: tells a broker that came back from the one that went. */
  readonly instance: string;
  readonly lamport: number;
  /**
   * What is wanted: a link, or no more than this broker's PEER and PROOF, to see who is there; or a link, and to be a
   * member anew if it was put out.
   */
  readonly wants: (typeof WANTS)[number];
  /** By which name this connection was dialled; from both sides. */
  readonly dialled: Address;
  /** Of its process, ms since 1970 (core/log/ages.ts). */
  readonly time: number;
  /** Public, Ed25519: of the broker. */
  readonly key: Uint8Array;
  /** Drawn for this connection. */
  readonly nonce: Uint8Array;
  /** Other names that lead to this broker, as it has found by looking. */
  readonly names: readonly Address[];
}

export interface Proof {
  readonly type: 'PROOF';
  readonly signature: Uint8Array;
}

/** What the two ends of a link tell each other about the link itself (core/mesh/path.ts, core/mesh/lanes.ts). */
export type LinkMessage =
  | { readonly type: 'GOT'; readonly bytes: number; readonly heldMs: number }
  | { readonly type: 'PART'; readonly lane: number; readonly left: number; readonly bytes: Uint8Array };

/** A client's command on its way to the home of the subscription that it is about. */
export interface Ask {
  readonly type: 'ASK';
  /** Of this link and direction; the answer bears it. */
  readonly id: number;
  readonly home: Address;
  /** How many brokers may still pass it on. */
  readonly hops: number;
  readonly consumer: string;
  readonly waitedMs: number;
  readonly version: RespVersion; // of the reply
  /** Names the command among all of the mesh, on any route. */
  readonly errand: string;
  /** How often it has been sent, with this time: 1, 2, 3, ... */
  readonly attempt: number;
  /**
   * What the asker has on disk; the home carries out the command once it has as much. For BIND and PURGE the whole
   * vector of the asker, for other commands the newest catalog record of each origin.
   */
  readonly known: readonly (readonly [Origin, number])[];
  readonly command: readonly Uint8Array[];
}

/** Between which brokers a message goes, and over how many more it may be passed on. */
export interface Travelling {
  readonly from: Address;
  readonly to: Address;
  readonly hops: number;
}

export interface Seen extends Word {
  readonly type: 'SEEN';
  readonly stored: readonly (readonly [Origin, number])[];
}

export interface Leases extends Travelling {
  readonly type: 'LEASES';
  /** Of the broker that hands them over; TAKEN bears it. */
  readonly id: number;
  readonly subscription: string;
  readonly leases: string;
}

export interface Taken extends Travelling {
  readonly type: 'TAKEN';
  readonly id: number;
}

export type PeerMessage =
  | Hello
  | Proof
  | LinkMessage
  | Ask
  | { readonly type: 'VIEW'; readonly view: View }
  | Seen
  | Leases
  | Taken
  | { readonly type: 'ANSWER'; readonly id: number; readonly reply: Uint8Array }
  | { readonly type: 'FORGET'; readonly id: number }
  | { readonly type: 'ELECTION' | 'OK'; readonly term: number; readonly lamport: number }
  | { readonly type: 'COORDINATOR'; readonly term: number; readonly address: Address; readonly lamport: number }
  | { readonly type: 'VECTOR'; readonly lamport: number; readonly entries: readonly (readonly [Origin, number])[] }
  | ({ readonly type: 'LIFE' } & Life)
  | { readonly type: 'CLAIM'; readonly life: number }
  | { readonly type: 'GRAFT'; readonly wanted: readonly Wanted[] }
  | { readonly type: 'PRUNE'; readonly origins: readonly Origin[] }
  | { readonly type: 'RECORDS'; readonly batch: RecordBatch; readonly ageMs: number }
  | { readonly type: 'MISSED'; readonly ms: number }
  | { readonly type: 'MEMBERS'; readonly beats: readonly Beat[] }
  | { readonly type: 'SEEK'; readonly address: Address; readonly hops: number }
  | { readonly type: 'HELD'; readonly held: readonly HeldOf[] }
  | { readonly type: 'SURPLUS' | 'BYE' };

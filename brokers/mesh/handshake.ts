/**
 * One end of a handshake: what the two sides have said of themselves, what this side proves, and whether the other
 * side's proof is right.
 *
 *   dialler                 answerer
 *   PEER ------------------>
 *        <------------------ PEER, PROOF
 *   PROOF ----------------->
 *        <------------------ the first message of the link
 *
 * So the broker that was dialled is the first to prove its key, and the last to decide. A look ends after its PROOF.
 */
import { RumormillError } from '../core/error.ts';
import { type BrokerId, type Identity, type Parties, proofText, sameBytes, type Side, type Signatures } from
  '../core/mesh/identity.ts';
import type { Hello, Proof } from '../wire/peer-message.ts';

/** How the log says that a link was refused, and by whom. */
export const REFUSED = { peer: 'refused by a peer', self: 'peer refused' } as const;

/** Who a peer is: what it says of itself, and the id that it has to prove. */
export interface Peer extends Hello {
  readonly id: BrokerId;
}

export interface HandshakeRuntime {
  readonly identity: Identity;
  readonly signatures: Signatures;
}

export class Handshake {
  readonly #runtime: HandshakeRuntime;
  readonly #side: Side;
  readonly #mine: Hello;
  #peer: Peer | undefined;
  #isProven = false;

  /** @param mine what this side says of itself */
  constructor(runtime: HandshakeRuntime, side: Side, mine: Hello) {
    this.#runtime = runtime;
    this.#side = side;
    this.#mine = mine;
  }

  /** Who the other side says that it is; undefined before it has said so. */
  get peer(): Peer | undefined {
    return this.#peer;
  }

  /** Whether it has proved that. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** The other side says who it is. @throws RumormillError PROTOCOL if it has said so before */
  hear(theirs: Hello): Peer {
    if (this.#peer !== undefined) throw new RumormillError('PROTOCOL', 'PEER out of turn');
    return (this.#peer = { ...theirs, id: this.#runtime.signatures.idOf(theirs.key) });
  }

  /** Whether our own PEER came back, from a socket that met itself or from an echo of what it hears. */
  get isEcho(): boolean {
    return this.#peer !== undefined && sameBytes(this.#peer.nonce, this.#mine.nonce);
  }

  /** What proves this side's key, once both have said who they are. */
  prove(): Proof {
    return { type: 'PROOF', signature: this.#runtime.identity.sign(this.#text(this.#side)) };
  }

  /**
   * The other side proves its key.
   * @throws RumormillError PROTOCOL if it has not said who it is, REFUSED if the proof is wrong
   */
  verify({ signature }: Proof): Peer {
    if (this.#peer === undefined) throw new RumormillError('PROTOCOL', 'PROOF out of turn');
    const text = this.#text(this.#side === 'dialler' ? 'answerer' : 'dialler');
    if (!this.#runtime.signatures.verify(this.#peer.key, text, signature)) {
      throw new RumormillError('REFUSED', `the proof of the key of ${this.#peer.address} is wrong`);
    }
    this.#isProven = true;
    return this.#peer;
  }

  #text(signer: Side): Uint8Array {
    const { version, mesh } = this.#mine;
    const [dialler, answerer] = this.#side === 'dialler' ? [this.#mine, this.#peer!] : [this.#peer!, this.#mine];
    const parties: Parties = { version, mesh, dialler, answerer };
    return proofText(signer, parties);
  }
}

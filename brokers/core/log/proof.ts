/**
 * Proofs of records: what makes a batch the one that its origin has named, whoever passes it on.
 *
 * An origin's batches are a chain. Each has a digest (SHA-256), which covers the one before it, all its names and
 * numbers, and twice what is in it:
 *
 *   leaf      <bytes of the payload> <digest of the payload>[ <digest of [key, headers, id] as JSON>]
 *   leaves    the digest of the leaves of all its messages, a line each
 *   whole     the digest of [lengths, meta, digest of the body] as JSON
 *   digest    of the digest before, the header as JSON, whole and leaves, a line each
 *
 * A batch that is whole is checked by `whole`, which costs little however many messages there are. A message that is
 * removed leaves its leaf, and a batch without messages leaves both digests: so the names, borders and digests of a log
 * stay what they are. Whoever removes messages has to check first that the leaves are those of the batch: its origin
 * may have signed others, and nobody could check the rest afterwards.
 *
 * Once per commit, or more often if it is large, the origin signs its head with the key of its broker: that is the last
 * digest with its names. What is signed up to there is a group, and is stored by all or not at all. So whoever has
 * records can prove them to everybody, also if their origin is gone.
 *
 * The first digest of a chain follows on the owner: the key of the broker, and a salt that was drawn for this store.
 * The tag of the origin is made of both. So nobody can have records in the name of another store: for that, they would
 * have to find a key whose tag is the same, and the tag takes some ms to make.
 *
 * B. Schneier, J. Kelsey, "Secure Audit Logs to Support Computer Forensics", ACM TISSEC 2(2), 1999, has such chains;
 * heads are the signed tree heads of RFC 6962.
 */
import type { Address } from '../address.ts';
import { RumormillError } from '../error.ts';
import {
  type HeaderList, isCovered, lastLamport, lastSeq, makeTag, type Origin, parseLengths, parseMeta, type RecordBatch,
} from './record.ts';

/** Once a group has so many bytes of payloads, or batches, its head is signed. */
export const [GROUP_BYTES, GROUP_BATCHES] = [256 * 1024, 256];

/** 43 characters of base64url. */
const DIGEST = /^[\w-]{43}$/;
const OWNER = /^([\w-]{43})\.[0-9a-f]{24}$/;
const SIGNATURE = /^[\w-]{86}$/;

/** What a broker signs with. */
export interface Signer {
  readonly publicKey: Uint8Array;
  sign(text: Uint8Array): Uint8Array;
}

/** What everybody can do without a key. */
export interface Digests {
  /** SHA-256, as base64url. */
  digest(data: string | Uint8Array): string;
  /** Twelve hexadecimal digits, which take some ms to make. */
  tag(owner: string): string;
  verify(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean;
}

/** How far a chain has come: its last digest, and who owns it. `running` is '' if nothing of the origin is signed. */
export interface Head {
  readonly running: string;
  readonly owner: string;
}

/** As it is stored and sent, in one text; '' for a record of a version without proofs. */
interface Proof {
  /** The digest before, or the owner. */
  readonly before: string;
  readonly whole: string;
  readonly leaves: string;
  /** Of the head; '' if the group goes on. */
  readonly signature: string;
}

/** A name for a store that is new, and who owns it. */
export function makeName(
  address: Address, { publicKey }: Pick<Signer, 'publicKey'>, digests: Digests, random: () => number,
): { readonly origin: Origin; readonly owner: string } {
  const owner = `${Buffer.from(publicKey).toString('base64url')}.${makeTag(random)}${makeTag(random)}`;
  return { origin: `${address}/${digests.tag(owner)}` as Origin, owner };
}

/** The public key of an owner. */
export function keyOf(owner: string): Uint8Array {
  return Buffer.from(OWNER.exec(owner)![1]!, 'base64url');
}

/** Whether a chain goes on under the key of a broker. */
export function isOwn(head: Head | undefined, { publicKey }: Pick<Signer, 'publicKey'>): boolean {
  return head !== undefined && Buffer.compare(keyOf(head.owner), publicKey) === 0;
}

export function isProof(text: string): boolean {
  if (text === '') return true;
  const [before = '', whole = '', leaves = '', signature = '', ...more] = text.split(' ');
  const isChained = (DIGEST.test(before) || OWNER.test(before)) && DIGEST.test(whole) && DIGEST.test(leaves);
  return isChained && (signature === '' || SIGNATURE.test(signature)) && more.length === 0;
}

/** Whether a batch is the last one of its group. */
export function isSigned({ proof }: Pick<RecordBatch, 'proof'>): boolean {
  return parseProof(proof).signature !== '';
}

/** The head of an origin whose newest batch is this. @param first its first one */
export function headAfter(
  batch: Omit<RecordBatch, 'body'>, first: Pick<RecordBatch, 'proof'>, digests: Digests,
): Head | undefined {
  if (batch.proof === '') return undefined;
  return { running: runningDigest(batch, parseProof(batch.proof), digests), owner: parseProof(first.proof).before };
}

function parseProof(text: string): Proof {
  const [before = '', whole = '', leaves = '', signature = ''] = text.split(' ');
  return { before, whole, leaves, signature };
}

function wholeOf({ lengths, meta, body }: RecordBatch, digests: Digests): string {
  return digests.digest(JSON.stringify([lengths, meta, digests.digest(body)]));
}

function leavesOf(batch: RecordBatch, digests: Digests): string {
  const { keys, headers, ids } = parseMeta(batch);
  let [leaves, offset] = ['', 0];
  for (const [index, length] of parseLengths(batch).entries()) {
    const payload = batch.body.subarray(offset, (offset += length));
    const more = besides(keys?.[index], headers?.[index], ids?.[index], digests);
    leaves += `${length} ${digests.digest(payload)}${more}\n`;
  }
  return digests.digest(leaves);
}

function besides(
  key: string | null | undefined, headers: HeaderList | null | undefined, id: string | null | undefined,
  digests: Digests,
): string {
  const isBare = (key ?? null) === null && (headers?.length ?? 0) === 0 && (id ?? null) === null;
  return isBare ? '' : ` ${digests.digest(JSON.stringify([key ?? null, headers ?? [], id ?? null]))}`;
}

function runningDigest(
  batch: Omit<RecordBatch, 'body'>, { before, whole, leaves }: Omit<Proof, 'signature'>, digests: Digests,
): string {
  const { origin, seq, count, lamport, time, topic, deps } = batch;
  const header = JSON.stringify([origin, seq, count, lamport, time, topic, deps]);
  return digests.digest(`${before}\n${header}\n${whole}\n${leaves}`);
}

function headText(batch: RecordBatch, running: string): Uint8Array {
  const { origin } = batch;
  return Buffer.from(`Rumormill, head of a store\n${origin} ${lastSeq(batch)} ${lastLamport(batch)}\n${running}`);
}

/** Proves the batches of one transaction that a broker names itself. */
export class Prover {
  readonly #signer: Signer;
  readonly #digests: Digests;
  #running: string;
  #bytes = 0; // of the group so far
  #batches = 0;

  /** @param running the digest of the batch before, or the owner if there is none */
  constructor(signer: Signer, digests: Digests, running: string) {
    this.#signer = signer;
    this.#digests = digests;
    this.#running = running;
  }

  /** The digest of the last batch. */
  get running(): string {
    return this.#running;
  }

  /** The proof of the next batch. */
  prove(batch: RecordBatch, isLast: boolean): string {
    const [before, whole, leaves] = [this.#running, wholeOf(batch, this.#digests), leavesOf(batch, this.#digests)];
    this.#running = runningDigest(batch, { before, whole, leaves }, this.#digests);
    this.#bytes += batch.body.length;
    this.#batches += 1;
    if (!isLast && this.#bytes < GROUP_BYTES && this.#batches < GROUP_BATCHES) return `${before} ${whole} ${leaves} `;
    [this.#bytes, this.#batches] = [0, 0];
    const signature = this.#signer.sign(headText(batch, this.#running));
    return `${before} ${whole} ${leaves} ${Buffer.from(signature).toString('base64url')}`;
  }
}

/** What checking a batch has shown: the head after it, or that its origin has named two batches alike. */
export type Checked = Head | 'forked';

/**
 * Checks groups that came from a peer.
 * @param head of what is here before them; undefined if that is nothing
 * @returns the head after them
 * @throws RumormillError PROTOCOL if the peer has changed them, or made them up
 */
export function checkGroup(group: readonly RecordBatch[], head: Head | undefined, digests: Digests): Checked {
  const first = group[0]!;
  const owner = head?.owner ?? parseProof(first.proof).before;
  if (head === undefined) checkOwner(first, owner, digests);
  let running = parseProof(first.proof).before;
  const isFork = running !== (head?.running ?? owner);
  for (const batch of group) {
    const proof = parseProof(batch.proof);
    if (proof.before !== running) throw lie(batch, 'does not follow on the one before it');
    if (!isCovered(batch) && proof.whole !== wholeOf(batch, digests)) throw lie(batch, 'is not what its digest says');
    running = runningDigest(batch, proof, digests);
  }
  const last = group.at(-1)!;
  const signature = Buffer.from(parseProof(last.proof).signature, 'base64url');
  if (!digests.verify(keyOf(owner), headText(last, running), signature)) throw lie(last, 'is not signed by its owner');
  return isFork ? 'forked' : { running, owner };
}

function checkOwner(first: RecordBatch, owner: string, digests: Digests): void {
  const isOwned = OWNER.test(owner) && first.origin.endsWith(`/${digests.tag(owner)}`);
  if (!isOwned) throw lie(first, 'has an owner that cannot have made its name');
}

function lie({ origin, seq }: RecordBatch, what: string): RumormillError {
  return new RumormillError('PROTOCOL', `record ${seq} of ${origin} ${what}`);
}

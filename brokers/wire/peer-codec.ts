/**
 * Peer messages (peer-message.ts) as bytes: each is a RESP array of bulk strings, its type first.
 *
 * Nothing that a peer says is believed: decoding checks the number of fields and each of them, and names what is wrong.
 */
import { type Address, parseAddress } from '../core/address.ts';
import { RumormillError } from '../core/error.ts';
import { MEMBERS_MAX } from '../core/members/change.ts';
import type { ViewName } from '../core/home/words.ts';
import { LAMPORT_MAX } from '../core/log/lamport.ts';
import { type RecordLimits, validateBatch } from '../core/log/batch-check.ts';
import { type Origin, parseOrigin, type RecordBatch } from '../core/log/record.ts';
import { KEY_BYTES, NONCE_BYTES, SIGNATURE_BYTES } from '../core/mesh/identity.ts';
import type { HeldOf } from '../core/mesh/held.ts';
import type { Args } from './command-parser.ts';
import {
  type Ask, type Hello, PEER_PROTOCOL_VERSION, type PeerMessage, type Seen, type Travelling, WANTS,
} from './peer-message.ts';
import { encodeCommandParts } from './resp.ts';

/** Most brokers that a message names: of members, before a change and after it, and of what was heard besides. */
const LISTED_MAX = 4 * MEMBERS_MAX;

/** The bytes of a message, in parts that are sent one after another. */
export function encodePeerMessage(message: PeerMessage): readonly Uint8Array[] {
  switch (message.type) {
    case 'PEER':
      return encodeCommandParts([
        'PEER', message.version, message.mesh, message.address, message.origin, message.instance, message.lamport,
        message.wants, message.dialled, message.time, message.key, message.nonce, ...message.names,
      ]);
    case 'PROOF':
      return encodeCommandParts(['PROOF', message.signature]);
    case 'VECTOR':
      return encodeCommandParts(['VECTOR', message.lamport, ...message.entries.flat()]);
    case 'HELD':
      return encodeCommandParts([
        'HELD',
        ...message.held.flatMap(([origin, claims]) => [origin, claims.length, ...claims.flat()]),
      ]);
    case 'LIFE':
      return encodeCommandParts(['LIFE', message.life, message.holder]);
    case 'CLAIM':
      return encodeCommandParts(['CLAIM', message.life]);
    case 'GRAFT':
      return encodeCommandParts(['GRAFT', ...message.wanted.flat()]);
    case 'PRUNE':
      return encodeCommandParts(['PRUNE', ...message.origins]);
    case 'RECORDS':
      return encodeBatch(message.batch, message.ageMs);
    case 'MISSED':
      return encodeCommandParts(['MISSED', message.ms]);
    case 'MEMBERS':
      return encodeCommandParts(['MEMBERS', ...message.beats.flat()]);
    case 'ELECTION':
    case 'OK':
      return encodeCommandParts([message.type, message.term, message.lamport]);
    case 'COORDINATOR':
      return encodeCommandParts([message.type, message.term, message.address, message.lamport]);
    case 'VIEW': {
      const { coordinator, term, number, members } = message.view;
      return encodeCommandParts(['VIEW', coordinator, term, number, ...members]);
    }
    case 'SEEN': {
      const { view, members, stored, isFar } = message;
      const { coordinator, term, number } = view;
      const head = [coordinator, term, number, isFar ? 1 : 0, members.length];
      return encodeCommandParts(['SEEN', ...head, ...members, ...stored.flat()]);
    }
    case 'LEASES':
      return encodeCommandParts(['LEASES', ...travel(message), message.id, message.subscription, message.leases]);
    case 'TAKEN':
      return encodeCommandParts(['TAKEN', ...travel(message), message.id]);
    case 'ASK': {
      const { id, home, hops, consumer, waitedMs, version, errand, attempt, known, command } = message;
      const head = [id, home, hops, consumer, waitedMs, version, errand, attempt];
      return encodeCommandParts(['ASK', ...head, known.length, ...known.flat(), ...command]);
    }
    case 'ANSWER':
      return encodeCommandParts(['ANSWER', message.id, message.reply]);
    case 'FORGET':
      return encodeCommandParts(['FORGET', message.id]);
    case 'SEEK':
      return encodeCommandParts(['SEEK', message.address, message.hops]);
    case 'GOT':
      return encodeCommandParts(['GOT', message.bytes, message.heldMs]);
    case 'PART':
      return encodeCommandParts(['PART', message.lane, message.left, message.bytes]);
    case 'SURPLUS':
    case 'BYE':
      return encodeCommandParts([message.type]);
  }
}

/** @throws RumormillError PROTOCOL that names what is wrong */
export function decodePeerMessage(args: Args, limits: RecordLimits): PeerMessage {
  const type = args.text(0);
  switch (type) {
    case 'PEER':
      return decodeHello(args);
    case 'PROOF':
      arity(args, 2);
      return { type, signature: fixed(args, 1, 'signature', SIGNATURE_BYTES) };
    case 'VECTOR':
      return { type, lamport: lamport(args, 1), entries: originNumbers(args, 2, args.length, 'seq') };
    case 'HELD':
      return { type, held: decodeHeld(args) };
    case 'LIFE':
      arity(args, 3);
      return { type, life: integer(args, 1, 'life'), holder: args.text(2) };
    case 'CLAIM':
      arity(args, 2);
      return { type, life: integer(args, 1, 'life') };
    case 'GRAFT':
      return { type, wanted: originNumbers(args, 1, args.length, 'seq') };
    case 'PRUNE':
      return { type, origins: args.texts(1).map(parseOrigin) };
    case 'RECORDS':
      return { type, batch: decodeBatch(args, limits), ageMs: integer(args, 11, 'age') };
    case 'MISSED':
      arity(args, 2);
      return { type, ms: integer(args, 1, 'time') };
    case 'MEMBERS':
      atMost(args, 1 + 2 * LISTED_MAX);
      return { type, beats: originNumbers(args, 1, args.length, 'beat') };
    case 'ELECTION':
    case 'OK':
      arity(args, 3);
      return { type, term: integer(args, 1, 'term'), lamport: lamport(args, 2) };
    case 'COORDINATOR':
      arity(args, 4);
      return { type, term: integer(args, 1, 'term'), address: address(args.text(2)), lamport: lamport(args, 3) };
    case 'VIEW': {
      const view = decodeView(args);
      atMost(args, 4 + LISTED_MAX);
      return { type, view: { ...view, members: args.texts(4).map(address) } };
    }
    case 'SEEN':
      return decodeSeen(args);
    case 'LEASES':
      arity(args, 7);
      return {
        type, ...decodeTravel(args), id: integer(args, 4, 'id'), subscription: args.text(5), leases: args.text(6),
      };
    case 'TAKEN':
      arity(args, 5);
      return { type, ...decodeTravel(args), id: integer(args, 4, 'id') };
    case 'ASK':
      return decodeAsk(args);
    case 'ANSWER':
      arity(args, 3);
      return { type, id: integer(args, 1, 'id'), reply: args.bytes(2) };
    case 'FORGET':
      arity(args, 2);
      return { type, id: integer(args, 1, 'id') };
    case 'SEEK':
      arity(args, 3);
      return { type, address: address(args.text(1)), hops: integer(args, 2, 'hops') };
    case 'GOT':
      arity(args, 3);
      return { type, bytes: integer(args, 1, 'bytes'), heldMs: integer(args, 2, 'time') };
    case 'PART':
      arity(args, 4);
      return { type, lane: integer(args, 1, 'lane'), left: integer(args, 2, 'bytes'), bytes: args.bytes(3) };
    case 'SURPLUS':
    case 'BYE':
      arity(args, 1);
      return { type };
    default:
      throw new RumormillError('PROTOCOL', `unknown peer message ${JSON.stringify(type.slice(0, 40))}`);
  }
}

/**
 * The version is first and is checked before the rest is read, since another version may have other fields.
 * @throws RumormillError REFUSED or PROTOCOL
 */
function decodeHello(args: Args): Hello {
  const version = args.length > 1 ? integer(args, 1, 'protocol version') : 0;
  if (version !== PEER_PROTOCOL_VERSION) {
    throw new RumormillError(
      'REFUSED',
      `peer protocol version ${version}, this broker speaks ${PEER_PROTOCOL_VERSION}`,
    );
  }
  const wants = WANTS.find((each) => args.length > 8 && each === args.text(7));
  if (wants === undefined) throw new RumormillError('PROTOCOL', `peer message PEER wants none of ${WANTS.join(', ')}`);
  return {
    type: 'PEER',
    version,
    mesh: args.text(2),
    address: address(args.text(3)),
    origin: parseOrigin(args.text(4)),
    instance: args.text(5),
    lamport: lamport(args, 6),
    wants,
    dialled: address(args.text(8)),
    time: integer(args, 9, 'time'),
    key: fixed(args, 10, 'key', KEY_BYTES),
    nonce: fixed(args, 11, 'nonce', NONCE_BYTES),
    names: args.texts(12).map(address),
  };
}

function encodeBatch(batch: RecordBatch, ageMs: number): readonly Uint8Array[] {
  const { origin, seq, count, lamport: first, time, topic, deps, lengths, meta, body, proof } = batch;
  return encodeCommandParts([
    'RECORDS', origin, seq, count, first, time, topic, deps, lengths, meta, body, ageMs, proof,
  ]);
}

function decodeBatch(args: Args, limits: RecordLimits): RecordBatch {
  arity(args, 13);
  const batch: RecordBatch = {
    origin: args.text(1) as Origin,
    seq: integer(args, 2, 'seq'),
    count: integer(args, 3, 'count'),
    lamport: integer(args, 4, 'Lamport timestamp'),
    time: integer(args, 5, 'time'),
    topic: args.text(6),
    deps: args.text(7),
    lengths: args.text(8),
    meta: args.text(9),
    body: args.bytes(10),
    proof: args.text(12),
  };
  validateBatch(batch, limits);
  return batch;
}

function travel({ from, to, hops }: Travelling): readonly [Address, Address, number] {
  return [from, to, hops];
}

function decodeTravel(args: Args): Travelling {
  if (args.length < 4) throw new RumormillError('PROTOCOL', `peer message ${args.text(0)} goes nowhere`);
  return { from: address(args.text(1)), to: address(args.text(2)), hops: integer(args, 3, 'hops') };
}

function decodeView(args: Args): ViewName {
  if (args.length < 4) tooShort(args, 4);
  return {
    coordinator: address(args.text(1)), term: integer(args, 2, 'term'), number: integer(args, 3, 'view'),
  };
}

function decodeSeen(args: Args): Seen {
  const view = decodeView(args);
  const isFar = integer(args, 4, 'flag') !== 0;
  const end = 6 + integer(args, 5, 'count');
  if (args.length < end) tooShort(args, end);
  if (end > 6 + LISTED_MAX) tooLong(args, 6 + LISTED_MAX);
  const members = Array.from({ length: end - 6 }, (_, index) => address(args.text(6 + index)));
  return { type: 'SEEN', view, isFar, members, stored: originNumbers(args, end, args.length, 'seq') };
}

function tooShort(args: Args, least: number): never {
  throw new RumormillError('PROTOCOL', `peer message ${args.text(0)} has ${args.length} fields, not ${least} or more`);
}

/** @throws RumormillError PROTOCOL for a list that no mesh can fill */
function atMost(args: Args, most: number): void {
  if (args.length > most) tooLong(args, most);
}

function tooLong(args: Args, most: number): never {
  throw new RumormillError(
    'PROTOCOL', `peer message ${args.text(0)} names more brokers than a mesh has: over ${most} fields`,
  );
}

function decodeAsk(args: Args): Ask {
  const known = 10 + 2 * (args.length > 9 ? integer(args, 9, 'count') : 0);
  if (args.length <= known) {
    throw new RumormillError('PROTOCOL', `peer message ASK has ${args.length} fields and no command`);
  }
  const version = integer(args, 6, 'version');
  if (version !== 2 && version !== 3) {
    throw new RumormillError('PROTOCOL', `peer message ASK wants a reply in RESP${version}`);
  }
  return {
    type: 'ASK',
    id: integer(args, 1, 'id'),
    home: address(args.text(2)),
    hops: integer(args, 3, 'hops'),
    consumer: args.text(4),
    waitedMs: integer(args, 5, 'time'),
    version,
    errand: args.text(7),
    attempt: integer(args, 8, 'attempt'),
    known: originNumbers(args, 10, known, 'seq'),
    command: Array.from({ length: args.length - known }, (_, index) => args.bytes(known + index)),
  };
}

/** Origins, each with the number of its claims and with these. */
function decodeHeld(args: Args): HeldOf[] {
  const held: HeldOf[] = [];
  for (let index = 1; index < args.length; ) {
    const origin = parseOrigin(args.text(index));
    const end = index + 2 + 2 * integer(args, index + 1, 'count');
    if (end > args.length) {
      throw new RumormillError('PROTOCOL', `peer message HELD has ${args.length} fields, not ${end} or more`);
    }
    held.push([origin, originNumbers(args, index + 2, end, 'seq')]);
    index = end;
  }
  return held;
}

function originNumbers(args: Args, start: number, end: number, what: string): [Origin, number][] {
  const entries: [Origin, number][] = [];
  for (let index = start; index < end; index += 2) {
    entries.push([parseOrigin(args.text(index)), integer(args, index + 1, what)]);
  }
  return entries;
}

function address(text: string): Address {
  try {
    return parseAddress(text);
  } catch (cause) {
    throw new RumormillError('PROTOCOL', `${JSON.stringify(text.slice(0, 80))} is not an address`, { cause });
  }
}

function lamport(args: Args, index: number): number {
  const time = integer(args, index, 'Lamport timestamp');
  if (time > LAMPORT_MAX) throw new RumormillError('PROTOCOL', `Lamport timestamp ${time} is beyond ${LAMPORT_MAX}`);
  return time;
}

function integer(args: Args, index: number, what: string): number {
  const value = index < args.length ? args.integer(index) : NaN;
  if (!(value >= 0)) throw new RumormillError('PROTOCOL', `peer message ${args.text(0)}: ${what} is not a number`);
  return value;
}

/** So many bytes, as a copy: they are kept for longer than what was received. */
function fixed(args: Args, index: number, what: string, length: number): Buffer {
  const found = index < args.length ? args.byteLength(index) : 0;
  if (found === length) return Buffer.from(args.bytes(index));
  throw new RumormillError('PROTOCOL', `peer message ${args.text(0)}: its ${what} has ${found} bytes, not ${length}`);
}

function arity(args: Args, length: number): void {
  if (args.length !== length) {
    throw new RumormillError('PROTOCOL', `peer message ${args.text(0)} has ${args.length} fields, not ${length}`);
  }
}

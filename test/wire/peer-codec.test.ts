import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import { PEER_PROTOCOL_VERSION, type PeerMessage } from '../../brokers/wire/peer-message.ts';
import { encodeCommand, encodeCommandParts } from '../../brokers/wire/resp.ts';
import { chunkings } from '../support/chunk.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { origin, specimenBatch } from '../support/record.ts';

const LIMITS = { bulkBytesMax: 100_000, commandBytesMax: 200_000 };
const [a, b] = [origin('10.0.0.1:3000', 1), origin('[2001:db8::1]:3000', 2)];
const DIGITS = '0123456789ab';

const PEER = [
  'PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', a, 'x', 1, 'link', 'h:1', 0, 'k'.repeat(32), 'n'.repeat(32),
];

const MESSAGES: PeerMessage[] = [
  {
    type: 'PEER',
    version: PEER_PROTOCOL_VERSION,
    mesh: 'défaut',
    address: parseAddress('h:1'),
    origin: a,
    instance: 'x1',
    lamport: 999_999_999_999_999,
    wants: 'look',
    dialled: parseAddress('d:1'),
    time: 1_700_000_000_000,
    key: Buffer.alloc(32, 'key\r\n'),
    nonce: Buffer.alloc(32, 255),
    names: [parseAddress('other:1'), parseAddress('[::1]:2')],
  },
  { type: 'PROOF', signature: Buffer.alloc(64, '$1\r\n') },
  { type: 'VECTOR', lamport: 0, entries: [] },
  { type: 'VECTOR', lamport: 7, entries: [[a, 0], [b, 999_999_999_999_999]] },
  { type: 'LIFE', life: 0, holder: '' },
  { type: 'LIFE', life: 7, holder: 'x1' },
  { type: 'CLAIM', life: 7 },
  { type: 'GRAFT', wanted: [[a, 0]] },
  { type: 'GRAFT', wanted: [[a, 7], [b, 0]] },
  { type: 'PRUNE', origins: [b] },
  { type: 'PRUNE', origins: [a, b] },
  { type: 'RECORDS', batch: specimenBatch(), ageMs: 0 },
  {
    type: 'RECORDS',
    batch: specimenBatch({
      topic: 'é $1', deps: '', proof: '', meta: '', body: Buffer.from([0, 255, 13, 10, 36, 49, 13, 10]),
    }),
    ageMs: 999_999_999_999_999,
  },
  { type: 'MISSED', ms: 7 },
  { type: 'MEMBERS', beats: [] },
  { type: 'MEMBERS', beats: [[a, 1], [b, 999_999_999_999_999]] },
  { type: 'HELD', held: [] },
  { type: 'HELD', held: [[a, [[b, 7], [a, 0]]], [b, [[a, 1]]]] },
  { type: 'SURPLUS' },
  { type: 'ELECTION', term: 1, lamport: 2 },
  { type: 'OK', term: 0, lamport: 0 },
  { type: 'COORDINATOR', term: 999, address: parseAddress('[::1]:3000'), lamport: 5 },
  {
    type: 'VIEW',
    view: { coordinator: parseAddress('h:1'), term: 4, number: 2, members: [parseAddress('a:1'), parseAddress('h:1')] },
  },
  {
    type: 'SEEN', view: { coordinator: parseAddress('h:1'), term: 4, number: 2 }, isFar: true,
    members: [parseAddress('h:2'), parseAddress('h:3')], stored: [[a, 3]],
  },
  {
    type: 'SEEN', view: { coordinator: parseAddress('h:1'), term: 4, number: 2 }, isFar: false,
    members: [parseAddress('h:2')], stored: [],
  },
  {
    type: 'LEASES', from: parseAddress('h:2'), to: parseAddress('h:3'), hops: 0, id: 5, subscription: 'défaut',
    leases: '{}',
  },
  { type: 'TAKEN', from: parseAddress('h:3'), to: parseAddress('h:2'), hops: 8, id: 5 },
  {
    type: 'ASK',
    id: 7,
    home: parseAddress('h:1'),
    hops: 3,
    consumer: 'client-1@h:2',
    waitedMs: 12,
    version: 3,
    errand: 'x/1',
    attempt: 2,
    known: [
      [a, 3],
      [b, 4],
    ],
    command: [Buffer.from('PULL'), Buffer.from([0, 255, 13, 10])],
  },
  {
    type: 'ASK', id: 0, home: parseAddress('h:1'), hops: 0, consumer: '', waitedMs: 0, version: 2, errand: '',
    attempt: 1, known: [], command: [Buffer.from('ACK')],
  },
  { type: 'ANSWER', id: 7, reply: Buffer.from(':1\r\n') },
  { type: 'FORGET', id: 7 },
  { type: 'SEEK', address: parseAddress('[::1]:3000'), hops: 8 },
  { type: 'GOT', bytes: 999_999_999_999_999, heldMs: 0 },
  { type: 'PART', lane: 2, left: 7, bytes: Buffer.from([0, 255, 13, 10]) },
  { type: 'BYE' },
];

function decode(chunks: readonly Buffer[]): PeerMessage[] {
  const parser = new CommandParser(LIMITS);
  const messages: PeerMessage[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    for (let args = parser.next(); args !== undefined; args = parser.next()) {
      messages.push(decodePeerMessage(args, DEFAULT_LIMITS));
    }
  }
  return messages;
}

t.test('round trip of every message, however the stream is cut', async (t) => {
  const types = new Set(MESSAGES.map(({ type }) => type));
  t.strictSame([...types].sort(), [
    'ANSWER',
    'ASK',
    'BYE',
    'CLAIM',
    'COORDINATOR',
    'ELECTION',
    'FORGET',
    'GOT',
    'GRAFT',
    'HELD',
    'LEASES',
    'LIFE',
    'MEMBERS',
    'MISSED',
    'OK',
    'PART',
    'PEER',
    'PROOF',
    'PRUNE',
    'RECORDS',
    'SEEK',
    'SEEN',
    'SURPLUS',
    'TAKEN',
    'VECTOR',
    'VIEW',
  ]);
  const stream = Buffer.concat(MESSAGES.flatMap(encodePeerMessage));
  for (const [name, chunks] of chunkings(stream)) t.strictSame(decode(chunks), MESSAGES, name);
});

t.test('the handshake of another protocol version is refused before the rest of it is read', async (t) => {
  const cases: [args: (string | number)[], version: number][] = [
    [['PEER', PEER_PROTOCOL_VERSION + 1], PEER_PROTOCOL_VERSION + 1],
    [['PEER', 0, 'm', 'h:1', a, 'x', 1, 0], 0],
    [['PEER', 99, 'other', 'fields', 'altogether', 1, 2, 3, 4, 5], 99],
    [['PEER'], 0],
  ];
  for (const [args, version] of cases) {
    const message = `peer protocol version ${version}, this broker speaks ${PEER_PROTOCOL_VERSION}`;
    t.throws(() => decode([encodeCommand(args)]), { code: 'REFUSED', message }, args.join(' '));
  }
});

t.test('malformed messages are refused, and the error says what is wrong', async (t) => {
  const records = (changes: Record<number, string | number>): (string | number)[] => {
    const good = ['RECORDS', a, 7, 3, 41, 1000, 'news', '', '[3,0,5]', '', 'onethree', 5, ''];
    return good.map((field, index) => changes[index] ?? field);
  };
  const cases: [args: (string | number)[], why: RegExp][] = [
    [['HELLO'], /^unknown peer message "HELLO"$/],
    [['peer'], /^unknown peer message "peer"$/],
    [[''], /^unknown peer message ""$/],
    [['x'.repeat(10_000)], /^unknown peer message "x{40}"$/],
    [['PEER', 'one'], /protocol version is not a number/],
    [['PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', a, 'x', 1], /PEER wants none of link, look, rejoin/],
    [['PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', a, 'x', 1, 'more', 'h:1'], /PEER wants none of link, look, rejoin/],
    [[...PEER, 'h'], /"h" is not an address/],
    [PEER.slice(0, 10), /PEER: its key has 0 bytes, not 32/],
    [PEER.slice(0, 11), /PEER: its nonce has 0 bytes, not 32/],
    [PEER.with(10, 'x'.repeat(31)), /PEER: its key has 31 bytes, not 32/],
    [PEER.with(11, 'x'.repeat(33)), /PEER: its nonce has 33 bytes, not 32/],
    [['PROOF'], /PROOF has 1 fields, not 2/],
    [['PROOF', 'x'.repeat(64), ''], /PROOF has 3 fields, not 2/],
    [['PROOF', 'x'.repeat(65)], /PROOF: its signature has 65 bytes, not 64/],
    [['PEER', PEER_PROTOCOL_VERSION, 'm', 'h', a, 'x', 1, 'link', 'h:1', 0], /"h" is not an address/],
    [['PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', 'h:1', 'x', 1, 'link', 'h:1', 0], /"h:1" is not an origin/],
    [['PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', a, 'x', -1, 'link', 'h:1'], /Lamport timestamp is not a number/],
    [
      ['PEER', PEER_PROTOCOL_VERSION, 'm', 'h:1', a, 'x', '9007199254740992', 'link', 'h:1'],
      /Lamport timestamp is not a number/,
    ],
    [['VECTOR'], /Lamport timestamp is not a number/],
    [['VECTOR', 'x'], /Lamport timestamp is not a number/],
    [['VECTOR', 1, a], /seq is not a number/],
    [['VECTOR', 1, a, -1], /seq is not a number/],
    [['VECTOR', 1, 'nobody', 1], /"nobody" is not an origin/],
    [['LIFE', 1], /LIFE has 2 fields, not 3/],
    [['LIFE', 'x', 'y'], /life is not a number/],
    [['CLAIM'], /CLAIM has 1 fields, not 2/],
    [['GRAFT', a], /seq is not a number/],
    [['GRAFT', a, 1, b], /seq is not a number/],
    [['GRAFT', a, '1.5'], /seq is not a number/],
    [['GRAFT', `h:0/${DIGITS}`, 1], /is not an origin/],
    [['PRUNE', ''], /"" is not an origin/],
    [['MEMBERS', a, 1, 'h:1', 1], /"h:1" is not an origin/],
    [['MEMBERS', a], /beat is not a number/],
    [['SEEN', 'h:1', 4], /SEEN has 3 fields, not 4 or more/],
    [['SEEN', 'h:1', 4, 2, 1, 2, 'h:2'], /SEEN has 7 fields, not 8 or more/],
    [['SEEN', 'h:1', 4, 2, 1, 1, 'h', a, 3], /"h" is not an address/],
    [['SEEN', 'h:1', 4, 2, 1, 1, 'h:2', a], /seq is not a number/],
    [['TAKEN', 'h:2', 'h:3', 8], /TAKEN has 4 fields, not 5/],
    [['LEASES', 'h:2', 'h:3', 8, 'x', 's', ''], /id is not a number/],
    [['HELD', a], /count is not a number/],
    [['HELD', 'h:1', 1, a, 1], /"h:1" is not an origin/],
    [['HELD', a, 1, b, b], /seq is not a number/],
    [['HELD', a, 2, b, 1], /HELD has 5 fields, not 7 or more/],
    [['SURPLUS', 1], /SURPLUS has 2 fields, not 1/],
    [['ELECTION', 1], /ELECTION has 2 fields, not 3/],
    [['ELECTION', 'x', 1], /term is not a number/],
    [['OK', 1, 'x'], /Lamport timestamp is not a number/],
    [['COORDINATOR', 1, 2], /COORDINATOR has 3 fields, not 4/],
    [['COORDINATOR', 'x', 'h:1', 1], /term is not a number/],
    [['COORDINATOR', 1, 'h', 1], /"h" is not an address/],
    [['COORDINATOR', 1, 'h:1', 'x'], /Lamport timestamp is not a number/],
    [['SEEK', 'h:1'], /SEEK has 2 fields, not 3/],
    [['SEEK', 'h', 1], /"h" is not an address/],
    [['SEEK', 'h:1', -1], /hops is not a number/],
    [['GOT', 1], /GOT has 2 fields, not 3/],
    [['GOT', 'x', 1], /bytes is not a number/],
    [['GOT', 1, 'x'], /time is not a number/],
    [['PART', 1, 2], /PART has 3 fields, not 4/],
    [['PART', 'x', 2, ''], /lane is not a number/],
    [['PART', 1, 'x', ''], /bytes is not a number/],
    [['BYE', 1], /BYE has 2 fields, not 1/],
    [['RECORDS'], /RECORDS has 1 fields, not 13/],
    [records({}).slice(0, 12), /RECORDS has 12 fields, not 13/],
    [[...records({}), ''], /RECORDS has 14 fields, not 13/],
    [records({ 1: 'nobody' }), /"nobody" is not an origin/],
    [records({ 2: 'x' }), /seq is not a number/],
    [records({ 2: 0 }), /seq 0 is not/],
    [records({ 3: '' }), /count is not a number/],
    [records({ 3: 4 }), /lengths is not an array/],
    [records({ 4: 'x' }), /Lamport timestamp is not a number/],
    [records({ 4: '9007199254740991' }), /Lamport timestamp 9007199254740991 is out of range/],
    [records({ 5: 'x' }), /time is not a number/],
    [records({ 7: '[]' }), /deps is not a JSON object/],
    [records({ 8: '' }), /lengths is not JSON/],
    [records({ 9: '[]' }), /meta is not a JSON object/],
    [records({ 11: 'x' }), /age is not a number/],
    [['MISSED'], /MISSED has 1 fields, not 2/],
    [['MISSED', '-1'], /time is not a number/],
    [records({ 10: 'onetwo' }), /lengths do not add up to the body/],
  ];
  t.equal(decode([encodeCommand(records({}))]).length, 1, 'the batch that the others differ from');
  for (const [args, why] of cases) {
    t.throws(() => decode([encodeCommand(args)]), { code: 'PROTOCOL', message: why }, args.join(' ').slice(0, 80));
  }
});

const ROUNDS = 100_000;
/** What fields are replaced with: the ends of ranges, other kinds of values, long ones. */
const STRANGE = [
  '', '0', '-1', '1', '9007199254740991', '9007199254740992', '1e3', ' 1', '0x10', 'NaN', 'null', '{}', '[]', '[1]',
  '""', 'PEER', 'RECORDS', '127.0.0.1:0', '[::1]:3000', 'h:1/0123456789ab', '__proto__', '\0', 'é', '\ud800',
  'x'.repeat(70_000),
].map((text) => Buffer.from(text));

/** Frames of messages that once were decoded to something that cannot be sent on. */
const FOUND: readonly (readonly string[])[] = [];

/** The fields of a message, some of them changed. */
function mutate(fields: Buffer[], random: SeededRandom): Buffer[] {
  const at = random.integer(0, fields.length - 1);
  const other = random.integer(0, fields.length - 1);
  switch (random.integer(0, 6)) {
    case 0:
      return fields.toSpliced(at, 1);
    case 1:
      return fields.toSpliced(at, 0, fields[other]!);
    case 2:
      return fields.toSpliced(at, 1, fields[other]!);
    case 3:
      return fields.toSpliced(at, 1, random.pick(STRANGE));
    case 4:
      return fields.slice(0, at + 1);
    case 5:
      return [...fields, ...fields.slice(at)];
    default: {
      const bytes = Buffer.from(fields[at]!);
      if (bytes.length === 0) return fields;
      bytes[random.integer(0, bytes.length - 1)] = random.pick([random.integer(0, 255), random.integer(48, 57)]);
      return fields.toSpliced(at, 1, bytes);
    }
  }
}

/** What becomes of a frame. @throws Error if it is decoded, and then encoded to something else */
function outcomeOf(bytes: Buffer): 'decoded' | 'PROTOCOL' | 'REFUSED' {
  let messages: PeerMessage[];
  try {
    messages = decode([bytes]);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== 'PROTOCOL' && code !== 'REFUSED') throw error;
    return code;
  }
  const again = decode(messages.map((message) => Buffer.concat(encodePeerMessage(message))));
  if (!isDeepStrictEqual(again, messages)) throw new Error(`${bytes.toString('latin1')} is sent on as something else`);
  return 'decoded';
}

t.test(`a mutated message is decoded or refused, and nothing else; what is decoded can be sent on (seed ${SEED})`, async (t) => {
  const random = new SeededRandom();
  const frames = MESSAGES.map((message) => fieldsOf(Buffer.concat(encodePeerMessage(message))));
  const counts = { decoded: 0, PROTOCOL: 0, REFUSED: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    let fields = random.pick(frames);
    for (let times = random.integer(1, 3); times > 0 && fields.length > 0; times -= 1) fields = mutate(fields, random);
    const bytes = Buffer.concat(encodeCommandParts(fields));
    if (random.integer(0, 9) === 0) bytes[random.integer(0, bytes.length - 1)] = random.integer(0, 255);
    counts[outcomeOf(bytes)] += 1;
  }
  t.ok(counts.decoded > ROUNDS / 20 && counts.PROTOCOL > ROUNDS / 3, `both happened often: ${JSON.stringify(counts)}`);
});

t.test('frames that were decoded to something else once', async (t) => {
  for (const fields of FOUND) {
    t.doesNotThrow(() => outcomeOf(Buffer.concat(encodeCommandParts(fields))), fields.join(' '));
  }
});

/** The arguments of a command. */
function fieldsOf(bytes: Buffer): Buffer[] {
  const parser = new CommandParser(LIMITS);
  parser.push(bytes);
  const args = parser.next()!;
  return Array.from({ length: args.length }, (_, index) => Buffer.from(args.bytes(index)));
}

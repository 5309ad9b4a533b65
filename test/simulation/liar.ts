/**
 * A member that passes records on otherwise than it has got them. What it says of its own disk is true: who counts a
 * broker as one that has a record has nothing else than its word.
 */
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { lastSeq, type Origin, type RecordBatch } from '../../brokers/core/log/record.ts';
import { CommandParser } from '../../brokers/wire/command-parser.ts';
import { decodePeerMessage, encodePeerMessage } from '../../brokers/wire/peer-codec.ts';
import { type PeerMessage } from '../../brokers/wire/peer-message.ts';
import type { SeededRandom } from '../support/random.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

const LIMITS = { bulkBytesMax: 16 * 1024 * 1024, commandBytesMax: 32 * 1024 * 1024 };
const LIE_PERCENT = 20; // of the records

/** Lets a member lie for a while. Whether it did. */
export async function lie(world: World, dice: SeededRandom, liar: Machine, lastsMs: number): Promise<boolean> {
  world.note('storm', `${liar.address} changes what it passes on`);
  const before = world.network.counts.lies;
  world.network.twist(liar.address, (bytes) => twisted(bytes, dice));
  await world.time.sleep(lastsMs);
  world.network.twist(liar.address, undefined);
  return world.network.counts.lies > before;
}

/** The same bytes with lies in them; undefined if there is nothing in them about which to lie. */
function twisted(bytes: Uint8Array, dice: SeededRandom): Uint8Array | undefined {
  const messages = messagesIn(bytes);
  let isLie = false;
  const said = messages.map((message): PeerMessage => {
    if (message.type !== 'RECORDS' || dice.integer(1, 100) > LIE_PERCENT) return message;
    isLie = true;
    return { ...message, batch: changed(message.batch, dice) };
  });
  return isLie ? Buffer.concat(said.flatMap((message) => encodePeerMessage(message))) : undefined;
}

/** None if the bytes are not whole messages: a large one travels in parts. */
function messagesIn(bytes: Uint8Array): PeerMessage[] {
  const parser = new CommandParser(LIMITS);
  const messages: PeerMessage[] = [];
  let size = 0;
  try {
    parser.push(Buffer.from(bytes));
    for (let args = parser.next(); args !== undefined; args = parser.next()) {
      const message = decodePeerMessage(args, DEFAULT_LIMITS);
      size += encodePeerMessage(message).reduce((sum, { length }) => sum + length, 0);
      messages.push(message);
    }
  } catch (error) {
    if (error instanceof RumormillError) return []; // they begin in the middle of one, or refuse the peer
    throw error;
  }
  return size === bytes.length ? messages : [];
}

function changed(batch: RecordBatch, dice: SeededRandom): RecordBatch {
  const lies: (() => Partial<RecordBatch>)[] = [
    () => ({ lamport: batch.lamport + dice.integer(1, 1000) }),
    () => ({ time: batch.time + 1 }),
    () => ({ topic: `${batch.topic}x` }),
    () => ({ seq: lastSeq(batch) + 1 }),
    () => ({ origin: `${batch.origin.slice(0, -1)}${batch.origin.endsWith('0') ? '1' : '0'}` as Origin }),
    () => unsigned(batch),
    () => ({ proof: '' }),
    () => ({ deps: '' }),
  ];
  if (batch.body.length > 0) lies.push(() => ({ body: bent(batch.body, dice) }));
  return { ...batch, ...dice.pick(lies)(), ...(dice.integer(0, 1) === 0 && unsigned(batch)) };
}

/** As if its group went on. */
function unsigned({ proof }: RecordBatch): Partial<RecordBatch> {
  return { proof: proof.slice(0, proof.lastIndexOf(' ') + 1) };
}

function bent(body: Uint8Array, dice: SeededRandom): Uint8Array {
  const bytes = Buffer.from(body);
  bytes[dice.integer(0, bytes.length - 1)]! ^= 1;
  return bytes;
}

/**
 * Lease token: opaque text that names one lease of one message. With each delivery of a message there is a new one, and
 * only the newest is good.
 *
 * It says which process gave the lease (`Log.instance`) and as which of its leases, and names the record by its
 * origin's tag and its seq: so the home that comes after this one knows which message an acknowledgement is for.
 *
 * Format: base64url of both tags (6 bytes each), the lease's number and the seq (LEB128), then 32 bits of FNV-1a over
 * all of it and the subscription's life. A token of another subscription, or of an earlier one of the same name, is as
 * little one of this as a mangled one. It is no protection against forgery.
 */
import { fnv1a } from '../hash.ts';
import { type Origin } from '../log/record.ts';
import type { Subscription } from '../catalog/subscription.ts';
import { stampText } from '../log/stamp.ts';

const TAG_BYTES = 6;
const SUM_BYTES = 4;
const [BYTES_MIN, BYTES_MAX] = [2 * TAG_BYTES + 2 + SUM_BYTES, 2 * TAG_BYTES + 16 + SUM_BYTES];
const CHARACTERS_MAX = Math.ceil((BYTES_MAX * 4) / 3);

/** What a token says. */
export interface LeaseToken {
  readonly instance: string;
  readonly lease: number;
  /** Of the record's origin: twelve hexadecimal digits. */
  readonly tag: string;
  readonly seq: number;
}

const scratch = Buffer.alloc(BYTES_MAX);

export function originTag(origin: Origin): string {
  return origin.slice(origin.lastIndexOf('/') + 1);
}

/** Tells the lives of all subscriptions apart. */
export function lifeOf({ name, since }: Pick<Subscription, 'name' | 'since'>): number {
  return fnv1a(Buffer.from(`${name}\n${stampText(since)}`, 'utf8'));
}

/** @param life what `lifeOf` gave */
export function encodeToken(life: number, { instance, lease, tag, seq }: LeaseToken): string {
  scratch.write(instance, 0, TAG_BYTES, 'hex');
  scratch.write(tag, TAG_BYTES, TAG_BYTES, 'hex');
  const end = writeNumber(writeNumber(2 * TAG_BYTES, lease), seq);
  scratch.writeUInt32LE(fnv1a(scratch, life, end), end);
  return scratch.toString('base64url', 0, end + SUM_BYTES);
}

/** Undefined for what is not a token of this life of a subscription. */
export function decodeToken(life: number, text: string): LeaseToken | undefined {
  if (text.length > CHARACTERS_MAX) return undefined;
  const length = scratch.write(text, 'base64url');
  const end = length - SUM_BYTES;
  if (
    length < BYTES_MIN ||
    scratch.readUInt32LE(end) !== fnv1a(scratch, life, end) ||
    scratch.toString('base64url', 0, length) !== text
  ) {
    return undefined;
  }
  const [lease, at] = readNumber(2 * TAG_BYTES, end);
  const [seq, last] = readNumber(at, end);
  if (last !== end) return undefined;
  return {
    instance: scratch.toString('hex', 0, TAG_BYTES), lease, tag: scratch.toString('hex', TAG_BYTES, 2 * TAG_BYTES), seq,
  };
}

function writeNumber(at: number, value: number): number {
  let [to, rest] = [at, value];
  for (; rest >= 128; rest = Math.floor(rest / 128)) scratch[to++] = (rest % 128) + 128;
  scratch[to++] = rest;
  return to;
}

/** The number at a place, and where it ends: beyond `end` if it is none. */
function readNumber(from: number, end: number): [value: number, at: number] {
  let [value, factor] = [0, 1];
  for (let at = from; at < Math.min(end, from + 8); at += 1) {
    const byte = scratch[at]!;
    value += (byte & 127) * factor;
    factor *= 128;
    if (byte < 128) return Number.isSafeInteger(value) ? [value, at + 1] : [0, end + 1];
  }
  return [0, end + 1];
}

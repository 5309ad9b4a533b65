/**
 * Greedy clients of a run: those that send half a command and no more, subscribers that do not read, and those that ask
 * for much and do not read it. Together they want several times the memory that a broker of such a run has.
 */
import type { Limits } from '../../brokers/config.ts';
import type { Channel } from '../../brokers/core/runtime.ts';
import { encodeCommand } from '../../brokers/wire/resp.ts';
import type { Machine } from './machine.ts';
import { Life } from './time.ts';
import type { World } from './world.ts';

const MEBIBYTE = 1024 * 1024;
const MEMORY_BYTES = 32 * MEBIBYTE;
const HALF_BYTES = 4 * MEBIBYTE;
const ECHO_BYTES = MEBIBYTE / 2;
const CLIENTS = 30;
const DIAL_MS = 1000;
/** Counted for a moment before somebody is closed: one that is larger than any that a broker lets in at once. */
const SLACK = 1.5;

/** Of brokers that have little memory, so that a few clients can want all of it. */
export const SMALL: Partial<Limits> = {
  memoryBytes: MEMORY_BYTES,
  bulkBytesMax: 5 * MEBIBYTE,
  commandBytesMax: 8 * MEBIBYTE,
  linkWindowBytes: 2 * MEBIBYTE,
  stillMs: 2000,
};

export function isSmall({ options }: World): boolean {
  return options.limits?.memoryBytes === MEMORY_BYTES;
}

/** Sets so many of them on a broker, for a while. Whether any of them got in. */
export async function beGreedy(world: World, { address }: Machine, lastsMs: number): Promise<boolean> {
  world.note('storm', `greedy clients of ${address}`);
  const transport = world.network.transport(`greedy of ${address}`, new Life(world.time));
  const channels: Channel[] = [];
  await Promise.all(Array.from({ length: CLIENTS }, async (_, number) => {
    const channel = await transport.dial(address, DIAL_MS).catch(() => undefined);
    if (channel === undefined) return;
    channels.push(channel);
    const nothing = (): void => undefined;
    channel.attach({ data: nothing, sent: nothing, drain: nothing, closed: nothing, ended: nothing });
    channel.pause(); // it reads nothing
    channel.write(demand(number));
  }));
  await world.time.sleep(lastsMs);
  for (const channel of channels) channel.destroy();
  return channels.length > 0;
}

function demand(number: number): Buffer {
  if (number % 3 === 0) return encodeCommand(['SUBSCRIBE', 'news', 'sport']);
  if (number % 3 === 1) {
    return Buffer.concat(Array.from({ length: 4 }, () => encodeCommand(['ECHO', Buffer.alloc(ECHO_BYTES)])));
  }
  const half = Buffer.from(`*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$${HALF_BYTES + 1}\r\n`);
  return Buffer.concat([half, Buffer.alloc(HALF_BYTES)]);
}

/** What is promised of memory, however greedy somebody is. */
export function checkMemory(world: World, { address, broker }: Machine): void {
  const { peak, limits } = broker.budget;
  if (peak > SLACK * limits.memoryBytes) {
    world.incident(address, `held ${peak} bytes, with a limit of ${limits.memoryBytes}`);
  }
}

/** As `checkMemory`, when all of them are gone: nothing is held for them. */
export function checkGivenBack(world: World, machine: Machine): void {
  checkMemory(world, machine);
  const { connectionBytes, limits } = machine.broker.budget;
  const most = limits.memoryBytes / 4;
  if (connectionBytes > most) {
    world.incident(machine.address, `holds ${connectionBytes} bytes for connections that are gone`);
  }
}

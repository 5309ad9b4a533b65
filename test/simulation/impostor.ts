/**
 * Somebody who has seen all that a broker says of itself, its public key too, and says the same; but cannot prove it.
 * It must not hear more than why it is refused.
 */
import type { Channel } from '../../brokers/core/runtime.ts';
import type { PeerMessage } from '../../brokers/wire/peer-message.ts';
import { virtualIdentity } from '../support/identity.ts';
import { bytesOf, diallerOf, hello, PeerReader } from '../support/peer.ts';
import type { SeededRandom } from '../support/random.ts';
import type { Machine } from './machine.ts';
import { Life } from './time.ts';
import type { World } from './world.ts';

const DIAL_MS = 1000;
const OWN_KEY = virtualIdentity(Buffer.from('of the impostor'));

/** Goes to a broker as another one, for a while. Whether it got as far as to be asked for a proof. */
export async function impersonate(
  world: World, dice: SeededRandom, at: Machine, victim: Machine, lastsMs: number,
): Promise<boolean> {
  const { address, disk: { data } } = victim;
  world.note('storm', `an impostor of ${address} at ${at.address}`);
  const { publicKey: key } = virtualIdentity(data.keySeed);
  const instance = victim.isRunning ? victim.broker.readers.latestCursor().instance : 'x';
  const mine = hello({ address, origin: data.origin, instance, key, nonce: dice.bytes(32), dialled: at.address });
  const transport = world.network.transport(`impostor of ${address}`, new Life(world.time));
  const channel = await transport.dial(at.address, DIAL_MS).catch(() => undefined);
  if (channel === undefined) return false;
  const handshake = diallerOf(mine, OWN_KEY);
  let isAsked = false;
  listen(channel, (message) => {
    if (message.type === 'PEER') handshake.hear(message);
    else if (message.type === 'PROOF' && !isAsked) {
      isAsked = true;
      channel.write(bytesOf(dice.pick([handshake.prove(), message])));
    } else world.incident(at.address, `says ${message.type} to an impostor of ${address}`);
  });
  channel.write(bytesOf(mine));
  await world.time.sleep(lastsMs);
  channel.destroy();
  return isAsked;
}

function listen(channel: Channel, heard: (message: PeerMessage) => void): void {
  const reader = new PeerReader();
  const nothing = (): void => undefined;
  channel.attach({
    data(chunk) {
      reader.push(chunk);
      for (let said = reader.next(); said !== undefined; said = reader.next()) {
        if (typeof said === 'object') heard(said);
      }
    },
    sent: nothing, drain: nothing, closed: nothing, ended: nothing,
  });
}

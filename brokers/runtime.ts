/** What a broker gets from outside: clock, network, disk, dice, key. */
import type { Identity, Signatures } from './core/mesh/identity.ts';
import type { Store } from './core/log/store.ts';
import type { Clock, Logger, Random, Transport } from './core/runtime.ts';

/** The world that a broker runs in. `io/` has the real one. */
export interface Runtime {
  /** Of Rumormill, as HELLO tells it. */
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  readonly signatures: Signatures;
  readonly logger: Logger;
  openStore(): Promise<Store>;
  /** Asked for while the store is open, whose lock keeps other processes away. */
  openIdentity(): Promise<Identity>;
}

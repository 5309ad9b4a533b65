/**
 * Where this broker is, as it tells the others by records: that a seat which was given to its address is its own, or
 * that it has another address than before.
 *
 * Of two processes with one key each believes that it has moved. So a broker says where it is only once a majority of
 * the members has let it in, which nobody does who has a link with the other one; and if somebody says otherwise
 * afterwards, it waits longer each time before it says so again.
 */
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import type { MembersSaying } from '../core/members/change.ts';
import type { Roster, Seat } from '../core/members/roster.ts';
import type { BrokerId } from '../core/mesh/identity.ts';
import type { Clock } from '../core/runtime.ts';
import type { ChangesMesh } from './changes.ts';

const NAMES_MAX = 64; // that are remembered for this broker
const AGAIN_MS = [1000, 60_000] as const; // before it says once more where it is: at first, and at most

export interface WhereaboutsRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly id: BrokerId;
}

export class Whereabouts {
  readonly #runtime: WhereaboutsRuntime;
  readonly #roster: Roster;
  readonly #mesh: ChangesMesh;
  readonly #names = new Set<Address>(); // by which members reach this broker
  #sayAt = 0;
  #waitMs: number = AGAIN_MS[0];

  constructor(runtime: WhereaboutsRuntime, roster: Roster, mesh: ChangesMesh) {
    this.#runtime = runtime;
    this.#roster = roster;
    this.#mesh = mesh;
  }

  /** Another broker has reached this one by a name. */
  called(name: Address): void {
    if (name !== this.#self && this.#names.size < NAMES_MAX) this.#names.add(name);
  }

  /** What this broker is called: by itself first. */
  names(): readonly Address[] {
    return [this.#self, ...this.#names];
  }

  /** The name that a seat was given to which nobody has yet, if there is one. */
  get free(): Address | undefined {
    return this.names().find((name) => this.#roster.isFree(name));
  }

  /** Whether the seat of this broker is elsewhere: it has moved, or another process has its key. */
  isElsewhere(own: Seat | undefined): boolean {
    return own !== undefined && own.address !== this.#self;
  }

  /** What is to be said now. @param own the seat of this broker */
  claim(own: Seat | undefined): MembersSaying | undefined {
    if (own === undefined) return this.free && this.#here(this.free);
    const now = this.#runtime.clock.now();
    if (!this.isElsewhere(own) || now < this.#sayAt || !this.#isLetIn(own)) return undefined;
    this.#sayAt = now + this.#waitMs;
    this.#waitMs = Math.min(2 * this.#waitMs, AGAIN_MS[1]);
    return this.#here(this.#self);
  }

  get #self(): Address {
    return this.#runtime.config.address;
  }

  #here(row: Address): MembersSaying {
    return { say: 'here', id: this.#runtime.id, address: this.#self, row, version: this.#roster.version };
  }

  /** Whether a majority has links with this broker; where each has few, whether it reaches one. */
  #isLetIn(own: Seat): boolean {
    const { fanout } = this.#runtime.config;
    const others = this.#roster.seats().filter(({ state, name }) => state === 'in' && name !== own.name);
    const isThere = ({ address }: Seat): boolean =>
      fanout === undefined ? this.#mesh.idAt(address) !== undefined : this.#mesh.isReached(address);
    return 2 * (others.filter(isThere).length + 1) > others.length + 1;
  }
}

/**
 * Connections that are no links yet. Whoever reaches the port can open them, so there is a limit, and at the limit the
 * host that has most of them gives way, its oldest first: a host that floods the port keeps only itself out.
 */
import type { Address } from '../core/address.ts';
import type { Timer } from '../core/runtime.ts';
import type { Hello } from '../wire/peer-message.ts';
import type { Handshake } from './handshake.ts';
import type { Link } from './link.ts';

/** A connection that is no link yet. */
export interface Opening {
  /** What it was dialled for; undefined if it was accepted, or has shown that. */
  dial: { readonly name: Address; readonly wants: Hello['wants'] } | undefined;
  /** The host at the other end: each attempt comes from another port, and is not worth another line. */
  readonly from: string;
  /** From when this side has said who it is. */
  handshake: Handshake | undefined;
  greetedAt: number; // when the other side did
  timer: Timer;
}

/** The connection that gives way, if more than `max` were accepted. */
export function crowding(openings: ReadonlyMap<Link, Opening>, max: number): Link | undefined {
  const hosts = new Map<string, Link[]>();
  let count = 0;
  for (const [link, { from }] of openings) {
    if (link.dialled) continue;
    count += 1;
    hosts.set(from, [...(hosts.get(from) ?? []), link]);
  }
  if (count <= max) return undefined;
  return [...hosts.values()].reduce((most, each) => (each.length > most.length ? each : most))[0];
}

/** What a broker says of itself: the fields of MESH STATUS and INFO. */
import type { Config } from './config.ts';
import type { Address } from './core/address.ts';
import type { Budget } from './core/budget.ts';
import type { View } from './core/home/view.ts';
import type { LamportClock } from './core/log/lamport.ts';
import type { Log } from './core/log/log.ts';
import type { BrokerId } from './core/mesh/identity.ts';
import { countMissing, EMPTY_VECTOR } from './core/log/version-vector.ts';
import type { Members } from './members/members.ts';
import type { Mesh } from './mesh/mesh.ts';

/** By name. */
export type Status = Record<string, string | number>;

export interface StatusSources {
  readonly config: Config;
  readonly id: BrokerId;
  readonly members: Pick<Members, 'roster' | 'differences'>;
  readonly coordinator: Address | undefined;
  readonly mesh: Pick<Mesh, 'term' | 'linkCount' | 'received'>;
  readonly log: Pick<Log, 'origin' | 'vector' | 'position' | 'pendingBytes'>;
  readonly lamport: Pick<LamportClock, 'time'>;
  readonly view: View | undefined;
  readonly sessions: { readonly size: number };
  readonly budget: Pick<Budget, 'bytes' | 'peak'>;
  readonly readers: { readonly waiting: number };
  readonly queues: { readonly waiting: number };
  readonly uptimeMs: number;
}

export function status(
  {
    config, id, members, coordinator, mesh, log, lamport, view, sessions, budget, readers, queues, uptimeMs,
  }: StatusSources,
): Status {
  const { unlisted, strangers } = members.differences();
  return {
    broker: config.address,
    id,
    origin: log.origin,
    mesh: config.mesh,
    coordinator: coordinator ?? '',
    term: mesh.term,
    membership: members.roster.version,
    members_without_row: unlisted.join(' '),
    rows_not_members: strangers.join(' '),
    members: view?.members.length ?? 0,
    lamport: lamport.time,
    messages: countMissing(log.vector.entries(), EMPTY_VECTOR),
    batches: log.position,
    pending_bytes: log.pendingBytes,
    links: mesh.linkCount,
    connections: sessions.size,
    memory_bytes: budget.bytes,
    memory_peak_bytes: budget.peak,
    memory_limit_bytes: config.limits.memoryBytes,
    waiters: readers.waiting + queues.waiting,
    records_received: mesh.received.records,
    records_duplicate: mesh.received.duplicates,
    uptime_ms: Math.round(uptimeMs),
  };
}

/**
 * What this machine lets a process have: memory and open files. A container is given less than its
 * machine has, by control groups, which have two versions.
 *
 * https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max), cgroup-v1/memory.html
 * (memory.limit_in_bytes). A limit holds for everything below it, so the least on the way up counts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { DEFAULT_LIMITS, type Limits } from '../config.ts';
import { RumormillError } from '../core/error.ts';

const MEMORY_SHARE = 1 / 4; // of what the process may have: there are often three of them on a machine
const MEMORY_BYTES_MIN = 64 * 1024 * 1024;
const FILES_KEPT = 32; // for the store, for those at the door, for whatever is read and dialled meanwhile
const CLIENTS_MIN = 8;

/** The text of a file; undefined if there is none. */
export type ReadText = (path: string) => string | undefined;

/**
 * The limits of a broker that depend on where it runs. @throws RumormillError CONFIG if too few files may be open
 */
export function machineLimits(): Pick<Limits, 'memoryBytes' | 'connectionsMax'> {
  const memory = Math.min(totalmem(), controlGroupBytes(readText) ?? Infinity);
  const files = openFilesMax(readText);
  const clients = files === undefined ? Infinity : files - openFiles() - FILES_KEPT;
  if (clients < CLIENTS_MIN) {
    const least = files! - clients + CLIENTS_MIN;
    throw new RumormillError(
      'CONFIG',
      `only ${files} files may be open (ulimit -n), and a broker needs ${least} or more`,
    );
  }
  return {
    memoryBytes: Math.max(MEMORY_BYTES_MIN, Math.floor(memory * MEMORY_SHARE)),
    connectionsMax: Math.min(DEFAULT_LIMITS.connectionsMax, clients),
  };
}

/** What the control groups of this process allow it, in bytes; undefined if they do not say. */
export function controlGroupBytes(read: ReadText): number | undefined {
  const limits: number[] = [];
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const isSecond = controllers === '';
    if (!isSecond && !controllers.split(',').includes('memory')) continue;
    const file = isSecond ? 'memory.max' : 'memory.limit_in_bytes';
    const roots = isSecond ? ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'] : ['/sys/fs/cgroup/memory'];
    for (const folder of upwards(path)) {
      for (const root of roots) {
        const bytes = Number(read(`${root}${folder}/${file}`) ?? NaN); // "max" is none
        if (bytes > 0) limits.push(bytes);
      }
    }
  }
  return limits.length > 0 ? Math.min(...limits) : undefined;
}

/**
 * A path of a control group and those above it. Inside of a container the path may not be there, but the root is its
 * own.
 */
function upwards(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '');
  return Array.from({ length: names.length + 1 }, (_, count) =>
    names
      .slice(0, count)
      .map((name) => `/${name}`)
      .join(''),
  );
}

/** How many files this process may have open; undefined if the system does not say. */
export function openFilesMax(read: ReadText): number | undefined {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(read('/proc/self/limits') ?? '') ?? [];
  return soft === undefined ? undefined : Number(soft);
}

/** How many are open now. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0; // there is no /proc here
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** What Linux tells of processes: processor time, and what their TCP connections have sent. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TICK_MS = 10; // what a program is told, whatever the kernel counts in

/** Processor time that a process has used, all threads together, ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // behind the program's name, which may have spaces
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS; // user and system
}

/**
 * Bytes that the open TCP connections of some processes have sent so far; undefined where `ss` (iproute2) is missing.
 */
export function tcpBytesSent(pids: readonly number[]): number | undefined {
  const { status, stdout } = spawnSync('ss', ['-tinpHO', 'state', 'established'], { encoding: 'utf8' });
  return status === 0 ? sumOfSent(stdout, pids) : undefined;
}

/** From what `ss -tinpO` prints: a line a connection. */
export function sumOfSent(lines: string, pids: readonly number[]): number {
  let sum = 0;
  for (const line of lines.split('\n')) {
    const owners = [...line.matchAll(/\bpid=(\d+)/g)].map(([, pid]) => Number(pid));
    if (owners.some((pid) => pids.includes(pid))) sum += Number(/\bbytes_sent:(\d+)/.exec(line)?.[1] ?? 0);
  }
  return sum;
}

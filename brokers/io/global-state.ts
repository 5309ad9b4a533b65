/**
 * globalState.csv: the brokers' addresses, `ip-address,port` a row.
 *
 * A header row, blank lines and lines that begin with # are passed over. A row may be an IPv4 or IPv6 address or a
 * name. The file is looked at every `pollMs`, which works on every file system (notifications do not: editors replace
 * files, network folders tell nothing).
 */
import { readFile, stat } from 'node:fs/promises';
import { type CsvError, parse } from 'csv-parse/sync';
import { type Address, makeAddress } from '../core/address.ts';
import { messageOf, RumormillError } from '../core/error.ts';

/** @throws RumormillError CONFIG that names file, line and what is wrong */
export async function readGlobalState(file: string): Promise<Address[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw unreadable(file, cause);
  }
  return parseGlobalState(text, file);
}

function unreadable(file: string, cause: unknown): RumormillError {
  return new RumormillError('CONFIG', `${file} cannot be read: ${messageOf(cause)}`, { cause });
}

/** @throws RumormillError CONFIG that names file, line and what is wrong */
export function parseGlobalState(text: string, file: string): Address[] {
  const lines = new Map<Address, number>();
  for (const [index, { record, info }] of parseRows(text, file).entries()) {
    const fail = (what: string): never => {
      throw new RumormillError('CONFIG', `${file} line ${info.lines}: ${what}`);
    };
    if (index === 0 && record[1] !== undefined && /^port$/i.test(record[1])) continue;
    const [host = '', port] = record;
    if (port === undefined) fail(`a row is ip-address,port; ${JSON.stringify(record.join(','))} has no port`);
    if (record.length > 2) {
      fail(`a row is ip-address,port; ${JSON.stringify(record.join(','))} has ${record.length} columns`);
    }
    let address: Address;
    try {
      address = makeAddress(host, port!);
    } catch (cause) {
      return fail(messageOf(cause));
    }
    const earlier = lines.get(address);
    if (earlier !== undefined) fail(`${address} stands in line ${earlier} already`);
    lines.set(address, info.lines);
  }
  return [...lines.keys()];
}

interface Row {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

function parseRows(text: string, file: string): Row[] {
  try {
    const options = {
      bom: true,
      comment: '#',
      comment_no_infix: true,
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
      record_delimiter: ['\r\n', '\n', '\r'], // in one file too, which editors of two systems had in their hands
    };
    const rows = parse(text, options) as unknown as Row[];
    return rows.filter(({ record }) => record.some((field) => field !== ''));
  } catch (cause) {
    const { lines } = cause as CsvError & { lines?: number };
    throw new RumormillError('CONFIG', `${file}${lines === undefined ? '' : ` line ${lines}`}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** A file that is looked at. */
export interface Watch {
  /** Reads the file now, whatever it looks like, and says what came of it. */
  reread(): void;
  stop(): void;
}

/**
 * Calls `changed` whenever the file's rows differ from those in force, `failed` if it cannot be used; then the
 * last good rows stay. A file that has lost all its rows is one that is being written, or whose disk is full: a mesh is
 * not dissolved by that.
 * @param rows those in force: what `readGlobalState` gave
 */
export function watchGlobalState(
  file: string,
  rows: readonly Address[],
  pollMs: number,
  changed: (rows: Address[]) => void,
  failed: (error: RumormillError) => void,
): Watch {
  let inForce = String(rows);
  let seen: string | undefined; // what the file looked like when it was read
  let isUnreadable = false; // which is said once, and may pass without a change of the file
  let stopped = false;
  const look = async (isAsked: boolean): Promise<void> => {
    try {
      const { mtimeMs, size, ino } = await stat(file);
      const now = `${mtimeMs} ${size} ${ino}`;
      if (now === seen && !isAsked) return;
      const text = await readFile(file, 'utf8');
      seen = now;
      isUnreadable = false;
      const found = parseGlobalState(text, file);
      if (stopped || (String(found) === inForce && !isAsked)) return;
      if (found.length === 0) throw new RumormillError('CONFIG', `${file} has no rows`);
      inForce = String(found);
      changed(found);
    } catch (error) {
      if (stopped) return;
      if (error instanceof RumormillError) return failed(error);
      if (!isUnreadable || isAsked) failed(unreadable(file, error));
      isUnreadable = true;
      seen = undefined;
    }
  };
  let pending = look(false);
  const next = (isAsked: boolean): void => void (pending = pending.then(() => look(isAsked)));
  const timer = setInterval(() => next(false), pollMs);
  return {
    reread: () => next(true),
    stop: () => {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/**
 * The one error class of Rumormill: a stable upper-case code for programs, a sentence for people.
 *
 * Operating faults (a full disk, a peer of another mesh, a mangled cursor) are RumormillErrors. A bug is not: it fails
 * `assert` and carries no code that anybody should handle.
 */

/** What went wrong, as a word that never changes. On the wire it is the first word of an error reply. */
export type ErrorCode =
  | 'ERR' // a command that was wrong: unknown, wrong arity, an option or a number that does not fit
  | 'NOTFOUND' // there is no such topic, subscription or binding
  | 'EXISTS' // there is one of that name, with other settings
  | 'LIMIT' // a limit of leases holds messages back; the text says which, and what ends it
  | 'MOVED' // between brokers only: the subscription has another home
  | 'TRYAGAIN' // the subscription's home cannot be reached just now; the command may have been carried out
  | 'TOOBIG' // a payload, topic, key or header over its limit
  | 'NOQUORUM' // stored, but not on as many brokers as asked for in time; it may still be delivered
  | 'BUSY' // as much waits in this client as may, or another change of the members is under way; nothing was done
  | 'OUT' // this broker is no member of its mesh any more
  | 'DISKFULL' // the store has no room; nothing was stored
  | 'LEAVING' // this broker leaves the mesh; nothing was stored
  | 'CLOSING' // this broker is shutting down; nothing was stored
  | 'NOPROTO' // HELLO asked for a RESP version that is not spoken here
  | 'PROTOCOL' // bytes that are not RESP, or a peer message that is not one
  | 'REFUSED' // a peer of another mesh or protocol version
  | 'STORE' // broker.db cannot be used
  | 'CONFIG' // a setting or a row of globalState.csv that cannot be
  | 'UNREACHABLE' // no broker could be reached in time
  | 'DISCONNECTED' // the connection was lost before the answer; the command may have been carried out
  | 'CLOSED'; // the client was closed by its user

/** An operating fault: `code` is stable, `message` says what was wrong and what may be done. */
export class RumormillError extends Error {
  readonly code: string;

  constructor(code: ErrorCode | (string & {}), message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RumormillError';
    this.code = code;
  }
}

/** Whether there was no room on the disk: that passes, unlike any other failure of a store. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof RumormillError && error.code === 'DISKFULL';
}

/** Whether no name server could be asked for a host's address: that says nothing about the host. */
export function isUnresolved(error: unknown): boolean {
  const cause = error instanceof RumormillError ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'EAI_AGAIN';
}

/** The text of whatever was thrown: the message of an Error, the string form of anything else. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Fails, as a bug and not as an operating fault, if `condition` does not hold. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`bug: ${what}`);
}

/**
 * Every limit, timeout and default of a broker, with its unit and what happens at it. `checkLimits` holds the relations
 * between them.
 *
 * Policy at a limit: (e) the command gets an error and the connection stays open; (c) the connection is closed; (w) the
 * sender is made to wait, by not reading from its connection; (d) dropped here and fetched again.
 */
import { ACK_LEVELS, type AckLevel } from './core/ack-level.ts';
import { type Address, makeAddress } from './core/address.ts';
import { RumormillError } from './core/error.ts';
import type { RecordLimits } from './core/log/batch-check.ts';

const MEBIBYTE = 1024 * 1024;

export const DEFAULT_LIMITS = {
  // Messages
  payloadBytesMax: 1024 * 1024, // (e) TOOBIG
  topicBytesMax: 255, // (e)
  keyBytesMax: 1024, // (e) TOOBIG
  headersMax: 64, // (e) TOOBIG
  headerBytesMax: 8 * 1024, // (e) TOOBIG; names and values of one message
  idBytesMax: 128, // (e) TOOBIG
  batchBytesMax: 1024 * 1024, // of payloads, beyond which the next message begins a new batch

  // Clocks (core/log/lamport.ts, core/counter.ts): far above what a mesh counts, far below what would use timestamps up
  // (e) by which publishers may take a broker's Lamport clock each second; a century for 2^53
  lamportPerSecondMax: 2 ** 20,
  lamportSavedMax: 2 ** 36, // (e) how much of that is saved while it is not used: 18 hours of it
  lamportSavedFirst: 2 ** 24, // (e) how much of it there is at the start, for what a client has read elsewhere
  lamportPeersPerSecondMax: 2 ** 24, // (c) by which peers may take it: the publishers of 16 brokers together
  lamportPeersAheadMax: 2 ** 40, // (c) how far ahead a peer may be at the first contact: what 16 brokers can have saved
  termPerSecondMax: 1000, // (c) elections that peers may tell of each second
  termAheadMax: 2 ** 40, // (c) how far ahead a peer's term may be at the first contact
  lamportToldPerSecondMax: 2 ** 20, // by which what one peer says of its clock takes the clock here, without records
  lamportToldSavedMax: 2 ** 24, // how much of that is saved
  termToldPerSecondMax: 16, // by which one peer takes the term
  termToldSavedMax: 2 ** 20, // how much of that is saved: an election every 30 s for a year

  // Memory: the sum of the limits of all connections, and of what is kept beside them
  // (w) publishers, then (c) the greediest; the real one is measured where the broker starts
  memoryBytes: 1024 * 1024 * 1024,
  connectionBytes: 6 * 1024, // of one that holds nothing, as measured
  stillMs: 10_000, // a connection without progress for so long may be closed if memory is short

  // Connections
  connectionsMax: 50_000, // (e, c) of clients; fewer if there are not so many file descriptors
  doorMax: 8, // beyond it, since the next one may be a peer's; the oldest leave
  doorMs: 1000, // in which it has to say so
  halfSentMs: 30_000, // (e, c) for the rest of a command, from its first byte
  halfSentBytesPerS: 1024, // of it that have come give a second more
  bulkBytesMax: 8 * 1024 * 1024, // (c) of one argument
  commandBytesMax: 16 * 1024 * 1024, // (c) of one command, 16 bytes more for each argument
  nameBytesMax: 256, // (e) TOOBIG; what a client calls itself, its library or a consumer
  inputBytesMax: 1024 * 1024, // (w) received behind a command that is being carried out
  outputBytesMax: 8 * 1024 * 1024, // (w) replies that the client does not read
  pushBytesMax: 32 * 1024 * 1024, // (c) pushed messages that the client does not read, as Redis does
  pushLagBytesMax: 32 * 1024 * 1024, // (w) stored and not pushed yet; publishing goes on at half of it
  channelsMax: 10_000, // (e) and patterns that one connection has subscribed to
  unansweredMax: 200_000, // (w) messages of one connection waiting for their acknowledgement
  pollCountDefault: 100,
  pollCountMax: 10_000, // (e)
  pollTopicsMax: 1000, // (e)
  blockMsMax: 24 * 3600 * 1000, // (e)
  replyBytesMax: 8 * 1024 * 1024, // of messages in one reply; at least one message is sent

  // Topics and subscriptions
  subscriptionsMax: 10_000, // (e)
  bindingsMax: 1000, // (e) of one subscription
  allBindingsMax: 100_000, // (e) of all together: each is kept in memory, and read again at each start
  catalogTailMax: 2000, // operations of late that can be put in order; for an older one all are read again
  topicNamesMax: 100, // (e) that a topic has had: each is looked for when it is read
  visibilityMsDefault: 30_000,
  visibilityMsMax: 24 * 3600 * 1000, // (e)
  maxDeliveriesMax: 1_000_000, // (e)
  backoffMsMax: 24 * 3600 * 1000, // (e); doubling ends there
  sweepBatchesMax: 1024, // of deleted topics, looked at a tick
  leasesMax: 200_000, // messages of one that were delivered and are not done; PULL brings nothing new until some are
  // of all subscriptions at home here; beyond it each may have an even share and no more
  leasesBytesMax: 256 * 1024 * 1024,
  // (e) LIMIT; of leasesMax, that one consumer of a subscription holds; so that it takes ten to use that up
  consumerLeasesMax: 20_000,
  limitLogMs: 60_000, // between lines about what a limit holds up
  pullShareMax: 100, // messages that one PULL gets while other consumers wait
  delayMsMax: 24 * 3600 * 1000, // (e) of NACK
  consumersMax: 10_000, // names remembered of one; the oldest leave
  queueReadBytes: 256 * 1024, // of one read from the disk at a time, and kept while it is read from
  queueScanMax: 10_000, // messages passed over before others have their turn
  countBatchesMax: 2000, // counted at a time, so that other reads are not held up
  floorMs: 1000, // between floors of one
  floorAcks: 10_000, // acknowledgements after which there is one sooner
  deadLettersMax: 1000, // of one, on their way at a time
  checkpointMs: 5000, // between checkpoints of what is acknowledged

  // Log
  pendingBytesMax: 64 * 1024 * 1024, // (w) accepted and not on disk; reading goes on at half of it
  pendingMessagesMax: 1_000_000, // (w) the same, in messages
  transactionBytesMax: 16 * 1024 * 1024, // the rest goes into the next transaction
  transactionMessagesMax: 5000, // the same, in messages
  batchWaitMs: 0, // for which the first batch of a transaction waits for company
  tailBytesMax: 64 * 1024 * 1024, // recent batches in memory; the oldest leave
  readBytesMax: 1024 * 1024, // read from the disk at a time
  pagesMax: 16, // read so and kept, since a POLL took only a part; the oldest leave
  dedupeWindowMs: 120_000, // for how long a dedupe id is remembered
  dedupeIdsMax: 100_000, // a topic, and ten times as many of all together; the oldest leave
  dedupeOriginsMax: 64, // stores whose contents when they published ids are remembered; for others they are read
  repeatsMax: 100_000, // messages stored twice, remembered for readers that come from other brokers; the oldest leave

  // Peers
  membersMax: 1000, // known brokers; more are not learned
  linkWindowBytes: 8 * 1024 * 1024, // (w) of records that one peer was sent and has not on disk yet
  pathWindowBytesMax: 8 * 1024 * 1024, // (w) on their way to one peer
  // (w) the same while nothing is known of the path; then it follows what the path carries
  pathWindowBytesStart: 32 * 1024,
  pathWindowBytesMin: 8 * 1024, // (w) the same on the slowest path
  pathQueueMs: 500, // for which what is urgent waits behind other bytes to the same peer
  pathRestMs: 5000, // after which a window that was never full is halved
  partBytesMax: 64 * 1024, // of a large message, sent at a time
  handshakesMax: 256, // (c) connections of peers that have proved nothing yet; the host that has most gives way
  storesAheadMax: 50_000, // (c) stores that a peer tells of, beyond those that are known here
  holdBackBytesMax: 64 * 1024 * 1024, // (d)
  gatheringBytesMax: 1024 * 1024, // (d) of records of one peer, until their origin's signature over them has come
  beatMs: 1000, // between heartbeats at the latest
  tickMs: 100, // between looks at what is due
  suspectAfterMs: 3000,
  deadAfterMs: 10_000,
  hearsayMs: 5000, // between heartbeats that travel through a mesh larger than the fan-out
  routeSilentMs: 600, // beside round trips, after which a link that owes a sign of life is gone around
  seekMs: 250, // between two requests for a way to one broker; before leases are sent to the next home again, doubling
  fullMs: 60_000, // for which a broker with links enough is not chosen as a neighbour again
  dialTimeoutMs: 5000, // for connection and handshake each: round trips may be so long
  redialMinMs: 100, // doubling
  redialMaxMs: 2000,
  refusedRedialMaxMs: 5000, // if one of the two refuses the other, which lasts until somebody mends it
  rowLookMs: 2000, // between looks at where a row leads if no broker has its name
  rowProvenMs: 10_000, // for which two rows must have shown one broker before they are one
  stallMs: 2000, // without progress on records that a neighbour has, before another is asked
  electionOkTimeoutMs: 500,
  electionCoordinatorTimeoutMs: 1500,
  electionGraceMs: 500, // for a lost coordinator to come back
  takeoverAfterMs: 3000, // up for so long, a broker takes over from a live coordinator below it
  joinTimeoutMs: 1500, // for the first dials, before the first election
  ackTimeoutMs: 5000, // (e) NOQUORUM

  // Homes of subscriptions
  homeSilenceMs: 2500, // after which a broker is no member of the coordinator's view; after a SEEK, without a link
  homeBehindMax: 100_000, // records that a broker may lack when it becomes a member
  viewInstallMs: 2000, // for which members that say nothing about a new view, or do not take leases, are waited for
  viewCatchUpMs: 2000, // for which, beyond that, records that members had stored are waited for
  homeTimeoutMs: 5000, // (e) TRYAGAIN; then leases that the next home has not taken are dropped
  asksMax: 200_000, // (e) TRYAGAIN; commands that came over one link and are not answered
  attemptsMax: 10_000, // (e) commands that went another way; older copies of them are dropped

  turnMs: 8, // for which clients' commands hold the event loop in one go (core/turns.ts); two of them a round

  shutdownMs: 3000, // for connections to take their last replies
};

export type Limits = Readonly<typeof DEFAULT_LIMITS>;

/**
 * What a record of a peer may have: what that peer's publishers may send. A broker whose own limits are lower takes it
 * all the same; one whose limits are higher needs peers whose limits are as high.
 */
export function recordLimits(limits: Limits): RecordLimits {
  const most = (name: keyof RecordLimits): number => Math.max(limits[name], DEFAULT_LIMITS[name]);
  return {
    topicBytesMax: most('topicBytesMax'), payloadBytesMax: most('payloadBytesMax'), keyBytesMax: most('keyBytesMax'),
    headersMax: most('headersMax'), headerBytesMax: most('headerBytesMax'), idBytesMax: most('idBytesMax'),
  };
}

export interface Config {
  /** The address that peers and clients use. */
  readonly address: Address;
  /** Where to listen; the address itself by default. */
  readonly bind: Address;
  readonly mesh: string;
  readonly acks: AckLevel;
  /** How many links to keep; undefined for one with every broker. */
  readonly fanout: number | undefined;
  /** It is to become a member of a mesh that there is, and founds none. */
  readonly joins: boolean;
  /** It becomes a member anew if it was put out. */
  readonly rejoins: boolean;
  readonly limits: Limits;
}

export interface ConfigOptions {
  host?: string;
  port?: number | string;
  /** Host to listen on, if it differs from `host`. */
  bind?: string;
  mesh?: string;
  acks?: AckLevel;
  /** How many links to keep, 2 or more; by default one with every broker. The same for all brokers of a mesh. */
  fanout?: number | string;
  /** Whether it is to become a member of a mesh that there is, and founds none. */
  joins?: boolean;
  /** Whether it becomes a member anew if it was put out. */
  rejoins?: boolean;
  limits?: Partial<Limits>;
}

/** @throws RumormillError CONFIG that names the setting */
export function makeConfig(options: ConfigOptions = {}): Config {
  const { host = 'localhost', port = 3000, bind = host, mesh = 'default', acks = 'local' } = options;
  if (typeof mesh !== 'string' || !/^[\w.-]{1,64}$/.test(mesh)) { // programs in JavaScript may give anything
    throw new RumormillError(
      'CONFIG',
      `mesh name ${JSON.stringify(mesh)} is not 1 to 64 letters, digits, dots, dashes or underscores`,
    );
  }
  if (!ACK_LEVELS.includes(acks)) {
    throw new RumormillError('CONFIG', `acks ${JSON.stringify(acks)} is not ${ACK_LEVELS.join(', ')}`);
  }
  const fanout = options.fanout === undefined ? undefined : Number(options.fanout);
  const limits = fitted({ ...DEFAULT_LIMITS, ...options.limits });
  if (fanout !== undefined && !(Number.isInteger(fanout) && fanout >= 2 && fanout <= limits.membersMax)) {
    throw new RumormillError(
      'CONFIG',
      `fanout ${JSON.stringify(options.fanout)} is not an integer from 2 to ${limits.membersMax}`,
    );
  }
  checkLimits(limits);
  const { joins = false, rejoins = false } = options;
  const [address, listenOn] = [makeAddress(host, port), makeAddress(bind, port)];
  return { address, bind: listenOn, mesh, acks, fanout, joins, rejoins, limits };
}

/**
 * What a single use may take of the memory at most, so that if there is little of it the sum of
 * them still leaves half for connections.
 */
const SHARES = {
  tailBytesMax: 1 / 8, pendingBytesMax: 1 / 8, holdBackBytesMax: 1 / 8, pushBytesMax: 1 / 8,
  leasesBytesMax: 1 / 8, outputBytesMax: 1 / 16, replyBytesMax: 1 / 16,
} as const satisfies Partial<Record<keyof Limits, number>>;

function fitted(limits: Limits): Limits {
  const shares = Object.entries(SHARES) as [keyof typeof SHARES, number][];
  const least = (name: keyof Limits, share: number): number =>
    Math.min(limits[name], Math.floor(limits.memoryBytes * share));
  return { ...limits, ...Object.fromEntries(shares.map(([name, share]) => [name, least(name, share)])) };
}

const PATH_WINDOW_BYTES_LEAST = 8192; // twice what a link may leave unreported

function checkLimits(limits: Limits): void {
  if (limits.memoryBytes < 4 * limits.commandBytesMax) {
    const least = `${Math.ceil((4 * limits.commandBytesMax) / MEBIBYTE)} MiB`;
    throw new RumormillError(
      'CONFIG',
      `memory of ${Math.floor(limits.memoryBytes / MEBIBYTE)} MiB is less than ${least}`,
    );
  }
  for (const [name, value] of Object.entries(limits)) {
    const min = name === 'batchWaitMs' ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < min) {
      throw new RumormillError('CONFIG', `${name} ${value} is not an integer from ${min}`);
    }
  }
  if (limits.pathWindowBytesMin < PATH_WINDOW_BYTES_LEAST) { // or a window could be full of what is not reported yet
    throw new RumormillError(
      'CONFIG',
      `pathWindowBytesMin ${limits.pathWindowBytesMin} is below ${PATH_WINDOW_BYTES_LEAST}`,
    );
  }
  const relations: readonly [lesser: keyof Limits, greater: keyof Limits][] = [
    ['lamportPerSecondMax', 'lamportPeersPerSecondMax'], // or peers would be refused for what their publishers did
    ['lamportSavedFirst', 'lamportSavedMax'],
    ['lamportSavedMax', 'lamportPeersAheadMax'], // the same, for what they had saved
    ['payloadBytesMax', 'bulkBytesMax'], // so that a payload too big is an error and not the end of the connection
    ['bulkBytesMax', 'commandBytesMax'],
    ['payloadBytesMax', 'pendingBytesMax'],
    ['payloadBytesMax', 'replyBytesMax'],
    ['pathWindowBytesMin', 'pathWindowBytesStart'],
    ['pathWindowBytesStart', 'pathWindowBytesMax'],
    ['pathQueueMs', 'beatMs'], // or beats would bunch on a path that is busy
    ['linkWindowBytes', 'holdBackBytesMax'], // or what one peer may send ahead could never wait for what it depends on
    ['tickMs', 'beatMs'],
    ['turnMs', 'tickMs'], // or ticks would be late
    ['beatMs', 'suspectAfterMs'], // or a healthy silent peer would be suspected
    ['suspectAfterMs', 'deadAfterMs'],
    ['tickMs', 'routeSilentMs'], // or no report could be there in time
    ['routeSilentMs', 'suspectAfterMs'],
    ['beatMs', 'hearsayMs'], // news travels with the beats
    ['hearsayMs', 'deadAfterMs'], // or a healthy broker far away would be suspected
    ['redialMinMs', 'redialMaxMs'],
    ['redialMaxMs', 'refusedRedialMaxMs'],
    ['doorMs', 'halfSentMs'],
    ['rowLookMs', 'rowProvenMs'], // or a single look would be a proof
    ['beatMs', 'stallMs'], // what one beat tells must be able to arrive before it counts as stalled
    ['electionOkTimeoutMs', 'electionCoordinatorTimeoutMs'],
    ['viewCatchUpMs', 'homeTimeoutMs'], // or commands would be refused while nothing is amiss but a slow disk
    ['beatMs', 'homeSilenceMs'], // or the homes of a healthy silent peer would move
    ['tickMs', 'floorMs'],
    ['joinTimeoutMs', 'takeoverAfterMs'], // or who starts could take over from a coordinator before it has met it
    ['pollCountDefault', 'pollCountMax'],
    ['visibilityMsDefault', 'visibilityMsMax'],
  ];
  for (const [lesser, greater] of relations) {
    if (limits[lesser] > limits[greater]) {
      throw new RumormillError('CONFIG', `${lesser} ${limits[lesser]} is above ${greater} ${limits[greater]}`);
    }
  }
}

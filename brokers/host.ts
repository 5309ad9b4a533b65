/**
 * The Broker: one log, its clients' sessions and its mesh, on the clock, network, disk and dice that it is given.
 *
 * The one place where order matters is `#committed`. Nothing is gossiped, delivered or acknowledged before its
 * transaction is on disk; then, in this order: peers get it (they need longest), waiting readers and subscribers get
 * it, the publisher gets its answer.
 */
import { type Config, type ConfigOptions, makeConfig } from './config.ts';
import type { Address } from './core/address.ts';
import { Ages } from './core/log/ages.ts';
import { Budget } from './core/budget.ts';
import { isDiskFull, messageOf, RumormillError } from './core/error.ts';
import { LamportClock } from './core/log/lamport.ts';
import { Log } from './core/log/log.ts';
import type { Identity } from './core/mesh/identity.ts';
import { Quorum } from './core/mesh/quorum.ts';
import { makeTag, type StoredBatch } from './core/log/record.ts';
import { Copies } from './core/log/copies.ts';
import { RunningTime } from './core/log/running-time.ts';
import type { Channel, Clock, Listener, Logger, Timer } from './core/runtime.ts';
import type { Store } from './core/log/store.ts';
import { Turns } from './core/turns.ts';
import type { Vector } from './core/log/version-vector.ts';
import type { Connection, HomeCommand, Reply } from './commands/command.ts';
import { commands } from './commands/table.ts';
import { Errands } from './home/errands.ts';
import { Homes } from './home/homes.ts';
import { ClockSaver } from './log/clock-saver.ts';
import { tellBeyondSense } from './log/mend-clock.ts';
import { type MemberInfo, memberList } from './members/list.ts';
import { Members } from './members/members.ts';
import type { BrokerInfo } from './mesh/holdings.ts';
import { Mesh } from './mesh/mesh.ts';
import { Metadata } from './catalog/metadata.ts';
import { openName } from './mesh/naming.ts';
import { Queues } from './queue/queues.ts';
import { Readers } from './read/readers.ts';
import { Sessions, type SessionsRuntime } from './session/sessions.ts';
import { Publisher } from './log/publisher.ts';
import { FilesWatch } from './log/files-watch.ts';
import { type Status, status } from './status.ts';
import { Sweep } from './catalog/sweep.ts';
import { Tally } from './logging/tally.ts';
import type { Runtime } from './runtime.ts';
import { Topics } from './catalog/topics.ts';
import { Traffic } from './logging/traffic.ts';
import type { Args, CommandParser } from './wire/command-parser.ts';

export class Broker implements SessionsRuntime {
  readonly config: Config;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly turns: Turns;
  /** Of all memory. */
  readonly budget: Budget;
  readonly tally: Tally;
  readonly publisher: Publisher;
  readonly members: Members;
  readonly metadata: Metadata;
  readonly topics: Topics;
  readonly readers: Readers;
  readonly queues: Queues;
  /** Settles when the broker has stopped: rejects if it had to, because its store failed. */
  readonly stopped: Promise<void>;
  readonly #store: Store;
  readonly #identity: Identity;
  readonly #filesWatch: FilesWatch;
  readonly #lamport: LamportClock;
  readonly #clockSaver: ClockSaver;
  readonly #log: Log;
  readonly #copies: Copies;
  readonly #quorum: Quorum;
  readonly #sweep: Sweep;
  readonly #mesh: Mesh;
  readonly #homes: Homes;
  readonly #errands: Errands;
  readonly #sessions: Sessions;
  readonly #traffic: Traffic;
  readonly #startedAt: number;
  #listener: Listener | undefined;
  #timer: Timer | undefined;
  #diskFull = false;
  #closing: Promise<void> | undefined;
  #settleStopped!: { resolve: () => void; reject: (error: unknown) => void };

  /**
   * Opens the store, listens, and joins the mesh.
   * @param rows the brokers of globalState.csv, this one among them or not
   * @throws RumormillError CONFIG or STORE, in one line for a person
   */
  static async start(options: ConfigOptions, rows: readonly Address[], runtime: Runtime): Promise<Broker> {
    const config = makeConfig(options);
    const store = await runtime.openStore();
    let broker: Broker;
    try {
      const identity = await runtime.openIdentity();
      await openName(store, config.address, { identity, ...runtime }, runtime.logger);
      broker = new Broker(config, store, identity, runtime);
      await broker.#copies.restore();
      await broker.members.restore(rows);
      await broker.metadata.restore();
      await broker.queues.restore();
      broker.#listener = await runtime.transport.listen(
        config.bind,
        (channel) => broker.#sessions.accept(channel),
        (reason) => broker.tally.warn('connection not accepted', { reason }),
      );
    } catch (error) {
      await store.close();
      throw error;
    }
    broker.#mesh.configure(broker.members.dialled);
    broker.#tick();
    tellBeyondSense(store.state, runtime.logger);
    runtime.logger.info('broker ready', {
      lamport: broker.#lamport.time, broker: config.address, mesh: config.mesh, batches: store.state.position,
    });
    return broker;
  }

  private constructor(config: Config, store: Store, identity: Identity, runtime: Runtime) {
    const { clock, logger, random, transport, signatures } = runtime;
    const { limits } = config;
    const storeFailed = (error: unknown): void => this.#failed(error);
    const roomAgain = (): void => this.#sessions.drained();
    this.config = config;
    this.version = runtime.version;
    this.clock = clock;
    this.logger = logger;
    this.#startedAt = clock.now();
    this.stopped = new Promise((resolve, reject) => (this.#settleStopped = { resolve, reject }));
    this.stopped.catch(() => undefined); // those who care await it; the reason is logged at its source

    // What everything shares: time to work, memory, lines of the log.
    this.turns = new Turns(clock, limits.turnMs);
    const turns = this.turns;
    this.budget = new Budget(limits, clock, { eased: roomAgain });
    const budget = this.budget;
    const tally = (this.tally = new Tally(clock, logger));
    this.#traffic = new Traffic(clock, logger, () => this.#log.origin);

    // The log, and what is remembered beside it.
    this.#store = store;
    this.#identity = identity;
    this.#filesWatch = new FilesWatch(store, limits.beatMs, storeFailed);
    const lamport = (this.#lamport = new LamportClock(store.state.lamport, limits, () => clock.now()));
    const time = new RunningTime(store.state.time, () => clock.now(), () => clock.wallTime());
    const copies = (this.#copies = new Copies(store, () => this.#log.origin, limits, time, random));
    const named = { instance: makeTag(random), identity, signatures, ...limits };
    const log = (this.#log = new Log(store, clock, lamport, named, {
      mark: (batches) => copies.mark(batches),
      committed: (batches) => this.#committed(batches),
      failed: (error) => {
        this.#mesh.rolledBack();
        storeFailed(error);
      },
      drained: roomAgain,
    }));
    budget.gauge('log', () => log.heldBytes, () => log.shrink());
    budget.gauge('ids', () => copies.bytes);

    // Peers.
    const ages = new Ages(clock, config.address);
    this.#mesh = new Mesh({
      config, clock, random, logger, transport, identity, signatures, budget, ages, time, store, log, lamport,
      storeFailed,
      missed: (ms) => void copies.missed(ms).catch(storeFailed),
      acknowledged: () => this.#quorum.update(),
      members: () => this.members,
      linkUp: (link) => this.#homes.linkUp(link),
      linkDown: (link) => this.#errands.linkDown(link),
      left: () => this.#homes.left(),
      waysChanged: () => this.#errands.committed(),
      homesSaid: (link, message) => this.#homes.receive(link, message),
      errandsSaid: (link, message) => this.#errands.receive(link, message),
    });
    this.#clockSaver = new ClockSaver({
      store, lamport, beatMs: limits.beatMs, term: () => this.#mesh.term, storeFailed,
    });
    this.#quorum = new Quorum(limits.ackTimeoutMs, (origin) => this.#mesh.holdings.seqs(origin));
    this.publisher = new Publisher({ clock, log, lamport, copies, quorum: this.#quorum });

    // Who is a member, as the log says.
    this.members = new Members({
      config, clock, logger, signatures, log, store, publisher: this.publisher, id: identity.id, storeFailed,
      changed: (dialled) => this.#mesh.configure(dialled),
      leaving: () => this.publisher.leave(), left: (error) => void this.stop(error),
    }, this.#mesh);

    // What the log says of topics, subscriptions and bindings.
    this.metadata = new Metadata({
      config, clock, store, logger, turns, log, lamport, publisher: this.publisher, storeFailed,
      swept: (buried) => this.#sweep.swept(buried),
      changed: (names) => this.#catalogChanged(names),
    });
    this.#sweep = new Sweep({ limits, store, names: this.metadata, storeFailed });

    // Who reads: POLL and subscribers, and consumers of subscriptions, at home here or elsewhere.
    const source = { log, store, copies, names: this.metadata, closings: this.members.closer.closings };
    this.readers = new Readers({ clock, limits, turns, budget, source, tally, caughtUp: roomAgain, storeFailed });
    this.topics = new Topics(store, this.metadata, this.readers);
    this.queues = new Queues({
      clock, ages, limits, logger, turns, budget, log, store, copies, catalog: this.metadata, storeFailed,
    });
    this.#homes = new Homes({
      config, clock, logger, log,
      giveUp: (serves) => this.queues.giveUp(serves),
      takeOver: (handover) => this.queues.takeOver(handover),
      changed: () => this.#errands.changed(),
    }, this.#mesh);
    this.#errands = new Errands({
      config, clock, log, commands, services: this,
      catalogVector: () => this.metadata.vector,
      errorReply: (error) => this.errorReply(error),
    }, this.#homes, this.#mesh);
    this.#sessions = new Sessions(this);
  }

  // What commands use

  /** Whether so much waits to be written, or pushed, that publishers have to wait. */
  get isFull(): boolean {
    return this.#log.full || this.readers.pushes.isBehind || this.budget.isFull;
  }

  /** How many brokers there are that this one may have a link with. */
  get peerCount(): number {
    return this.#mesh.peerCount;
  }

  /** The answer to a command that failed. If it was the store that failed, the broker stops. A bug is thrown on. */
  errorReply(error: unknown): RumormillError {
    if (!(error instanceof RumormillError)) throw error;
    if (error.code === 'STORE') this.#failed(error);
    return error;
  }

  get coordinator(): Address | undefined {
    return this.#mesh.coordinator;
  }

  brokers(): BrokerInfo[] {
    return this.#mesh.holdings.brokers();
  }

  memberList(): MemberInfo[] {
    return memberList(this.members, this.brokers());
  }

  vector(): Vector {
    return this.#log.vector.snapshot();
  }

  status(): Status {
    return status({
      config: this.config, id: this.#identity.id, members: this.members, coordinator: this.coordinator,
      mesh: this.#mesh, log: this.#log, lamport: this.#lamport, view: this.#homes.view, sessions: this.#sessions,
      budget: this.budget, readers: this.readers, queues: this.queues,
      uptimeMs: this.clock.now() - this.#startedAt,
    });
  }

  /** Carries out a command about a subscription at its home. */
  runAtHome(command: HomeCommand, args: Args, connection: Connection): Promise<Reply> {
    return this.#errands.run(command, args, connection.version, connection);
  }

  acceptPeer(channel: Channel, parser: CommandParser, args: Args): void {
    this.#mesh.accept(channel, parser, args);
  }

  // What the shell uses

  /** The rows of globalState.csv have changed. */
  configure(rows: readonly Address[]): void {
    this.logger.info('globalState.csv read again', { lamport: this.#lamport.time, brokers: rows.length });
    this.members.configure(rows);
  }

  /**
   * Accepts nothing more, writes what was accepted, answers it, tells the peers, closes. Always the same promise.
   * @param reason what `stopped` is to be rejected with
   */
  stop(reason?: RumormillError): Promise<void> {
    const { resolve, reject } = this.#settleStopped;
    this.publisher.close();
    this.#closing ??= this.#stop()
      .then(reason === undefined ? resolve : () => reject(reason), reject)
      .then(() => this.stopped);
    this.#closing.catch(() => undefined); // those who care await it, or `stopped`
    return this.#closing;
  }

  async #stop(): Promise<void> {
    this.#sessions.refuse();
    await this.#listener?.close();
    this.readers.close();
    this.#errands.close();
    this.queues.close();
    this.members.close();
    await this.#mesh.hurry();
    await this.#log.idle();
    await this.#sessions.finish(() => this.#quorum.abandon(this.clock.now()));
    await this.#homes.leave();
    this.#timer?.cancel();
    this.#mesh.close();
    await this.queues.checkpoint();
    try {
      await this.metadata.keep(!this.#sweep.isPending);
      await Promise.all([this.#store.saveClock(this.#lamport.time, this.#mesh.term), this.#copies.close()]);
      await this.#mesh.seal(); // nothing is named after this
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.logger.warn('disk full, the clock of the last second and how the broker stopped are not saved', {
        lamport: this.#lamport.time,
      });
    } finally {
      await this.#store.close();
    }
    this.#traffic.close();
    this.tally.close();
    this.logger.info('broker stopped', { lamport: this.#lamport.time });
  }

  #tick(): void {
    const now = this.clock.now();
    this.#mesh.tick();
    this.members.tick();
    this.#homes.tick();
    this.#errands.tick();
    this.#clockSaver.tick(now);
    this.#quorum.expire(now);
    this.#copies.expire().catch((error: unknown) => this.#failed(error));
    this.readers.expire(now);
    this.queues.tick(now);
    this.#sweep.tick();
    this.#traffic.tick(this.#log.committingSince);
    this.#sessions.tick(now);
    this.budget.look();
    this.tally.tick();
    this.#filesWatch.tick(now);
    this.#timer = this.clock.schedule(this.config.limits.tickMs, () => this.#tick());
  }

  /** Some topics, or any, were renamed, deleted, bound: those that work with names hear of it. */
  #catalogChanged(names: ReadonlySet<string> | undefined): void {
    this.readers.namesChanged(names);
    this.#sweep.deleted(names ?? this.metadata.buried().keys());
    this.queues.catalogChanged();
  }

  /** The batches are on disk. */
  #committed(batches: readonly StoredBatch[]): void {
    if (this.#diskFull) this.logger.info('the disk has room again', { lamport: this.#lamport.time });
    this.#diskFull = false;
    // 0. Members, topics, subscriptions and bindings are as the batches say, before anybody acts on them.
    this.members.committed(batches);
    this.metadata.committed(batches);
    this.#sweep.committed(batches);
    // 1. Peers: those that grafted an origin get its batches, those who sent some learn that they are here.
    this.#mesh.committed(batches);
    this.#homes.committed();
    this.#errands.committed();
    // 2. Readers: who waits for one of the topics reads on; who subscribed gets the messages pushed.
    this.#copies.stored(batches);
    this.readers.committed(batches);
    this.queues.committed(batches);
    // 3. Publishers: the log answers each batch when this returns; those who wait for more brokers are counted.
    this.#quorum.update();
    this.#traffic.committed(batches);
  }

  /** A full disk passes: reads go on, publishes are refused until there is room. Anything else does not. */
  #failed(error: unknown): void {
    if (!isDiskFull(error)) return this.#fatal(error);
    if (!this.#diskFull) {
      this.logger.error('disk full, publishes are refused until there is room', { lamport: this.#lamport.time });
    }
    this.#diskFull = true;
  }

  /**
   * The store cannot be trusted any more: stop at once, acknowledge nothing, leave the file as it is. `stop` tells when
   * nothing of it is open any more.
   */
  #fatal(error: unknown): void {
    if (this.#closing !== undefined) return;
    this.#sessions.refuse();
    this.#traffic.close();
    this.logger.error('store failed, broker stops', { lamport: this.#lamport.time, reason: messageOf(error) });
    this.#timer?.cancel();
    this.publisher.close();
    this.#closing = this.#filesWatch.closeAfter(error, this.logger);
    void this.#listener?.close();
    this.#mesh.close();
    this.#sessions.end();
    this.#settleStopped.reject(error);
  }
}

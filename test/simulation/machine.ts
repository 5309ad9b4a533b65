/**
 * A computer with one broker on it: a disk and a wall clock for good, a process while it runs.
 */
import type { ConfigOptions } from '../../brokers/config.ts';
import { type Address, splitAddress } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import type { StoredBatch } from '../../brokers/core/log/record.ts';
import type { LogFields, Logger, LogLevel } from '../../brokers/core/runtime.ts';
import { Broker } from '../../brokers/host.ts';
import { virtualSignatures } from '../support/identity.ts';
import type { MemoryStore } from '../support/memory-store.ts';
import { VirtualDisk } from './disk.ts';
import { Life } from './time.ts';
import type { World } from './world.ts';

const BEGINNING = 1_700_000_000_000; // wall clock, ms since 1970
const RESTART_MS = 500;
const NOTICE_MS = 10_000; // far beyond what it takes to see that the files are gone, and to stop

export class Machine {
  readonly address: Address;
  readonly disk: VirtualDisk;
  #wallOffsetMs = 0;
  /** Its globalState.csv; the machines with which the world began where that is undefined. */
  rows: readonly Address[] | undefined;
  /** Of this broker alone, beside those of all. */
  options: ConfigOptions = {};
  /** How its last process ended by itself: it left the mesh, or was put out of it. */
  ended: 'left' | 'OUT' | undefined;
  /** The address that its broker says it has, if that is another machine's. */
  alias: Address | undefined;
  /** It is no part of the mesh, and does not run in the end. */
  isGone = false;
  readonly #world: World;
  #life: Life | undefined;
  #broker: Broker | undefined;
  #stopping: Promise<void> | undefined;
  #up: (() => void) | undefined; // ends the disturbance that its absence is

  /** @param isMissed whether something is not as it should be before it runs */
  constructor(world: World, address: Address, isMissed = true) {
    this.#world = world;
    this.address = address;
    this.disk = new VirtualDisk(address, world.time, world.random, world.diskLog);
    if (isMissed) this.#up = world.disturb(address);
  }

  /** How far the wall clock is off, ms. */
  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  set wallOffsetMs(ms: number) {
    this.#wallOffsetMs = ms;
    this.#world.walls.push({ at: this.#world.time.now, offsetMs: ms });
  }

  get isRunning(): boolean {
    return this.#broker !== undefined;
  }

  /** Nothing of the broker is left in memory, so that it may be started or its disk be exchanged. */
  get isDown(): boolean {
    return this.#life === undefined;
  }

  /** Only while it runs. */
  get broker(): Broker {
    if (this.#broker === undefined) throw new Error(`${this.address} does not run`);
    return this.#broker;
  }

  /**
   * Only while it is down. Where the disk is full it tries again, as a supervisor does. Never resolves where the
   * process dies meanwhile.
   */
  async start(): Promise<void> {
    for (;;) {
      try {
        return await this.#start();
      } catch (error) {
        if (!(error instanceof RumormillError && error.code === 'DISKFULL')) throw error;
        this.#end();
        await this.#world.time.sleep(RESTART_MS);
      }
    }
  }

  async #start(): Promise<void> {
    const { network, random, time, options } = this.#world;
    this.#world.note(this.address, 'start');
    this.ended = undefined;
    const life = new Life(time);
    this.#life = life;
    const lost = this.disk.data.loss === undefined ? undefined : this.disk.data.origin;
    const broker = await Broker.start(
      {
        ...options, ...this.options, ...splitAddress(this.alias ?? this.address), bind: splitAddress(this.address).host,
      },
      this.rows ?? this.#world.rows,
      {
        version: '0.0.0',
        clock: {
          now: () => time.now, wallTime: () => BEGINNING + time.now + this.wallOffsetMs,
          schedule: (delayMs, task) => life.schedule(delayMs, task), defer: (task) => void life.schedule(0, task),
        },
        random: random.word,
        logger: this.#logger(life),
        transport: network.transport(this.address, life),
        signatures: virtualSignatures(random.word),
        openStore: () => Promise.resolve(this.disk.open(life)),
        openIdentity: () => this.disk.identity(life),
      },
    );
    if (life.isOver) return;
    if (lost !== undefined && broker.status()['origin'] === lost) {
      this.#world.incident(this.address, 'goes on under the name of records that it has lost');
    }
    this.#broker = broker;
    this.#up?.();
    this.#world.started(
      this.address, Number(broker.status()['term']),
      Buffer.from(broker.readers.latestCursor().instance, 'hex').toString('base64url'),
    );
    broker.stopped.then(() => this.#stopped(life), (error: unknown) => this.#stopped(life, error));
  }

  /** The broker has stopped, by itself or not. */
  #stopped(life: Life, error?: unknown): void {
    if (this.#life !== life || this.disk.removedFrom === life) return;
    const code = error instanceof RumormillError ? error.code : undefined;
    if (error !== undefined && code !== 'OUT') {
      // else it could not save its clock when it was told to stop
      if (code !== 'DISKFULL') this.#world.incident(this.address, `stopped: ${String(error)}`);
    } else if (error !== undefined || this.#stopping === undefined) {
      this.ended = error === undefined ? 'left' : 'OUT';
      this.#world.note(this.address, `stopped by itself: ${this.ended}`);
      if (this.#stopping === undefined) this.#end();
    }
  }

  /** The process dies at once; its disk keeps what was written. */
  crash(): void {
    this.#world.note(this.address, 'crash');
    this.#end();
  }

  /**
   * The process ends in an orderly way: a signal reaches it, once it is not paused any more. The same promise while it
   * does so.
   */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#world.note(this.address, 'stop');
    const { broker } = this;
    const life = this.#life;
    this.#broker = undefined;
    this.#up = this.#world.disturb(this.address, false, true);
    try {
      await new Promise<void>((resolve, reject) => life?.run(() => broker.stop().then(resolve, reject)));
    } catch (error) {
      const code = error instanceof RumormillError ? error.code : undefined;
      if (code !== 'DISKFULL' && code !== 'OUT') throw error;
      if (code === 'DISKFULL') this.#world.note(this.address, 'stopped without room to save its clock');
    }
    if (this.#life === life) this.#end();
  }

  /** The process does nothing until `resume`. */
  pause(): void {
    this.#world.note(this.address, 'pause');
    this.#life?.pause();
  }

  resume(): void {
    this.#world.note(this.address, 'resume');
    this.#life?.resume();
  }

  /** Only while it is down. Somebody writes its file anew where members come and go: those that it had may be gone. */
  wipe(): void {
    this.#world.note(this.address, 'disk wiped');
    this.disk.wipe();
    this.rows = this.#world.newRows?.() ?? this.rows;
    this.#world.diskReplaced(this.address);
  }

  /** It is thrown away, with its disk. Only while it is down. */
  retire(): void {
    this.#world.note(this.address, 'thrown away');
    this.isGone = true;
    this.#up?.();
    this.disk.wipe();
  }

  /** Its files are removed while it runs. It has to see that, and to stop; then its disk is empty. */
  async remove(): Promise<void> {
    this.#world.note(this.address, 'files removed');
    const life = this.#life!;
    const { broker } = this;
    this.disk.removedFrom = life;
    await new Promise<void>((resolve) => {
      broker.stopped.then(resolve, () => resolve()); // why is known
      life.schedule(NOTICE_MS, () => {
        this.#world.incident(this.address, 'goes on without its files');
        resolve();
      });
    });
    this.#end();
    this.wipe();
  }

  /** Only while it is down. */
  restore(backup: MemoryStore): void {
    this.#world.note(this.address, `disk restored from a copy with ${backup.batches.length} batches`);
    this.disk.restore(backup);
    this.#world.diskReplaced(this.address);
  }

  /** Only while it is down. */
  lose(count: number): void {
    this.#world.note(this.address, `its newest ${count} batches are lost`);
    this.disk.lose(count);
    this.#world.diskReplaced(this.address);
  }

  /** What the broker holds, as text that is the same wherever the same is held. */
  vector(): string {
    return JSON.stringify([...this.broker.vector()].sort());
  }

  /** Every record on disk, in an order that does not depend on the machine. */
  records(): string[] {
    return this.disk.data.batches
      .map(({ origin, seq, count, lamport, time, topic, deps, lengths, meta, body }) =>
        JSON.stringify([
          origin, seq, count, lamport, time, topic, deps, lengths, meta, Buffer.from(body).toString('latin1'),
        ]),
      )
      .sort();
  }

  /** The batches on disk that clients have published. */
  get published(): readonly StoredBatch[] {
    return this.disk.data.batches.filter(({ topic }) => !topic.startsWith('$'));
  }

  #end(): void {
    const life = this.#life;
    if (this.#broker !== undefined && this.ended === undefined) this.#up = this.#world.disturb(this.address);
    this.#life = this.#broker = this.#stopping = undefined;
    if (life === undefined) return;
    life.end();
    this.disk.crashed(life);
    this.#world.network.crashed(life);
  }

  #logger(life: Life): Logger {
    const at = (level: LogLevel) => (event: string, fields: LogFields = {}): void => {
      if (!life.isOver) this.#world.logged(this.address, level, event, fields);
    };
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }
}

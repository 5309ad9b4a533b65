/**
 * Commands about a subscription are carried out at its home; other brokers pass them on to it, over
 * the links, and relay the answer as it comes.
 *
 * The broker that a client asks sees to it that there is an answer: if the home is lost, or has
 * moved, the command goes to the next home, and one that waits moves with it; if the link is lost
 * or falls silent, it goes another way. While no home can be reached it tries for `homeTimeoutMs`,
 * then answers TRYAGAIN. A command may have been carried out by a home that was lost before it could
 * say so; so each of them may be carried out twice, but never by a copy that comes after the answer
 * to a later one, nor by one home if that would make its answer another one (core/home/attempts.ts).
 */
import { type Caller, checkArity, type CommandTable, type HomeCommand, type Reply } from '../commands/command.ts';
import type { Services } from '../commands/services.ts';
import type { Config } from '../config.ts';
import type { Address } from '../core/address.ts';
import { Answers, Attempts } from '../core/home/attempts.ts';
import { RumormillError } from '../core/error.ts';
import type { Log } from '../core/log/log.ts';
import type { Origin } from '../core/log/record.ts';
import type { Clock } from '../core/runtime.ts';
import { covers, type Vector } from '../core/log/version-vector.ts';
import type { Link } from '../mesh/link.ts';
import type { ErrandMessage } from '../mesh/mesh.ts';
import type { Port } from '../mesh/port.ts';
import { Args } from '../wire/command-parser.ts';
import type { Ask } from '../wire/peer-message.ts';
import { encodeReply, encodeSteps, Raw, type RespVersion } from '../wire/resp.ts';

const HOPS_MAX = 8; // more than any mesh needs; ends what goes in circles
// and the one who waits asks the next home
const MOVED_REPLY = encodeReply(new RumormillError('MOVED', 'nobody waits for this'));

/** In the place of a reply: the subscription is not at home here any more. */
const MOVED = Symbol('moved');

/** A command was not carried out: its subscription has another home, or what was asked did not answer. */
type Unanswered = 'moved' | 'lost';

export interface ErrandsRuntime {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** Of the newest catalog records that are stored here. */
  catalogVector(): Vector;
  /** Every command that there is. */
  readonly commands: CommandTable;
  /** For those that are carried out here. */
  readonly services: Services;
  /** What a command that failed is answered with. A bug is thrown on. */
  errorReply(error: unknown): RumormillError;
}

/** What is known of homes. */
export interface KnownHomes {
  /** Where a subscription is at home; undefined before there is a coordinator's view. */
  home(subscription: string): Address | undefined;
  /** Whether this broker may do the work of a subscription now. */
  serves(subscription: string): boolean;
}

/** What a link owes an answer to. */
interface Errand {
  readonly home: Address;
  /** Undefined if it was not carried out, or nobody knows. */
  settle(reply: Uint8Array | undefined): void;
}

/** A peer's errand, carried out or passed on here. */
interface Service {
  cancelled: boolean;
  onCancel: (() => void) | undefined;
}

export class Errands {
  readonly #runtime: ErrandsRuntime;
  readonly #homes: KnownHomes;
  readonly #ways: Pick<Port, 'route' | 'isSilent'>;
  readonly #asked = new Map<Link, Map<number, Errand>>();
  readonly #services = new Map<Link, Map<number, Service>>();
  // asks that wait for an answer: to look again for their subscription's home
  readonly #moving = new Set<() => void>();
  readonly #attempts: Attempts;
  readonly #answers: Answers<Buffer>;
  #waiting: (() => void)[] = [];
  #ids = 0;
  #errands = 0;
  #isClosed = false;

  constructor(runtime: ErrandsRuntime, homes: KnownHomes, ways: Pick<Port, 'route' | 'isSilent'>) {
    this.#runtime = runtime;
    this.#homes = homes;
    this.#ways = ways;
    const { attemptsMax } = runtime.config.limits;
    this.#attempts = new Attempts(attemptsMax);
    this.#answers = new Answers(attemptsMax);
  }

  /**
   * Carries out a client's command at the home of its subscription. @throws RumormillError TRYAGAIN, and those of the
   * command
   */
  async run(command: HomeCommand, args: Args, version: RespVersion, caller: Caller): Promise<Reply> {
    const subject = command.subject(args);
    if (subject === undefined) return command.run(args, caller);
    const { clock, config } = this.#runtime;
    const { broker, consumer } = caller;
    const cancellation = command.waits === true ? caller.cancellation : { cancelled: false, onCancel: undefined };
    const begun = clock.now();
    const errand = `${this.#runtime.log.instance}/${(this.#errands += 1)}`;
    let attempt = 0;
    let reachableAt = begun;
    while (!cancellation.cancelled) {
      const home = this.#homes.home(subject);
      if (home === config.address && this.#homes.serves(subject)) {
        const reply = await this.#unlessMoved(command, args, {
          broker, cancellation, consumer, waitedMs: clock.now() - begun,
        });
        if (reply !== MOVED) return reply;
        reachableAt = clock.now();
      }
      const link = home === undefined || home === config.address ? undefined : this.#ways.route(home);
      if (link !== undefined) {
        const since = clock.now();
        const asker = { broker, cancellation, consumer, waitedMs: clock.now() - begun };
        const name = { errand, attempt: (attempt += 1) };
        const reply = await this.#ask(link, home!, command, subject, args, version, asker, name);
        if (reply instanceof Raw) return reply;
        // While it waited at a home that moved, there was one.
        reachableAt = reply === 'lost' ? clock.now() : reachableAt + clock.now() - since;
      }
      if (clock.now() - reachableAt >= config.limits.homeTimeoutMs) throw this.#unreachable(subject, home);
      await this.#change();
    }
    return []; // as at the end of a wait
  }

  /** Something has changed about links, homes, or what is stored here. */
  changed(): void {
    for (const look of [...this.#moving]) look();
    this.committed();
  }

  /** Records are on disk, or a link has room. */
  committed(): void {
    if (this.#waiting.length === 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** What waits behind a link that is silent goes another way, if there is one. */
  tick(): void {
    for (const [link, asked] of this.#asked) {
      if (asked.size === 0 || !this.#ways.isSilent(link)) continue;
      for (const [id, { home }] of [...asked]) {
        const other = this.#ways.route(home);
        if (other !== undefined && other !== link) this.#giveUp(link, id);
      }
    }
    this.committed();
  }

  /**
   * Carries out nothing more for peers: they notice when their links close, and ask the next home. What is being
   * carried out and does not wait is still answered.
   */
  close(): void {
    this.#isClosed = true;
    for (const services of this.#services.values()) {
      for (const service of services.values()) if (service.onCancel !== undefined) cancel(service);
    }
  }

  linkDown(link: Link): void {
    const asked = this.#asked.get(link);
    const services = this.#services.get(link);
    this.#asked.delete(link);
    this.#services.delete(link);
    for (const errand of asked?.values() ?? []) errand.settle(undefined);
    for (const service of services?.values() ?? []) cancel(service);
    this.changed();
  }

  receive(link: Link, message: ErrandMessage): void {
    switch (message.type) {
      case 'ASK':
        return this.#asks(link, message);
      case 'ANSWER':
        return this.#answered(link, message.id, message.reply);
      case 'FORGET':
        return this.#forget(link, message.id);
    }
  }

  /** A peer asks: for itself, or for another one. @throws RumormillError PROTOCOL for a number that it uses already */
  #asks(link: Link, ask: Ask): void {
    if (this.#isClosed) return;
    const service: Service = { cancelled: false, onCancel: undefined };
    const services = entry(this.#services, link);
    const { asksMax } = this.#runtime.config.limits;
    if (services.has(ask.id)) throw new RumormillError('PROTOCOL', `it asks twice under the number ${ask.id}`);
    if (services.size >= asksMax) return link.answer(ask.id, encodeReply(tooMany(asksMax), ask.version));
    services.set(ask.id, service);
    const answer = (reply: Uint8Array): void => {
      this.#services.get(link)?.delete(ask.id);
      if (!service.cancelled && link.isOpen) link.answer(ask.id, reply);
    };
    if (ask.home !== this.#runtime.config.address) this.#passOn(link, ask, service, answer);
    else void this.#serve(link, ask, service).then(answer);
  }

  #answered(link: Link, id: number, reply: Uint8Array): void {
    const errand = this.#asked.get(link)?.get(id);
    this.#asked.get(link)?.delete(id);
    errand?.settle(reply); // undefined if nobody waits for it any more
  }

  #forget(link: Link, id: number): void {
    const service = this.#services.get(link)?.get(id);
    this.#services.get(link)?.delete(id);
    if (service !== undefined) cancel(service);
  }

  async #unlessMoved(command: HomeCommand, args: Args, caller: Caller): Promise<Reply | typeof MOVED> {
    try {
      return await command.run(args, caller);
    } catch (error) {
      if (error instanceof RumormillError && error.code === 'MOVED') return MOVED;
      throw error;
    }
  }

  #ask(
    link: Link,
    home: Address,
    { isAboutMessages }: HomeCommand,
    subject: string,
    args: Args,
    version: RespVersion,
    { cancellation, consumer, waitedMs }: Caller,
    name: Pick<Ask, 'errand' | 'attempt'>,
  ): Promise<Raw | Unanswered> {
    const command = Array.from({ length: args.length }, (_, index) => args.bytes(index));
    const { log, catalogVector } = this.#runtime;
    const known = [...(isAboutMessages === true ? log.vector.snapshot() : catalogVector())];
    return new Promise((resolve) => {
      const done = (reply: Uint8Array | undefined): void => {
        this.#moving.delete(look);
        cancellation.onCancel = undefined;
        if (reply === undefined) resolve('lost');
        else resolve(isMoved(reply) ? 'moved' : new Raw(reply));
      };
      const ask = {
        type: 'ASK', id: 0, home, hops: HOPS_MAX, consumer, waitedMs: Math.round(waitedMs), version, ...name, known,
        command,
      } as const;
      const giveUp = this.#send(link, ask, done);
      const look = (): void => {
        const now = this.#homes.home(subject);
        if (now !== undefined && now !== home) giveUp();
      };
      this.#moving.add(look);
      cancellation.onCancel = giveUp;
    });
  }

  /** Sends an ASK under an id of its own. Returns how to give it up: then it is settled with undefined. */
  #send(link: Link, ask: Ask, settle: (reply: Uint8Array | undefined) => void): () => void {
    const id = (this.#ids += 1);
    entry(this.#asked, link).set(id, { home: ask.home, settle });
    link.send({ ...ask, id });
    return () => this.#giveUp(link, id);
  }

  #giveUp(link: Link, id: number): void {
    const errand = this.#asked.get(link)?.get(id);
    if (errand === undefined) return;
    this.#asked.get(link)!.delete(id);
    if (link.isOpen) link.send({ type: 'FORGET', id });
    errand.settle(undefined);
  }

  #passOn(from: Link, ask: Ask, service: Service, answer: (reply: Uint8Array) => void): void {
    const link = ask.hops > 0 ? this.#ways.route(ask.home) : undefined;
    const lost = encodeReply(new RumormillError('MOVED', `${this.#runtime.config.address} does not reach ${ask.home}`));
    if (link === undefined || link === from) return answer(lost);
    service.onCancel = this.#send(link, { ...ask, hops: ask.hops - 1 }, (reply) => answer(reply ?? lost));
  }

  /** Carries out a peer's command, once as much is known here as there. */
  async #serve(link: Link, ask: Ask, cancellation: Service): Promise<Buffer> {
    const { clock, log, config, services: broker, commands, errorReply } = this.#runtime;
    this.#attempts.note(ask.errand, ask.attempt);
    while (link.isClogged) {
      if (cancellation.cancelled) return MOVED_REPLY;
      await this.#change();
    }
    const begun = clock.now();
    try {
      const args = Args.of(ask.command);
      const name = args.word(0).toUpperCase();
      const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
      if (command?.subject === undefined) {
        throw new RumormillError('ERR', `${name} is not carried out for other brokers`);
      }
      checkArity(command, name, args);
      const subject = command.subject(args);
      const known = new Map<Origin, number>(ask.known);
      while (subject !== undefined && !(this.#homes.serves(subject) && covers(log.vector, known))) {
        if (cancellation.cancelled) return MOVED_REPLY;
        const home = this.#homes.home(subject);
        if (home !== config.address) throw new RumormillError('MOVED', `${config.address} is not the home of it`);
        if (clock.now() - begun >= config.limits.homeTimeoutMs) throw this.#unreachable(subject, home);
        await this.#change();
      }
      if (this.#attempts.isOvertaken(ask.errand, ask.attempt)) return MOVED_REPLY; // nobody waits for this one
      const waitedMs = ask.waitedMs + clock.now() - begun;
      const run = async (): Promise<Buffer> => {
        const reply = await command.run(args, { broker, cancellation, consumer: ask.consumer, waitedMs });
        return Buffer.concat(await broker.turns.run(encodeSteps(reply ?? null, ask.version)));
      };
      return await (command.isOnce === true ? this.#answers.once(ask.errand, run) : run());
    } catch (error) {
      return encodeReply(errorReply(error), ask.version);
    }
  }

  /** Resolves when something has changed, or at the next tick. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #unreachable(subscription: string, home: Address | undefined): RumormillError {
    const { homeTimeoutMs } = this.#runtime.config.limits;
    const where = home === undefined ? 'no coordinator has said where it is' : `${home} is not ready or not reached`;
    return new RumormillError(
      'TRYAGAIN',
      `home of subscription ${JSON.stringify(subscription)}: ${where} after ${homeTimeoutMs} ms`,
    );
  }
}

function entry<T>(map: Map<Link, Map<number, T>>, link: Link): Map<number, T> {
  let entries = map.get(link);
  if (entries === undefined) map.set(link, (entries = new Map()));
  return entries;
}

function tooMany(asksMax: number): RumormillError {
  return new RumormillError('TRYAGAIN', `${asksMax} commands that came over this link wait for their answers`);
}

function cancel(service: Service): void {
  service.cancelled = true;
  service.onCancel?.();
  service.onCancel = undefined;
}

/** Whether another broker answered that it is not the home. */
function isMoved(reply: Uint8Array): boolean {
  return Buffer.from(reply.buffer, reply.byteOffset, reply.byteLength).toString('latin1', 0, 7) === '-MOVED ';
}

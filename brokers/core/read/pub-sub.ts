/**
 * Who gets what pushed: channels (topics) and glob patterns (glob.ts) of SUBSCRIBE and PSUBSCRIBE, with Redis's
 * meaning.
 *
 * A subscriber gets what comes behind the position of the log at which it subscribed, since what is pushed may lag.
 *
 * Not every pattern is tried for every channel: those that begin with other characters are left out, and the matches
 * of recent channels are remembered. A pattern that comes later is tried for a channel when that is next
 * asked for. So channels and patterns that come and go do not make all of it be done again.
 */
import { codesOf, Glob } from './glob.ts';

/** Channels whose matching patterns are remembered. */
const MATCHED_CHANNELS_MAX = 1000;
/** Patterns remembered to match, of all channels together. */
const MATCHED_MAX = 100_000;
/** Patterns that came or went, after which all is forgotten: so what has gone is not kept for long. */
const CHANGES_MAX = 1000;

/** The position of the log at which each subscribed. */
type Subscribers<S> = Map<S, number>;

interface Pattern<S> {
  readonly text: string;
  readonly glob: Glob;
  readonly subscribers: Subscribers<S>;
}

interface Matched<S> {
  patterns: Pattern<S>[];
  /** How many of `#added` were tried. */
  tried: number;
}

export class PubSub<S> {
  readonly #position: () => number;
  readonly #channels = new Map<string, Subscribers<S>>();
  readonly #patterns = new Map<string, Pattern<S>>();
  readonly #byPrefix = new Map<string, Set<Pattern<S>>>();
  #longestPrefix = 0; // of those that there ever were
  #matched = new Map<string, Matched<S>>(); // those that were asked for last at the end
  #matchedSize = 0;
  #added: Pattern<S>[] = []; // since all was forgotten
  #removed = 0; // since then

  /** @param position of the newest entry of the log */
  constructor(position: () => number = () => 0) {
    this.#position = position;
  }

  subscribe(channel: string, subscriber: S): void {
    const subscribers = this.#channels.get(channel);
    if (subscribers === undefined) this.#channels.set(channel, new Map([[subscriber, this.#position()]]));
    else if (!subscribers.has(subscriber)) subscribers.set(subscriber, this.#position());
  }

  unsubscribe(channel: string, subscriber: S): void {
    const subscribers = this.#channels.get(channel);
    subscribers?.delete(subscriber);
    if (subscribers?.size === 0) this.#channels.delete(channel);
  }

  psubscribe(text: string, subscriber: S): void {
    const pattern = this.#patterns.get(text) ?? this.#add(text);
    if (!pattern.subscribers.has(subscriber)) pattern.subscribers.set(subscriber, this.#position());
  }

  punsubscribe(text: string, subscriber: S): void {
    const pattern = this.#patterns.get(text);
    if (pattern === undefined) return;
    pattern.subscribers.delete(subscriber);
    if (pattern.subscribers.size > 0) return;
    this.#patterns.delete(text);
    const same = this.#byPrefix.get(pattern.glob.prefix);
    same?.delete(pattern);
    if (same?.size === 0) this.#byPrefix.delete(pattern.glob.prefix);
    this.#removed += 1;
    this.#changed();
  }

  /** Whether anybody might get anything: nobody is the common case. */
  get isEmpty(): boolean {
    return this.#channels.size === 0 && this.#patterns.size === 0;
  }

  /** Those of a channel, each with the position at which it subscribed; who leaves meanwhile is left out. */
  subscribers(channel: string): ReadonlyMap<S, number> {
    return this.#channels.get(channel) ?? new Map();
  }

  /**
   * The patterns that match a channel, each with its subscribers as `subscribers` has them. Yields how much work it
   * was, µs.
   */
  *matching(channel: string): Generator<number, readonly Pick<Pattern<S>, 'text' | 'subscribers'>[]> {
    if (this.#patterns.size === 0) return [];
    const known = this.#matched.get(channel);
    const tried = known === undefined ? this.#candidates(channel) : this.#added.slice(known.tried);
    const patterns = new Set(known?.patterns.filter((pattern) => this.#isThere(pattern)));
    const triedTo = this.#added.length;
    const [codes, added] = [codesOf(channel), this.#added];
    yield patterns.size / 10;
    for (const pattern of tried) {
      if (this.#isThere(pattern) && pattern.glob.matches(codes)) patterns.add(pattern);
      yield pattern.glob.work;
    }
    if (added === this.#added) this.#remember(channel, { patterns: [...patterns], tried: triedTo });
    return [...patterns];
  }

  /** Those that somebody has subscribed to. */
  channels(): Iterable<string> {
    return this.#channels.keys();
  }

  countSubscribers(channel: string): number {
    return this.#channels.get(channel)?.size ?? 0;
  }

  get patternCount(): number {
    return this.#patterns.size;
  }

  #add(text: string): Pattern<S> {
    const pattern = { text, glob: new Glob(text), subscribers: new Map<S, number>() };
    const { prefix } = pattern.glob;
    this.#patterns.set(text, pattern);
    const same = this.#byPrefix.get(prefix);
    if (same === undefined) this.#byPrefix.set(prefix, new Set([pattern]));
    else same.add(pattern);
    this.#longestPrefix = Math.max(this.#longestPrefix, prefix.length);
    this.#added.push(pattern);
    this.#changed();
    return pattern;
  }

  #isThere(pattern: Pattern<S>): boolean {
    return this.#patterns.get(pattern.text) === pattern;
  }

  /** Those whose literal beginning is the channel's. */
  *#candidates(channel: string): Iterable<Pattern<S>> {
    const longest = Math.min(channel.length, this.#longestPrefix);
    for (let length = 0; length <= longest; length += 1) yield* this.#byPrefix.get(channel.slice(0, length)) ?? [];
  }

  #remember(channel: string, matched: Matched<S>): void {
    this.#matchedSize += matched.patterns.length - (this.#matched.get(channel)?.patterns.length ?? 0);
    this.#matched.delete(channel);
    this.#matched.set(channel, matched);
    for (const [oldest, { patterns }] of this.#matched) {
      if (this.#matched.size <= MATCHED_CHANNELS_MAX && this.#matchedSize <= MATCHED_MAX) break;
      this.#matched.delete(oldest);
      this.#matchedSize -= patterns.length;
    }
  }

  #changed(): void {
    if (this.#added.length + this.#removed <= CHANGES_MAX) return;
    this.#matched = new Map();
    this.#matchedSize = this.#removed = 0;
    this.#added = [];
  }
}

/**
 * Which messages are a subscription's: its bindings, by the topic under which a message is stored, and by key, so that
 * a thousand bindings cost a message no more than one.
 */
import type { Acknowledgements } from './acknowledgements.ts';
import type { Origin } from '../log/record.ts';
import type { Binding, BindingStart } from '../catalog/subscription.ts';
import type { Vector } from '../log/version-vector.ts';

const NONE: readonly BindingStart[] = [];

/** What is bound to one stored topic. */
interface Route {
  readonly all: BindingStart[]; // whatever the key
  readonly byKey: Map<string, BindingStart[]>;
}

export class Routes {
  /** The names under which its messages are stored. */
  readonly topics: ReadonlySet<string>;
  /** Of all bindings. */
  readonly starts: readonly BindingStart[];
  readonly #routes = new Map<string, Route>();

  constructor(bindings: readonly Binding[]) {
    const starts = new Map<string, BindingStart>();
    for (const binding of bindings) {
      for (const start of binding.starts) starts.set(start.id, start);
      for (const topic of binding.storedTopics) this.#add(topic, binding);
    }
    this.topics = new Set(this.#routes.keys());
    this.starts = [...starts.values()];
  }

  /** The starts of the bindings that a message stored under this topic matches. */
  startsFor(topic: string, key: string | null): readonly BindingStart[] {
    const route = this.#routes.get(topic);
    if (route === undefined) return NONE;
    const keyed = key === null ? undefined : route.byKey.get(key);
    if (keyed === undefined) return route.all;
    return route.all.length === 0 ? keyed : [...route.all, ...keyed];
  }

  /** The keys that are bound of a stored topic; undefined if every message of it is the subscription's. */
  keysOf(topic: string): string[] | undefined {
    const route = this.#routes.get(topic);
    return route === undefined || route.all.length > 0 ? undefined : [...route.byKey.keys()];
  }

  /**
   * What is not for the subscription or done, of whatever topic: the log need not be read before the first record that
   * it does not cover.
   */
  settled(done: Acknowledgements): Map<Origin, number> {
    return this.#least(
      (origin, { id, start }) => Math.max(start.get(origin) ?? 0, done.floor(id, origin)),
      this.#originsOf(done),
    );
  }

  /** The same for one stored topic, as exactly as one seq an origin can say it. */
  settledOf(topic: string, done: Acknowledgements): Map<Origin, number> {
    const route = this.#routes.get(topic);
    const starts = route === undefined ? [] : [route.all, ...route.byKey.values()].flat();
    const settled = new Map<Origin, number>();
    for (const origin of this.#originsOf(done)) {
      const begin = Math.min(...starts.map(({ start }) => start.get(origin) ?? 0));
      settled.set(origin, Math.max(begin, ...starts.map(({ id }) => done.floor(id, origin))));
    }
    return settled;
  }

  #add(topic: string, { key, starts }: Binding): void {
    let route = this.#routes.get(topic);
    if (route === undefined) this.#routes.set(topic, (route = { all: [], byKey: new Map() }));
    if (key === null) route.all.push(...starts);
    else route.byKey.set(key, [...(route.byKey.get(key) ?? []), ...starts]);
  }

  #least(of: (origin: Origin, start: BindingStart) => number, origins: Iterable<Origin>): Map<Origin, number> {
    const least = new Map<Origin, number>();
    for (const origin of origins) {
      const seq = this.starts.reduce((lowest, start) => Math.min(lowest, of(origin, start)), Infinity);
      if (seq > 0 && seq < Infinity) least.set(origin, seq);
    }
    return least;
  }

  #originsOf(done: Acknowledgements): Set<Origin> {
    const origins = new Set<Origin>();
    for (const { id, start } of this.starts) {
      for (const origin of start.keys()) origins.add(origin);
      for (const [origin] of done.floorOf(id)) origins.add(origin);
    }
    return origins;
  }
}

/** Whether one of the starts does not cover a record. */
export function isFor(starts: readonly BindingStart[], origin: Origin, seq: number): boolean {
  for (const { start } of starts) if (before(start, origin) < seq) return true;
  return false;
}

function before(start: Vector, origin: Origin): number {
  return start.get(origin) ?? 0;
}

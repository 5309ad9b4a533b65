/**
 * Faults for a chaos run: each is started, holds for a while, and is undone. What is chosen follows from the seed; when
 * it strikes depends on the machine, so a seed tells what happened and does not replay it exactly.
 */
import type { Address } from '../../brokers/core/address.ts';
import type { BrokerProcess } from '../support/cluster.ts';
import type { FaultNetwork, Party } from '../support/fault-proxy.ts';
import { SeededRandom } from '../support/random.ts';

export const FAULTS = {
  kill: 'SIGKILL, started again',
  stop: 'SIGSTOP, SIGCONT',
  partition: 'two brokers cannot reach each other',
  'one-way': 'one broker is not heard by another, but hears it',
  isolate: 'nobody can reach a broker, nor it anybody',
  reset: "a client's connection is reset",
} as const;
export type FaultKind = keyof typeof FAULTS;

const LASTING = ['kill', 'stop', 'partition', 'one-way', 'isolate'] as const;
const RESET_EVERY_MS = 500;
const PAUSE_MS = [200, 600] as const;

/** For how long faults hold, ms, both inclusive. */
export interface Holds {
  readonly usual: readonly [number, number];
  /** SIGSTOP: longer than a client waits; now and then, where there is time, longer than a broker waits. */
  readonly stop: readonly [number, number];
}

export class Faults {
  readonly counts = new Map<FaultKind, number>(Object.keys(FAULTS).map((kind) => [kind as FaultKind, 0]));
  readonly #brokers: readonly BrokerProcess[];
  readonly #network: FaultNetwork;
  readonly #holds: Holds;
  readonly #seed: number;
  readonly #stop = new AbortController();
  readonly #struck = new Set<BrokerProcess>(); // by a fault that holds
  readonly #tookAway: (kind: FaultKind, broker: Address) => () => void;
  #lanes: Promise<void>[] = [];
  #resets: NodeJS.Timeout | undefined;

  /** @param tookAway a broker cannot be reached by clients now; what it returns is called when it can again */
  constructor(
    brokers: readonly BrokerProcess[],
    network: FaultNetwork,
    holds: Holds,
    seed: number,
    tookAway: (kind: FaultKind, broker: Address) => () => void,
  ) {
    this.#brokers = brokers;
    this.#network = network;
    this.#holds = holds;
    this.#seed = seed;
    this.#tookAway = tookAway;
  }

  /** As many faults at a time as leave a majority that can reach each other. */
  start(): void {
    const lanes = Math.max(1, Math.floor((this.#brokers.length - 1) / 2));
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#lane(new SeededRandom(this.#seed + lane)));
    const random = new SeededRandom(this.#seed - 1);
    this.#resets = setInterval(() => {
      const whole = this.#brokers
        .filter((broker) => !this.#struck.has(broker))
        .map(({ address }) => address as Address);
      if (this.#network.reset(whole, (values) => random.pick(values))) this.#count('reset');
    }, RESET_EVERY_MS);
  }

  /** No more faults; resolves when those that hold are undone. Every kind has been by then. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#lanes);
    clearInterval(this.#resets);
  }

  /** Deals all kinds in random order, again and again. */
  async #lane(random: SeededRandom): Promise<void> {
    for (let round = 0; ; round += 1) {
      const deck: FaultKind[] = [...LASTING];
      while (deck.length > 0) {
        if (this.#stop.signal.aborted && round > 0) return;
        const [kind] = deck.splice(random.integer(0, deck.length - 1), 1);
        const free = this.#brokers.filter((broker) => !this.#struck.has(broker));
        const victim = random.pick(free);
        const other = random.pick(this.#brokers.filter((broker) => broker !== victim));
        this.#struck.add(victim);
        this.#count(kind!);
        const undo = await this.#strike(kind!, victim, other);
        await pause(random.integer(...(kind === 'stop' ? this.#holds.stop : this.#holds.usual)));
        await undo();
        this.#struck.delete(victim);
        await pause(random.integer(...PAUSE_MS));
      }
    }
  }

  async #strike(kind: FaultKind, victim: BrokerProcess, other: BrokerProcess): Promise<() => void | Promise<void>> {
    const back = ['kill', 'stop', 'isolate'].includes(kind)
      ? this.#tookAway(kind, victim.address as Address)
      : () => undefined;
    switch (kind) {
      case 'kill':
        await victim.kill();
        return () => victim.start().then(back);
      case 'stop':
        victim.signal('SIGSTOP');
        return () => {
          victim.signal('SIGCONT');
          back();
        };
      case 'partition':
        return this.#cut([[victim, other], [other, victim]]);
      case 'one-way':
        return this.#cut([[victim, other]]);
      case 'isolate': {
        const others = [...this.#brokers.filter((broker) => broker !== victim), 'clients' as const];
        const heal = this.#cut(others.flatMap((each) => [[victim, each], [each, victim]] as const));
        return () => {
          heal();
          back();
        };
      }
      case 'reset':
        throw new Error('resets hold for no time');
    }
  }

  #cut(directions: readonly (readonly [BrokerProcess | 'clients', BrokerProcess | 'clients'])[]): () => void {
    const party = (each: BrokerProcess | 'clients'): Party => (each === 'clients' ? each : each.address as Address);
    for (const [from, to] of directions) this.#network.cut(party(from), party(to));
    return () => {
      for (const [from, to] of directions) this.#network.heal(party(from), party(to));
    };
  }

  #count(kind: FaultKind): void {
    this.counts.set(kind, this.counts.get(kind)! + 1);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

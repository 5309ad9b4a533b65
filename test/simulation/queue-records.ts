/**
 * What records of acknowledgement say, read without the brokers' own code (core/queue/acknowledgements.ts tells the
 * format).
 */
import { originAddress, parseOrigin } from '../../brokers/core/log/record.ts';
import { type Entry, nameOf } from './ledger.ts';

type Name = Pick<Entry, 'origin' | 'seq'>;

interface Body {
  readonly s: string;
  readonly d?: Readonly<Record<string, readonly number[]>>;
  readonly f?: readonly { readonly v: Readonly<Record<string, number>> }[];
  readonly a?: Readonly<Record<string, readonly number[]>>;
  readonly w?: Readonly<Record<string, readonly (readonly [ms: number, attempts: number, runs: readonly number[]])[]>>;
}

export class AckRecord {
  readonly entry: Entry;
  readonly #body: Body;

  constructor(entry: Entry) {
    this.entry = entry;
    this.#body = JSON.parse(entry.payload) as Body;
  }

  get subscription(): string {
    return this.#body.s;
  }

  /** When it was on the disk of the home that wrote it. */
  get writtenAt(): number {
    return this.entry.heldBy.get(originAddress(this.entry.origin)) ?? Infinity;
  }

  /** The names of the messages that it says are done, one by one. */
  *listed(): Iterable<string> {
    for (const [origin, runs] of Object.entries(this.#body.d ?? {})) {
      let next = 1;
      for (const [gap, length] of pairs(runs)) {
        for (const first = next + gap, end = first + length; next < end; next += 1) {
          if (next >= first) yield nameOf(parseOrigin(origin), next);
        }
      }
    }
  }

  /** Whether it names a message among those that are done. */
  lists({ origin, seq }: Name): boolean {
    return isIn(this.#body.d?.[origin], seq);
  }

  get hasFloors(): boolean {
    return this.#body.f !== undefined;
  }

  /** Whether it says that everything of some binding is done up to a message. */
  covers({ origin, seq }: Name): boolean {
    return this.#body.f?.some(({ v }) => (v[origin] ?? 0) >= seq) ?? false;
  }

  /** How often it says that deliveries of a message have failed. */
  attempts(name: Name): number {
    const { origin, seq } = name;
    return pairs(this.#body.a?.[origin]).find(([each]) => each === seq)?.[1] ?? this.wait(name)?.attempts ?? 0;
  }

  /**
   * For how long, from when it was written on, it says that the next delivery of a message waits, after how many
   * failed.
   */
  wait({ origin, seq }: Name): { readonly ms: number; readonly attempts: number } | undefined {
    const group = this.#body.w?.[origin]?.find(([, , runs]) => isIn(runs, seq));
    return group && { ms: group[0], attempts: group[1] };
  }
}

function isIn(runs: readonly number[] | undefined, seq: number): boolean {
  let next = 1;
  for (const [gap, length] of pairs(runs)) {
    const first = next + gap;
    next = first + length;
    if (seq >= first && seq < next) return true;
  }
  return false;
}

function pairs(flat: readonly number[] = []): [number, number][] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!]);
}

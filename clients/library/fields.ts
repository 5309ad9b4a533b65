/** A reply of names and values in turn, as GET and MESH STATUS answer, read by name. */
import { RumormillError } from '../../brokers/core/error.ts';
import { text } from '../../brokers/wire/message.ts';
import type { Answer } from './request.ts';

export class Fields {
  readonly #values = new Map<string, Answer>();
  readonly #command: string;

  /** @throws RumormillError PROTOCOL if the reply is no such array */
  constructor(reply: Answer, command: string) {
    this.#command = command;
    if (!Array.isArray(reply) || reply.length % 2 > 0) {
      throw new RumormillError('PROTOCOL', `${command} did not answer names and values`);
    }
    for (let index = 0; index < reply.length; index += 2) {
      this.#values.set(text(reply[index]), reply[index + 1] as Answer);
    }
  }

  /** @throws RumormillError PROTOCOL if it is not there */
  text(name: string): string {
    return this.textOrNull(name) ?? this.#missing(name);
  }

  textOrNull(name: string): string | null {
    const value = this.#values.get(name) ?? null;
    return value === null ? null : typeof value === 'number' ? String(value) : text(value);
  }

  /** @throws RumormillError PROTOCOL if it is no number */
  number(name: string): number {
    return this.numberOrNull(name) ?? this.#missing(name);
  }

  /** @throws RumormillError PROTOCOL if it is there and no number */
  numberOrNull(name: string): number | null {
    const written = this.textOrNull(name);
    if (written === null) return null;
    return /^-?\d+$/.test(written) ? Number(written) : this.#missing(name);
  }

  /** Everything, by name; numbers that were sent as such stay numbers. */
  all(): Record<string, string | number> {
    return Object.fromEntries(
      [...this.#values].map(([name, value]) => [
        name,
        typeof value === 'number' ? value : value === null ? '' : text(value),
      ]),
    );
  }

  #missing(name: string): never {
    throw new RumormillError('PROTOCOL', `${this.#command} answered no ${name}`);
  }
}

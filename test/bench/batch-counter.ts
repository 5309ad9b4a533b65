/**
 * Counts the messages in replies to POLL ... FORMAT batches, of which it looks at no more than their number: what a
 * reader costs beyond is its own affair.
 */
import { type Reply, ReplyParser } from '../../brokers/wire/reply-parser.ts';
import { text } from '../../brokers/wire/message.ts';

const [LENGTHS, SKIPPED] = [4, 7]; // of a batch's fields (brokers/wire/message.ts)

export class BatchCounter {
  /** Whole replies so far. */
  replies = 0;
  /** Messages in them. */
  messages = 0;
  /** Of the last one. */
  cursor = '';
  readonly #parser = new ReplyParser();

  /** @throws Error where the server reports one, or answers something else */
  take(chunk: Buffer): void {
    this.#parser.push(chunk);
    for (let reply = this.#parser.next(); reply !== undefined; reply = this.#parser.next()) this.#count(reply);
  }

  #count(reply: Reply): void {
    if (!Array.isArray(reply) || !Array.isArray(reply[1])) {
      throw new Error(`the server answers ${reply instanceof Error ? reply.message : 'no batches'}`);
    }
    for (const batch of reply[1]) this.messages += messagesIn(batch);
    this.cursor = text(reply[0]);
    this.replies += 1;
  }
}

function messagesIn(batch: Reply): number {
  if (!Array.isArray(batch) || !Array.isArray(batch[SKIPPED])) throw new Error('the server answers no batch');
  return (JSON.parse(text(batch[LENGTHS])) as number[]).length - batch[SKIPPED].length;
}

/**
 * Which of several copies of a command may be carried out. If a way falls silent, a command is sent
 * another way; so it may arrive twice, and the copy that was held up may arrive long after the client
 * has its answer. A late PURGE would then drop what was published since.
 *
 * Each attempt of a command has a number, 1, 2, 3, ... The home notes the newest that it has seen
 * and carries out none before it. First attempts are not noted, so this costs nothing while all is
 * well. A copy cannot be later than its links live; so the newest `max` commands that were attempted
 * again are enough.
 */
export class Attempts {
  readonly #max: number;
  readonly #newest = new Map<string, number>(); // command -> attempt; those noted last are last

  /** @param max how many commands are remembered; beyond it the one that was noted first is forgotten */
  constructor(max: number) {
    this.#max = max;
  }

  /** An attempt of a command has come. @param attempt from 1 */
  note(command: string, attempt: number): void {
    if (attempt === 1 || this.isOvertaken(command, attempt)) return;
    this.#newest.delete(command);
    this.#newest.set(command, attempt);
    if (this.#newest.size > this.#max) this.#newest.delete(this.#newest.keys().next().value!);
  }

  /** Whether a later attempt of the command has come. */
  isOvertaken(command: string, attempt: number): boolean {
    return (this.#newest.get(command) ?? 0) > attempt;
  }
}

/**
 * What was answered to the newest `max` commands, or will be. A link may be lost with the answer, or before it: then
 * the same home is asked again, and a copy of a command that was carried out, or still is, gets the first one's answer.
 */
export class Answers<Answer> {
  readonly #max: number;
  readonly #answers = new Map<string, Promise<Answer>>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Carries out a command, unless a copy of it was. One that has failed may be carried out again. */
  once(command: string, run: () => Promise<Answer>): Promise<Answer> {
    const known = this.#answers.get(command);
    if (known !== undefined) return known;
    const answer = run();
    this.#answers.set(command, answer);
    if (this.#answers.size > this.#max) this.#answers.delete(this.#answers.keys().next().value!);
    answer.catch(() => this.#answers.delete(command));
    return answer;
  }
}

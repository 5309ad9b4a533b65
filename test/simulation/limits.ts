/**
 * What the brokers do not promise (brokers/RUNNING.md, "Not guaranteed"), and the simulation therefore does not ask of
 * them, unless it is told to (`--strict`).
 */
export const HOLDS = {
  /**
   * A message id, <lamport>@<host:port>, is unique: a broker whose disk was wiped, and that meets nobody, begins to
   * count anew.
   */
  uniqueIds: false,
  /** A restored store does not go on under its name where only subscribers have seen what it has lost. */
  restoredKnownByReaders: false,
  /**
   * An answer comes after its question, even where it was published on a broker that had not got the question: nothing
   * tells the broker of it.
   */
  causalAcrossBrokers: false,
  /**
   * What is published again under its id after its topic was deleted is a new message for all: some may remember the
   * id, and others not.
   */
  idsEndWithTheirTopic: false,
};

/** From now on all of it is asked. */
export function askEverything(): void {
  for (const name of Object.keys(HOLDS) as (keyof typeof HOLDS)[]) HOLDS[name] = true;
}

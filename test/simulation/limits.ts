/**
 * What the brokers cannot do yet, and the simulation therefore does not ask of them, unless it is told to (`--strict`). A flag is turned on together
 * with the change that makes it hold; when all are on, this file goes.
 */
export const HOLDS = {
  /** A message whose dedupe id was taken by two brokers is delivered once by whoever holds both copies; publishers try an id on another broker. */
  oneCopyDelivered: true,
  /** Nothing that bears a term is sent before the term is on disk, on a full disk either. */
  termOnFullDisk: false,
  /** A message id, <lamport>@<host:port>, is unique: a broker whose disk was wiped, and that meets nobody, begins to count anew. */
  uniqueIds: false,
  /** A restored store goes on under its name only if nobody at all, subscribers included, has seen what it has lost. */
  nameOfRestored: false,
  /** An answer comes after its question, even where it was published on a broker that had not got the question: nothing tells the broker of it. */
  causalAcrossBrokers: false,
};

/** From now on all of it is asked. */
export function askEverything(): void {
  for (const name of Object.keys(HOLDS) as (keyof typeof HOLDS)[]) HOLDS[name] = true;
}

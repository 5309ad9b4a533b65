/** Taking back what was done to a state, step by step, the last one first. */

/** Takes back one step, once all later ones are taken back. */
export type Undo = () => void;

export function nothing(): void {
  // there is nothing to take back
}

/** Takes back several, which were done in this order. */
export function allOf(undos: readonly Undo[]): Undo {
  return () => {
    for (const undo of undos.toReversed()) undo();
  };
}

/**
 * Lists of names, sorted step by step (core/turns.ts): a hundred thousand of them at once would take a tenth of a
 * second.
 */

const RUN = 256;

/** The texts in the order of their UTF-16 units, as `sort` has them; each step takes some µs, which it yields. */
export function* sortSteps(texts: readonly string[]): Generator<number, readonly string[]> {
  let runs: string[][] = [];
  for (let at = 0; at < texts.length; at += RUN) {
    runs.push(texts.slice(at, at + RUN).sort());
    yield RUN / 2;
  }
  while (runs.length > 1) {
    const merged: string[][] = [];
    for (let at = 0; at < runs.length; at += 2) merged.push(yield* merge(runs[at]!, runs[at + 1] ?? []));
    runs = merged;
  }
  return runs[0] ?? [];
}

function* merge(left: readonly string[], right: readonly string[]): Generator<number, string[]> {
  const merged: string[] = [];
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const isLeft = r >= right.length || (l < left.length && left[l]! <= right[r]!);
    merged.push(isLeft ? left[l++]! : right[r++]!);
    if (merged.length % RUN === 0) yield RUN / 10;
  }
  return merged;
}

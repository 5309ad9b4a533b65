/** Dead letters must not come back to the subscription that they are of: they would go round for ever. */

/** A topic, and the subscriptions that are bound to it. */
interface Bound {
  readonly name: string;
  readonly bindings: Iterable<{
    readonly subscription: { readonly name: string; readonly settings: { readonly deadLetter: string | null } };
  }>;
}

/**
 * Whether dead letters of a subscription that is bound to these topics come back to it, over other
 * subscriptions whose messages nobody acknowledges.
 * @param known what is known of topics, by each of their names
 * @param renamed that the topic which is called `now` has the name `to` as well
 */
export function comesBack(
  known: ReadonlyMap<string, Bound>, subscription: string, deadLetter: string, topics: ReadonlySet<string>,
  renamed?: { readonly to: string; readonly now: string },
): boolean {
  const reached = new Set<string>();
  const reach = (topic: string): void =>
    void reached.add(topic === renamed?.to ? renamed.now : (known.get(topic)?.name ?? topic));
  reach(deadLetter);
  for (const topic of reached) { // a set that grows is gone through to its end
    if (topics.has(topic)) return true;
    for (const { subscription: { name, settings } } of known.get(topic)?.bindings ?? []) {
      if (name !== subscription && settings.deadLetter !== null) reach(settings.deadLetter);
    }
  }
  return false;
}

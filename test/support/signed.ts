/** Records that are signed as their broker signs them. */
import { parseAddress } from '../../brokers/core/address.ts';
import { type Head, makeName, Prover } from '../../brokers/core/log/proof.ts';
import type { Draft, RecordBatch } from '../../brokers/core/log/record.ts';
import { systemSignatures } from '../../brokers/io/identity.ts';
import { testIdentity } from './identity.ts';
import { SeededRandom } from './random.ts';
import { draft } from './record.ts';

/** Batches of one origin from its first on, a group for each commit, and the head after them. */
export interface Signed {
  readonly groups: readonly (readonly RecordBatch[])[];
  readonly head: Head;
}

/**
 * What a broker has named.
 * @param commits payloads, a batch each
 * @param changes of every batch
 * @param seed of the key of the broker
 */
export function history(
  commits: readonly (readonly string[])[], changes: Partial<Draft> = {}, seed = 1, address = '10.0.0.1:3000',
): Signed {
  const identity = testIdentity(seed);
  const name = makeName(parseAddress(address), identity, systemSignatures, new SeededRandom().word);
  let [seq, running] = [1, name.owner];
  const groups = commits.map((payloads) => {
    const prover = new Prover(identity, systemSignatures, running);
    const group = payloads.map((payload, index) => {
      const named = {
        ...draft([payload], changes), origin: name.origin, seq, lamport: 10 * seq, deps: '', proof: '',
      };
      seq += 1;
      return { ...named, proof: prover.prove(named, index === payloads.length - 1) };
    });
    running = prover.running;
    return group;
  });
  return { groups, head: { running, owner: name.owner } };
}

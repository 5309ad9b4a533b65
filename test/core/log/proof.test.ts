import { createHash } from 'node:crypto';
import t from 'tap';
import { parseAddress } from '../../../brokers/core/address.ts';
import { checkGroup, headAfter, isProof, isSigned, keyOf, makeName, Prover } from '../../../brokers/core/log/proof.ts';
import type { RecordBatch } from '../../../brokers/core/log/record.ts';
import { systemSignatures as digests } from '../../../brokers/io/identity.ts';
import { testIdentity } from '../../support/identity.ts';
import { SeededRandom } from '../../support/random.ts';
import { specimenBatch } from '../../support/record.ts';
import { history } from '../../support/signed.ts';

const { groups, head } = history([['one'], ['two', 'three']]);
const [first, second] = groups as [RecordBatch[], RecordBatch[]];
const afterFirst = headAfter(first[0]!, first[0]!, digests)!;
const COVERED = { lengths: '[]', meta: '', body: Buffer.alloc(0) };

t.test('the last batch of a commit is signed, and proves those before it', async (t) => {
  t.strictSame([...first, ...second].map(isSigned), [true, false, true]);
  t.ok([...first, ...second].every(({ proof }) => isProof(proof)));
  t.strictSame(checkGroup(first, undefined, digests), afterFirst);
  t.strictSame(checkGroup(second, afterFirst, digests), head);
  t.strictSame(checkGroup([...first, ...second], undefined, digests), head, 'as one group too');
  t.strictSame(Buffer.from(keyOf(head.owner)), Buffer.from(testIdentity(1).publicKey));
});

t.test('a group that is large is signed in between', async (t) => {
  const prover = new Prover(testIdentity(1), digests, head.owner);
  const large = specimenBatch({ lengths: '[262144]', count: 1, meta: '', body: Buffer.alloc(262144) });
  t.ok(isSigned({ proof: prover.prove(large, false) }));
  t.notOk(isSigned({ proof: prover.prove(specimenBatch(), false) }));
  t.equal(Array.from({ length: 512 }, () => prover.prove(specimenBatch(), false)).filter((proof) =>
    isSigned({ proof })).length, 2);
});

t.test('nothing of a signed batch can be changed, but that its messages may be gone', async (t) => {
  const [original] = history([['one']], {
    meta: JSON.stringify({ keys: ['k'], headers: [['a', '1']], ids: ['id'] }),
  }).groups[0]!;
  t.ok(checkGroup([original!], undefined, digests));
  t.ok(checkGroup([{ ...original!, ...COVERED }], undefined, digests), 'covered');
  const lies: Partial<RecordBatch>[] = [
    { body: Buffer.from('eno') }, { lengths: '[2]', body: Buffer.from('on') }, { topic: 'other' }, { lamport: 11 },
    { time: 1 }, { deps: JSON.stringify({ [original!.origin]: 1 }) }, { meta: '' },
    ...['keys', 'headers', 'ids'].map((column) => ({
      meta: JSON.stringify({ ...(JSON.parse(original!.meta) as object), [column]: [null] }),
    })),
    { seq: 2 }, { count: 2, ...COVERED },
  ];
  for (const lie of lies) {
    const check = (): unknown => checkGroup([{ ...original!, ...lie }], undefined, digests);
    t.throws(check, { code: 'PROTOCOL' }, JSON.stringify(lie));
  }
});

t.test('each message has a leaf of its own, which stays where the message goes', async (t) => {
  const digest = (text: string): string => createHash('sha256').update(text).digest('base64url');
  const [batch] = history([['one']], { meta: JSON.stringify({ keys: ['k'] }) }).groups[0]!;
  const [, whole, leaves] = batch!.proof.split(' ');
  t.equal(whole, digest(JSON.stringify([batch!.lengths, batch!.meta, digest('one')])));
  t.equal(leaves, digest(`3 ${digest('one')} ${digest(JSON.stringify(['k', [], null]))}\n`));
  const [two] = second;
  t.equal(two!.proof.split(' ')[2], digest(`3 ${digest('two')}\n`), 'nothing besides');
});

t.test('nobody can name records of another store', async (t) => {
  const forged = history([['one']], {}, 2).groups[0]!.map((batch) => ({ ...batch, origin: first[0]!.origin }));
  t.throws(() => checkGroup(forged, undefined, digests), { message: /has an owner that cannot have made its name/ });
  const more = new Prover(testIdentity(2), digests, head.running);
  const named = specimenBatch({ origin: first[0]!.origin, seq: 4, deps: '' });
  const unsigned = { ...named, proof: more.prove(named, true) };
  t.throws(() => checkGroup([unsigned], head, digests), { message: /^record 4 of .* is not signed by its owner$/ });
  const [a, b] = second as [RecordBatch, RecordBatch];
  t.throws(() => checkGroup([a, a, b], afterFirst, digests), { message: /does not follow on the one before it/ });
  t.throws(() => checkGroup(second, undefined, digests), { message: /has an owner that cannot have made its name/ });
});

t.test('whoever passes on one of two histories that an owner has signed is no liar', async (t) => {
  const other = history([['uno'], ['two', 'three']]);
  t.equal(other.groups[1]![0]!.origin, second[0]!.origin, 'the same name');
  t.equal(checkGroup(other.groups[1]!, afterFirst, digests), 'forked');
});

t.test('the tag of a name is made of the key and a salt', async (t) => {
  const random = new SeededRandom(7);
  const make = (seed: number) => makeName(parseAddress('h:1'), testIdentity(seed), digests, random.word);
  const names = [make(1), make(1), make(2)];
  t.equal(new Set(names.map(({ origin }) => origin)).size, 3);
  for (const { origin, owner } of names) t.equal(origin, `h:1/${digests.tag(owner)}`);
});

t.test('what is no proof', async (t) => {
  const { proof } = first[0]!;
  for (const text of [' ', 'x', `${proof} x`, proof.slice(0, -1), proof.replace('.', ''), `x${proof}`]) {
    t.notOk(isProof(text), text);
  }
  t.ok(isProof(''), 'of a version without proofs');
});

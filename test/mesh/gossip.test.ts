import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import { RumormillError } from '../../brokers/core/error.ts';
import { lastSeq, type Origin, parseDeps, type StoredBatch } from '../../brokers/core/log/record.ts';
import { covers } from '../../brokers/core/log/version-vector.ts';
import { GossipMesh } from '../support/gossip-mesh.ts';
import type { MemoryStore } from '../support/memory-store.ts';
import { namedBatches } from '../support/names.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { specimenBatch } from '../support/record.ts';

function fullMesh(mesh: GossipMesh): void {
  for (let left = 0; left < mesh.brokers.length; left += 1) {
    for (let right = 0; right < left; right += 1) mesh.connect(left, right);
  }
}

function chain(mesh: GossipMesh): void {
  for (let left = 1; left < mesh.brokers.length; left += 1) mesh.connect(left - 1, left);
}

/** What is stored on each broker, in one order, so that equal contents are equal texts. */
function contents(mesh: GossipMesh): string[] {
  return mesh.stores.map(({ batches }) =>
    batches
      .map(({ origin, seq, count, body }) => `${origin} ${seq} ${count} ${String(body)}`)
      .sort()
      .join('\n'),
  );
}

/** What came before each batch, as a vector, keyed by the batch's name. */
function pasts(batches: readonly StoredBatch[]): Map<string, Map<Origin, number>> {
  const past = new Map<Origin, number>();
  return new Map(batches.map((batch) => {
    const before = new Map(past);
    past.set(batch.origin, lastSeq(batch));
    return [`${batch.origin} ${batch.seq}`, before];
  }));
}

/** Batches that a broker stored before something that their origin had stored before them (invariant 4). */
function acausal(mesh: GossipMesh): string[] {
  const past = mesh.stores.map(({ batches }) => pasts(batches));
  return mesh.stores.flatMap((origin, at) =>
    origin.batches
      .filter((batch) => batch.origin === origin.origin)
      .flatMap((batch) => {
        const name = `${batch.origin} ${batch.seq}`;
        const needed = past[at]!.get(name)!;
        return past.flatMap((each, index) =>
          each.has(name) && !covers(each.get(name)!, needed) ? [`${name} on broker ${index}`] : [],
        );
      }),
  );
}

t.test('in a full mesh that stands, everybody receives everything once', async (t) => {
  const random = new SeededRandom();
  const mesh = new GossipMesh(5);
  fullMesh(mesh);
  await mesh.flow();
  let published = 0;
  for (let step = 0; step < 300; step += 1) {
    const count = random.integer(1, 20);
    mesh.brokers[random.integer(0, 4)]!.publish(Array.from({ length: count }, () => 'x'));
    published += count;
    for (let count = random.integer(0, 20); count > 0; count -= 1) {
      const ways = mesh.waysInUse();
      if (ways.length > 0) random.pick(ways).deliver();
    }
    if (random.integer(0, 3) === 0) await mesh.clock.settle();
    if (random.integer(0, 20) === 0) await mesh.pass(100);
  }
  await mesh.pass(1000);
  t.equal(new Set(contents(mesh)).size, 1);
  const { batches } = mesh.stores[0]!;
  t.equal(batches.reduce((sum, { count }) => sum + count, 0), published);
  t.equal(mesh.brokers.reduce((sum, { received }) => sum + received.length, 0), 4 * batches.length);
  t.strictSame(mesh.brokers.map(({ gossip }) => gossip.received.duplicates), [0, 0, 0, 0, 0]);
  t.strictSame(acausal(mesh), []);
  t.ok(mesh.stores.some(({ batches }) => batches.some((batch) => parseDeps(batch).length > 1)), 'there were deps');
});

t.test('an answer to a message of ours is taken in', async (t) => {
  const mesh = new GossipMesh(2);
  fullMesh(mesh);
  await mesh.flow();
  mesh.brokers[0]!.publish(['question']);
  await mesh.flow();
  mesh.brokers[1]!.publish(['answer']);
  await mesh.flow();
  t.strictSame(
    mesh.stores.map(({ batches }) => batches.map(({ body }) => String(body))),
    [
      ['question', 'answer'],
      ['question', 'answer'],
    ],
  );
});

t.test('no subscriber sees an answer before its question, however late the question is', async (t) => {
  const mesh = new GossipMesh(3);
  fullMesh(mesh);
  await mesh.flow();
  mesh.brokers[0]!.publish(['question']);
  await mesh.clock.settle();
  // Only what goes to broker 1, and later only what comes from there: 0 -> 2 stays on the way.
  const toOne = (): boolean => mesh.waysInUse().filter(({ remote }) => remote === '1').some((way) => way.deliver());
  while (toOne()) await mesh.clock.settle();
  mesh.brokers[1]!.publish(['answer']);
  await mesh.clock.settle();
  const fromOne = mesh
    .waysInUse()
    .filter((way) => way.remote === '2' && way.onTheWay.some((bytes) => Buffer.from(bytes).includes('answer')));
  t.equal(fromOne.length, 1);
  while (fromOne[0]!.deliver());
  await mesh.clock.settle();
  t.strictSame(mesh.stores[2]!.batches, [], 'held back');
  await mesh.flow();
  t.strictSame(mesh.stores[2]!.batches.map(({ body }) => String(body)), ['question', 'answer']);
});

t.test('a chain: everything reaches everybody, once', async (t) => {
  const mesh = new GossipMesh(5);
  chain(mesh);
  await mesh.flow();
  for (let round = 0; round < 20; round += 1) {
    for (const broker of mesh.brokers) broker.publish([`round ${round}`]);
    await mesh.flow();
  }
  await mesh.pass(1000);
  t.equal(new Set(contents(mesh)).size, 1);
  t.equal(mesh.stores[0]!.batches.length, 100);
  t.strictSame(mesh.brokers.map(({ gossip }) => gossip.received.duplicates), [0, 0, 0, 0, 0]);
});

t.test('a covered range is passed on, and what depends on it is stored behind it', async (t) => {
  const mesh = new GossipMesh(3);
  const [first, second] = mesh.stores as [MemoryStore, MemoryStore];
  const covered = {
    ...specimenBatch({
      origin: first.origin, seq: 1, count: 700, deps: '', meta: '', lengths: '[]', body: Buffer.alloc(0),
    }),
    position: 1,
    repeats: '',
  };
  await first.append([covered]);
  mesh.restart(0);
  mesh.connect(0, 1);
  await mesh.flow();
  mesh.brokers[1]!.publish(['answer']);
  await mesh.flow();
  mesh.connect(1, 2);
  await mesh.flow();
  for (const { log } of mesh.brokers) {
    t.strictSame(
      log.vector.snapshot(),
      new Map([
        [first.origin, 700],
        [second.origin, 1],
      ]),
    );
  }
  t.strictSame(mesh.stores[2]!.batches.map(({ count, lengths }) => [count, lengths]), [[700, '[]'], [1, '[6]']]);
});

t.test('what a full disk refused is fetched again, though nobody publishes any more', async (t) => {
  const mesh = new GossipMesh(2);
  fullMesh(mesh);
  await mesh.flow();
  mesh.brokers[0]!.publish(['one']);
  mesh.brokers[0]!.publish(['two'], 'sport');
  mesh.stores[1]!.failures.push(new RumormillError('DISKFULL', 'no room'));
  await mesh.flow();
  t.equal(mesh.stores[1]!.batches.length, 0);
  await mesh.pass(3000);
  t.equal(mesh.stores[1]!.batches.length, 2);
});

t.test('a broker that comes back after long catches up through a small window, in pages, live gossip going on', async (t) => {
  const mesh = new GossipMesh(3, { linkWindowBytes: 2000, readBytesMax: 1000, tailBytesMax: 1500 });
  mesh.connect(0, 1);
  await mesh.flow();
  for (let index = 0; index < 200; index += 1) {
    mesh.brokers[index % 2]!.publish([`message ${index}`]);
    await mesh.flow();
  }
  mesh.connect(1, 2);
  mesh.connect(0, 2);
  let most = 0;
  for (let index = 0; index < 50; index += 1) {
    mesh.brokers[0]!.publish([`live ${index}`]);
    await mesh.clock.settle();
    for (const way of mesh.waysInUse()) way.deliver();
    most = Math.max(
      most,
      ...mesh.brokers.flatMap(({ gossip }) => gossip.flyingBytes),
    );
  }
  await mesh.pass(1000);
  t.equal(new Set(contents(mesh)).size, 1);
  t.equal(mesh.stores[2]!.batches.length, 250);
  t.ok(most >= 2000 && most < 2500, `${most} bytes flew at once on a link with a window of 2000`);
  t.strictSame(
    mesh.brokers.flatMap(({ gossip }) => gossip.flyingBytes), [0, 0, 0, 0, 0, 0],
    'all is acknowledged',
  );
  t.strictSame(acausal(mesh), []);
});

t.test('thousands of names of stores: one look-up, whatever comes when, and nothing is sent twice', async (t) => {
  const mesh = new GossipMesh(3, { linkWindowBytes: 200_000, readBytesMax: 100_000, tailBytesMax: 100_000 });
  const [full, other] = mesh.stores as [MemoryStore, MemoryStore];
  const batches = [
    ...namedBatches({
      names: 1000, messages: 3000, addresses: ['10.0.0.7:3000', '10.0.0.8:3000'].map(parseAddress), topic: 'news',
    }),
  ];
  for (const store of [full, other]) await store.append(batches);
  for (const index of [0, 1]) mesh.restart(index);
  mesh.connect(0, 1);
  await mesh.flow();
  const before = mesh.stores.map(({ lookUps }) => lookUps);
  mesh.connect(0, 2);
  mesh.connect(1, 2);
  for (let passed = 0; passed < 20_000; passed += 100) { // a page at a time, for ten times as long as a stall takes
    await mesh.clock.advance(100);
    for (const { gossip } of mesh.brokers) gossip.tick();
    for (const way of mesh.waysInUse()) for (let left = 13; left > 0 && way.deliver(); left -= 1);
    await mesh.clock.settle();
  }
  t.equal(mesh.stores[2]!.batches.length, batches.length);
  t.ok(
    mesh.stores.every(({ lookUps }, index) => lookUps - (before[index] ?? 0) <= 2),
    mesh.stores.map(({ lookUps }) => lookUps).join(),
  );
  t.equal(mesh.brokers[2]!.gossip.received.duplicates, 0);
  t.strictSame(acausal(mesh), []);
});

t.test('what peers hold of thousands of names is told once, and costs nothing when nothing changes', async (t) => {
  const mesh = new GossipMesh(2);
  const batches = [
    ...namedBatches({ names: 1000, messages: 1000, addresses: [parseAddress('10.0.0.7:3000')], topic: 'news' }),
  ];
  for (const store of mesh.stores) await store.append(batches);
  for (const index of [0, 1]) mesh.restart(index);
  mesh.connect(0, 1);
  mesh.brokers[0]!.publish(['x']);
  await mesh.flow();
  for (let round = 0; round < 30; round += 1) {
    mesh.brokers[0]!.publish(['x']);
    await mesh.clock.advance(100);
    for (const { gossip } of mesh.brokers) gossip.announce(true);
    await mesh.clock.settle();
    const bytes = mesh.waysInUse().flatMap(({ onTheWay }) => onTheWay).reduce((sum, { length }) => sum + length, 0);
    t.ok(bytes < 2000, `${bytes} bytes for a message and a beat`);
    await mesh.flow();
  }
});

t.test('what is missing first comes first, though the window is full of what waits for it', async (t) => {
  for (const tailBytesMax of [1000, 1e6]) {
    const mesh = new GossipMesh(3, { linkWindowBytes: 2000, readBytesMax: 1000, tailBytesMax });
    mesh.connect(0, 1);
    await mesh.flow();
    const publish = async (index: number, count: number): Promise<void> => {
      for (; count > 0; count -= 1) {
        mesh.brokers[index]!.publish([`${count}`]);
        await mesh.flow();
      }
    };
    await publish(0, 1);
    await publish(1, 10);
    await publish(0, 50);
    mesh.cut(0, 1);
    mesh.connect(0, 2); // 0's own records are asked for first, and all but one of them depend on 1's
    await mesh.flow();
    t.equal(mesh.stores[2]!.batches.length, 61, `at once, no time has passed (tail of ${tailBytesMax} bytes)`);
  }
});

t.test('how far brokers hold an origin is told to it along the tree, and in a full mesh not at all', async (t) => {
  const mesh = new GossipMesh(5);
  chain(mesh);
  await mesh.flow();
  mesh.brokers[0]!.publish(['one', 'two']);
  await mesh.flow();
  const origins = mesh.stores.map((store) => store.origin);
  t.strictSame(origins.map((holder) => mesh.brokers[0]!.gossip.heldBy(origins[0]!, holder)), [0, 2, 2, 2, 2]);
  const full = new GossipMesh(4);
  fullMesh(full);
  await full.flow();
  let claims = 0;
  full.brokers[0]!.publish(['one']);
  do {
    for (const way of full.waysInUse()) {
      claims += way.onTheWay.filter((bytes) => Buffer.from(bytes).includes('HELD')).length;
      while (way.deliver());
    }
    await full.clock.settle();
  } while (full.waysInUse().length > 0);
  t.equal(claims, 0);
});

/**
 * 0 has the neighbours 1 and 2; 3 gets 0's records from 1 and could get them from 2; 4 gets them from 3. The claims of
 * 4 have come as far as 3.
 */
async function diamond(): Promise<{ mesh: GossipMesh; held: () => number }> {
  const mesh = new GossipMesh(5);
  for (const [left, right] of [[0, 1], [1, 3], [3, 4]] as const) mesh.connect(left, right);
  await mesh.flow();
  mesh.brokers[0]!.publish(['one']);
  await mesh.flow();
  for (const [left, right] of [[0, 2], [2, 3]] as const) mesh.connect(left, right);
  await mesh.flow();
  const [origin, holder] = [mesh.stores[0]!.origin, mesh.stores[4]!.origin];
  mesh.brokers[0]!.publish(['two']);
  await mesh.clock.settle();
  const toOne = (): ReturnType<GossipMesh['waysInUse']> =>
    mesh
      .waysInUse()
      .filter(
        ({ remote, onTheWay }) => remote === '1' && onTheWay.some((bytes) => Buffer.from(bytes).includes('HELD')),
      );
  for (let rest = mesh.waysInUse(); rest.length > 0; rest = mesh.waysInUse().filter((way) => !toOne().includes(way))) {
    for (const way of rest) if (!toOne().includes(way)) way.deliver();
    await mesh.clock.settle();
  }
  return { mesh, held: () => mesh.brokers[0]!.gossip.heldBy(origin, holder) };
}

t.test('a claim that is lost with the way that it took takes another one', async (t) => {
  const { mesh, held } = await diamond();
  t.equal(held(), 1, 'it is on its way from 3 to 1');
  t.strictSame(mesh.stores.map(({ batches }) => batches.length), [2, 2, 2, 2, 2], 'everybody has both');
  mesh.cut(1, 3);
  await mesh.flow();
  t.equal(held(), 2, 'nothing was missing, so 3 has no parent now');
});

t.test('a claim that is stuck on its way to a silent parent is told to the next parent', async (t) => {
  const { mesh, held } = await diamond();
  mesh.cut(3, 4); // 4 will say nothing more
  mesh.brokers[0]!.publish(['three']);
  for (let passed = 0; passed < 3000; passed += 100) {
    await mesh.clock.advance(100);
    for (const { gossip } of mesh.brokers) gossip.tick();
    const others = (): ReturnType<GossipMesh['waysInUse']> =>
      mesh.waysInUse().filter((way) => way !== mesh.way(3, 1) && way !== mesh.way(1, 3));
    while (others().length > 0) {
      for (const way of others()) way.deliver();
      await mesh.clock.settle();
    }
  }
  t.equal(held(), 2);
});

for (const heal of [fullMesh, chain]) {
  t.test(`random faults, then a ${heal.name} that stands: all converge (seed ${SEED})`, async (t) => {
    const random = new SeededRandom();
    const counts = { publish: 0, cut: 0, restart: 0, full: 0, duplicates: 0 };
    for (let round = 0; round < 12; round += 1) {
      const mesh = new GossipMesh(5, {
        linkWindowBytes: 3000, readBytesMax: 2000, tailBytesMax: 4000, holdBackBytesMax: random.pick([3000, 20_000]),
      });
      for (let step = 0; step < 1500; step += 1) {
        const [left, right] = [random.integer(0, 4), random.integer(0, 4)];
        const action = random.integer(0, 99);
        if (action < 20) {
          counts.publish += 1;
          mesh.brokers[left]!.publish(Array.from({ length: random.integer(1, 4) }, (_, index) => `${step}.${index}`));
        } else if (action < 70) {
          const ways = mesh.waysInUse();
          if (ways.length > 0) random.pick(ways).deliver();
        } else if (action < 85) await mesh.clock.settle();
        else if (action < 92) mesh.connect(left, right);
        else if (action < 95) {
          if (mesh.isUp(left, right)) counts.cut += 1;
          mesh.cut(left, right);
        } else if (action < 99) {
          await mesh.clock.advance(random.pick([100, 500]));
          for (const { gossip } of mesh.brokers) gossip.tick();
        } else if (random.integer(0, 1) === 0) {
          counts.restart += 1;
          await mesh.clock.settle(); // what is being written when a process dies is the store's matter
          mesh.restart(left);
        } else {
          counts.full += 1;
          mesh.stores[left]!.failures.push(new RumormillError('DISKFULL', 'no room'));
        }
      }
      counts.duplicates += mesh.brokers.reduce((sum, { gossip }) => sum + gossip.received.duplicates, 0);
      for (const store of mesh.stores) store.failures.length = 0;
      if (heal === chain) {
        for (let left = 0; left < 5; left += 1) for (let right = 0; right < left; right += 1) mesh.cut(left, right);
      }
      heal(mesh); // the full mesh keeps the links that are up, and whatever state they are in
      await mesh.pass(30_000);
      if (new Set(contents(mesh)).size !== 1) {
        t.fail(`round ${round}: ${mesh.stores.map(({ batches }) => batches.length).join(', ')} batches`);
      }
      t.strictSame(acausal(mesh), [], `round ${round}: position order is causal`);
      const vectors = mesh.brokers.map(({ log }) => JSON.stringify([...log.vector.snapshot()].sort()));
      if (new Set(vectors).size !== 1) t.fail(`round ${round}: vectors differ`);
      const flying = mesh.brokers.flatMap(({ gossip }) => gossip.flyingBytes);
      t.ok(
        flying.every((bytes) => bytes === 0),
        `round ${round}: all that was sent is acknowledged, or windows would close for ever`,
      );
      const before = mesh.brokers.map(({ gossip }) => ({ ...gossip.received }));
      mesh.brokers[2]!.publish(['last']);
      await mesh.pass(5000);
      t.strictSame(
        mesh.stores.map(({ batches }) => String(batches.at(-1)!.body)),
        Array.from({ length: 5 }, () => 'last'),
      );
      const after = mesh.brokers.map(({ gossip }, index) => [
        gossip.received.records - before[index]!.records,
        gossip.received.duplicates - before[index]!.duplicates,
      ]);
      t.strictSame(
        after,
        [
          [1, 0], [1, 0], [0, 0], [1, 0], [1, 0],
        ],
        `round ${round}: it takes one transmission to each`,
      );
    }
    t.ok(counts.publish > 2000 && counts.cut > 100 && counts.restart > 50 && counts.full > 50, JSON.stringify(counts));
  });
}

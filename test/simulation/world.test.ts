import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Origin, StoredBatch } from '../../brokers/core/log/record.ts';
import type { Channel, ChannelHandler } from '../../brokers/core/runtime.ts';
import type { Store } from '../../brokers/core/log/store.ts';
import { SEED, SeededRandom } from '../support/random.ts';
import { draft } from '../support/record.ts';
import { type DiskEvent, VirtualDisk } from './disk.ts';
import { VirtualNetwork } from './network.ts';
import { Life, VirtualTime } from './time.ts';

t.test('events come in the order of their times, and of their making', async (t) => {
  const [time, dice, seen, expected] = [
    new VirtualTime(), new SeededRandom(), [] as [number, number][], [] as [number, number][],
  ];
  for (let number = 0; number < 1000; number += 1) {
    const at = dice.integer(0, 50);
    expected.push([at, number]);
    time.after(at, () => seen.push([time.now, number]));
  }
  time.after(10, () => t.fail('was cancelled')).cancel();
  await time.run(49);
  t.strictSame(seen, expected.filter(([at]) => at < 50).sort(([a, first], [b, second]) => a - b || first - second));
  t.equal(time.now, 49);
});

t.test('every promise settles before the next event', async (t) => {
  const [time, seen] = [new VirtualTime(), [] as string[]];
  time.after(1, () => void (async () => {
    for (let turn = 0; turn < 50; turn += 1) await undefined;
    seen.push('all that follows');
  })());
  time.after(1, () => seen.push('the next event'));
  await time.run(1);
  t.strictSame(seen, ['all that follows', 'the next event']);
});

t.test('a process that is paused gets everything late and in order, but for what it cancels; one that has ended gets nothing', async (t) => {
  const [time, seen] = [new VirtualTime(), [] as [number, string][]];
  const life = new Life(time);
  const note = (what: string) => (): void => void seen.push([time.now, what]);
  life.schedule(10, () => {
    note('first')();
    cancelled.cancel();
  });
  life.schedule(20, note('second'));
  const cancelled = life.schedule(30, note('cancelled'));
  life.pause();
  await time.run(100);
  life.resume();
  time.after(0, () => life.run(note('third')));
  await time.run(0);
  t.strictSame(seen, [[100, 'first'], [100, 'second'], [100, 'third']]);
  life.pause();
  life.run(note('too late'));
  life.end();
  life.resume();
  await time.run(0);
  t.equal(seen.length, 3);
});

t.test('an event that throws ends the run', async (t) => {
  const time = new VirtualTime();
  time.after(1, () => {
    throw new Error('thrown');
  });
  await t.rejects(time.run(2), { message: 'thrown' });
});

t.test('a cut holds back one way only; a reset breaks the stream for both; delays keep the order', async (t) => {
  const { time, network, left, right, seen } = await connected();
  network.cut('left', 'right:1');
  left.write(Buffer.from('held '));
  right.write(Buffer.from('through '));
  await time.run(100);
  t.strictSame(seen, { left: 'through ', right: '' });
  await t.rejects(dial(time, network, 'left'), { code: 'UNREACHABLE' }, 'no answer could come');
  await t.rejects(dial(time, network, 'right:1', 'left:1'), { code: 'UNREACHABLE' });
  network.heal('left', 'right:1');
  await time.run(100);
  t.equal(seen.right, 'held ');

  network.slow('left', 'right:1', 3000);
  for (const word of ['a', 'b', 'c', 'd']) {
    left.write(Buffer.from(word));
    await time.run(1);
  }
  t.equal(seen.right, 'held ');
  await time.run(3100);
  t.equal(seen.right, 'held abcd');

  left.write(Buffer.from('lost'));
  network.reset('right:1', 'left');
  await time.run(5000);
  t.strictSame(seen, { left: 'through closed: connection reset', right: 'held abcdclosed: connection reset' });
});

t.test('what waits on a narrow way arrives as soon as the way is as wide as before', async (t) => {
  for (const end of ['narrow', 'healAll'] as const) {
    const { time, network, left, right, seen } = await connected();
    network.narrow('left', 'right:1', 1000);
    left.write(Buffer.alloc(60_000, 'x'));
    right.write(Buffer.from('back'));
    await time.run(1000);
    t.equal(seen.left, 'back');
    t.ok(
      seen.right.length > 500 && seen.right.length < 1500,
      `${seen.right.length} of 60,000 bytes have come in a second`,
    );
    if (end === 'narrow') network.narrow('left', 'right:1', Infinity);
    else network.healAll();
    left.write(Buffer.from('!'));
    await time.run(10);
    t.equal(seen.right, `${'x'.repeat(60_000)}!`, `in order, after ${end}`);
  }
});

t.test('a way that two faults cut is whole when both are over', async (t) => {
  const { time, network, left, seen } = await connected();
  for (let fault = 0; fault < 2; fault += 1) network.cut('left', 'right:1');
  left.write(Buffer.from('x'));
  network.heal('left', 'right:1');
  await time.run(100);
  t.equal(seen.right, '');
  network.heal('left', 'right:1');
  await time.run(100);
  t.equal(seen.right, 'x');
});

t.test('a crash loses what was not written; what was being written is there or not', async (t) => {
  const counts = { written: 0, lost: 0 };
  for (let seed = SEED; seed < SEED + 50; seed += 1) {
    const { time, disk, life, store } = openDisk(seed);
    for (const position of [1, 2, 3]) void store.append([stored(store.state.origin, position)]);
    await time.run(0);
    disk.crashed(life);
    life.end();
    await time.run(1000);
    const held = disk.data.batches.length;
    if (held > 1) t.fail(`seed ${seed}: a write that had not begun is on disk`);
    counts[held === 1 ? 'written' : 'lost'] += 1;
  }
  t.ok(counts.written > 0 && counts.lost > 0, JSON.stringify(counts));
});

t.test('a full disk refuses and keeps what it has; a copy put back shows what it held; both stand in the log', async (t) => {
  const { time, disk, store, log } = openDisk(SEED);
  const { origin } = store.state;
  const append = async (position: number): Promise<void> => {
    const written = store.append([stored(origin, position)]);
    written.catch(() => undefined); // awaited once time has passed
    await time.run(10);
    await written;
  };
  await append(1);
  const backup = disk.data.copy();
  await append(2);
  disk.isFull = true;
  await t.rejects(append(3), { code: 'DISKFULL' });
  disk.isFull = false;
  await append(3);
  t.equal(disk.data.batches.length, 3);
  disk.restore(backup);
  t.strictSame(disk.data.state.vector, new Map([[origin, 1]]));
  t.equal(backup.batches.length, 1, 'a copy for ever');
  disk.wipe();
  t.equal(disk.data.state.position, 0);
  t.not(disk.data.origin, origin);
  t.strictSame(
    log.map(({ kind, batches }) => [kind, batches.length]),
    [
      ['written', 1], ['written', 1], ['written', 1], ['replaced', 1], ['replaced', 0],
    ],
  );
});

function stored(origin: Origin, position: number): StoredBatch {
  return { ...draft(['x']), origin, seq: position, lamport: position, deps: '', proof: '', position, repeats: '' };
}

function openDisk(seed: number): { time: VirtualTime; disk: VirtualDisk; life: Life; store: Store; log: DiskEvent[] } {
  const [time, log] = [new VirtualTime(), [] as DiskEvent[]];
  const [disk, life] = [new VirtualDisk(parseAddress('h:1'), time, new SeededRandom(seed), log), new Life(time)];
  return { time, disk, life, store: disk.open(life), log };
}

async function connected(): Promise<{
  time: VirtualTime;
  network: VirtualNetwork;
  left: Channel;
  right: Channel;
  seen: { left: string; right: string };
}> {
  const time = new VirtualTime();
  const network = new VirtualNetwork(time, new SeededRandom());
  const seen = { left: '', right: '' };
  const reader = (side: 'left' | 'right'): ChannelHandler => ({
    data: (chunk) => void (seen[side] += chunk.toString()),
    sent: () => undefined,
    drain: () => undefined,
    ended: () => undefined,
    closed: (reason) => void (seen[side] += `closed: ${reason}`),
  });
  const accepted = new Promise<Channel>(
    (resolve) =>
      void network.transport('right:1', new Life(time)).listen(parseAddress('right:1'), resolve, () => undefined),
  );
  const left = await dial(time, network, 'left');
  const right = await accepted;
  left.attach(reader('left'));
  right.attach(reader('right'));
  return { time, network, left, right, seen };
}

async function dial(time: VirtualTime, network: VirtualNetwork, from: string, to = 'right:1'): Promise<Channel> {
  const dialling = network.transport(from, new Life(time)).dial(parseAddress(to), 1000);
  dialling.catch(() => undefined); // awaited once time has passed
  await time.run(1000);
  return dialling;
}

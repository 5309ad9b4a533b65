import t from 'tap';
import { parseAddress } from '../../brokers/core/address.ts';
import type { Channel } from '../../brokers/core/runtime.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';
import { VirtualChannel } from '../support/virtual-channel.ts';

t.test('the clock is saved each beat in which it moved, and not again while the disk takes long', async (t) => {
  const store = new MemoryStore(origin('localhost:3000'));
  const waiting: (() => void)[] = [];
  const virtual = await VirtualBroker.start({}, store);
  store.saveClock = () => new Promise((resolve) => waiting.push(resolve));
  const client = virtual.connect();
  for (let beat = 0; beat < 5; beat += 1) {
    await client.ask('PUBLISH a x');
    await virtual.clock.advance(1000);
  }
  t.equal(waiting.length, 1);
  waiting[0]!();
  await virtual.clock.advance(1000);
  t.equal(waiting.length, 2, 'what moved meanwhile');
});

t.test('a peer that takes a connection and says nothing is reported, once however often it is dialled', async (t) => {
  const [rows, store] = [[parseAddress('localhost:3001')], new MemoryStore(origin('localhost:3000'))];
  let dials = 0;
  const dial = (): Promise<Channel> => {
    dials += 1;
    return Promise.resolve(new VirtualChannel('silent'));
  };
  const virtual = await VirtualBroker.start({}, store, () => 0, rows, new ManualClock(), dial);
  for (let second = 0; second < 60; second += 1) await virtual.clock.advance(1000);
  t.ok(dials > 3, `dialled ${dials} times`);
  t.strictSame(virtual.warnings.filter((event) => event === 'peer refused'), ['peer refused']);
});

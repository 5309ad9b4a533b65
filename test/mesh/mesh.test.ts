import t from 'tap';
import { MemoryStore } from '../support/memory-store.ts';
import { origin } from '../support/record.ts';
import { VirtualBroker } from '../support/virtual-broker.ts';

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

import t from 'tap';
import { BOUND, given, payloads, start } from '../support/virtual-queue.ts';

t.test('consumers take turns: one with many PULLs gets no more of them than one with a single PULL', async (t) => {
  const { virtual, client } = await start({}, ...BOUND);
  const greedy = Array.from({ length: 20 }, () => virtual.connect());
  for (const each of greedy) await each.ask('PULL s CONSUMER greedy COUNT 1 BLOCK 5000');
  const [one, two] = [virtual.connect(), virtual.connect()];
  await one.ask('PULL s CONSUMER one COUNT 1 BLOCK 5000');
  await two.ask('PULL s CONSUMER two COUNT 1 BLOCK 5000');
  await client.ask('PUBLISH a 1', 'PUBLISH a 2', 'PUBLISH a 3', 'PUBLISH a 4');
  const got = async (each: typeof one): Promise<string[]> => payloads((await each.replies()).flatMap(given));
  t.strictSame(await Promise.all([greedy[0]!, one, two, greedy[1]!, greedy[2]!].map(got)), [
    ['1'], ['2'], ['3'], ['4'], [],
  ]);
  await one.ask('PULL s CONSUMER one COUNT 1 BLOCK 5000');
  await client.ask('PUBLISH a 5', 'PUBLISH a 6', 'PUBLISH a 7');
  t.strictSame(
    await Promise.all([greedy[2]!, one, greedy[3]!].map(got)), [['5'], ['6'], ['7']],
    'each turn goes on where the last one ended',
  );
});

t.test('while others wait, a PULL gets a share; alone it gets what it asks for', async (t) => {
  const { virtual, client } = await start({ limits: { pullShareMax: 3 } }, ...BOUND);
  const [greedy, modest] = [virtual.connect(), virtual.connect()];
  await greedy.ask('PULL s COUNT 1000 BLOCK 5000');
  await modest.ask('PULL s COUNT 1 BLOCK 5000');
  await client.ask(...Array.from({ length: 10 }, (_, number) => `PUBLISH a ${number}`));
  t.strictSame(payloads((await greedy.replies()).flatMap(given)), ['0', '1', '2']);
  t.strictSame(payloads((await modest.replies()).flatMap(given)), ['3']);
  t.strictSame(payloads((await greedy.ask('PULL s COUNT 1000')).flatMap(given)), ['4', '5', '6', '7', '8', '9']);
});

t.test('a PULL whose client is gone takes no turn', async (t) => {
  const { virtual, client } = await start({}, ...BOUND);
  const [gone, here] = [virtual.connect(), virtual.connect()];
  await gone.ask('PULL s CONSUMER c BLOCK 5000');
  await here.ask('PULL s CONSUMER c BLOCK 5000');
  gone.channel.handler.closed(undefined);
  await client.ask('PUBLISH a 1');
  t.strictSame(payloads((await here.replies()).flatMap(given)), ['1']);
});

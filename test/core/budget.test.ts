import t from 'tap';
import { Budget, mebibytes } from '../../brokers/core/budget.ts';
import { ManualClock } from '../support/manual-clock.ts';

const LIMITS = { memoryBytes: 1_000_000, connectionBytes: 1000, stillMs: 10_000 };

function bench(limits = LIMITS) {
  const clock = new ManualClock();
  const log: string[] = [];
  const budget = new Budget(limits, clock, { eased: () => void log.push('eased') });
  const open = (name: string, kind: 'client' | 'link' = 'client') => {
    const account = budget.open(kind, {
      expel: (held) => {
        log.push(`${name} ${held}`);
        account.close();
      },
      work: () => void log.push(`${name} grows`),
    });
    return account;
  };
  return { clock, budget, open, log: () => log.splice(0) };
}

t.test('everything counts: connections and what they hold, gauges, and shared bytes once', async (t) => {
  const { budget, open } = bench();
  const [a, b] = [open('a'), open('b')];
  t.equal(budget.bytes, 2000);
  a.set(500);
  b.set(300);
  a.set(200);
  t.equal(budget.bytes, 2500);
  const shared = budget.share(Buffer.alloc(10_000));
  for (const account of [a, b]) {
    shared.hold();
    account.set(account.own, 10_000);
  }
  t.ok(budget.bytes > 12_500 && budget.bytes < 13_000, `${budget.bytes}`);
  shared.release();
  t.ok(budget.bytes > 12_500, 'somebody waits for it still');
  shared.release();
  t.equal(budget.bytes, 2500);
  budget.gauge('log', () => 7000);
  budget.look();
  t.equal(budget.bytes, 9500);
  t.strictSame(budget.gauges(), { log: 7000 });
  a.close();
  a.close();
  a.set(50_000);
  t.equal(budget.bytes, 8300, 'who is closed holds nothing, whatever it says');
});

t.test('memory is short: of those that stand still the greediest are closed, until it is not', async (t) => {
  const { clock, budget, open, log } = bench();
  const still = [200_000, 300_000, 100_000].map((bytes) => {
    const account = open(`still ${bytes}`);
    account.set(bytes);
    return account;
  });
  await clock.advance(9000);
  const fresh = open('fresh');
  fresh.set(160_000);
  budget.look();
  t.ok(budget.isTight);
  t.strictSame(log(), [], 'not yet');
  await clock.advance(1000);
  budget.look();
  t.strictSame(log(), ['still 300000 300000', 'eased']);
  t.equal(budget.isTight, false);
  t.strictSame([still[0]!.own, still[2]!.own], [200_000, 100_000]);
});

t.test('who moves a good part of what it holds does not stand still; who sends a byte now and then does', async (t) => {
  const { clock, budget, open, log } = bench();
  const [slow, trickle] = [open('slow'), open('trickle')];
  slow.set(400_000);
  trickle.set(390_000);
  for (let second = 0; second < 12; second += 1) {
    slow.moved(1000); // in ten seconds more than a sixty-fourth
    trickle.moved(100);
    await clock.advance(1000);
  }
  budget.look();
  t.strictSame(log(), ['trickle 390000', 'eased']);
});

t.test('beyond the limit the greediest are closed even if they move', async (t) => {
  const { clock, budget, open, log } = bench();
  const accounts = [400_000, 350_000, 300_000].map((bytes) => {
    const account = open(`moving ${bytes}`);
    account.set(bytes);
    return account;
  });
  await clock.settle();
  t.strictSame(log(), ['moving 400000 400000'], 'at once, and without waiting for a look');
  t.equal(budget.isFull, false, 'publishers have not waited');
  t.equal(accounts[1]!.own, 350_000);
});

t.test('while it is tight whoever holds much input waits, replies are cut short, and caches give way', async (t) => {
  const { budget, open, log } = bench({ ...LIMITS, memoryBytes: 10_000_000 });
  let cache = 3_000_000;
  budget.gauge('cache', () => cache, () => (cache = 100_000));
  const account = open('a');
  account.set(4_000_000);
  budget.look();
  t.strictSame([budget.isTight, cache], [false, 3_000_000]);
  t.equal(budget.mayGrow(account, 8_000_000), true);
  account.set(6_500_000);
  budget.look();
  t.equal(cache, 100_000);
  t.equal(budget.isTight, true);
  t.equal(budget.replyBytes(8_000_000), Math.floor((10_000_000 - budget.bytes) / 8));
  budget.promise(2_000_000);
  t.equal(
    budget.replyBytes(8_000_000), Math.floor((8_000_000 - budget.bytes) / 8),
    'what is being read for others is not free',
  );
  budget.promise(-2_000_000);
  account.set(9_800_000);
  t.equal(budget.replyBytes(8_000_000), 65_536, 'some is always read');
  account.set(0);
  budget.look();
  t.strictSame(log(), ['eased']);
  t.equal(budget.replyBytes(500_000), 500_000);
});

t.test('while it is tight those with much input take turns to be read from, and do not move by that', async (t) => {
  const { clock, budget, open, log } = bench();
  const ballast = open('ballast');
  ballast.set(760_000);
  const [a, b, c] = [open('a'), open('b'), open('c')];
  const ask = (bytes = 65_537) => [a, b, c].map((account) => budget.mayGrow(account, bytes));
  t.strictSame(ask(), [true, true, true], 'nobody has looked');
  budget.look();
  t.strictSame(ask(65_536), [true, true, true], 'little is always taken');
  t.strictSame(ask(), [true, false, false], 'the first that asked');
  t.strictSame(ask(), [true, false, false]);
  budget.look();
  await clock.settle();
  t.strictSame(log(), ['b grows']);
  t.strictSame(ask(), [false, true, false]);
  t.equal(budget.mayGrow(b, 100), true, 'its command has come to its end');
  await clock.settle();
  t.strictSame(log(), ['c grows']);
  t.strictSame(ask(), [false, false, true]);
  c.close();
  await clock.settle();
  t.strictSame(log(), ['a grows']);
  t.strictSame(ask(), [true, false, false]);
  a.set(5000);
  for (let second = 0; second < 10; second += 1) {
    a.moved(65_536);
    await clock.advance(1000);
    if (second < 5) ballast.moved(100_000);
  }
  budget.look();
  ballast.close();
  t.strictSame(log().filter((line) => line.startsWith('a ')), ['a 5000'], 'it stands still');
  budget.look();
  t.strictSame([log().includes('eased'), ...ask()], [true, true, true, true]);
});

t.test('no link is closed for what clients hold, nor a client that holds next to nothing', async (t) => {
  const { clock, budget, open, log } = bench();
  const link = open('link', 'link');
  link.set(450_000);
  const clients = Array.from({ length: 300 }, (_, index) => open(`client ${index}`));
  for (const client of clients) client.set(3000);
  await clock.advance(20_000);
  budget.look();
  t.strictSame(log(), []);
  t.equal(budget.isFull, true, 'so publishers wait');
  link.set(800_000);
  budget.look();
  t.strictSame(log(), ['link 800000'], 'links that hold more than half of it are closed, too');
});

t.test('mebibytes', async (t) => {
  t.strictSame([mebibytes(15 * 1024 * 1024 + 1), mebibytes(70_000)], ['15 MiB', '68 KiB']);
});

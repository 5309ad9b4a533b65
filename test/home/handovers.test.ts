import t from 'tap';
import { DEFAULT_LIMITS } from '../../brokers/config.ts';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import { Handovers } from '../../brokers/home/handovers.ts';
import { ManualClock } from '../support/manual-clock.ts';

const [self, a, b] = ['self:1', 'a:1', 'b:1'].map(parseAddress) as [Address, Address, Address];
const LIMITS = { ...DEFAULT_LIMITS, seekMs: 100, homeTimeoutMs: 1000 };
const ONE = { subscription: 'one', leases: '[1]' };

function make() {
  const clock = new ManualClock();
  const [sent, back, lines]: [string[], unknown[], unknown[]] = [[], [], []];
  const say = (event: string, fields: unknown): void => void lines.push([event, fields]);
  const state: { next: Address | undefined } = { next: a };
  const handovers = new Handovers({
    self, limits: LIMITS, clock, logger: { debug: say, info: say, warn: say, error: say },
    nextHome: () => state.next,
    send: (to, id, { subscription }) => void sent.push(`${subscription} ${id} ${to}`),
    takeOver: (handover) => void back.push(handover),
  });
  const run = async (ms: number): Promise<string[]> => {
    for (const end = clock.now() + ms; clock.now() < end; handovers.look()) await clock.advance(10);
    return sent.splice(0);
  };
  return { handovers, state, sent, back, lines, run };
}

t.test('leases are sent again, with pauses that double, until they are taken', async (t) => {
  const { handovers, sent, run } = make();
  handovers.add([ONE]);
  t.strictSame(sent.splice(0), ['one 1 a:1'], 'at once');
  t.strictSame(await run(90), []);
  t.strictSame(await run(20), ['one 1 a:1']);
  t.strictSame(await run(180), []);
  t.strictSame(await run(20), ['one 1 a:1']);
  t.equal(handovers.isEmpty, false);
  handovers.taken(1, a);
  t.equal(handovers.isEmpty, true);
  t.strictSame(await run(1000), []);
});

t.test('if homes change meanwhile, they go to whom they belong now, at once, and that may be this broker', async (t) => {
  const { handovers, state, sent, back, run } = make();
  handovers.add([ONE]);
  sent.splice(0);
  state.next = b;
  t.strictSame(await run(10), ['one 1 b:1']);
  state.next = self;
  t.strictSame(await run(1000), []);
  t.strictSame(back, [ONE]);
  t.equal(handovers.isEmpty, true);
});

t.test('after a while they are given up, which is said once for all; if nobody is there for them, it is not', async (t) => {
  const { handovers, state, lines, run } = make();
  handovers.add([ONE, { ...ONE, subscription: 'two' }]);
  t.equal((await run(1000)).length, 8, 'each four times');
  t.equal(handovers.isEmpty, true);
  t.match(lines, [['next homes did not take leases, which end with this', { subscriptions: 2 }]]);
  state.next = undefined;
  handovers.add([ONE]);
  t.equal(handovers.isEmpty, true);
  t.equal(lines.length, 1);
});

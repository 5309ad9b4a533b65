import t from 'tap';
import { type Address, compareAddresses, parseAddress } from '../../../brokers/core/address.ts';
import { Bully, type BullyEffect, type BullyMessage } from '../../../brokers/core/mesh/bully.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

const OPTIONS = { okTimeoutMs: 500, coordinatorTimeoutMs: 1500, graceMs: 400, takeoverAfterMs: 3000 };
const [a, b, c, d, e] = ['10.0.0.9:1', '10.0.0.10:1', '10.0.0.11:1', '10.0.0.12:1', '10.0.0.13:1'].map(
  parseAddress,
) as [Address, Address, Address, Address, Address];
const NAMES = new Map([[a, 'a'], [b, 'b'], [c, 'c'], [d, 'd'], [e, 'e']]);

/** Effects as text: `persist 3`, `a! ELECTION 2` (sent to a), `started 2`, `chosen c 3`. */
function text(effects: readonly BullyEffect[]): string[] {
  return effects.map((effect) => {
    switch (effect.type) {
      case 'persist':
      case 'started':
        return `${effect.type} ${effect.term}`;
      case 'chosen':
        return `chosen ${NAMES.get(effect.coordinator)} ${effect.term}`;
      case 'send': {
        const { message } = effect;
        return `${NAMES.get(effect.to)}! ${message.type} ${message.term}${message.type === 'COORDINATOR' ? ` ${NAMES.get(message.address)}` : ''}`;
      }
    }
  });
}

const election = (term: number): BullyMessage => ({ type: 'ELECTION', term });
const ok = (term: number): BullyMessage => ({ type: 'OK', term });
const coordinator = (address: Address, term: number): BullyMessage => ({ type: 'COORDINATOR', address, term });

/** A broker that has been up for long, with links to these peers, its first effects taken. */
function bully(self: Address, term: number, ...peers: readonly Address[]): Bully {
  return started(self, term, -OPTIONS.takeoverAfterMs, ...peers);
}

/** The same, up since a time. */
function started(self: Address, term: number, upSince: number, ...peers: readonly Address[]): Bully {
  const core = new Bully(self, term, OPTIONS, upSince);
  for (const peer of peers) core.linkUp(peer);
  return core;
}

/** A broker that accepted a coordinator from itself. */
function following(self: Address, leader: Address, term: number, ...peers: readonly Address[]): Bully {
  const core = bully(self, 0, leader, ...peers);
  core.receive(leader, coordinator(leader, term), 0);
  return core;
}

t.test('Garcia-Molina III: a node that starts asks everybody above itself, and nobody else', async (t) => {
  const core = bully(b, 4, a, c, d);
  t.strictSame(text(core.start(0)), ['started 4', 'c! ELECTION 4', 'd! ELECTION 4']);
  t.strictSame(text(core.start(1)), [], 'one election at a time');
});

t.test('Garcia-Molina III: with nobody above, a node is coordinator, and tells everybody', async (t) => {
  const core = bully(c, 4, a, b);
  t.strictSame(text(core.start(0)), [
    'started 4', 'persist 5', 'chosen c 5', 'a! COORDINATOR 5 c', 'b! COORDINATOR 5 c',
  ]);
  t.equal(core.coordinator, c);
  t.equal(core.term, 5);
  t.strictSame(text(bully(c, 0).start(0)), ['started 0', 'persist 1', 'chosen c 1'], 'alone too');
});

t.test('Garcia-Molina III: where nobody above answers in time, a node is coordinator', async (t) => {
  const core = bully(a, 0, b, c);
  core.start(1000);
  t.strictSame(text(core.tick(1000 + OPTIONS.okTimeoutMs - 1)), []);
  t.strictSame(text(core.tick(1000 + OPTIONS.okTimeoutMs)), [
    'persist 1', 'chosen a 1', 'b! COORDINATOR 1 a', 'c! COORDINATOR 1 a',
  ]);
  t.strictSame(text(core.tick(1_000_000)), []);
});

t.test('Garcia-Molina III: who is above answers, and elects by itself', async (t) => {
  const core = bully(b, 0, a, c);
  t.strictSame(text(core.receive(a, election(0), 0)), ['a! OK 0', 'started 0', 'c! ELECTION 0']);
  t.strictSame(text(core.receive(a, election(0), 1)), ['a! OK 0'], 'one election at a time');
  t.strictSame(text(bully(b, 0, c).receive(c, election(0), 0)), [], 'who is below has nothing to say');
});

t.test('Garcia-Molina III: after an answer a node waits for the coordinator, and elects again if none comes', async (t) => {
  const core = bully(a, 0, b);
  core.start(0);
  core.receive(b, ok(0), 100);
  t.strictSame(text(core.tick(100 + OPTIONS.coordinatorTimeoutMs - 1)), [], 'it does not win over who is alive');
  t.strictSame(text(core.receive(b, ok(0), 500)), []);
  t.strictSame(
    text(core.tick(100 + OPTIONS.coordinatorTimeoutMs)), ['started 0', 'b! ELECTION 0'], 'from the first answer on',
  );
  core.linkDown(b, false, 1700);
  t.strictSame(text(core.tick(10_000)), ['persist 1', 'chosen a 1']);
});

t.test('Garcia-Molina III: a coordinator that fails is replaced, after its grace', async (t) => {
  const core = following(a, c, 3, b);
  t.strictSame(text(core.linkDown(c, false, 1000)), []);
  t.equal(core.coordinator, c, 'it may come back');
  t.strictSame(text(core.tick(1000 + OPTIONS.graceMs - 1)), []);
  t.strictSame(text(core.tick(1000 + OPTIONS.graceMs)), ['started 3', 'b! ELECTION 3']);
  t.equal(core.coordinator, undefined);
});

t.test('Garcia-Molina III: a node that comes up above the coordinator bullies it', async (t) => {
  const up = bully(c, 0);
  t.strictSame(text(up.linkUp(a)), []);
  t.strictSame(text(up.receive(a, coordinator(b, 7), 0)), [
    'persist 7', 'started 7', 'persist 8', 'chosen c 8', 'a! COORDINATOR 8 c',
  ]);
  const old = bully(b, 6, a, c);
  old.receive(a, coordinator(b, 7), 0);
  t.strictSame(
    text(old.receive(c, coordinator(c, 8), 0)), ['persist 8', 'chosen c 8', 'a! COORDINATOR 8 c'],
    'which gives way and passes it on',
  );
});

t.test('a broker that starts above a live coordinator follows it, and bullies it only once it has been up for takeoverAfterMs', async (t) => {
  const core = started(c, 0, 1000, a, b);
  t.strictSame(text(core.receive(b, coordinator(b, 7), 1100)), ['persist 7', 'chosen b 7', 'a! COORDINATOR 7 b']);
  t.strictSame(text(core.start(1200)), []);
  t.strictSame(
    text(core.receive(a, election(7), 1300)), ['a! OK 7', 'a! COORDINATOR 7 b'],
    'who asks it is told of the one that there is',
  );
  t.strictSame(text(core.tick(1000 + OPTIONS.takeoverAfterMs - 1)), []);
  t.strictSame(text(core.tick(1000 + OPTIONS.takeoverAfterMs)), [
    'started 7', 'persist 8', 'chosen c 8', 'a! COORDINATOR 8 c', 'b! COORDINATOR 8 c',
  ]);
  t.strictSame(text(core.tick(100_000)), []);
  t.strictSame(
    text(core.receive(a, coordinator(b, 9), 100_000)).slice(0, 2), ['persist 9', 'started 9'],
    'and from then on at once',
  );
});

t.test('a broker that starts below nobody listens before its first election, for those below may know a coordinator', async (t) => {
  const alone = started(c, 4, 0, a, b);
  t.strictSame(text(alone.start(100)), []);
  t.strictSame(text(alone.receive(a, election(4), 200)), ['a! OK 4'], 'nor does it elect because it is asked');
  t.strictSame(text(alone.tick(100 + OPTIONS.okTimeoutMs - 1)), []);
  t.strictSame(text(alone.tick(100 + OPTIONS.okTimeoutMs)), [
    'started 4', 'persist 5', 'chosen c 5', 'a! COORDINATOR 5 c', 'b! COORDINATOR 5 c',
  ]);
  const asked = started(c, 4, 0, a, b);
  t.strictSame(text(asked.receive(a, election(4), 100)), ['a! OK 4'], 'it may be asked before it would ask');
  t.strictSame(
    text(asked.receive(b, coordinator(b, 4), 300)), ['chosen b 4', 'a! COORDINATOR 4 b'],
    'one that it hears of meanwhile it follows',
  );
  t.strictSame(text(started(c, 4, 0).start(100)).slice(0, 1), ['started 4'], 'nobody to listen to');
  t.strictSame(text(started(b, 4, 0, a, c).start(100)), ['started 4', 'c! ELECTION 4'], 'whoever is above knows');
});

t.test('a broker that has just started elects at once where the coordinator is lost, or its own', async (t) => {
  const core = started(c, 0, 0, a, b);
  core.receive(b, coordinator(b, 7), 100);
  t.strictSame(text(core.linkDown(b, true, 200)), ['started 7', 'persist 8', 'chosen c 8', 'a! COORDINATOR 8 c']);
  t.strictSame(
    text(core.receive(a, coordinator(b, 8), 300)), ['a! COORDINATOR 8 c'],
    'it gives way to nobody below in its own term',
  );
  t.strictSame(
    text(core.receive(a, coordinator(b, 9), 400)), ['persist 9', 'chosen b 9'],
    'but to one whom the others chose since',
  );
});

t.test('a lower term changes nothing, and is answered with the higher one', async (t) => {
  const core = following(a, c, 5, b, d);
  t.strictSame(text(core.receive(d, coordinator(d, 4), 0)), ['d! COORDINATOR 5 c'], 'though d is above c');
  t.strictSame([core.coordinator, core.term], [c, 5]);
  const electing = bully(a, 5, b);
  electing.start(0);
  t.strictSame(text(electing.receive(b, coordinator(b, 4), 0)), [], 'nor during an election');
  t.equal(electing.coordinator, undefined);
});

t.test('an announcement or an election of an old term changes nothing, in whatever phase it comes', async (t) => {
  const phases: [string, () => Bully][] = [
    ['following', () => following(b, d, 5, a, c, e)],
    ['leading', () => {
      const core = bully(e, 4, a, b, c, d);
      core.start(0);
      return core;
    }],
    ['listening', () => {
      const core = started(e, 5, 0, a, b, c, d);
      core.start(0);
      return core;
    }],
    ['asking', () => {
      const core = bully(b, 5, a, c, d, e);
      core.start(0);
      return core;
    }],
    ['yielding', () => {
      const core = bully(b, 5, a, c, d, e);
      core.start(0);
      core.receive(d, ok(5), 0);
      return core;
    }],
    ['in grace', () => {
      const core = following(b, d, 5, a, c, e);
      core.linkDown(d, false, 0);
      return core;
    }],
    ['new, below itself', () => {
      const core = started(e, 5, 0, a, b, c, d);
      core.receive(c, coordinator(c, 5), 0);
      return core;
    }],
  ];
  for (const [phase, make] of phases) {
    for (const term of [0, 1, 4]) {
      const [core, twin] = [make(), make()];
      const state = [core.coordinator, core.term];
      for (const from of [a, b, c, d, e]) {
        for (const named of [a, b, c, d, e]) {
          const answers = text(core.receive(from, coordinator(named, term), 10));
          t.ok(answers.every((answer) => answer.includes('COORDINATOR 5')), `${phase}: ${answers.join()}`);
        }
        if (phase === 'in grace') continue; // who asks has lost it too
        const answers = text(core.receive(from, election(term), 10));
        t.ok(answers.every((answer) => / (OK|COORDINATOR) 5/.test(answer)), `${phase}: ${answers.join()}`);
      }
      t.strictSame([core.coordinator, core.term], state, phase);
      for (const now of [399, 400, 500, 1500, 3000, 10_000]) {
        t.strictSame(text(core.tick(now)), text(twin.tick(now)), `${phase}: nor what comes next, at ${now}`);
      }
    }
  }
});

t.test('of two with equal terms the higher address is coordinator', async (t) => {
  const core = following(a, c, 5, b, d);
  t.strictSame(text(core.receive(b, coordinator(b, 5), 0)), ['b! COORDINATOR 5 c']);
  t.strictSame(text(core.receive(d, coordinator(d, 5), 0)), ['chosen d 5', 'c! COORDINATOR 5 d', 'b! COORDINATOR 5 d']);
  t.strictSame(text(core.receive(b, coordinator(d, 5), 0)), [], 'heard again');
});

t.test('an announcement is passed on to everybody but whom it came from and whom it names', async (t) => {
  const core = bully(a, 0, b, c, d);
  t.strictSame(text(core.receive(b, coordinator(d, 2), 0)), ['persist 2', 'chosen d 2', 'c! COORDINATOR 2 d']);
  t.strictSame(text(core.linkUp(e)), ['e! COORDINATOR 2 d'], 'and to whoever comes later');
});

t.test('a coordinator that says BYE is replaced at once', async (t) => {
  const core = following(a, c, 3, b);
  t.strictSame(text(core.linkDown(c, true, 1000)), ['started 3', 'b! ELECTION 3']);
  t.strictSame(text(following(a, c, 3, b).linkDown(b, true, 1000)), [], 'others may go as they like');
});

t.test('a coordinator that comes back in its grace stays', async (t) => {
  const core = following(a, c, 3);
  core.linkDown(c, false, 1000);
  core.linkUp(c);
  t.strictSame(text(core.tick(100_000)), []);
  t.equal(core.coordinator, c);
});

t.test('who knows a live coordinator says so in place of an election', async (t) => {
  const core = following(b, c, 3, a);
  t.strictSame(text(core.receive(a, election(2), 0)), ['a! OK 3', 'a! COORDINATOR 3 c']);
  core.linkDown(c, false, 0);
  t.strictSame(
    text(core.receive(a, election(3), 0)), ['a! OK 3', 'started 3', 'persist 4', 'chosen b 4', 'a! COORDINATOR 4 b'],
    'but not of one that is lost',
  );
});

t.test('who is asked by somebody of a higher term does not answer with its old one', async (t) => {
  const leader = bully(c, 0, b);
  leader.start(0);
  t.strictSame(text(leader.receive(b, election(7), 0)), [
    'persist 7', 'b! OK 7', 'started 7', 'persist 8', 'chosen c 8', 'b! COORDINATOR 8 c',
  ]);
});

t.test('a coordinator known by hearsay is lost with who told of it', async (t) => {
  const core = bully(a, 0, b);
  core.receive(b, coordinator(d, 2), 0);
  t.strictSame(text(core.linkDown(b, false, 1000)), []);
  t.strictSame(text(core.linkUp(c)), [], 'who doubts does not tell others');
  t.strictSame(text(core.tick(1000 + OPTIONS.graceMs)), ['started 2', 'c! ELECTION 2']);
  const linked = bully(a, 0, b);
  linked.receive(b, coordinator(d, 2), 0);
  linked.linkUp(d);
  linked.linkDown(b, false, 1000);
  t.strictSame(text(linked.tick(100_000)), [], 'unless it is linked itself by now');
  t.equal(linked.coordinator, d);
});

t.test('a coordinator to which there is a link is seen to go, whoever told of it first', async (t) => {
  const core = bully(a, 0, b, d);
  core.receive(b, coordinator(d, 2), 0);
  t.strictSame(text(core.linkDown(b, true, 1000)), []);
  t.strictSame(text(core.linkDown(d, true, 1000)), ['started 2', 'persist 3', 'chosen a 3']);
});

t.test('a coordinator that was lost is not believed in again because of who heard of it from us', async (t) => {
  const core = following(b, d, 4, a, c);
  core.linkDown(d, true, 0);
  core.linkUp(d);
  core.linkDown(d, true, 0);
  t.strictSame(text(core.receive(a, coordinator(d, 4), 0)), [], 'a has it from us');
  t.equal(core.coordinator, undefined);
  core.receive(c, ok(4), 0);
  t.strictSame(
    text(core.receive(c, coordinator(d, 4), 0)), ['chosen d 4', 'a! COORDINATOR 4 d'],
    'c answered because it has a link with it',
  );
});

t.test('one\'s own announcement of an earlier life is answered by an election', async (t) => {
  const core = bully(c, 0, a, b);
  t.strictSame(text(core.receive(a, coordinator(c, 9), 0)), ['persist 9'], 'by the first one, which is to come');
  t.strictSame(text(core.start(0)), [
    'started 9', 'persist 10', 'chosen c 10', 'a! COORDINATOR 10 c', 'b! COORDINATOR 10 c',
  ]);
  t.strictSame(
    text(core.receive(b, coordinator(c, 12), 0)).slice(0, 4), ['persist 12', 'started 12', 'persist 13', 'chosen c 13'],
    'or by another one',
  );
  const below = following(b, c, 3, a);
  t.strictSame(
    text(below.receive(a, coordinator(b, 9), 0)), ['persist 9', 'started 9', 'c! ELECTION 9'],
    'also where another one has been found',
  );
});

// A network of cores

class Net {
  readonly addresses: readonly Address[];
  readonly cores = new Map<Address, Bully>();
  readonly ways = new Map<string, BullyMessage[]>(); // a FIFO for each direction of a link that is up
  readonly terms = new Map<Address, number>(); // what is on disk
  readonly upSince = new Map<Address, number>();
  readonly wrong: string[] = [];
  now = 0;
  sent = 0;

  constructor(addresses: readonly Address[]) {
    this.addresses = addresses;
    for (const address of addresses) this.restart(address);
  }

  restart(address: Address): void {
    for (const other of this.addresses) this.down(address, other, false);
    this.cores.set(address, new Bully(address, this.terms.get(address) ?? 0, OPTIONS, this.now));
    this.upSince.set(address, this.now);
  }

  isUp(x: Address, y: Address): boolean {
    return this.ways.has(`${x} ${y}`);
  }

  up(x: Address, y: Address): void {
    if (x === y || this.isUp(x, y)) return;
    this.ways.set(`${x} ${y}`, []);
    this.ways.set(`${y} ${x}`, []);
    this.perform(x, this.cores.get(x)!.linkUp(y));
    this.perform(y, this.cores.get(y)!.linkUp(x));
  }

  down(x: Address, y: Address, leaving: boolean): void {
    if (!this.isUp(x, y)) return;
    this.ways.delete(`${x} ${y}`);
    this.ways.delete(`${y} ${x}`);
    this.perform(x, this.cores.get(x)!.linkDown(y, leaving, this.now));
    this.perform(y, this.cores.get(y)!.linkDown(x, leaving, this.now));
  }

  start(x: Address): void {
    this.perform(x, this.cores.get(x)!.start(this.now));
  }

  tick(ms: number): void {
    this.now += ms;
    for (const [address, core] of this.cores) this.perform(address, core.tick(this.now));
  }

  waiting(): string[] {
    return [...this.ways].filter(([, queue]) => queue.length > 0).map(([way]) => way);
  }

  deliver(way: string): void {
    const message = this.ways.get(way)!.shift()!;
    const [from, to] = way.split(' ') as [Address, Address];
    this.perform(to, this.cores.get(to)!.receive(from, message, this.now));
  }

  deliverAll(): void {
    while (this.waiting().length > 0) this.deliver(this.waiting()[0]!);
  }

  /** Lets everything arrive and time pass until nothing can change any more. */
  quiet(): void {
    for (let step = 0; step < 100; step += 1) {
      for (let most = 0; this.waiting().length > 0; most += 1) {
        if (most > 10_000) return void this.wrong.push('messages without end');
        this.deliver(this.waiting()[0]!);
      }
      this.tick(100);
    }
  }

  components(): Address[][] {
    const left = new Set(this.addresses);
    const found: Address[][] = [];
    while (left.size > 0) {
      const component = [left.values().next().value!];
      left.delete(component[0]!);
      for (const member of component) {
        for (const other of left) {
          if (!this.isUp(member, other)) continue;
          left.delete(other);
          component.push(other);
        }
      }
      found.push(component);
    }
    return found;
  }

  /** What contradicts invariant 10, a line each. */
  disagreements(): string[] {
    return this.components().flatMap((component) => {
      const highest = [...component].sort(compareAddresses).at(-1)!;
      const views = component.map(
        (member) => `${this.cores.get(member)!.coordinator} in term ${this.cores.get(member)!.term}`,
      );
      const right = `${highest} in term ${this.cores.get(highest)!.term}`;
      return views.every((view) => view === right) ? [] : [`${component.join(', ')}: ${views.join(', ')}`];
    });
  }

  private perform(self: Address, effects: readonly BullyEffect[]): void {
    const core = this.cores.get(self)!;
    for (const effect of effects) {
      if (effect.type === 'persist') {
        if (effect.term <= (this.terms.get(self) ?? 0)) this.wrong.push(`${self}: term falls to ${effect.term}`);
        this.terms.set(self, effect.term);
      } else if (effect.type === 'send') {
        if (effect.message.term > (this.terms.get(self) ?? 0)) {
          this.wrong.push(`${self}: term ${effect.message.term} is sent before it is on disk`);
        }
        this.sent += 1;
        this.ways.get(`${self} ${effect.to}`)?.push(effect.message);
      }
    }
    const isNew = this.now < this.upSince.get(self)! + OPTIONS.takeoverAfterMs;
    if (!isNew && core.coordinator !== undefined && compareAddresses(core.coordinator, self) < 0) {
      this.wrong.push(`${self} follows ${core.coordinator}`);
    }
  }
}

t.test('a crash loop of the highest broker changes no coordinator, as long as it never stays up', async (t) => {
  const net = new Net([a, b, c]);
  net.up(a, b);
  net.start(a);
  net.start(b);
  net.tick(OPTIONS.takeoverAfterMs);
  net.quiet();
  t.equal(net.cores.get(a)!.coordinator, b);
  const { term } = net.cores.get(a)!;
  for (let crash = 0; crash < 50; crash += 1) {
    net.restart(c);
    net.up(c, crash % 2 === 0 ? a : b);
    if (crash % 3 === 0) net.start(c); // before it has heard of anybody
    net.deliverAll();
    net.up(c, crash % 2 === 0 ? b : a);
    net.start(c);
    for (let up = 0; up < OPTIONS.takeoverAfterMs - 100; up += 100) {
      net.deliverAll();
      net.tick(100);
    }
    for (const address of net.addresses) t.equal(net.cores.get(address)!.coordinator, b, `${crash}: ${address}`);
  }
  t.equal(net.cores.get(a)!.term, term);
  net.quiet();
  t.strictSame(net.disagreements(), [], 'once it stays, it leads');
  t.equal(net.cores.get(a)!.coordinator, c);
  t.strictSame(net.wrong, []);
});

t.test('who may not take over yet leaves it to one below that may', async (t) => {
  const net = new Net([a, b, c]);
  for (const address of [a, b]) net.cores.set(address, bully(address, 0)); // up for long
  net.start(a);
  net.up(a, c);
  net.deliverAll();
  net.up(b, c);
  net.deliverAll();
  net.tick(OPTIONS.okTimeoutMs);
  net.deliverAll();
  t.strictSame(
    [a, b, c].map((address) => net.cores.get(address)!.coordinator), [b, b, b],
    'a was it, b took over, c has just come',
  );
  net.quiet();
  t.strictSame(net.disagreements(), []);
  t.strictSame(net.wrong, []);
});

t.test('two partitions heal to one coordinator, whichever has the higher term', async (t) => {
  for (const [left, right] of [[5, 1], [1, 5], [3, 3]] as const) {
    const net = new Net([a, b, c, d]);
    net.up(a, b);
    net.up(c, d);
    for (let round = 0; round < left; round += 1) {
      net.restart(b);
      net.up(a, b);
      net.start(b);
      net.quiet();
    }
    for (let round = 0; round < right; round += 1) {
      net.restart(d);
      net.up(c, d);
      net.start(d);
      net.quiet();
    }
    t.strictSame(net.disagreements(), []);
    net.up(a, c); // one link between the halves
    net.quiet();
    t.strictSame(net.disagreements(), [], `terms ${left} and ${right}`);
    t.strictSame(net.wrong, []);
  }
});

for (const shape of ['full mesh', 'whatever is linked'] as const) {
  t.test(`random faults, then quiet: one coordinator a component, ${shape} (seed ${SEED})`, async (t) => {
    const random = new SeededRandom();
    const addresses = [a, b, c, d, e, parseAddress('10.0.0.10:2')];
    let [sent, components] = [0, 0];
    for (let round = 0; round < 300; round += 1) {
      const net = new Net(addresses);
      for (let step = 0; step < 300; step += 1) {
        const [x, y] = [random.pick(addresses), random.pick(addresses)];
        const action = random.integer(0, 99);
        if (action < 50 && net.waiting().length > 0) net.deliver(random.pick(net.waiting()));
        else if (action < 65) net.tick(random.integer(1, 300));
        else if (action < 80) net.up(x, y);
        else if (action < 92) net.down(x, y, random.integer(0, 4) === 0);
        else if (action < 95) net.start(x);
        else if (action === 95) net.restart(x);
      }
      const group = new Map(addresses.map((address) => [address, random.integer(0, 2)]));
      for (const x of addresses) {
        for (const y of addresses) {
          if (shape === 'whatever is linked') continue;
          if (group.get(x) === group.get(y)) net.up(x, y);
          else net.down(x, y, false);
        }
      }
      for (const x of addresses) net.start(x);
      net.quiet();
      const disagreements = net.disagreements();
      if (disagreements.length > 0 || net.wrong.length > 0) {
        t.fail(`round ${round}: ${[...disagreements, ...net.wrong.slice(0, 3)].join('; ')}`);
        break;
      }
      sent += net.sent;
      components += net.components().length;
    }
    t.ok(sent > 10_000 && components > 350, `${sent} messages, ${components} components`);
  });
}

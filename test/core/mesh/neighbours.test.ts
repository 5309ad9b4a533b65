import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { Neighbours } from '../../../brokers/core/mesh/neighbours.ts';
import { SEED, SeededRandom } from '../../support/random.ts';

interface Member {
  readonly address: Address;
  linked: boolean;
  dialling: boolean;
  refused: boolean;
  fullUntil: number;
}

const addresses = (count: number): Address[] =>
  Array.from({ length: count }, (_, index) => parseAddress(`10.0.${index >> 8}.${index & 255}:3000`));

/** One broker's view: its neighbours, and the members it chooses among. */
function view(
  self: Address, others: readonly Address[], fanout: number,
): { readonly neighbours: Neighbours<Member>; readonly members: Map<Address, Member> } {
  const neighbours = new Neighbours<Member>(self, fanout);
  const members = new Map<Address, Member>();
  for (const address of others) {
    if (address === self) continue;
    const member = { address, linked: false, dialling: false, refused: false, fullUntil: -Infinity };
    members.set(address, member);
    neighbours.add(member);
  }
  return { neighbours, members };
}

/** Brokers that dial whom they want, where some are dead and some cannot reach each other. */
class Bench {
  readonly views: Map<Address, ReturnType<typeof view>>;
  readonly dead = new Set<Address>();
  readonly side = new Map<Address, number>(); // of a partition
  readonly fanout: number;
  now = 0;
  changes = 0; // links made or dropped

  constructor(count: number, fanout: number) {
    this.fanout = fanout;
    this.views = new Map(addresses(count).map((self, _, all) => [self, view(self, all, fanout)]));
  }

  get living(): Address[] {
    return [...this.views.keys()].filter((address) => !this.dead.has(address));
  }

  links(address: Address): Address[] {
    return [...this.views.get(address)!.members.values()]
      .filter(({ linked }) => linked)
      .map((member) => member.address);
  }

  reaches(a: Address, b: Address): boolean {
    return !this.dead.has(a) && !this.dead.has(b) && (this.side.get(a) ?? 0) === (this.side.get(b) ?? 0);
  }

  set(a: Address, b: Address, linked: boolean): void {
    for (const [x, y] of [[a, b], [b, a]] as const) {
      const member = this.views.get(x)!.members.get(y)!;
      if (member.linked !== linked) this.changes += 1;
      Object.assign(member, { linked, dialling: false, refused: linked ? false : member.refused });
    }
  }

  /** Everybody dials whom it wants; all dials are answered at once; surplus links go. */
  round(random: SeededRandom): void {
    this.now += 1000;
    for (const a of this.living) for (const b of this.links(a)) if (!this.reaches(a, b)) this.set(a, b, false);
    const dials = this.living.flatMap((a) =>
      this.views
        .get(a)!
        .neighbours.wanted(this.now)
        .map(({ address }) => [a, address] as const),
    );
    for (const [a, b] of dials) {
      if (this.reaches(a, b)) this.set(a, b, true);
      else this.views.get(a)!.members.get(b)!.refused = true;
    }
    for (const a of this.living) {
      const { count, among } = this.views.get(a)!.neighbours.surplus();
      const left = [...among];
      for (let asked = 0; asked < count && left.length > 0; asked += 1) {
        const [{ address: b }] = left.splice(random.integer(0, left.length - 1), 1) as [Member];
        if (this.views.get(b)!.neighbours.isNext(a)) continue;
        this.views.get(b)!.members.get(a)!.fullUntil = this.now + 60_000;
        this.set(a, b, false);
      }
    }
  }

  components(): number {
    const left = new Set(this.living);
    let count = 0;
    for (const first of left) {
      count += 1;
      const queue = [first];
      left.delete(first);
      for (const address of queue) for (const other of this.links(address)) if (left.delete(other)) queue.push(other);
    }
    return count;
  }
}

t.test('a broker dials its successor on the ring first, and one other at a time, until it has as many links as it wants', async (t) => {
  const all = addresses(20);
  const { neighbours, members } = view(all[0]!, all, 4);
  const order: Address[] = [];
  for (let round = 0; round < 10; round += 1) {
    const wanted = neighbours.wanted(0);
    t.ok(wanted.length <= (round === 0 ? 2 : 1), `round ${round}: ${wanted.length}`);
    for (const member of wanted) {
      member.linked = true;
      order.push(member.address);
    }
  }
  t.equal(order.length, 4);
  const again = view(all[0]!, [...all].reverse(), 4);
  t.equal(again.neighbours.wanted(0)[0]!.address, order[0], 'in whatever order they became known');
  t.equal([...members.values()].filter(({ linked }) => linked).length, 4);
});

t.test('one that others dialled counts, and one that is being dialled is waited for', async (t) => {
  const all = addresses(20);
  const { neighbours, members } = view(all[0]!, all, 4);
  const [successor, fill] = neighbours.wanted(0) as [Member, Member];
  successor.dialling = fill.dialling = true;
  t.strictSame(neighbours.wanted(0), [successor, fill]);
  successor.linked = true;
  const others = [...members.values()].filter((member) => member !== successor && member !== fill);
  for (const member of others.slice(0, 3)) member.linked = true;
  t.ok(!neighbours.wanted(0).includes(fill), 'there are four');
});

t.test('the walk past those that are not reached doubles, and goes on trying them', async (t) => {
  const all = addresses(1000);
  const { neighbours, members } = view(all[0]!, all, 2);
  const left = [...members.values()][500]!;
  let rounds = 0;
  for (; !left.linked && rounds < 100; rounds += 1) {
    for (const member of neighbours.wanted(0)) if (member !== left) member.refused = true;
    if (neighbours.wanted(0).includes(left)) left.linked = true;
  }
  t.ok(rounds <= 11, `${rounds} rounds to find the only one that lives`);
  const retried = (): Member[] => neighbours.wanted(0).filter(({ refused }) => refused);
  const before = retried();
  t.ok(before.length > 1, `${before.length} before it on the ring may come back`);
  before[1]!.linked = true;
  t.strictSame(retried(), before.slice(0, 1), 'those behind the successor are left alone');
});

t.test('nobody next to us on the ring is asked to hang up, for we would dial it again', async (t) => {
  const all = addresses(20);
  const { neighbours, members } = view(all[0]!, all, 2);
  for (const member of [...members.values()].slice(0, 4)) member.linked = true;
  t.equal(neighbours.surplus().count, 0);
  for (const member of [...members.values()].slice(0, 7)) member.linked = true;
  const { count, among } = neighbours.surplus();
  t.equal(count, 3);
  t.equal(among.length, 5);
  t.notOk(among.some(({ address }) => neighbours.isNext(address)));
});

t.test('who refused is chosen for nothing but the ring, until it is heard of; who has links enough not for a while', async (t) => {
  const all = addresses(20);
  const { neighbours } = view(all[0]!, all, 4);
  const [successor, fill] = neighbours.wanted(0) as [Member, Member];
  successor.linked = true;
  fill.refused = true;
  const [second] = neighbours.wanted(0) as [Member];
  t.not(second, fill);
  second.fullUntil = 1000;
  t.ok(!neighbours.wanted(999).includes(second));
  t.ok(neighbours.wanted(1000).includes(second));
  fill.refused = false;
  t.strictSame(neighbours.wanted(1000), [fill]);
});

for (const [count, fanout] of [[3, 2], [8, 2], [40, 3], [200, 6]] as const) {
  t.test(`${count} brokers, fan-out ${fanout}: those that live and reach each other are connected, with few links, and nothing flaps (seed ${SEED})`, async (t) => {
    const random = new SeededRandom();
    const bench = new Bench(count, fanout);
    const rounds = (number: number): void => {
      for (let round = 0; round < number; round += 1) bench.round(random);
    };
    const check = (what: string, components: number): void => {
      const degrees = bench.living.map((address) => bench.links(address).length);
      t.equal(bench.components(), components, what);
      const most = 2 * fanout + 2; // links with neighbours on the ring are never surplus
      t.ok(Math.max(...degrees) <= most, `${what}: ${Math.max(...degrees)} links at most`);
      bench.changes = 0;
      rounds(5);
      t.equal(bench.changes, 0, `${what}: it stands`);
    };
    rounds(40);
    check('all of them', 1);
    for (let death = 0; death < 10; death += 1) {
      for (const address of bench.views.keys()) {
        if (random.integer(0, 2) === 0 && bench.living.length > 1) bench.dead.add(address);
      }
      rounds(40);
      check(`${bench.living.length} live`, 1);
      for (const address of [...bench.dead]) {
        if (random.integer(0, 1) === 0) continue;
        bench.dead.delete(address);
        for (const member of bench.views.get(address)!.members.values()) {
          Object.assign(member, { linked: false, refused: false });
        }
      }
      rounds(40);
      check(`${bench.living.length} live again`, 1);
    }
    bench.dead.clear();
    for (const [index, address] of [...bench.views.keys()].entries()) bench.side.set(address, index % 2);
    rounds(40);
    check('two halves', 2);
    bench.side.clear();
    rounds(1);
    t.equal(bench.components(), 1, 'healed at once');
    rounds(40);
    check('healed', 1);
  });
}

import t from 'tap';
import { type Address, parseAddress } from '../../../brokers/core/address.ts';
import { EMPTY_VECTOR, type Vector } from '../../../brokers/core/log/version-vector.ts';
import { homeOf, type View, Views } from '../../../brokers/core/home/view.ts';
import type { Word } from '../../../brokers/core/home/words.ts';
import { origin } from '../../support/record.ts';

const [a, b, c] = ['a:1', 'b:1', 'c:1'].map(parseAddress) as [Address, Address, Address];
const NAMES = Array.from({ length: 3000 }, (_, index) => `subscription-${index}`);
const INSTALL_MS = 2000;

function view(number: number, members: readonly Address[], coordinator = c, term = 1): View {
  return { coordinator, term, number, members };
}

/** What members say that use a view. */
function word({ coordinator, term, number }: View, members: readonly Address[], stored: Vector): Word {
  return { view: { coordinator, term, number }, members, stored, isFar: false };
}

/** The first name whose homes are these, view by view. */
function nameAt(...homes: [View, Address][]): string {
  return NAMES.find((name) => homes.every(([each, home]) => homeOf(name, each) === home))!;
}

/** Views of `a` that have installed this one. */
function installed(first: View): Views {
  const views = new Views(a, INSTALL_MS);
  views.learn(first);
  views.follow(first.coordinator, 0);
  views.install(EMPTY_VECTOR, () => false, 0);
  return views;
}

t.test('homes are spread evenly, and a member that goes moves its own share only', async (t) => {
  const [all, two] = [view(1, [a, b, c]), view(2, [a, b])];
  for (const member of [a, b, c]) {
    const share = NAMES.filter((name) => homeOf(name, all) === member).length / NAMES.length;
    t.ok(share > 0.3 && share < 0.37, `${member} has ${share}`);
  }
  t.strictSame(NAMES.filter((name) => homeOf(name, all) !== c && homeOf(name, all) !== homeOf(name, two)), []);
  t.equal(homeOf('x', view(3, [])), undefined);
});

t.test('a coordinator numbers its views anew in each term, and proposes what changes only', async (t) => {
  const views = new Views(a, INSTALL_MS);
  t.strictSame(views.propose(1, [c, a]), view(1, [a, c], a), 'in broker order');
  t.equal(views.propose(1, [a, c]), undefined);
  t.strictSame(views.propose(1, [a]), view(2, [a], a));
  t.strictSame(views.propose(3, [a]), view(1, [a], a, 3));
});

t.test('the newest view of the coordinator that is followed is used; an older one that comes late is not', async (t) => {
  const views = new Views(a, INSTALL_MS);
  t.equal(views.follow(c, 0), false, 'there is none yet');
  t.equal(views.learn(view(2, [a, c])), true);
  t.equal(views.learn(view(1, [a])), false);
  t.equal(views.learn(view(2, [a])), false);
  t.equal(views.follow(c, 0), true);
  t.equal(views.follow(c, 0), false);
  t.equal(views.follow(undefined, 0), false, 'an election goes on, and the work too');
  t.equal(views.follow(b, 0), false, 'it has said nothing yet');
  t.equal(views.current?.number, 2);
  t.equal(views.learn(view(1, [a, b], b, 2)), true, 'another coordinator counts by itself');
  t.equal(views.follow(b, 0), true);
  t.strictSame(views.current?.members, [a, b]);
});

t.test('the view of the next coordinator is not forgotten when that of the former one is followed late', async (t) => {
  const views = new Views(a, INSTALL_MS);
  views.learn(view(1, [a, b], b, 2));
  views.learn(view(1, [a, c], c, 3));
  t.equal(views.follow(b, 0), true);
  t.equal(views.follow(c, 0), true);
  t.equal(views.current?.coordinator, c);
});

t.test('a broker serves a subscription that comes to it once the former homes have stopped and what they had stored is here', async (t) => {
  const [first, second] = [view(1, [a, b, c]), view(2, [a, b])];
  const views = installed(first);
  const [stays, comes, other] = [nameAt([first, a], [second, a]), nameAt([first, c], [second, a]), nameAt([second, b])];
  t.equal(views.serves(stays), true);
  t.equal(views.serves(comes), false);
  views.learn(second);
  views.follow(c, 100);
  const at = origin('b:1', 1);
  t.equal(views.home(comes), a);
  t.equal(views.serves(comes), false, 'nobody has stopped yet');
  t.equal(views.serves(stays), true, 'it was here all the time');
  t.equal(views.serves(other), false);
  views.learnSeen(word(view(1, []), [b], new Map([[at, 1]])));
  t.equal(views.install(EMPTY_VECTOR, () => true, 100), false, 'b uses the view before');
  views.learnSeen(word(view(2, []), [b], new Map([[at, 7]])));
  t.equal(views.install(new Map([[at, 6]]), () => true, 100), false, 'something is missing here');
  t.equal(views.install(new Map([[at, 7]]), () => true, 100), true);
  t.equal(views.serves(comes), true);
  t.equal(views.install(new Map([[at, 7]]), () => true, 100), false, 'it is installed');
});

t.test('members without a link are not waited for, and silent ones for a while only', async (t) => {
  const [first, second] = [view(1, [b, c]), view(2, [a, b, c])];
  for (const [isReachable, now, expected] of [[false, 1, true], [true, 1999, false], [true, 2000, true]] as const) {
    const views = installed(first);
    views.learn(second);
    views.follow(c, 0);
    t.equal(views.install(EMPTY_VECTOR, () => isReachable, now), expected, `${isReachable} ${now}`);
  }
});

t.test('records that members had stored are waited for longer than members that say nothing', async (t) => {
  const [first, second] = [view(1, [b, c]), view(2, [a, b, c])];
  for (const [speaking, now, expected] of [[[b, c], 2999, false], [[b, c], 3000, true], [[b], 2000, true]] as const) {
    const views = new Views(a, INSTALL_MS, 1000);
    views.learn(first);
    views.follow(c, 0);
    views.install(EMPTY_VECTOR, () => false, 0);
    views.learn(second);
    views.follow(c, 0);
    views.learnSeen(word(view(2, []), speaking, new Map([[origin('b:1', 1), 7]])));
    t.equal(views.install(EMPTY_VECTOR, () => true, now), expected, `${speaking} ${now}`);
  }
});

t.test('a subscription that was elsewhere in between is not served before the view is installed', async (t) => {
  const [first, between, last] = [view(1, [a, b]), view(2, [b, c]), view(3, [a, b])];
  const name = nameAt([first, a], [last, a]);
  const views = installed(first);
  for (const each of [between, last]) {
    views.learn(each);
    views.follow(c, 0);
  }
  t.equal(views.serves(name), false);
  t.equal(views.install(EMPTY_VECTOR, () => false, 0), true);
  t.equal(views.serves(name), true);
});

t.test('what a member says about another coordinator\'s view does not count', async (t) => {
  const views = installed(view(1, [a]));
  views.learn(view(2, [a, b]));
  views.follow(c, 0);
  views.learnSeen(word(view(9, [], b, 9), [b], EMPTY_VECTOR));
  t.equal(views.install(EMPTY_VECTOR, () => true, 0), false);
  views.learnSeen(word(view(3, []), [b], EMPTY_VECTOR));
  t.equal(views.install(EMPTY_VECTOR, () => true, 0), true, 'a later one of the same coordinator does');
});

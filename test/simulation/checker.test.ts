import t from 'tap';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import type { StoredBatch } from '../../brokers/core/log/record.ts';
import { draft, origin } from '../support/record.ts';
import { check } from './checker.ts';
import type { DiskEvent } from './disk.ts';
import type { Attempt, Delivery, History, Publication, Subscription } from './history.ts';
import type { TermEvent } from './world.ts';

const [A, B, C] = [1, 2, 3].map((host) => parseAddress(`10.0.0.${host}:3000`)) as [Address, Address, Address];
const [AT_A, AT_B] = [origin(A, 1), origin(B, 2)];

// A good history: A takes q and gossips it, B takes the answer, which C gets from it; a subscriber at A reads both.

const question = stored('q', { origin: AT_A, seq: 1, lamport: 5 });
const answer = stored('a re q', { origin: AT_B, seq: 1, lamport: 7, deps: JSON.stringify({ [AT_A]: 1 }) });
const writes = [
  written(A, 10, question), written(B, 20, question), written(C, 25, question), written(B, 30, answer),
  written(C, 40, answer), written(A, 45, answer),
];
const publications = [
  publication('q', A, 5, { acks: 'quorum' }),
  publication('a re q', B, 7, { question: { payload: 'q', lamport: 5 } }),
];
const deliveries = [delivery('q', 5, A), delivery('a re q', 7, B)];

t.test('a good history is good', async (t) => {
  t.strictSame(check(history()).violations, []);
  t.strictSame(
    kinds({ publications: [publication('q', A, 'NOQUORUM', { acks: 'all' }), ...publications.slice(1)] }),
    [],
  );
});

t.test('each violation is found', async (t) => {
  const lostDisks = [...writes, replaced(A, 60), replaced(B, 60), replaced(C, 60)];
  const none = { subscriptions: [] };
  const cases: [name: string, changes: Partial<History>, ...kinds: string[]][] = [
    ['lost with a quorum', { ...none, disks: lostDisks }, 'lost'],
    [
      'acknowledged and never written', { publications: [...publications, publication('x', A, 9)] }, 'acknowledged',
      'lost',
    ],
    [
      'acknowledged before it was on a majority',
      { publications: [publication('q', A, 5, { acks: 'quorum', endedAt: 15 }), publications[1]!] }, 'acknowledged',
    ],
    [
      'acknowledged before it was on all',
      { publications: [publication('q', A, 5, { acks: 'all', endedAt: 22 }), publications[1]!] }, 'acknowledged',
    ],
    [
      'acknowledged by a broker that has it not',
      { publications: [publication('q', C, 5, { endedAt: 22 }), publications[1]!] }, 'acknowledged',
    ],
    [
      'acknowledged with another timestamp', { publications: [publication('q', A, 6), publications[1]!] },
      'acknowledged',
    ],
    ['never published', { publications: publications.slice(1) }, 'unexpected'],
    [
      'stored twice',
      {
        disks: [
          ...writes,
          written(A, 50, stored('q', { origin: AT_A, seq: 2, lamport: 9, deps: JSON.stringify({ [AT_B]: 1 }) })),
        ],
      },
      'stored twice',
    ],
    ['refused and stored', { publications: [publication('q', A, 'CLOSING'), publications[1]!] }, 'refused and stored'],
    ['an error that may not be', { publications: [publication('q', A, 'PROTOCOL'), publications[1]!] }, 'error'],
    [
      'an answer with a lower timestamp',
      { publications: [publications[0]!, publication('a re q', B, 7, { question: { payload: 'q', lamport: 8 } })] },
      'clock',
    ],
    ['delivered twice', read([...deliveries, deliveries[1]!]), 'delivered twice'],
    [
      'a step back',
      read(
        [deliveries[0]!, delivery('p', 6, A), deliveries[0]!],
        [written(A, 12, stored('p', { origin: AT_A, seq: 2, lamport: 6 }))], 'p',
      ),
      'order',
      'delivered twice',
      'missed',
    ],
    ['missed', read(deliveries.slice(0, 1)), 'missed'],
    ['an answer before its question', read([...deliveries].reverse()), 'causality'],
    [
      'delivered before it was on disk', read([deliveries[0]!, delivery('a re q', 7, B, { broker: A, at: 44 })]),
      'not durable',
    ],
    ['delivered and never on a disk', read([...deliveries, delivery('x', 9, A)]), 'not durable'],
    ['delivered from another topic', read([deliveries[0]!, { ...deliveries[1]!, topic: 'sport' }]), 'unexpected'],
    ['not read to the end', { subscriptions: [subscription(deliveries, { isComplete: false })] }, 'stuck'],
    [
      'a name used again',
      {
        disks: [...writes, replaced(A, 60), written(A, 70, stored('r', { origin: AT_A, seq: 1, lamport: 9 }))],
        ...also('r'), ...none,
      },
      'reused name',
    ],
    [
      'at a peer before it was on its own disk',
      { disks: [written(C, 5, question), ...writes.filter((_, index) => index !== 2)] }, 'not durable',
    ],
    [
      'a hole',
      { disks: [...writes, written(A, 50, stored('r', { origin: AT_A, seq: 3, lamport: 9 }))], ...also('r'), ...none },
      'hole',
    ],
    ['stored before its cause', { disks: writes.filter((_, index) => index !== 2), ...none }, 'causality'],
    [
      'a timestamp that is not above those of its causes',
      {
        disks: [writes[0]!, writes[1]!, written(B, 30, { ...answer, lamport: 5 })],
        publications: [publications[0]!, publication('a re q', B, 5)], ...none,
      },
      'clock',
    ],
    [
      'divergence',
      {
        records: new Map([
          [A, ['q', 'a']], [B, ['q', 'a']], [C, ['q']],
        ]),
      },
      'divergence',
    ],
    ['nobody leads', { coordinators: [{ broker: A, coordinator: undefined, term: 1 }] }, 'coordinator'],
    ['the wrong one leads', { coordinators: [{ broker: A, coordinator: B, term: 1 }] }, 'coordinator'],
    [
      'two terms',
      {
        coordinators: [
          { broker: A, coordinator: C, term: 1 },
          { broker: B, coordinator: C, term: 2 },
        ],
      },
      'coordinator',
    ],
    ['a term that falls', { terms: [chosen(C, 3), { kind: 'started', broker: A, at: 2, term: 2 }] }, 'term'],
    ['a lower coordinator in one term', { terms: [chosen(C, 3), chosen(B, 3)] }, 'term'],
    ['an incident', { incidents: [{ at: 1, who: A, what: 'stopped: bug' }] }, 'incident'],
  ];
  for (const [name, changes, ...expected] of cases) {
    t.strictSame([...new Set(kinds(changes))].sort(), expected.sort(), name);
  }
});

t.test('what is no violation', async (t) => {
  const onlyA = [written(A, 10, question), replaced(A, 60)];
  const { violations, counts } = check(
    history({ disks: onlyA, publications: [publication('q', A, 5)], subscriptions: [] }),
  );
  t.strictSame(violations, [], 'a local acknowledgement is as good as its disk');
  t.equal(counts.excused, 1);

  const late = subscription(deliveries.slice(1), { start: new Map([[AT_A, 1]]) });
  t.strictSame(kinds({ subscriptions: [late] }), [], 'what was there before a subscription began');

  const ahead = check(
    history({
      disks: [
        written(A, 10, question), written(B, 15, { ...answer, deps: '', proof: '' }), written(B, 20, question),
        written(A, 45, answer),
      ],
      subscriptions: [subscription([delivery('a re q', 7, B, { broker: B }), delivery('q', 5, A, { broker: B })])],
      publications: [publication('q', A, 5), publication('a re q', B, 7)].map((each, index) =>
        index === 0 ? each : { ...each, question: publications[1]!.question },
      ),
    }),
  );
  t.strictSame(ahead.violations, [], 'an answer taken by a broker that had not got the question');
  t.equal(ahead.counts.answeredAhead, 1);

  const again = stored('q', { origin: AT_A, seq: 1, lamport: 5, meta: JSON.stringify({ ids: ['once'] }) });
  const next = { ...again, origin: origin(A, 3) };
  const first = delivery('q', 5, A, { dedupeId: 'once', at: 20 });
  const anew = check(
    history({
      disks: [
        written(A, 10, again), replaced(A, 30),
        { kind: 'written', disk: A, store: next.origin, at: 40, batches: [next] },
      ],
      publications: [publication('q', A, 5, { dedupeId: 'once' })],
      subscriptions: [subscription([first, { ...first, askedAt: 45, at: 50 }])],
    }),
  );
  t.strictSame(anew.violations, [], 'stored anew with the same id, by a broker that has lost its disk');
  t.equal(anew.counts.dropped, 1);

  t.strictSame(
    kinds({ terms: [chosen(B, 3), chosen(C, 3), chosen(A, 4), chosen(A, 4)] }), [],
    'a higher coordinator in one term, a lower one in the next',
  );
  t.strictSame(
    kinds({
      terms: [
        chosen(C, 3), { kind: 'replaced', broker: A, at: 2, term: 0 }, { kind: 'started', broker: A, at: 3, term: 0 },
      ],
    }),
    [],
    'a term lost with its disk',
  );
});

function chosen(coordinator: Address, term: number): TermEvent {
  return { kind: 'chosen', broker: A, at: 1, term, coordinator };
}

function kinds(changes: Partial<History>): string[] {
  return check(history(changes)).violations.map(({ kind }) => kind);
}

function history(changes: Partial<History> = {}): History {
  return {
    brokers: [A, B, C],
    publications,
    subscriptions: [subscription(deliveries)],
    disks: writes,
    terms: [],
    views: [],
    members: undefined,
    queues: undefined,
    incidents: [],
    records: new Map([
      [A, ['q', 'a']], [B, ['q', 'a']], [C, ['q', 'a']],
    ]),
    coordinators: [A, B, C].map((broker) => ({ broker, coordinator: C, term: 4 })),
    ...changes,
  };
}

/** The one subscription got this; more was written, and published. */
function read(
  delivered: readonly Delivery[],
  more: readonly DiskEvent[] = [],
  ...payloads: string[]
): Partial<History> {
  return {
    subscriptions: [subscription(delivered)],
    disks: [...writes.slice(0, 1), ...more, ...writes.slice(1)],
    ...(payloads.length === 0 ? {} : also(...payloads)),
  };
}

function also(...payloads: string[]): Partial<History> {
  return { publications: [...publications, ...payloads.map((payload) => publication(payload, A, 'TIMEOUT'))] };
}

function stored(payload: string, changes: Partial<StoredBatch>): StoredBatch {
  return {
    ...draft([payload]), origin: AT_A, seq: 1, lamport: 1, deps: '', proof: '', position: 1, repeats: '', ...changes,
  };
}

function written(disk: Address, at: number, batch: StoredBatch): DiskEvent {
  return { kind: 'written', disk, store: { [A]: AT_A, [B]: AT_B }[disk] ?? origin(C, 3), at, batches: [batch] };
}

function replaced(disk: Address, at: number): DiskEvent {
  return { kind: 'replaced', disk, store: origin(disk, 9), at, batches: [] };
}

function publication(
  payload: string, broker: Address, outcome: Attempt['outcome'],
  changes: Partial<Publication> & { endedAt?: number } = {},
): Publication {
  const { endedAt = 50, ...rest } = changes;
  return {
    topic: 'news',
    key: null,
    payload,
    acks: 'local',
    dedupeId: null,
    question: null,
    attempts: [{ broker, sentAt: 1, endedAt, outcome }],
    ...rest,
  };
}

function delivery(payload: string, lamport: number, taker: Address, changes: Partial<Delivery> = {}): Delivery {
  return {
    id: `${lamport}@${taker}`, topic: 'news', payload, dedupeId: null, broker: A, askedAt: 1, at: 50, ...changes,
  };
}

function subscription(delivered: readonly Delivery[], changes: Partial<Subscription> = {}): Subscription {
  return {
    name: 'reader', topics: ['news'], start: new Map(), deliveries: [...delivered], isComplete: true, ...changes,
  };
}

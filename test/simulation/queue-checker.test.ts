import t from 'tap';
import { type Address, parseAddress } from '../../brokers/core/address.ts';
import type { StoredBatch } from '../../brokers/core/log/record.ts';
import { homeOf } from '../../brokers/core/home/view.ts';
import { draft, origin } from '../support/record.ts';
import { check } from './checker.ts';
import type { DiskEvent } from './disk.ts';
import type { Attempt, History, Publication } from './history.ts';
import type { Act, Catalog, Lease, Pull, Purge, Queue, QueueHistory, Settlement } from './queue-history.ts';

const BROKERS = [1, 2].map((host) => parseAddress(`10.0.0.${host}:3000`)) as [Address, Address];
const [A, B] = BROKERS;
const ORIGINS = [origin(A, 1), origin(B, 2)] as const;
const [P, Q, P2] = ['processA', 'processB', 'processC']; // of A, of B, and the next one of A

// A good history: A takes m at 10, which B gets at 15; a consumer leases it from A at 20 and acknowledges it at 30; B
// gets the record at 40.
// What no settlement is about is done by another ACK at 90, so that every case has the violation that it is about.

const WORK: Queue = {
  name: 'work', bindings: [{ topic: 'jobs', key: null }], visibilityMs: 100, maxDeliveries: null, deadLetter: null,
  backoffMs: null,
};
const PICKY: Queue = { ...WORK, maxDeliveries: 2, deadLetter: 'failures' };
const message = stored('m', 0, 1, 5);
const record = stored(`{"s":"work","d":{"${ORIGINS[0]}":[0,1]}}`, 0, 2, 6, { topic: '$acks' });
const disks = [written(A, 10, message), written(B, 15, message), written(A, 28, record), written(B, 40, record)];
const first = lease(P, 1, 18, 20);
const acked = settle('ack', [first], 25, 30, 1);
const good: Partial<QueueHistory> = { leases: [first], settlements: [acked] };

t.test('a good history is good', async (t) => {
  t.strictSame(check(history(good)).violations, []);
  t.strictSame(kinds(again(lease(Q, 1, 35, 60))), [], 'B could not know of the ACK');
  t.strictSame(
    kinds(again(lease(P2, 1, 50, 60)), { disks: [...disks, replaced(A, 45, [message])] }), [],
    'A lost it with its disk',
  );
  t.strictSame(
    kinds({ ...again(lease(Q, 1, 35, 60)), peaces: [[0, 1000]], absences: [{ absent: A, from: 32, to: 34 }] }), [],
    'A died before it could tell B',
  );
  t.strictSame(
    kinds({ leases: [first, lease(Q, 1, 22, 24)], settlements: [acked] }), [], 'two homes, and not all is calm',
  );
  t.strictSame(
    kinds({ leases: [first], settlements: [settle('ack', [first], 25, 27, 0)] }), [],
    'an ACK that was carried out twice',
  );
  t.strictSame(
    kinds(
      {
        leases: [first, lease(P, 2, 140, 141)],
        settlements: [settle('ack', [first], 150, 160, 0), last(lease(P, 2, 140, 141))],
      },
      late(),
    ),
    [],
  );
});

t.test('each violation is found', async (t) => {
  const expired = lease(P, 2, 140, 141);
  const failing = { queues: [PICKY], settlements: [settle('nack', [first], 25, 30, 1), last(first)] };
  const failure = stored(`{"s":"work","a":{"${ORIGINS[0]}":[1,1]}}`, 0, 2, 6, { topic: '$acks' });
  const attempted = { disks: [...disks.slice(0, 2), written(A, 28, failure), written(B, 40, failure)] };
  const others = [2, 3].map((seq) => stored('{"s":"work"}', 0, seq, 4 + seq, { topic: '$acks' }));
  const forgotten = {
    disks: [
      ...disks.slice(0, 2),
      ...others.flatMap((batch, index) => [written(A, 50 + index, batch), written(B, 60 + index, batch)]),
    ],
  };
  const cases: [name: string, queues: Partial<QueueHistory>, changes: Partial<History>, ...kinds: string[]][] = [
    ['never delivered', { leases: [], settlements: [] }, {}, 'not consumed'],
    ['delivered, and never acknowledged', { leases: [first], settlements: [] }, {}, 'not consumed'],
    [
      'delivered, and the ACK was in vain', { leases: [first], settlements: [settle('ack', [first], 21, 24, 0)] },
      { disks: disks.slice(0, 2) }, 'not consumed',
    ],
    [
      'the ACK was in vain, and all is calm',
      { leases: [first], settlements: [settle('ack', [first], 21, 24, 0)], calms: [[0, 1000]] }, {}, 'token',
      'not consumed',
    ],
    ['queue not emptied', { ...good, stuck: ['work'] }, {}, 'queue stuck'],
    ['acknowledged without a record', good, { disks: disks.slice(0, 2) }, 'acknowledged'],
    ['acknowledged before the record', good, { disks: [...disks.slice(0, 2), written(A, 31, record)] }, 'acknowledged'],
    [
      'delivered after its ACK by its home', again(lease(P, 2, 50, 60)), {}, 'delivered after ACK',
      'delivered after ACK',
    ],
    ['delivered after its ACK by the next process', again(lease(P2, 1, 50, 60)), {}, 'delivered after ACK'],
    ['delivered after its ACK by who has the record', again(lease(Q, 1, 50, 60)), {}, 'delivered after ACK'],
    [
      'delivered after its ACK by who should have waited for the record',
      { ...again(lease(Q, 1, 35, 60)), peaces: [[0, 1000]] }, {}, 'delivered after ACK',
    ],
    [
      'a failed delivery is not counted by the next home', { ...failing, leases: [first, lease(Q, 1, 70, 80)] },
      attempted, 'delivery count',
    ],
    [
      'a failed delivery is counted in no record', { ...failing, leases: [first, lease(Q, 1, 270, 280)] }, forgotten,
      'delivery count',
    ],
    [
      'leased twice at once', { leases: [first, lease(P, 2, 22, 24)], settlements: [acked] }, {}, 'leased twice',
      'token',
    ],
    [
      'leased again too early, after an EXTEND',
      { leases: [first, expired], settlements: [settle('extend', [first], 90, 91, 1, 100), last(expired)] }, late(),
      'leased twice',
    ],
    [
      'a delivery is not counted',
      { leases: [first, lease(P, 1, 140, 141)], settlements: [last(lease(P, 1, 140, 141))] }, late(), 'delivery count',
    ],
    [
      'two homes, and all is calm', { leases: [first, lease(Q, 1, 22, 24)], settlements: [acked], calms: [[0, 1000]] },
      {}, 'two homes',
    ],
    [
      'two homes, and brokers were only stopped and started',
      { leases: [first, lease(Q, 1, 22, 24)], settlements: [acked], orderly: [[0, 1000]] }, {}, 'not handed over',
    ],
    [
      'delivered after its ACK though the home had only been stopped',
      { ...again(lease(Q, 1, 35, 60)), orderly: [[0, 1000]] }, {}, 'delivered after ACK',
    ],
    [
      'an expired token is good', { leases: [first], settlements: [settle('ack', [first], 430, 460, 1)] },
      { disks: [...disks.slice(0, 2), written(A, 450, record)] }, 'token',
    ],
    [
      'an old token is good',
      { leases: [first, expired], settlements: [settle('ack', [first], 150, 160, 1), last(expired)] },
      { disks: [...disks.slice(0, 2), written(A, 155, record)] }, 'token',
    ],
    [
      'a token is good twice', { leases: [first], settlements: [acked, settle('ack', [first], 35, 50, 1)] },
      { disks: [...disks, written(A, 45, stored('{"s":"work"}', 0, 3, 7, { topic: '$acks' }))] }, 'token',
    ],
    [
      'a good token is not',
      { leases: [first], settlements: [settle('ack', [first], 25, 30, 0), last(first)], calms: [[0, 1000]] },
      { disks: [...disks, written(A, 95, stored('{"s":"work"}', 0, 3, 7, { topic: '$acks' }))] }, 'token',
    ],
    [
      'a token of another queue is good',
      { ...good, settlements: [acked, settle('ack', [first], 40, 50, 1, 0, 'other')] }, {}, 'token',
    ],
    [
      'a token of nobody', { leases: [first, lease('stranger', 1, 50, 60)], settlements: [acked] }, {}, 'token',
      'delivered after ACK',
    ],
    ['leased by who has it not', { leases: [lease(Q, 1, 12, 14), first], settlements: [acked] }, {}, 'not durable'],
    [
      'of another topic',
      {
        leases: [{ ...first, topic: 'others' }],
        settlements: [settle('ack', [{ ...first, topic: 'others' }], 25, 30, 1)],
      },
      {},
      'queue unexpected',
    ],
    [
      'without the key', { ...good, queues: [{ ...WORK, bindings: [{ topic: 'jobs', key: 'red' }] }] }, {},
      'queue unexpected',
    ],
    [
      'more deliveries than may be', { ...good, queues: [PICKY], leases: [first, lease(Q, 3, 16, 17)] }, {},
      'delivery count',
    ],
    [
      'no home is found, and there is a way to every broker',
      { ...good, pulls: [{ ...first.pull, outcome: 'TRYAGAIN' }], bridged: [[0, 1000]] }, {}, 'unavailable',
    ],
    [
      'no home is found, and brokers were only stopped and started',
      { ...good, pulls: [{ ...first.pull, outcome: 'TRYAGAIN' }], orderly: [[0, 1000]] }, {}, 'unavailable',
    ],
    [
      'no answer comes, and there is a way to every broker',
      {
        ...good, pulls: [{ ...first.pull, endedAt: first.pull.sentAt + 3000, outcome: 'TIMEOUT' }],
        bridged: [[0, 9000]],
      },
      {},
      'unavailable',
    ],
    [
      'not done at a broker alone', { ...good, leftovers: [{ broker: B, queue: 'work', id: first.id, payload: 'm' }] },
      {}, 'acknowledgement unknown',
    ],
  ];
  for (const [name, queues, changes, ...expected] of cases) t.strictSame(kinds(queues, changes), expected.sort(), name);
});

t.test('dead letters', async (t) => {
  const letter = dead('m', 3, 8, '2');
  const twice = { queues: [PICKY], leases: [first, lease(P, 2, 140, 141)], settlements: [] };
  const found = (batches: readonly StoredBatch[], queues: Partial<QueueHistory> = twice): string[] =>
    kinds(queues, { disks: [...disks, ...batches.map((batch, index) => written(A, 500 + index, batch))] });
  t.strictSame(found([letter]), []);
  t.strictSame(found([dead('m', 3, 8, '1')]), ['dead letter'], 'too few deliveries, it says');
  t.strictSame(found([letter], { ...twice, leases: [first] }), ['dead letter'], 'too few deliveries');
  t.strictSame(found([letter, dead('m', 4, 9, '2')]), ['dead letter'], 'twice');
  t.strictSame(
    found([letter], {
      ...twice, leases: [first, lease(P, 2, 140, 141)], settlements: [settle('ack', [first], 25, 30, 1)],
    }).filter((kind) => kind === 'dead letter'),
    ['dead letter'],
    'though it was acknowledged',
  );
  t.strictSame(found([], twice), ['not consumed'], 'lost');
});

t.test('catalogs', async (t) => {
  const base: Catalog = {
    broker: A, topics: ['"jobs"'], subscriptions: ['"work"'], bindings: [], settings: [], messages: [],
  };
  const found = (changes: Partial<Catalog>, act?: readonly string[], ...more: readonly StoredBatch[]): string[] =>
    kinds(
      {
        ...good,
        catalogs: [
          { ...base, ...changes },
          { ...base, ...changes, broker: B },
        ],
        acts: act === undefined ? [] : [{ args: act, sentAt: 50, endedAt: 60, outcome: 'OK' } as Act],
      },
      { disks: [...disks, ...more.map((batch, index) => written(A, 300 + index, batch))] },
    );
  t.strictSame(found({}), []);
  t.strictSame(
    kinds({ ...good, catalogs: [base, { ...base, broker: B, subscriptions: [] }] }), ['catalog'], 'two that differ',
  );
  const deletion = stored('{"op":"subscription.delete","name":"work"}', 0, 3, 9, { topic: '$catalog' });
  t.strictSame(found({}, ['SUBSCRIPTION', 'DELETE', 'work'], deletion), ['catalog', 'catalog'], 'deleted, and there');
  t.strictSame(found({}, ['SUBSCRIPTION', 'DELETE', 'work']), [], 'the deletion was lost with its disk');
  const deleted = stored('{"op":"topic.delete","topics":["jobs"]}', 0, 3, 9, { topic: '$catalog' });
  t.strictSame(
    found({ messages: [['jobs', [`jobs ${first.id} m`]]] }, undefined, deleted), ['topic', 'topic'],
    'a message of a topic that was deleted',
  );
  t.strictSame(found({ messages: [['jobs', []]] }), ['topic', 'topic'], 'a message is missing');
});

t.test('purges', async (t) => {
  const purge: Purge = { queue: 'work', broker: B, sentAt: 45, endedAt: 55, outcome: 1 };
  const floor = stored(`{"s":"work","f":[{"b":["x"],"v":{"${ORIGINS[0]}":1}}]}`, 0, 2, 6, { topic: '$acks' });
  const floored = [written(A, 10, message), written(B, 15, message), written(A, 50, floor), written(B, 60, floor)];
  const found = (
    queues: Partial<QueueHistory>, more: readonly DiskEvent[] = [], events: readonly DiskEvent[] = floored,
  ): string[] =>
    kinds(
      { purges: [purge], ...queues },
      {
        publications: [
          published('m'),
          { ...published('m2'), attempts: [{ ...published('m2').attempts[0]!, outcome: 'TIMEOUT' }] },
        ],
        disks: [...events, ...more],
      },
    );
  const again = (one: Lease): Partial<QueueHistory> => ({ leases: [one], settlements: [last(one)] });
  t.strictSame(found({}), []);
  t.strictSame(
    found({ purges: [{ ...purge, endedAt: 47, outcome: 'TIMEOUT' }] }), [],
    'a purge without an answer may be carried out later',
  );
  t.strictSame(found({ purges: [] }), ['floor', 'not consumed'], 'nobody has purged it');
  t.strictSame(found({}, [], floored.slice(0, 2)), ['not consumed', 'purge'], 'answered, and nothing of it on disk');
  t.strictSame(found({ purges: [{ ...purge, outcome: 2 }] }), ['purge'], 'more than there was');
  t.strictSame(found(again(lease(P, 1, 65, 70))), ['delivered after PURGE'], 'by the home that has purged');
  t.strictSame(found(again(lease(Q, 1, 65, 70))), ['delivered after PURGE'], 'by who has the record');
  t.strictSame(found(again(lease(Q, 1, 56, 58))), [], 'by who has not got it');
  t.strictSame(
    found({ ...again(lease(Q, 1, 56, 58)), peaces: [[0, 1000]] }), ['delivered after PURGE'],
    'by who should have waited for it',
  );
  const next = stored('m2', 0, 3, 7);
  t.strictSame(
    found({}, [written(A, 70, next), written(B, 71, next)]), ['not consumed'], 'what was published after it',
  );
  const done = stored('{"s":"work"}', 0, 3, 7, { topic: '$acks' });
  t.strictSame(
    found({ leases: [first], settlements: [settle('ack', [first], 70, 80, 1)] }, [written(A, 75, done)]), ['token'],
    'a lease of before it',
  );
  t.ok(
    found({ queues: [{ ...PICKY, maxDeliveries: 1 }], leases: [first], settlements: [] }, [
      written(A, 500, dead('m', 3, 8, '1')),
    ]).includes('delivered after PURGE'),
    'a dead letter',
  );
});

t.test('settings that change', async (t) => {
  const change = (settings: string): StoredBatch =>
    stored(`{"op":"subscription.update","name":"work","settings":${settings}}`, 0, 2, 6, { topic: '$catalog' });
  const act: Act = {
    args: ['SUBSCRIPTION', 'UPDATE', 'work', 'VISIBILITY', '1000'], sentAt: 11, endedAt: 13, outcome: 'OK',
  };
  const catalog: Catalog = {
    broker: A, topics: [], subscriptions: [], bindings: [], messages: [], settings: ['work [1000,null,null,null] home'],
  };
  const [one, two] = [lease(P, 1, 400, 410), lease(P, 2, 600, 610)];
  const found = (queues: Partial<QueueHistory>, ...more: readonly DiskEvent[]): string[] =>
    kinds(
      { leases: [one], settlements: [last(one)], acts: [act], catalogs: [catalog], ...queues },
      { disks: [written(A, 10, message), written(B, 15, message), ...more] },
    );
  const longer = change('{"visibilityMs":1000}');
  const both = [written(A, 12, longer), written(B, 16, longer)];
  t.strictSame(found({}, ...both), []);
  t.strictSame(
    found({ catalogs: [{ ...catalog, settings: ['work [100,null,null,null] home'] }] }, ...both), ['update'],
    'not what the home says in the end',
  );
  t.strictSame(
    found({ opinions: [{ broker: B, settings: ['work [100,null,null,null] home'] }] }, ...both), ['update'],
    'nor what another says',
  );
  t.strictSame(found({}), ['update', 'update'], 'on no disk');
  t.strictSame(
    found({ leases: [one, two], settlements: [last(two)] }, ...both), ['leased twice'],
    'a lease runs as long as it does now',
  );
  const slower = change('{"backoffMs":500}');
  const slow = { acts: [], catalogs: [], leases: [one, two], settlements: [last(two)] };
  t.strictSame(found(slow, written(A, 12, slower), written(B, 16, slower)), ['too early'], 'the next delivery waits');
  const limit = change('{"maxDeliveries":1,"deadLetter":"failures"}');
  t.strictSame(
    found(slow, written(A, 12, limit), written(B, 16, limit)), ['delivery count'], 'more deliveries than may be now',
  );
  t.strictSame(
    found({
      ...slow, leases: [one, lease(P, 2, 450, 460)],
      settlements: [settle('nack', [one], 420, 425, 1, 200), last(lease(P, 2, 450, 460))],
    }),
    ['too early'],
    'the delay that was asked for',
  );
});

t.test('what was put off is not early at the next home either, if that had the record of it', async (t) => {
  const record = stored(`{"s":"work","t":[1,1],"w":{"${ORIGINS[0]}":[[5000,1,[0,1]]]}}`, 0, 3, 7, { topic: '$acks' });
  const nack = settle('nack', [first], 30, 40, 1, 5000);
  const found = (next: Lease, heldAt: number, changes: Partial<QueueHistory> = {}): string[] => kinds(
    { leases: [first, next], settlements: [nack, last(next)], ...changes },
    { disks: [...disks, written(A, 35, record), written(B, heldAt, record), ...late().disks!.slice(-1)] },
  ).filter((kind) => kind === 'too early' || kind === 'put off');
  t.strictSame(found(lease(Q, 2, 2000, 2010), 60), ['too early']);
  t.strictSame(found(lease(Q, 2, 5040, 5050), 60), []);
  t.strictSame(found(lease(Q, 2, 2000, 2010), 2005), [], 'it had no such record');
  t.strictSame(
    found(lease(Q, 2, 2000, 2010), 60, { walls: [{ at: 50, offsetMs: -3100 }] }), [], 'wall clocks were as far apart',
  );
  t.strictSame(
    kinds({ leases: [first], settlements: [nack], calms: [[0, 1e6]] }).filter((kind) => kind === 'put off'),
    ['put off'], 'without a record',
  );
});

t.test('the reign of a home ends where its view places the queue elsewhere', async (t) => {
  const elsewhere = BROKERS.map((broker) => [broker]).find(
    (members) => homeOf('work', { coordinator: A, term: 1, number: 1, members }) !== A,
  )!;
  const two = { leases: [first, lease(P, 1, 22, 24)], settlements: [acked] };
  t.strictSame(kinds(two, { views: [{ broker: A, at: 21, members: elsewhere }] }), []);
  t.strictSame(
    kinds(two, {
      views: [
        {
          broker: A,
          at: 21,
          members: BROKERS.filter(
            (broker) => homeOf('work', { coordinator: A, term: 1, number: 1, members: [broker] }) === A,
          ),
        },
      ],
    }),
    ['delivery count', 'leased twice'],
  );
});

function kinds(queues: Partial<QueueHistory>, changes: Partial<History> = {}): string[] {
  return check(history(queues, changes)).violations.map(({ kind }) => kind).sort();
}

function history(queues: Partial<QueueHistory>, changes: Partial<History> = {}): History {
  return {
    members: undefined,
    brokers: BROKERS,
    publications: [published('m')],
    subscriptions: [],
    disks,
    terms: [],
    views: [],
    incidents: [],
    records: new Map(),
    coordinators: [],
    queues: {
      queues: [WORK],
      isSparse: false,
      aliases: new Map(),
      pulls: [],
      leases: [],
      settlements: [],
      purges: [],
      opinions: [],
      acts: [],
      walls: [],
      absences: [],
      peaces: [],
      calms: [],
      orderly: [],
      bridged: [],
      stuck: [],
      catalogs: [],
      leftovers: [],
      processes: [
        { tag: P, broker: A, since: 0 }, { tag: Q, broker: B, since: 0 }, { tag: P2, broker: A, since: 45 },
      ].filter(({ tag }) => tag !== P2 || usesNext(queues)),
      ...queues,
    },
    ...changes,
  };
}

function usesNext({ leases }: Partial<QueueHistory>): boolean {
  return leases?.some(({ token }) => token.startsWith(P2)) ?? false;
}

/** Delivered once more after its ACK. */
function again(next: Lease): Partial<QueueHistory> {
  return { leases: [first, next], settlements: [acked] };
}

/** What `last` needs. */
function late(): Partial<History> {
  return { disks: [...disks, written(A, 995, stored('{"s":"work"}', 0, 3, 7, { topic: '$acks' }))] };
}

/** An ACK of whose outcome nothing is known. */
function last(one: Lease): Settlement {
  return settle('ack', [one], 900, 1000, 'TIMEOUT');
}

function lease(process: string, deliveries: number, sentAt: number, endedAt: number): Lease {
  const pull: Pull = { queue: 'work', consumer: 'c', broker: B, sentAt, endedAt, outcome: 1 };
  return {
    pull, token: `${process}-${deliveries}-${sentAt}`, deliveries, id: `5@${A}`, topic: 'jobs', key: null, payload: 'm',
    isPassedOn: false,
  };
}

function settle(
  kind: Settlement['kind'], leases: readonly Lease[], sentAt: number, endedAt: number, outcome: number | string, ms = 0,
  queue = 'work',
): Settlement {
  return { kind, queue, leases, ms, broker: B, sentAt, endedAt, outcome };
}

function stored(
  payload: string, by: 0 | 1, seq: number, lamport: number, changes: Partial<StoredBatch> = {},
): StoredBatch {
  return {
    ...draft([payload]),
    topic: 'jobs',
    origin: ORIGINS[by],
    seq,
    lamport,
    deps: '', proof: '',
    position: 1,
    repeats: '',
    ...changes,
  };
}

function dead(payload: string, seq: number, lamport: number, deliveries: string): StoredBatch {
  const headers = [
    'dead-letter-subscription', 'work', 'dead-letter-id', first.id, 'dead-letter-deliveries', deliveries,
  ];
  return stored(payload, 0, seq, lamport, { topic: 'failures', meta: JSON.stringify({ headers: [headers] }) });
}

function written(disk: Address, at: number, batch: StoredBatch): DiskEvent {
  return { kind: 'written', disk, store: ORIGINS[BROKERS.indexOf(disk) as 0 | 1], at, batches: [batch] };
}

function replaced(disk: Address, at: number, batches: readonly StoredBatch[]): DiskEvent {
  return { kind: 'replaced', disk, store: origin(disk, 9), at, batches };
}

function published(payload: string): Publication {
  const attempt: Attempt = { broker: A, sentAt: 1, endedAt: 12, outcome: 5 };
  return { topic: 'jobs', key: null, payload, acks: 'local', dedupeId: null, question: null, attempts: [attempt] };
}

/**
 * Deliberate bugs, each a textual patch of the compiled brokers that must match exactly once. A checker that does not
 * find one of them proves nothing where it finds none. What no storm brings about is told by a test: of the compiled
 * brokers, too.
 */
export interface Mutant {
  readonly name: string;
  readonly patches: readonly (readonly [file: string, from: string, to: string])[];
  /** The test that must fail, without its ending; the simulation must where there is none. */
  readonly test?: string;
  /** It is hunted in storms in which machines come and go. */
  readonly turnover?: true;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'acknowledges before the commit',
    patches: [
      [
        'log/publisher.js', `named: ({ lamport }) => {\n                if (acks !== 'none')`,
        `named: ({ lamport }) => {\n                if (acks !== 'none' && acks !== 'local')`,
      ],
      [
        'log/publisher.js', `if (acks !== 'none')\n                    this.acknowledge(`,
        `if (acks !== 'none' && acks !== 'local')\n                    this.acknowledge(`,
      ],
    ],
  },
  {
    name: 'gossips and delivers before the commit',
    patches: [
      [
        'core/log/log.js',
        `            batches = marking instanceof Promise ? await marking : marking;`,
        `            batches = marking instanceof Promise ? await marking : marking;
            this.#position += batches.length;
            for (const batch of batches) {
                this.vector.advance(batch.origin, lastSeq(batch));
                this.#tail.push(batch);
            }
            this.#events.committed(batches);`],
      ['core/log/log.js', `        this.#position += batches.length;
        for (const batch of batches) {
            this.vector.advance(batch.origin, lastSeq(batch));
            this.#accepted`,
        `        for (const batch of batches) {
            this.#accepted`,
      ],
      [
        'core/log/log.js',
        `            this.#tail.push(batch);\n        }\n        this.#release(entries);\n        this.#events.committed(batches);`,
        `        }\n        this.#release(entries);`,
      ],
    ],
  },
  { name: 'stores a batch before its causes', patches: [['core/log/hold-back.js', `if (this.#nextSeq(origin) <= seq)\n                return origin;`, ``]] },
  { name: 'a batch does not say what its causes are', patches: [['core/log/causes.js', `return deps.size === 0 ? ''`, `return true ? ''`]] },
  {
    name: 'accepts a batch with a hole before it',
    patches: [
      ['core/log/hold-back.js', `if (batch.seq !== this.#nextSeq(batch.origin))\n            return batch.origin;`, ``],
      [
        'core/log/log.js', `assert(batch.seq === this.nextSeq(batch.origin)`,
        `assert(batch.seq >= this.nextSeq(batch.origin)`,
      ],
    ],
  },
  {
    name: 'believes records that their origin has not signed',
    patches: [
      [
        'core/log/proof.js', `if (!digests.verify(`,
        `if (last.proof === '' && !digests.verify(`,
      ],
    ],
  },
  {
    name: 'believes messages that are not those of the digest',
    patches: [
      [
        'core/log/proof.js', `if (!isCovered(batch) && proof.whole !==`,
        `if (batch.proof === '' && proof.whole !==`,
      ],
    ],
  },
  {
    name: 'stores a group that has not ended',
    patches: [
      [
        'core/log/gathering.js', `return isSigned(batch) ? this.#check([`,
        `return batch.proof !== '' ? this.#check([`,
      ],
      [
        'core/log/proof.js', `if (!digests.verify(`,
        `if (last.proof.at(-1) !== ' ' && !digests.verify(`,
      ],
    ],
  },
  { name: 'uses seqs again after a restart', patches: [['core/log/transaction.js', `let seq = vector.get(origin) + 1;`, `let seq = Math.max(1, vector.get(origin));`]] },
  { name: 'a new store takes the name of the one that was wiped', patches: [['core/log/record.js', 'return `${address}/${makeTag(random)}`;', 'return `${address}/000000000001`;']] },
  { name: 'a restored store goes on under its name', patches: [['core/mesh/incarnation.js', `verdict(configured, held, urgent) {`, `verdict(configured, held, urgent) {\n        return { keep: true };`]] },
  {
    name: 'a store that was stopped in an orderly way goes on without asking anybody',
    patches: [
      [
        'core/mesh/incarnation.js', `verdict(configured, held, urgent) {`,
        `verdict(configured, held, urgent) {\n        if (this.#lived.electors !== undefined) return { keep: true };`,
      ],
    ],
  },
  { name: 'a store that has lost records goes on under its name', patches: [['mesh/naming.js', ` && loss === undefined)`, `)`]] },
  { name: 'the Lamport clock begins anew at a restart', patches: [['host.js', `new LamportClock(store.state.lamport, `, `new LamportClock(0, `]] },
  { name: 'ignores the term of an announcement', patches: [['core/mesh/bully.js', `const stale = term < this.#term || (`, `const stale = (`]] },
  { name: 'announces itself in the term that it knows', patches: [['core/mesh/bully.js', `Math.min(this.#term + 1, COUNTER_MAX)`, `this.#term`]] },
  {
    name: 'the term is not saved',
    patches: [
      ['mesh/election.js', `return await store.saveClock(lamport.time, term);`, `return;`],
      [
        'log/clock-saver.js', `store.saveClock(lamport.time, term())`,
        `store.saveClock(lamport.time, store.state.term)`,
      ],
    ],
  },
  {
    name: 'counts the brokers alive for a quorum',
    patches: [
      [
        'mesh/mesh.js', `const { seats } = this.#membership;`,
        `const seats = this.#membership.seats.filter(({ broker }) => broker !== undefined && this.#overlay.linkTo(broker));`,
      ],
    ],
  },
  {
    name: 'a row is fulfilled by whomever its name leads to',
    patches: [['core/mesh/rows.js',
      `return isTaken || (this.#wasAnothers(row) && !this.#isProven(lead, now)) ? undefined : lead.to;`,
      `return lead.to;`]],
  },
  {
    name: 'two rows are one as soon as both lead to one broker',
    patches: [['core/mesh/rows.js', `return this.#isProven(lead, now) && !this.#wasAnothers(row);`, `return true;`]],
  },
  { name: 'a quorum is one broker too few', patches: [['core/mesh/quorum.js', `Math.floor(seqs.length / 2)`, `Math.floor(seqs.length / 2) - 1`]] },
  { name: 'a record counts as held once it is sent', patches: [['core/mesh/progress.js', `this.#told.advance(batch.origin, lastSeq(batch));`, `this.#told.advance(batch.origin, lastSeq(batch));\n        this.#has.advance(batch.origin, lastSeq(batch));`]] },
  {
    name: 'asks nobody else when a link is lost or a stream stalls',
    patches: [
      ['core/mesh/plumtree.js', `(parent === neighbour ? [origin] : [])`, `[]`],
      ['core/mesh/plumtree.js', `const stalled = [`, `return [];\n        const stalled = [`],
    ],
  },
  { name: 'a feed does not go back for what is grafted', patches: [['core/mesh/feed.js', `if (position >= this.position)\n            return;`, `return;`]] },
  {
    name: 'what a failed transaction dropped still counts as accepted',
    patches: [
      [
        'core/log/log.js',
        `        this.#accepted = new VersionVector(this.vector.entries());\n        this.#release([`,
        `        this.#release([`,
      ],
    ],
  },
  { name: 'a full disk drops a batch and it is acknowledged', patches: [['log/publisher.js', `failed: (error) => this.#refuse(draft, error, isAnswered ? () => undefined : done),`, `failed: () => done({ lamport: this.#lamport.time }),`]] },
  { name: 'trusts the position in a cursor of another process', patches: [['core/read/reader.js', `cursor.instance === log.instance && `, ``]] },
  {
    name: 'believes a closing that closes what is not stored',
    patches: [['core/log/closings.js', `const isTrue = isHere && `, `const isTrue = `]],
    test: 'simulation/closings',
  },
  {
    name: 'believes at a start a closing that closes what was stored later',
    patches: [['members/closer.js', `if (await store.positionBefore(`, `if (false && await store.positionBefore(`]],
    test: 'simulation/closings',
  },
  {
    name: 'a closing is used while a member may not have it',
    patches: [['members/closer.js', `(by === origin && seq <= held)`, `by === origin`]],
    test: 'simulation/closings',
  },
  { name: 'a cursor covers the log although the reply was cut', patches: [['core/read/reader.js', `const atEnd = position >= log.position;`, `const atEnd = true;`]] },
  { name: 'what is left of a batch that was cut is not sent', patches: [['core/read/reader.js', `if (batch.seq + to - 1 < last)\n            return batch.position - 1;`, `if (batch.seq + to - 1 < last)\n            return batch.position;`]] },
  { name: 'forgets dedupe ids that are pending', patches: [['core/log/dedupe.js', `if (entry === NONE || this.#table.isPending(entry) || !this.#isOver(this.#table.seen(entry)))\n            return entry;\n        this.#forget(entry);`, `if (entry === NONE || !this.#table.isPending(entry))\n            return entry;\n        this.#table.remove(entry);`]] },
  { name: 'delivers second copies of a dedupe id', patches: [['core/read/reader.js', `const skipped = copies.repeatsIn(batch, read, from, to);`, `const skipped = [];`]] },
  {
    name: 'a message is a sign of life only when all of it has come',
    test: 'simulation/path',
    patches: [
      ['mesh/link.js', `            this.#events.heard(this);\n`, ``],
      [
        'mesh/link.js', `            throw new RumormillError('PROTOCOL', \`\${type} out of turn\`);`,
        `            throw new RumormillError('PROTOCOL', type);\n        this.#events.heard(this);`,
      ],
      [
        'mesh/link.js', `get #wholeBytes() {\n        return this.#path.windowBytes;`,
        `get #wholeBytes() {\n        return Infinity;`,
      ],
    ],
  },
  { name: 'forgets dedupe ids at a restart', patches: [['host.js', `await broker.#copies.restore();`, ``]] },
  {
    name: 'running time goes by the wall clock',
    patches: [
      [
        'core/log/running-time.js', `return this.end + HOLE_MS + Math.floor(this.#monotonic() - this.#startedAt);`,
        `return this.end + HOLE_MS + Math.floor(this.#wall() % 1e10);`,
      ],
    ],
  },
  {
    name: 'publishers take the clock as far as they like',
    patches: [['core/log/lamport.js', `if (ahead > saved)`, `if (false)`]],
  },
  {
    name: 'records of peers may be longer than those of publishers', test: 'core/log/batch-check',
    patches: [['core/log/batch-check.js', `return text.length > bytesMax ||`, `return false &&`]],
  },
  {
    name: 'nobody is closed where memory is short',
    patches: [['core/budget.js', `account.holder.expel(account.greed);`, `;`]],
  },
  {
    name: 'what a closed connection held counts for ever',
    patches: [
      [
        'core/budget.js', `this.charge(-account.own - this.limits.connectionBytes, account.kind);`,
        `this.charge(-this.limits.connectionBytes, account.kind);`,
      ],
    ],
  },
  // Queues
  { name: 'an ACK is answered before the disk', patches: [['queue/outcomes.js', `            acknowledger.gather(ledger, change, (error) => {`, `            resolve();\n            acknowledger.gather(ledger, change, (error) => {`]] },
  { name: 'a lease is given out while it runs', patches: [['core/queue/leases.js', `this.#dueAt(entry, now + this.policy.visibilityMs);`, `this.#dueAt(entry, now + this.policy.visibilityMs / 2);`]] },
  { name: 'a floor above what is leased', patches: [['queue/subscription-queue.js', `Math.min(this.#backlog.position, (this.leases.lowest ?? Infinity) - 1)`, `this.#backlog.position`]] },
  {
    name: 'the token of an expired lease is good',
    patches: [
      [
        'core/queue/leases.js',
        `entry.instance === token.instance &&\n            entry.dueAt > now`,
        `entry.instance === token.instance`,
      ],
      ['core/queue/leases.js', `entry.state === 'leased' &&\n            !entry.isSettling`, `entry.state !== 'gone' && !entry.isSettling`],
    ],
  },
  { name: 'every token of a message is good', patches: [['core/queue/leases.js', `entry.lease === token.lease &&\n            entry.instance === token.instance &&`, ``]] },
  { name: 'a token is good for any subscription', patches: [['core/queue/lease-token.js', `scratch.readUInt32LE(end) !== fnv1a(scratch, life, end) ||`, ``]] },
  { name: 'failed deliveries are not written', patches: [['queue/outcomes.js', `failures.fail(origin, seq, deliveries, state === 'delayed' ? dueAt : undefined);`, `;`]] },
  { name: 'the next home does not count the failed deliveries', patches: [['queue/deliverer.js', `ledger.done.attempts(source.origin, source.seq + index)`, `0`]] },
  { name: 'one delivery too few before a dead letter', patches: [['core/queue/leases.js', `deliveries >= this.policy.maxDeliveries`, `deliveries >= this.policy.maxDeliveries - 1`]] },
  { name: 'what was delivered too often is dropped', patches: [['queue/dead-letters.js', `await this.#publish(dead, deadLetter);`, `;`]] },
  { name: 'acknowledgements of other homes are dropped', patches: [['queue/acknowledger.js', `if (batch.topic !== ACKS_TOPIC)`, `if (batch.topic !== ACKS_TOPIC || batch.origin !== this.#runtime.log.origin)`]] },
  { name: 'what a deleted topic held comes back', patches: [['core/catalog/catalog.js', `return Math.max(0, Math.min(count, first - lamport));`, `return 0;`]] },
  { name: 'operations count in the order in which they arrive', patches: [['core/catalog/catalog.js', `fresh.length === 0 ? [] : this.#takeBack(this.#place(fresh[0].stamp))`, `[]`]] },
  { name: 'an operation that comes too late is left out', patches: [['catalog/metadata.js', `if (isTooLate)\n            void this.#remake();`, `if (false)\n            void this.#remake();`]] },
  { name: 'a broker without its files goes on', patches: [['host.js', `if (!isDiskFull(error))\n            return this.#fatal(error);`, ``]] },
  { name: 'a start takes what is kept of topics for all that was said of them', patches: [['catalog/metadata.js', `replay(this.#runtime, CATALOG_TOPIC, position, `, `replay(this.#runtime, CATALOG_TOPIC, kept === undefined ? 0 : log.position, `]] },
  { name: 'a renamed topic loses what is published under its former name', patches: [['core/catalog/catalog-state.js', `topic.names = [...names, to];`, `topic.names = [to];`]] },
  {
    name: 'commands do not go around a link that is cut',
    patches: [
      [
        'mesh/overlay.js',
        `        if (via !== undefined)\n            return via;\n` +
          `        if (!this.isGone(address))\n            this.seek(address);`, ``,
      ],
    ],
  },
  { name: 'a broker between does not pass commands on', patches: [['home/errands.js', `if (ask.home !== this.#runtime.config.address)`, `if (false)`]] },
  { name: 'until when a message is put off is not written', patches: [['queue/outcomes.js', `state === 'delayed' ? dueAt : undefined`, `undefined`]] },
  {
    name: 'the next home delivers what is put off',
    patches: [
      ['queue/subscription-queue.js', `this.leases.putOff(wait);`, `;`],
      ['queue/deliverer.js', `if (until <= clock.now())`, `if (true)`],
    ],
  },
  {
    name: 'a record that puts off counts from the beginning of time',
    patches: [['queue/acknowledger.js', `ages.writtenAt(written, origin)`, `0`]],
  },
  { name: 'a NACK is answered before the disk', patches: [['queue/subscription-queue.js', `await noted;`, `;`]] },
  {
    name: 'a copy of a command that was held up is carried out after the answer', test: 'home/errands',
    patches: [['home/errands.js', `if (this.#attempts.isOvertaken(ask.errand, ask.attempt))`, `if (false)`]],
  },
  {
    name: 'a home carries out a command again if the link was lost with the answer', test: 'home/errands',
    patches: [['home/errands.js', `command.isOnce === true`, `false`]],
  },
  {
    name: 'a process that is the home again gives the tokens that it gave before', test: 'core/queue/leases',
    patches: [['core/queue/leases.js', `this.#given = given`, `this.#given = { count: 0 }`]],
  },
  {
    name: 'of two handovers the one that was told first counts', test: 'core/queue/leases',
    patches: [['core/queue/leases.js', `(known?.deliveries ?? 0) < deliveries`, `false`]],
  },
  {
    name: 'a DELAY is not kept',
    patches: [
      [
        'core/queue/leases.js', `const wait = delayMs ?? this.#backoffMs(entry.deliveries);`,
        `const wait = this.#backoffMs(entry.deliveries);`,
      ],
    ],
  },
  {
    name: 'a BACKOFF is not kept',
    patches: [
      [
        'core/queue/leases.js', `const wait = delayMs ?? this.#backoffMs(entry.deliveries);`,
        `const wait = delayMs ?? 0;`,
      ],
    ],
  },
  {
    name: 'a PURGE does not wait for what is stored where it was asked for',
    patches: [['commands/queue.js', `subject, isAboutMessages: true, run: purge`, `subject, run: purge`]],
  },
  {
    name: 'a PURGE drops what comes while it lasts',
    patches: [['queue/subscription-queue.js', `this.#backlog.skipTo(until);`, `this.#backlog.skipTo(log.position);`]],
  },
  {
    name: 'a PURGE is answered before the disk',
    patches: [
      [
        'queue/subscription-queue.js',
        `acknowledger.gather(this.ledger, (state) => state.raise(ids, vector), (error) => `,
        `resolve();\n            acknowledger.gather(this.ledger, (state) => state.raise(ids, vector), (error) => `,
      ],
    ],
  },
  {
    name: 'a PURGE leaves the leases',
    patches: [
      ['queue/subscription-queue.js', `if ((vector.get(entry.origin) ?? 0) >= entry.seq)`, `if (false)`],
    ],
  },
  {
    name: 'new settings do not reach the leases',
    patches: [['queue/subscription-queue.js', `        this.leases.policy = this.#policy();`, `        ;`]],
  },
  {
    name: 'an UPDATE takes the other settings away',
    patches: [
      [
        'core/catalog/catalog-state.js', `set(entry, { ...entry.settings, ...operation.settings })`,
        `set(entry, { visibilityMs: 30_000, maxDeliveries: null, deadLetter: null, backoffMs: null, from: 'latest', ...operation.settings })`,
      ],
    ],
  },
  {
    name: 'a limit that falls does not hold for what waits to be delivered again',
    patches: [['core/queue/leases.js', `if (!isStricter)`, `if (true)`]],
  },
  {
    name: 'a proof is not verified',
    patches: [
      ['mesh/handshake.js', `if (!this.#runtime.signatures.verify(this.#peer.key, text, signature))`, `if (false)`],
    ],
  },
  // Homes and the mesh
  {
    name: 'a broker that stops does not say so', test: 'simulation/sparse-homes',
    patches: [['mesh/mesh.js', `this.#overlay.leave();`, `;`]],
  },
  {
    name: 'nobody passes on that a broker has stopped', test: 'simulation/sparse-homes',
    patches: [['mesh/overlay.js', `if (gone.length > 0 || news.some(isUrgent))`, `if (news.some(isUrgent))`]],
  },
  {
    name: 'a broker that is back is held for gone', test: 'core/mesh/hearsay',
    patches: [['core/mesh/hearsay.js', `[this.#self(), nextOf(beat[1])]`, `[this.#self(), beat[1] + 2]`]],
  },
  {
    name: 'a neighbour that crashed is not sought', test: 'simulation/sparse-homes',
    patches: [['mesh/overlay.js', `this.#seekLost(now);`, `;`]],
  },
  {
    name: 'a broker that one neighbour does not reach is held for gone', test: 'simulation/sparse-homes',
    patches: [
      [
        'core/mesh/ways.js', `heard(address, now) {\n        this.#missedSince.delete(address);`,
        `heard(address, now) {`,
      ],
    ],
  },
  {
    name: 'leases are sent once', test: 'home/handovers',
    patches: [['home/handovers.js', `if (!isOther && now < pending.sendAt)`, `if (!isOther)`]],
  },
  {
    name: 'a broker gives its word before the next homes have the leases', test: 'home/homes',
    patches: [['home/homes.js', `if (!this.#handovers.isEmpty && clock.now()`, `if (false && clock.now()`]],
  },
  {
    name: 'words are told by those who give them only', test: 'simulation/sparse-homes',
    patches: [['core/home/words.js', `(isFar || member === this.#self) && `, `member === this.#self && `]],
  },
  {
    name: 'a broker stops before its neighbours have its records', test: 'simulation/sparse-homes',
    patches: [
      ['home/homes.js', `this.#handovers.isEmpty && this.#mesh.holdings.isBackedUp()`, `this.#handovers.isEmpty`],
    ],
  },
  {
    name: 'a broker that stops keeps its leases',
    patches: [['home/homes.js', `this.#handovers.add(await giveUp(() => false));`, `await giveUp(() => false);`]],
  },
  {
    name: 'the view of the next coordinator is forgotten', test: 'core/home/view',
    patches: [['core/home/view.js', ` && term <= view.term)`, `)`]],
  },
  // What a test tells
  {
    name: 'the sides are not told apart in what is signed',
    test: 'mesh/handshake',
    patches: [['core/mesh/identity.js', '        `signed by the ${side}`,', '']],
  },
  {
    name: 'a proof is good more than once', test: 'mesh/handshake',
    patches: [['core/mesh/identity.js', 'return `${hex(dialler.nonce)} ${hex(answerer.nonce)}`;', `return '';`]],
  },
  {
    name: 'a proof is good in every mesh', test: 'mesh/handshake',
    patches: [['core/mesh/identity.js', '`mesh ${mesh}`,', '']],
  },
  {
    name: 'a link gives way to a broker with another key', test: 'mesh/handshake',
    patches: [['mesh/introductions.js', `if (peer.id !== other.id)`, `if (false)`]],
  },
  {
    name: 'one key may have two addresses', test: 'mesh/handshake',
    patches: [['mesh/mesh.js', `peer.id === id || `, ``]],
  },
  {
    name: 'who dials takes up the link before it has been accepted', test: 'mesh/handshake',
    patches: [
      [
        'mesh/introductions.js', `        link.agree();\n        opening.timer.cancel();`,
        `        link.agree();\n        return this.#introduce(link, peer);`,
      ],
    ],
  },
  {
    name: 'a long way to the others counts as their silence',
    test: 'simulation/path',
    patches: [['mesh/mesh.js', `longest = Math.max(longest, link.roundTripMs);`, `longest = 0;`]],
  },
  {
    name: 'commands wait behind what a path carries slowly', test: 'simulation/ways',
    patches: [['mesh/overlay.js', ` || link.latenessMs >= patienceMs + pathQueueMs`, ``]],
  },
  {
    name: 'a new home does not wait for a slow disk', test: 'core/home/view',
    patches: [['core/home/view.js', `(haveSpoken ? this.#catchUpMs : 0)`, `0`]],
  },
  {
    name: 'what is given back at once goes first', test: 'queue/deliverer',
    patches: [['queue/deliverer.js', `        this.#isAgainNext = false;`, `        ;`]],
  },
  {
    name: 'a consumer may hold everything',
    test: 'queue/limits',
    patches: [
      [
        'queue/deliverer.js', `this.#runtime.leases.heldBy(consumer) >= this.#runtime.limits.consumerLeasesMax`,
        `false`,
      ],
    ],
  },
  {
    name: 'many subscriptions may have as much out as they like', test: 'queue/limits',
    patches: [['queue/queues.js', `leases < most ? Infinity`, `true ? Infinity`]],
  },
  {
    name: 'where memory is short nobody has a turn to grow', test: 'core/budget',
    patches: [['core/budget.js', `return this.#grower === account;`, `return false;`]],
  },
  {
    name: 'one vote settles a change of the members', turnover: true,
    patches: [['core/members/roster.js', `2 * seats.filter(hasVoted).length > seats.length`, `seats.some(hasVoted)`]],
  },
  {
    name: 'a member that is taken out and back is not known to be linked', test: 'core/mesh/membership',
    patches: [['core/mesh/membership.js', `if (!this.isLinked(address))\n`, `if (true)\n`]],
  },
  {
    name: 'brokers that are no members are dialled', turnover: true,
    patches: [
      ['core/mesh/membership.js', `if (!this.#isConfigured(this.#rows.standsFor(address)))\n            return;`, ``],
    ],
  },
  {
    name: 'what is settled changes when somebody is put out by force later', test: 'core/members/roster',
    patches: [['core/members/roster.js', `[NOBODY, this.#forced, ...`, `[NOBODY, this.#forced]; void [`]],
  },
  {
    name: 'one that was put out by force has two votes when it is back', turnover: true,
    patches: [['core/members/roster.js', `votes(id) && !this.#isBack(name, id)`, `votes(id)`]],
  },
  {
    name: 'members put each other out, and both are out', test: 'core/members/roster',
    patches: [['core/members/roster.js', `if (!isVoid.has(force) && !isOusted)`, `if (!isVoid.has(force))`]],
  },
  {
    name: 'a broker that is out goes on', turnover: true,
    patches: [['members/members.js', `if (isOut && !this.#mayReturn())`, `if (false)`]],
  },
];

/** Who does not keep a rule yet. These lists only shrink: what is listed and keeps the rule by now fails the tests. */

/** Files that import themselves by way of others. */
export const IN_CIRCLES: readonly string[] = [];

/** Where core/*.ts or core/log imports a wing of the core. */
export const GROUND_IMPORTS: readonly string[] = [];

/** Modules of Node outside of io/ and the command lines. */
export const NODE_IMPORTS: readonly string[] = [
  'brokers/embed.ts -> node:fs',
  'brokers/embed.ts -> node:path',
  'clients/client.ts -> node:events',
  'clients/library/connection.ts -> node:crypto',
  'clients/library/connection.ts -> node:net',
  'clients/library/publish.ts -> node:crypto',
];

/** Functions over 60 lines, each with the reason. */
export const LONG_FUNCTIONS: Readonly<Record<string, string>> = {
  'brokers/host.ts: constructor': 'wires the parts of a broker, one statement for each',
  'brokers/wire/peer-codec.ts: decodePeerMessage': 'one case for each type of message',
  'brokers/wire/peer-codec.ts: encodePeerMessage': 'one case for each type of message',
  'test/core/catalog/catalog.test.ts: said at the same time, about one subscription': 'a table of cases',
  'test/core/log/log.test.ts: random publishes, receipts and full disks (seed ${SEED})':
    'one case for each operation, and the checks of each round',
  'test/core/log/batch-check.test.ts: a batch with a wrong field is refused, and the error names the field':
    'a table of cases',
  'test/core/queue/leases.test.ts: random operations against a list (seed ${SEED})': 'one case for each operation',
  'test/io/store.test.ts: the batches of a topic are found, whether they are indexed yet or not (SEED=${SEED})':
    'random batches, and a table of questions about them',
  'test/io/store.test.ts: what lives of a topic is counted, and what is dead is covered, some batches at a time (SEED=${SEED})':
    'random batches, and a table of questions about them',
  'test/mesh/gossip.test.ts: random faults, then a ${heal.name} that stands: all converge (seed ${SEED})':
    'one case for each fault, and the checks of each round',
  'test/processes/consumers.test.ts: consumers, with three brokers':
    'many tests on one mesh, which takes seconds to start',
  'test/simulation/checker.test.ts: each violation is found': 'a table of cases',
  'test/simulation/faults.ts: #inflict': 'one case for each kind of fault',
  'test/simulation/queue-checker.test.ts: each violation is found': 'a table of cases',
  'test/tidy/rules.test.ts: each rule can fail': 'a table of cases',
  'test/wire/peer-codec.test.ts: malformed messages are refused, and the error says what is wrong':
    'a table of cases',
};

/** Flags, commands, codes of errors and fields of MESH STATUS that no document has. */
export const UNDOCUMENTED: readonly string[] = [];

/** Flags in documents that are of commander, npm and other tools. */
export const TOOL_FLAGS: readonly string[] = ['--help'];

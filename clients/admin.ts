#!/usr/bin/env node
/**
 * `admin <command>`: looks at topics, subscriptions, bindings and brokers, and changes them.
 *
 * Listings are tables, or with `--json` one JSON document. The exit status is 0 if it was done; otherwise it is 1,
 * and one line says why.
 */
import './command-line/signals.ts';
import { setTimeout as wait } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { programName } from '../brokers/core/program-name.ts';
import { type Client, connect, type ForgetOptions, type SubscriptionOptions, type TopicOptions } from './client.ts';
import {
  addBrokerFlags, type BrokerFlags, connectOptions, noteEvent, runMain, wholeNumber,
} from './command-line/command-line.ts';
import {
  bindingListing, consumerListing, type Listing, memberListing, pendingListing, statusListing, subscriptionListing,
  topicListing,
} from './command-line/listing.ts';
import { LineWriter } from './command-line/line-writer.ts';

interface Flags extends BrokerFlags {
  readonly json?: true;
}

/** As commander reads them: those that were not given are not there. */
interface SettingFlags {
  readonly transient?: true;
  readonly visibility?: number;
  readonly maxDeliveries?: number;
  readonly deadLetter?: string;
  readonly backoff?: number;
  readonly from?: string;
}

const LOOK_MS = 300; // between looks whether a broker has left
const PENDING_COUNT = 100;
const MS_MAX = 2 ** 53 - 1; // the brokers know better

const name = programName(process.argv[1]!);

const EXAMPLES = `
Examples:
  $ ${name} status                                  brokers, and the state of one of them
  $ ${name} --port 3001 subscriptions 'bill*'       backlogs, leases, consumers, homes
  $ ${name} --json topics | jq '.[].messages'
  $ ${name} topics create parcels --type direct
  $ ${name} subscriptions create billing --max-deliveries 5 --dead-letter failed
  $ ${name} bind billing orders
  $ ${name} bind north parcels --key north
  $ ${name} subscriptions pending billing           what is leased or delayed
  $ ${name} subscriptions consumers billing         which consumer holds how many messages
  $ ${name} subscriptions free billing --consumer c1   gives back what it holds, at once
  $ ${name} subscriptions purge billing
  $ ${name} invite 10.0.0.4:3000                    a new broker may join
  $ ${name} leave 10.0.0.2:3000                     it hands over what it has, and ends
  $ ${name} forget 10.0.0.3:3000                    its machine is gone for good
`;

const program = new Command(name)
  .description('Shows topics, subscriptions, bindings and brokers, and changes them.')
  .option('--json', 'listings as JSON')
  .configureHelp({ showGlobalOptions: true, minWidthToWrap: 20 })
  .addHelpText('after', EXAMPLES);
addBrokerFlags(program);

const topics = program
  .command('topics')
  .description('lists topics, or those that match the pattern')
  .argument('[pattern]')
  .action((pattern?: string) => list((client) => topicListing(client, pattern)));
topics
  .command('create <topic>')
  .description('creates a topic')
  .addOption(
    new Option(
      '--type <type>',
      "fanout: to every bound subscription; direct: to those that are bound with the key of the message",
    ).choices(['fanout', 'direct']),
  )
  .action((topic: string, { type }: TopicOptions) =>
    act(`topic ${topic} exists`, (client) => client.createTopic(topic, type === undefined ? {} : { type })),
  );
topics
  .command('rename <topic> <name>')
  .description('renames a topic; the old name still means the same topic')
  .action((topic: string, name: string) =>
    act(`topic ${topic} is now called ${name}`, (client) => client.renameTopic(topic, name)),
  );
topics.command('delete <topic>').description('deletes a topic with its messages and bindings')
  .action((topic: string) => act(`topic ${topic} is deleted`, (client) => client.deleteTopic(topic)));

const subscriptions = program
  .command('subscriptions')
  .description('lists subscriptions, or those that match the pattern')
  .argument('[pattern]')
  .action((pattern?: string) => list((client) => subscriptionListing(client, pattern)));
addSettingFlags(subscriptions.command('create <name>').description('creates a subscription'))
  .option('--transient', 'kept in the memory of its home only; deleted with its last consumer')
  .action((name: string, flags: SettingFlags) =>
    act(`subscription ${name} exists`, (client) => client.createSubscription(name, settings(flags))),
  );
addSettingFlags(subscriptions.command('update <name>').description('changes the settings that are given'))
  .action((name: string, flags: SettingFlags, command: Command) => {
    if (Object.keys(flags).length === 0) {
      command.error(`error: nothing to change: give ${command.options.map(({ long }) => long).join(', ')}`);
    }
    return act(`subscription ${name} is changed`, (client) => client.updateSubscription(name, settings(flags)));
  });
subscriptions.command('delete <name>').description('deletes a subscription with its bindings and its backlog')
  .action((name: string) => act(`subscription ${name} is deleted`, (client) => client.deleteSubscription(name)));
subscriptions.command('pending <name>').description('lists what is leased or delayed')
  .option('--count <n>', 'at most n messages', wholeNumber(1), PENDING_COUNT)
  .action((name: string, { count }: { count: number }) => list((client) => pendingListing(client, name, count)));
subscriptions.command('consumers <name>')
  .description('lists the consumers that hold messages, wait or have pulled lately')
  .option('--count <n>', 'at most n consumers', wholeNumber(1), PENDING_COUNT)
  .action((name: string, { count }: { count: number }) => list((client) => consumerListing(client, name, count)));
subscriptions
  .command('free <name>')
  .description('ends leases and delays, so that their messages are delivered again at once')
  .option('--consumer <name>', 'only those of this consumer')
  .action((name: string, options: { consumer?: string }) =>
    act('', async (client) => `${await client.free(name, options)} messages freed`),
  );
subscriptions.command('purge <name>').description('drops the backlog and all leases')
  .action((name: string) => act('', async (client) => `${await client.purge(name)} messages dropped`));

program.command('bindings').description('lists the bindings of all subscriptions, or of one').argument('[subscription]')
  .action((name?: string) => list((client) => bindingListing(client, name)));
for (const [verb, done] of [['bind', 'is bound to'], ['unbind', 'is no longer bound to']] as const) {
  program
    .command(`${verb} <subscription> <topic>`)
    .description(verb === 'bind' ? 'binds a subscription to a topic' : 'removes the binding')
    .option('--key <key>', 'of a direct topic: only messages with this key')
    .action((name: string, topic: string, options: { key?: string }) =>
      act(`${name} ${done} ${topic}`, (client) => client[verb](name, topic, options)),
    );
}
program
  .command('status')
  .description('shows the brokers of the mesh, and the state of the broker that is asked')
  .action(() => list(statusListing));
program.command('members').description('lists the members of the mesh, and the brokers that may join')
  .action(() => list(memberListing));
program.command('invite <host:port>').description('lets a broker join the mesh')
  .action((address: string) => act(`${address} may join`, (client) => client.invite(address)));
program.command('leave <broker>')
  .description('makes a member that runs leave the mesh, and waits until it is gone; give its address or its id')
  .action((broker: string) => withClient((client) => leave(client, broker)));
program
  .command('forget <broker>')
  .description('makes a broker that is gone for good a member no more; give its address or its id')
  .option('--yes', 'even if records are lost with it that no other broker has')
  .option('--force', 'without the votes of a majority of the members')
  .action((broker: string, options: ForgetOptions) =>
    act(`${broker} is a member no more`, (client) => client.forget(broker, options)),
  );
await program.parseAsync();

function addSettingFlags(command: Command): Command {
  return command
    .option('--visibility <ms>', 'how long a message is leased', wholeNumber(1, MS_MAX))
    .option(
      '--max-deliveries <n>',
      'after n deliveries without an acknowledgement a message goes to --dead-letter; 0: no limit', wholeNumber(0),
    )
    .option('--dead-letter <topic>', "the topic for such messages; '': none")
    .option(
      '--backoff <ms>', 'how long a message waits after its first failed delivery; doubles with each failed delivery',
      wholeNumber(0, MS_MAX),
    )
    .option('--from <place>', 'where new bindings begin: latest, earliest, or a cursor');
}

function settings({
  transient, visibility, maxDeliveries, deadLetter, backoff, from,
}: SettingFlags): SubscriptionOptions {
  return {
    ...(transient !== undefined && { transient }),
    ...(visibility !== undefined && { visibilityMs: visibility }),
    ...(maxDeliveries !== undefined && { maxDeliveries }),
    ...(deadLetter !== undefined && { deadLetter }),
    ...(backoff !== undefined && { backoffMs: backoff }),
    ...(from !== undefined && { from }),
  };
}

function list(listing: (client: Client) => Promise<Listing>): Promise<void> {
  return withClient(async (client, { json }) => {
    const { data, lines } = await listing(client);
    return json ? [JSON.stringify(data, undefined, 2)] : lines(process.stdout.isTTY === true);
  });
}

/** Does something and says so: what it returns, or else `done`. */
function act(done: string, action: (client: Client) => Promise<string | void>): Promise<void> {
  return withClient(async (client) => [(await action(client)) ?? done]);
}

/** Tells who leaves, and waits until it has. */
async function leave(client: Client, broker: string): Promise<readonly string[]> {
  const leaving = (await client.members()).find(({ address, id }) => address === broker || id.startsWith(broker));
  await client.leave(broker);
  const isThere = async (): Promise<boolean> => (await client.members()).some(({ id }) => id === leaving?.id);
  while (await isThere()) await wait(LOOK_MS);
  return [`${leaving?.address ?? broker} has left`];
}

function withClient(work: (client: Client, flags: Flags) => Promise<readonly string[]>): Promise<void> {
  return runMain('admin', async () => {
    const flags = program.opts<Flags>();
    const output = new LineWriter(process.stdout, () => {}); // if nobody reads it, it is done all the same
    const client = await connect({ ...connectOptions(flags), onEvent: noteEvent });
    try {
      for (const line of await work(client, flags)) output.line(line);
      await output.flushed();
    } finally {
      await client.close();
    }
  });
}

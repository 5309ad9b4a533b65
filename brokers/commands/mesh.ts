/** MESH: the mesh as this broker sees it, and who its members are. */
import { parseAddress, type Address } from '../core/address.ts';
import { messageOf, RumormillError } from '../core/error.ts';
import type { Args } from '../wire/command-parser.ts';
import { Flat, OK, type Value } from '../wire/resp.ts';
import { boundedName, type Caller, type Command, OptionReader, subcommand, type Usage } from './command.ts';

interface Subcommand extends Usage {
  run(args: Args, caller: Caller): Value | Promise<Value>;
}

const BROKER_BYTES_MAX = 270; // an address, or an id

async function invite(args: Args, { broker }: Caller): Promise<Value> {
  await broker.members.changes.invite(addressArgument(args, 2));
  return OK;
}

/** @throws RumormillError ERR */
function addressArgument(args: Args, index: number): Address {
  try {
    return parseAddress(args.text(index));
  } catch (error) {
    throw new RumormillError('ERR', messageOf(error));
  }
}

async function forget(args: Args, { broker }: Caller): Promise<Value> {
  const who = boundedName('broker', args, 2, BROKER_BYTES_MAX);
  const given = new Set<string>();
  const options = new OptionReader(args, 3);
  for (let name = options.next(); name !== undefined; name = options.next()) {
    if (name !== 'YES' && name !== 'FORCE') options.unknown();
    given.add(name);
  }
  await broker.members.changes.forget(who, given.has('YES'), given.has('FORCE'));
  return OK;
}

async function leave(args: Args, { broker }: Caller): Promise<Value> {
  const who = args.length > 2 ? boundedName('broker', args, 2, BROKER_BYTES_MAX) : undefined;
  await broker.members.changes.leave(who);
  return OK;
}

/** How far each origin is stored here; those that are closed are one line, which counts them. */
function vector({ broker }: Caller): Value {
  const all = broker.vector();
  const { rest } = broker.members.closer.closings.split(all);
  const closed = all.size - rest.size;
  return new Flat([...rest, ...(closed > 0 ? [['closed', closed]] : [])].flat());
}

/** Each as a map of its own. */
function members({ broker }: Caller): Value {
  return broker.memberList().map((member) => new Flat(Object.entries(member).flat()));
}

const subcommands: Readonly<Record<string, Subcommand>> = {
  LEADER: { min: 2, max: 2, usage: 'LEADER', run: (_, { broker }) => broker.coordinator ?? null },
  BROKERS: {
    min: 2, max: 2, usage: 'BROKERS',
    run: (_, { broker }) => broker.brokers().map(({ address, state, behind }) => [address, state, behind]),
  },
  VECTOR: { min: 2, max: 2, usage: 'VECTOR', run: (_, caller) => vector(caller) },
  STATUS: { min: 2, max: 2, usage: 'STATUS', run: (_, { broker }) => new Flat(Object.entries(broker.status()).flat()) },
  MEMBERS: { min: 2, max: 2, usage: 'MEMBERS', run: (_, caller) => members(caller) },
  INVITE: { min: 3, max: 3, usage: 'INVITE host:port', run: invite },
  LEAVE: { min: 2, max: 3, usage: 'LEAVE [host:port|id]', run: leave },
  FORGET: { min: 3, max: 5, usage: 'FORGET host:port|id [YES] [FORCE]', run: forget },
};

export const meshCommands: Readonly<Record<string, Command>> = {
  MESH: {
    min: 2,
    usage: Object.values(subcommands).map(({ usage }) => usage).join(' | '),
    run: (args, connection) => subcommand(args, subcommands).run(args, connection),
  },
  PEER: {
    min: 2,
    usage: 'version mesh address origin instance lamport link|look dialled time key nonce [name ...]',
    run(args, connection) {
      connection.becomePeer(args);
      return undefined;
    },
  },
};

/** MESH: the mesh as this broker sees it. */
import { RumormillError } from '../core/error.ts';
import type { Args } from '../wire/command-parser.ts';
import { Flat, type Value } from '../wire/resp.ts';
import { type Command, type Connection, shown } from './command.ts';

function mesh(args: Args, { broker }: Connection): Value {
  const what = args.word(1).toUpperCase();
  switch (what) {
    case 'LEADER':
      return broker.coordinator ?? null;
    case 'BROKERS':
      return broker.brokers().map(({ address, state, behind }) => [address, state, behind]);
    case 'VECTOR':
      return new Flat([...broker.vector()].flat());
    case 'STATUS':
      return new Flat(Object.entries(broker.status()).flat());
    default:
      throw new RumormillError(
        'ERR',
        `unknown subcommand MESH ${shown(args.word(1))}; LEADER, BROKERS, VECTOR, STATUS`,
      );
  }
}

export const meshCommands: Readonly<Record<string, Command>> = {
  MESH: { min: 2, max: 2, usage: 'LEADER | BROKERS | VECTOR | STATUS', run: mesh },
  PEER: {
    min: 2,
    usage: 'version mesh address origin instance lamport link|look dialled time key nonce [name ...]',
    run(args, connection) {
      connection.becomePeer(args);
      return undefined;
    },
  },
};

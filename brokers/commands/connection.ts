/**
 * What clients send by themselves, answered as Redis answers it: PING, ECHO, HELLO, AUTH, CLIENT, COMMAND, INFO,
 * SELECT, QUIT, RESET.
 */
import { RumormillError } from '../core/error.ts';
import type { Args } from '../wire/command-parser.ts';
import { Flat, OK, Push, Simple, type Value } from '../wire/resp.ts';
import { boundedName, type CommandTable, type Connection, integerArgument, shown } from './command.ts';

function ping(args: Args, connection: Connection): Value {
  const message = args.length > 1 ? args.bytes(1) : undefined;
  const subscribed = connection.listening > 0;
  if (subscribed && connection.version === 2) return new Push(['pong', message ?? '']);
  return message ?? new Simple('PONG');
}

/** HELLO [2|3 [AUTH user password] [SETNAME name]] */
function hello(args: Args, connection: Connection): Value {
  if (args.length > 1) {
    const version = args.integer(1);
    if (version !== 2 && version !== 3) throw new RumormillError('NOPROTO', 'unsupported protocol version');
    for (let at = 2; at < args.length; at += 1) {
      const option = args.word(at).toUpperCase();
      if (option === 'SETNAME' && at + 1 < args.length) connection.name = clientName(args, (at += 1), connection);
      else if (option === 'AUTH') throw noPassword();
      else throw new RumormillError('ERR', `syntax error in HELLO option ${shown(args.word(at))}`);
    }
    connection.version = version;
  }
  const { version, id } = connection;
  return new Flat([
    'server', 'rumormill', 'version', connection.broker.version, 'proto', version, 'id', id, 'mode', 'cluster', 'role',
    'master', 'modules', [],
  ]);
}

function noPassword(): RumormillError {
  return new RumormillError('ERR', 'AUTH was called, but no password is configured on this broker');
}

/** @throws RumormillError ERR or TOOBIG if the argument cannot be the name of a connection */
function clientName(args: Args, index: number, connection: Connection): string {
  const text = boundedName('client name', args, index, connection.broker.config.limits.nameBytesMax);
  if (/[^!-~]/.test(text)) {
    throw new RumormillError('ERR', 'client names cannot contain spaces, newlines or special characters');
  }
  return text;
}

function client(args: Args, connection: Connection): Value {
  switch (args.word(1).toUpperCase()) {
    case 'SETINFO':
      if (args.length !== 4) break;
      for (const index of [2, 3]) {
        boundedName('library name', args, index, connection.broker.config.limits.nameBytesMax);
      }
      return OK;
    case 'SETNAME':
      if (args.length !== 3) break;
      connection.name = clientName(args, 2, connection);
      return OK;
    case 'GETNAME':
      if (args.length !== 2) break;
      return connection.name === '' ? null : connection.name;
    case 'ID':
      if (args.length !== 2) break;
      return connection.id;
  }
  throw new RumormillError(
    'ERR',
    `unknown subcommand or wrong number of arguments: CLIENT ${shown(args.word(1))}; SETINFO, SETNAME, GETNAME, ID`,
  );
}

/**
 * Flags; first key, last key and step; access categories, tips, key specifications, subcommands. All are there, for
 * clients that count on them.
 */
const COMMAND_DETAILS: readonly Value[] = [[], 0, 0, 0, [], [], [], []];

/** COMMAND [COUNT | DOCS [name ...]]: enough for redis-cli's hints. */
function command(args: Args, table: CommandTable): Value {
  const what = args.length > 1 ? args.word(1).toUpperCase() : '';
  const all = Object.entries(table);
  if (what === 'COUNT') return all.length;
  if (what === 'DOCS') {
    const wanted = new Set(args.texts(2).map((name) => name.toUpperCase()));
    const chosen = all.filter(([name]) => wanted.size === 0 || wanted.has(name));
    return new Flat(
      chosen.flatMap(([name, { usage }]) => [
        name.toLowerCase(),
        new Flat(['summary', `${name} ${usage}`.trim(), 'group', 'pubsub']),
      ]),
    );
  }
  if (what !== '') throw new RumormillError('ERR', `unknown subcommand COMMAND ${shown(args.word(1))}; COUNT, DOCS`);
  return all.map(([name, { min, max }]) => [name.toLowerCase(), max === min ? min : -min, ...COMMAND_DETAILS]);
}

function info(_args: Args, { broker }: Connection): Value {
  const lines = Object.entries({ redis_mode: 'cluster', role: 'master', ...broker.status() }).map(
    ([name, value]) => `${name}:${value}`,
  );
  return `# Rumormill\r\n${lines.join('\r\n')}\r\n`;
}

function select(args: Args): Value {
  integerArgument(args, 1, 'database', 0, 0);
  return OK;
}

function reset(_args: Args, connection: Connection): Value {
  connection.unsubscribeAll();
  connection.name = '';
  connection.version = 2;
  return new Simple('RESET');
}

function quit(_args: Args, connection: Connection): undefined {
  connection.send(OK);
  connection.end();
}

/** @param table every command there is, these too, for COMMAND */
export const connectionCommands = (table: () => CommandTable): CommandTable => ({
  PING: { min: 1, max: 2, usage: '[message]', run: ping },
  ECHO: { min: 2, max: 2, usage: 'message', run: (args) => args.bytes(1) },
  HELLO: { min: 1, max: 16, usage: '[2|3 [SETNAME name]]', run: hello },
  AUTH: {
    min: 2,
    max: 3,
    usage: '[user] password',
    run() {
      throw noPassword();
    },
  },
  CLIENT: { min: 2, usage: 'SETINFO name value | SETNAME name | GETNAME | ID', run: client },
  COMMAND: { min: 1, max: 1000, usage: '[COUNT | DOCS [name ...]]', run: (args) => command(args, table()) },
  INFO: { min: 1, max: 100, usage: '[section ...]', run: info },
  SELECT: { min: 2, max: 2, usage: '0', run: select },
  QUIT: { min: 1, usage: '', run: quit },
  RESET: { min: 1, max: 1, usage: '', run: reset },
});

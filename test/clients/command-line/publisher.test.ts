import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { RumormillError } from '../../../brokers/core/error.ts';
import { DIST } from '../../support/root.ts';
import { Command, lines, run } from '../command.ts';
import { deadAddress, DROP, FakeBroker, option, publishReply } from '../fake-broker.ts';

const payloads = (broker: FakeBroker): string[] => broker.asked('PUBLISH').map(([, , payload]) => payload!);

t.test('publishes its messages with every flag, and prints a line for each', async (t) => {
  const broker = await FakeBroker.start(t);
  const flags = ['--brokers', broker.address, '--key', 'k', '--header', 'a=b', '--header', 'c=d=e', '--acks', 'all'];
  const { code, stdout, stderr } = await run(t, 'publisher', [...flags, 'news', 'hello', 'again']);
  t.equal(stdout, `1@${broker.address} lamport=1\n2@${broker.address} lamport=2\n`);
  t.equal(stderr, '');
  t.equal(code, 0);
  t.strictSame(payloads(broker), ['hello', 'again']);
  const [args] = broker.commands;
  t.strictSame([option(args!, 'KEY'), option(args!, 'ACKS')], ['k', 'all']);
  t.match(args!.join(' '), 'HEADER a b HEADER c d=e');
});

t.test('without a message, the lines of standard input', async (t) => {
  const broker = await FakeBroker.start(t);
  const { code, stdout } = await run(t, 'publisher', ['--brokers', broker.address, 'news'], 'one\r\ntwo\n\nlast');
  t.strictSame(payloads(broker), ['one', 'two', '', 'last']);
  t.equal(lines(stdout).length, 4);
  t.equal(code, 0);
});

t.test('--count repeats each message, --quiet prints no lines, and a long input flows', async (t) => {
  const broker = await FakeBroker.start(t);
  const { code, stdout, stderr } = await run(t, 'publisher', [
    '--brokers', broker.address, '--count', '6000', '--quiet', 'news', 'a', 'b',
  ]);
  t.strictSame(payloads(broker), [...new Array<string>(6000).fill('a'), ...new Array<string>(6000).fill('b')]);
  t.equal(stdout, '');
  t.match(stderr, /^12,000 acknowledged in .* per second\n$/);
  t.equal(code, 0);
});

t.test('--rate holds messages back', async (t) => {
  const times: number[] = [];
  const broker = await FakeBroker.start(t, () => times.push(performance.now()));
  await run(t, 'publisher', ['--brokers', broker.address, '--rate', '50', '--count', '11', 'news', 'x']);
  t.equal(times.length, 11);
  t.ok(times.at(-1)! - times[0]! > 150, 'eleven messages at 50 a second take about 200 ms');
});

t.test('what was not acknowledged is named, a bounded list of it, and the exit status is 1', async (t) => {
  const answer = publishReply();
  const broker = await FakeBroker.start(t, (args, socket) =>
    (args[2]!.startsWith('bad') ? new RumormillError('NOQUORUM', 'on disk on 1 of 2') : answer(args, socket)));
  const input = `good\n${Array.from({ length: 15 }, (_, index) => `bad ${index}\n`).join('')}good\n`;
  const { code, stdout, stderr } = await run(t, 'publisher', ['--brokers', broker.address, 'news'], input);
  t.equal(code, 1);
  t.equal(lines(stdout).length, 2);
  t.match(stderr, 'not acknowledged: 15 of 17 messages');
  t.match(stderr, 'message 2 "bad 0": NOQUORUM on disk on 1 of 2');
  t.match(stderr, 'and 5 more');
  t.match(stderr, 'numbers of the messages that were not acknowledged: 2 to 16\n');
  t.match(
    stderr,
    'to continue, repeat the command with --from-line 2; '
      + 'some messages may come twice (use --ids from the first run on)\n',
  );
  t.equal(lines(stderr).length, 14);
});

t.test('a lost broker: the message on its way goes to another, as does the rest', async (t) => {
  const second = await FakeBroker.start(t);
  const first = await FakeBroker.start(t, ([, , payload]) => (payload === 'a' ? 1 : DROP));
  first.others = [second.address];
  const command = new Command(t, 'publisher', ['--brokers', first.address, 'news']);
  command.child.stdin.write('a\n');
  await command.until('the first is acknowledged', ({ stdout }) => stdout !== '');
  command.child.stdin.write('b\n');
  await command.until('the loss is told', ({ stderr }) => stderr.includes('lost'));
  command.child.stdin.end('c\n');
  const { code, stdout, stderr } = await command.ended();
  t.strictSame(lines(stdout), [
    `1@${first.address} lamport=1`, `1@${second.address} lamport=1`, `2@${second.address} lamport=2`,
  ]);
  t.match(stderr, `lost ${first.address} (`);
  t.match(stderr, `going on with ${second.address}`);
  t.strictSame(payloads(second), ['b', 'c']);
  t.equal(lines(stderr).length, 2);
  t.equal(code, 0);
});

t.test('no broker: after --timeout the addresses tried, and exit status 1', async (t) => {
  const [a, b] = [await deadAddress(), await deadAddress()];
  const { code, stderr } = await run(t, 'publisher', ['--brokers', `${a},${b}`, '--timeout', '0.3', 'news', 'x']);
  t.match(stderr, `${a} (connection refused), ${b} (connection refused)`);
  t.equal(lines(stderr).length, 1, 'one line, no stack trace');
  t.equal(code, 1);
});

t.test('when no broker can be reached any more it stops, and does not wait for every line', async (t) => {
  const broker = await FakeBroker.start(t);
  const command = new Command(t, 'publisher', ['--brokers', broker.address, '--timeout', '0.3', 'news']);
  command.child.stdin.write('a\n');
  await command.until('the first is acknowledged', ({ stdout }) => stdout !== '');
  await broker.stop();
  await command.until('the loss is told', ({ stderr }) => stderr.includes('lost'));
  command.child.stdin.write('b\n');
  const { code, stderr } = await command.ended(); // standard input is still open
  t.match(stderr, /message 2 "b": UNREACHABLE .*connection refused/);
  t.match(stderr, 'no broker could be reached; stopped after 2 messages, of which 1 were acknowledged');
  t.equal(code, 1);
});

t.test('Ctrl-C waits for the answers that are due', async (t) => {
  let answer: (() => void) | undefined;
  const broker = await FakeBroker.start(t, () => new Promise((resolve) => (answer = (): void => resolve(5))));
  const command = new Command(t, 'publisher', ['--brokers', broker.address, 'news']);
  command.child.stdin.write('a\n');
  await command.until('it is on its way', () => answer !== undefined);
  command.child.kill('SIGINT');
  await command.until('it says so', ({ stderr }) => stderr.includes('waiting for 1 answers'));
  answer!();
  const { code, stdout, stderr } = await command.ended();
  t.equal(stdout, `5@${broker.address} lamport=5\n`);
  t.match(stderr, 'interrupted; stopped after 1 messages, of which 1 were acknowledged');
  t.equal(code, 1);
});

t.test('a reader that goes away does not stop the publishing', async (t) => {
  const broker = await FakeBroker.start(t);
  const command = new Command(t, 'publisher', ['--brokers', broker.address, 'news']);
  command.child.stdout.destroy();
  command.child.stdin.end('a\nb\nc\n');
  const { code, stderr } = await command.ended();
  t.strictSame(payloads(broker), ['a', 'b', 'c']);
  t.equal(stderr, '');
  t.equal(code, 0);
});

t.test('what was typed wrong is a clear error and exit status 1', async (t) => {
  const cases: readonly [string[], RegExp][] = [
    [['--count', 'abc', 'news', 'x'], /'--count <n>' argument 'abc' is invalid\. It must be a whole number from 1 on/],
    [['--count', '0', 'news', 'x'], /whole number from 1/],
    [['--rate', '-1', 'news', 'x'], /'--rate <n>'/],
    [['--timeout', '1e9', 'news', 'x'], /'--timeout <seconds>'/],
    [['--port', '99999', 'news', 'x'], /port "99999" is not a number from 1 to 65535/],
    [['--host', 'a b', 'news', 'x'], /host "a b" is neither/],
    [['--brokers', 'a', 'news', 'x'], /address "a" is not host:port/],
    [['--brokers', 'a:1', '--port', '3', 'news', 'x'], /cannot be used with/],
    [['--header', 'novalue', 'news', 'x'], /It must be name=value/],
    [['--acks', 'some', 'news', 'x'], /Allowed choices are none, local, quorum, all/],
    [['--wrong', 'news', 'x'], /unknown option '--wrong'/],
    [[], /give a topic/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await run(t, 'publisher', args);
    t.match(stderr, expected, args.join(' '));
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
    t.strictSame([code, stdout], [1, '']);
  }
});

t.test('a line that goes on and on is an error, and takes no memory', async (t) => {
  const broker = await FakeBroker.start(t);
  const input = Buffer.concat([Buffer.from('ok\n'), Buffer.alloc(17 * 1024 * 1024, 'x')]);
  const { code, stderr } = await run(t, 'publisher', ['--brokers', broker.address, 'news'], input);
  t.match(stderr, 'publisher: line 2 of the input is longer than 16777216 bytes');
  t.strictSame(payloads(broker), ['ok']);
  t.equal(code, 1);
});

t.test('--help has examples', async (t) => {
  const { code, stdout } = await run(t, 'publisher', ['--help']);
  t.match(stdout, /--header <name=value>[\s\S]*Examples:/);
  t.equal(code, 0);
});

t.test('--ids gives each line an id by its number, so that a run that goes on with --from-line doubles nothing', async (t) => {
  const answer = publishReply();
  let isFailing = true;
  const broker = await FakeBroker.start(t, (args, socket) =>
    (isFailing && args[2] === 'three' ? new RumormillError('NOQUORUM', 'on disk on 1 of 2') : answer(args, socket)));
  const input = 'one\ntwo\nthree\nfour\n';
  const first = await run(t, 'publisher', ['--brokers', broker.address, '--ids', 'import', 'news'], input);
  t.equal(first.code, 1);
  t.match(first.stderr, 'to continue, repeat the command with --from-line 3 --ids import\n');
  isFailing = false;
  const second = await run(
    t, 'publisher', ['--brokers', broker.address, '--ids', 'import', '--from-line', '3', 'news'], input,
  );
  t.equal(second.code, 0);
  const ids = broker.asked('PUBLISH').map((args) => `${args[2]} ${option(args, 'ID')}`);
  t.strictSame(ids, [
    'one import-1', 'two import-2', 'three import-3', 'four import-4', 'three import-3', 'four import-4',
  ]);
  const copies = await run(t, 'publisher', [
    '--brokers', broker.address, '--ids', 'import', '--count', '2', 'news', 'x', 'y',
  ]);
  t.equal(copies.code, 0);
  t.strictSame(
    broker
      .asked('PUBLISH')
      .slice(-4)
      .map((args) => option(args, 'ID')),
    ['import-1-1', 'import-1-2', 'import-2-1', 'import-2-2'],
  );
  const wrong = await run(t, 'publisher', ['--brokers', broker.address, '--from-line', '3', 'news', 'x']);
  t.match(wrong, { code: 1, stderr: /--from-line is for standard input/ });
});

const canTypeOnTerminals = spawnSync('python3', ['-c', 'import pty']).status === 0;

/** Types on a terminal, as a person does in a shell with job control: each step waits for its text, then sends. */
const TYPIST = `
import os, pty, select, sys, time
steps = [step.split('=>') for step in sys.argv[1].split('|')]
pid, fd = pty.fork()
if pid == 0:
    os.execvp('bash', ['bash', '--norc', '-i'])
seen = ''
def until(text):
    global seen
    end = time.time() + 30
    while text not in seen:
        if time.time() > end or not select.select([fd], [], [], 30)[0]:
            sys.exit('waited in vain for ' + repr(text) + ' in ' + repr(seen))
        seen += os.read(fd, 65536).decode('utf8', 'replace')
    seen = seen[seen.index(text) + len(text):]
for wanted, keys in steps:
    until(wanted)
    os.write(fd, keys.encode().decode('unicode_escape').encode())
until('bye')
`;

t.test('the prompt goes on after Ctrl-Z and fg, and again', { skip: !canTypeOnTerminals && 'no python3 here' }, async (t) => {
  const broker = await FakeBroker.start(t);
  const script = join(DIST, 'clients/publisher.js');
  const command = `${process.execPath} ${script} --brokers ${broker.address} news`;
  const steps = [
    ['ready-', `${command}\r`],
    ['> ', 'one\r'],
    ['lamport=1', ''],
    ['> ', '\x1a'],
    ['ready-', 'fg\r'],
    ['> ', 'two\r'],
    ['lamport=2', ''],
    ['> ', '\x1a'],
    ['ready-', 'fg\r'],
    ['> ', 'three\r'],
    ['lamport=3', ''],
    ['> ', '\x04'],
    ['ready-', 'echo by\x27\x27e\r'],
  ];
  const text = steps.map(([wanted, keys]) => `${wanted}=>${keys}`).join('|');
  const env = { ...process.env, NODE_OPTIONS: '', TERM: 'xterm', PROMPT_COMMAND: 'printf ready-' };
  const typist = spawn('python3', ['-c', TYPIST, text], { stdio: ['ignore', 'inherit', 'inherit'], env });
  t.teardown(() => typist.kill('SIGKILL'));
  t.equal(await new Promise((resolve) => typist.once('exit', resolve)), 0);
  t.strictSame(payloads(broker), ['one', 'two', 'three']);
});

t.test('SIGHUP waits for the answers that are due, as Ctrl-C does; SIGUSR1 and SIGUSR2 do nothing', async (t) => {
  const broker = await FakeBroker.start(t, () => undefined);
  const command = new Command(t, 'publisher', ['--brokers', broker.address, 'news']);
  command.child.stdin.write('one\n');
  await command.until('it is published', () => broker.asked('PUBLISH').length === 1);
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) command.child.kill(signal);
  await command.until('it says that it waits', ({ stderr }) => stderr.includes('waiting for 1 answers'));
  t.notMatch(command.stderr, /debugger/i);
});

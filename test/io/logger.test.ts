import t from 'tap';
import { LOG_LEVELS, type LogFormat, makeLogger } from '../../brokers/io/logger.ts';
import type { LogFields, LogLevel } from '../../brokers/core/runtime.ts';

/** The line that is written, without its time. */
function line(format: LogFormat, event: string, fields?: LogFields): string {
  const lines: string[] = [];
  makeLogger('info', format, (text) => lines.push(text)).info(event, fields);
  return lines.join('').replace(/^\d\d:\d\d:\d\d\.\d\d\d /, '');
}

t.test('text lines: level, Lamport timestamp, event, fields', async (t) => {
  t.equal(line('text', 'broker ready'), 'info  broker ready\n');
  t.equal(
    line('text', 'broker ready', { lamport: 7, broker: 'a:1', batches: 0, ok: true }),
    'info  [7] broker ready broker=a:1 batches=0 ok=true\n',
  );
  t.equal(
    line('text', 'x', { lamport: undefined, reason: undefined }), 'info  x\n', 'fields without a value are left out',
  );
  t.equal(line('text', 'x', { lamport: 0 }), 'info  [0] x\n');
});

t.test('what a client or a peer chose cannot make another line, nor reach the terminal as a control character', async (t) => {
  t.equal(line('text', 'x', { topic: 'a b' }), 'info  x topic="a b"\n');
  t.equal(line('text', 'x', { topic: '' }), 'info  x topic=""\n');
  t.equal(line('text', 'x', { topic: 'a\n12:00:00.000 error fake' }), 'info  x topic="a\\n12:00:00.000 error fake"\n');
  t.equal(line('text', 'x', { topic: '\x1b[2J' }), 'info  x topic="\\u001b[2J"\n');
  t.equal(line('text', 'x', { topic: 'a"b=c' }), 'info  x topic="a\\"b=c"\n');
  for (const control of ['\x00', '\x07', '\x1b', '\x7f', '\x9b', '\r', '\u2028', '\u202e']) {
    for (const format of ['text', 'json'] as const) {
      t.notOk(
        line(format, 'x', { topic: `a${control}b` })
          .slice(0, -1)
          .includes(control),
        `${format} ${control.charCodeAt(0).toString(16)}`,
      );
    }
  }
});

t.test('JSON lines', async (t) => {
  const parsed = JSON.parse(line('json', 'x', { lamport: 7, topic: 'a\n"b"', none: undefined })) as Record<
    string,
    unknown
  >;
  const { time, ...rest } = parsed;
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.strictSame(rest, { level: 'info', event: 'x', lamport: 7, topic: 'a\n"b"' });
});

t.test('levels: what stands below is not written', async (t) => {
  for (const [index, level] of LOG_LEVELS.entries()) {
    const written: string[] = [];
    const logger = makeLogger(level, 'json', (text) => written.push((JSON.parse(text) as { level: LogLevel }).level));
    for (const each of LOG_LEVELS) logger[each]('x');
    t.strictSame(written, LOG_LEVELS.slice(index), level);
  }
});

import t from 'tap';
import { Answers, Attempts } from '../../../brokers/core/home/attempts.ts';

t.test('an attempt is overtaken once a later one has come, in whatever order they come', async (t) => {
  const attempts = new Attempts(10);
  attempts.note('a/1', 1);
  t.notOk(attempts.isOvertaken('a/1', 1), 'the only one');
  attempts.note('a/1', 3);
  attempts.note('a/1', 2);
  t.strictSame([1, 2, 3].map((attempt) => attempts.isOvertaken('a/1', attempt)), [true, true, false]);
  t.notOk(attempts.isOvertaken('a/2', 1), 'another command');
});

t.test('so many commands are remembered, those that were noted last', async (t) => {
  const attempts = new Attempts(2);
  for (const command of ['a', 'b', 'c']) {
    attempts.note(command, 2);
    attempts.note(`${command} once`, 1); // takes no room
  }
  t.strictSame(['a', 'b', 'c'].map((command) => attempts.isOvertaken(command, 1)), [false, true, true]);
});

t.test('a copy of a command gets the answer of the first, which was carried out once; one that failed is tried again', async (t) => {
  const answers = new Answers<number>(2);
  let runs = 0;
  const run = (command: string): Promise<number> => answers.once(command, async () => (runs += 1));
  t.strictSame(await Promise.all([run('a/1'), run('a/1'), run('a/2')]), [1, 1, 2], 'also while it is carried out');
  t.equal(await run('a/1'), 1, 'and after that');
  await t.rejects(answers.once('a/3', () => Promise.reject(new Error('full'))), { message: 'full' });
  t.equal(await run('a/3'), 3);
  t.equal(await run('a/2'), 2, 'so many are kept, those that came last');
  t.equal(await run('a/1'), 4);
});

import t from 'tap';
import { Attempts } from '../../../brokers/core/home/attempts.ts';

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

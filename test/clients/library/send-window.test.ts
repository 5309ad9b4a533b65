import t from 'tap';
import { SendWindow } from '../../../clients/library/send-window.ts';

const KIB = 1024;

/**
 * A path that carries so much, with one command on its way after the other, as far as there is room. How many bytes are
 * under way in the end.
 */
function run(bytesPerMs: number, latencyMs: number, commandBytes: number): number {
  const pace = new SendWindow();
  const under: { readonly bytes: number; readonly doneAt: number }[] = [];
  let most = 0;
  for (let [now, freeAt] = [0, 0]; now < 120_000; now += 5) {
    while (under[0] !== undefined && under[0].doneAt <= now) pace.answered(under.shift()!.bytes, now);
    while (pace.roomBytes > 0) {
      freeAt = Math.max(now, freeAt) + commandBytes / bytesPerMs;
      under.push({ bytes: commandBytes, doneAt: freeAt + latencyMs });
      pace.sent(commandBytes, now);
    }
    if (now > 60_000) most = Math.max(most, pace.unansweredBytes);
  }
  return most;
}

t.test('what is under way follows the path: an answer is never far', async (t) => {
  for (const [bytesPerMs, latencyMs] of [[12, 1], [60, 10], [125, 50], [1250, 1]] as const) {
    const seconds = run(bytesPerMs, latencyMs, 3000) / bytesPerMs / 1000;
    t.ok(seconds <= 2, `${bytesPerMs} bytes a ms: ${seconds.toFixed(2)} s are under way`);
    t.ok(seconds >= 0.05, `and the path is never idle: ${seconds.toFixed(2)} s`);
  }
  t.ok(run(100_000, 1, 3000) >= 8 * 1024 * KIB, 'much on a fast one');
});

t.test('one command may always go, and patience grows with what is under way', async (t) => {
  const pace = new SendWindow();
  t.ok(pace.roomBytes > 0);
  t.equal(pace.patienceMs, 0);
  pace.sent(1024 * KIB, 0);
  t.ok(pace.roomBytes <= 0);
  t.equal(pace.patienceMs, 64_000, 'a path that was not timed yet carries 16 KiB a second');
  pace.answered(1024 * KIB, 1000);
  pace.sent(1024 * KIB, 1000);
  t.equal(pace.patienceMs, 4000, 'one that was timed a quarter of that');
});

import t from 'tap';
import { SEED } from '../support/random.ts';
import { runChaos } from './chaos.ts';

t.test(`ten seconds of chaos, seed ${SEED}: what was acknowledged is everywhere, once and in order`, async (t) => {
  const { problems, table } = await runChaos({ seconds: 10, brokers: 3, seed: SEED, rate: 2000 });
  for (const [name, value] of table) t.comment(`${name}: ${value}`);
  t.strictSame(problems, []);
});

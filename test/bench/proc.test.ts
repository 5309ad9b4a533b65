import t from 'tap';
import { sumOfSent } from './proc.ts';

t.test('what the connections of some processes have sent', async (t) => {
  const lines = [
    '0      0            127.0.0.1:3000      127.0.0.1:41234  users:(("node",pid=100,fd=21)) cubic rto:201 bytes_sent:1000 bytes_acked:1000 segs_out:9',
    '0      0            127.0.0.1:3001      127.0.0.1:41235  users:(("node",pid=1001,fd=21)) cubic rto:201 bytes_sent:20 bytes_acked:20',
    '0      0            127.0.0.1:3002      127.0.0.1:41236  users:(("other",pid=7,fd=3),("node",pid=101,fd=3)) cubic bytes_sent:300',
    '0      0            127.0.0.1:3003      127.0.0.1:41237  users:(("node",pid=100,fd=22)) cubic rto:201',
    '0      0            127.0.0.1:3004      127.0.0.1:41238  cubic bytes_sent:50000',
    '',
  ].join('\n');
  t.equal(sumOfSent(lines, [100, 101]), 1300);
  t.equal(sumOfSent(lines, [1001]), 20);
  t.equal(sumOfSent('', [100]), 0);
});

import t from 'tap';
import { programName } from '../../brokers/core/program-name.ts';

t.test('a program is called as its file is, without the ending', async (t) => {
  t.equal(programName('/app/dist/clients/publisher.js'), 'publisher');
  t.equal(programName('/app/node_modules/.bin/rumormill-publisher'), 'rumormill-publisher');
  t.equal(programName('C:\\app\\dist\\brokers\\broker.js'), 'broker');
  t.equal(programName('brokers/broker.ts'), 'broker');
  t.equal(programName('admin'), 'admin');
});

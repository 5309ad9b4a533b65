/**
 * Resume: a reader stores its cursor in a file. A second reader goes on from there, with another connection.
 *
 *     node dist/clients/examples/resume.js [brokers]
 *
 * The brokers are `host:port`, separated by commas; the default is those of `npm start`.
 */
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../client.ts'; // in your own program: from 'rumormill'

const TOPIC = 'example-log';
const brokers = process.argv[2] ?? 'localhost:3000,localhost:3001,localhost:3002';

const folder = await mkdtemp(join(tmpdir(), 'rumormill-example-'));
const file = join(folder, 'cursor');

/** Writes a whole new file and renames it: after a crash it holds the old cursor or the new one, never a part. */
async function store(cursor: string): Promise<void> {
  await writeFile(`${file}.new`, cursor);
  await rename(`${file}.new`, file);
}

/** Reads messages from the stored cursor on. The new cursor is stored when all messages of a batch were handled. */
async function read(name: string, limit: number): Promise<void> {
  const client = await connect({ brokers });
  try {
    const reader = client.subscribe(TOPIC, { from: await readFile(file, 'utf8'), limit });
    for await (const { cursor, messages } of reader.batches()) {
      for (const { text } of messages) console.log(`${name} reader: ${text}`);
      await store(cursor);
    }
  } finally {
    await client.close();
  }
}

try {
  const client = await connect({ brokers });
  await store((await client.poll(TOPIC)).cursor); // the end of the topic
  for (const text of ['one', 'two', 'three', 'four']) await client.publish(TOPIC, text);
  await client.close();

  await read('first', 2);
  await read('second', 2);
} finally {
  await rm(folder, { recursive: true });
}

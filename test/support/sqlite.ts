/** What SQLite tools do with a file, while a broker may have it open. */
import { Handle, READ_ONLY, READ_WRITE, type Row } from '../../brokers/io/sqlite.ts';

export function read(file: string, sql: string): Promise<Row[]> {
  return using(file, READ_ONLY, (handle) => handle.all(sql));
}

export function execute(file: string, sql: string): Promise<void> {
  return using(file, READ_WRITE, (handle) => handle.exec(sql));
}

async function using<T>(file: string, mode: number, task: (handle: Handle) => Promise<T>): Promise<T> {
  const handle = await Handle.open(file, mode);
  try {
    return await task(handle);
  } finally {
    await handle.close();
  }
}

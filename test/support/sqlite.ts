/** What SQLite tools do with a file, while a broker may have it open. */
import sqlite3 from 'sqlite3';

export function read(file: string, sql: string): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    const db = new sqlite3.Database(file, sqlite3.OPEN_READONLY);
    db.all(sql, (error: Error | null, rows: Record<string, unknown>[]) => db.close(() => (error ? reject(error) : resolve(rows))));
  });
}

export function execute(file: string, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const db = new sqlite3.Database(file);
    db.exec(sql, (error) => db.close(() => (error ? reject(error) : resolve())));
  });
}

/** A temporary folder for a test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** Makes an empty folder that is removed, with what is in it, when the test ends. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'rumormill-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

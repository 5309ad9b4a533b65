import t from 'tap';
import { controlGroupBytes, machineLimits, openFilesMax, type ReadText } from '../../brokers/io/machine.ts';

const MEBIBYTE = 1024 * 1024;
const files = (contents: Readonly<Record<string, string>>): ReadText => (path) => contents[path];

t.test('the memory of control groups, of both versions', async (t) => {
  t.equal(controlGroupBytes(files({})), undefined);
  t.equal(
    controlGroupBytes(
      files({ '/proc/self/cgroup': '0::/a/b\n', '/sys/fs/cgroup/a/b/memory.max': `${512 * MEBIBYTE}\n` }),
    ),
    512 * MEBIBYTE,
  );
  t.equal(
    controlGroupBytes(files({ '/proc/self/cgroup': '0::/a/b\n', '/sys/fs/cgroup/a/b/memory.max': 'max\n' })),
    undefined,
  );
  t.equal(
    controlGroupBytes(
      files({
        '/proc/self/cgroup': '0::/a/b\n', '/sys/fs/cgroup/a/b/memory.max': `${512 * MEBIBYTE}\n`,
        '/sys/fs/cgroup/a/memory.max': `${256 * MEBIBYTE}\n`,
      }),
    ),
    256 * MEBIBYTE,
    'what is above holds too',
  );
  t.equal(
    controlGroupBytes(
      files({
        '/proc/self/cgroup': '9:cpu:/x\n4:memory:/docker/abc\n0::/\n',
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${MEBIBYTE * 100}\n`,
      }),
    ),
    100 * MEBIBYTE,
    'inside of a container the root is its own',
  );
  t.equal(controlGroupBytes(files({
    '/proc/self/cgroup': '4:hugetlb,memory:/a\n', '/sys/fs/cgroup/memory/a/memory.limit_in_bytes': '1073741824\n',
  })), 1024 * MEBIBYTE);
});

t.test('open files', async (t) => {
  const text =
    'Limit                     Soft Limit           Hard Limit           Units\nMax open files            100                  200                  files\n';
  t.equal(openFilesMax(files({ '/proc/self/limits': text })), 100);
  t.equal(openFilesMax(files({ '/proc/self/limits': text.replace('100 ', 'unlimited ') })), undefined);
  t.equal(openFilesMax(files({})), undefined);
});

t.test('the limits of this machine make sense', async (t) => {
  const { memoryBytes, connectionsMax } = machineLimits();
  t.ok(memoryBytes >= 64 * MEBIBYTE, `${memoryBytes}`);
  t.ok(connectionsMax >= 8 && connectionsMax <= 50_000, `${connectionsMax}`);
});

import { chmodSync, existsSync, lstatSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemRandom } from '../../brokers/io/clock.ts';
import { openIdentity, systemSignatures } from '../../brokers/io/identity.ts';
import { openStore } from '../../brokers/io/open-store.ts';
import { parseAddress } from '../../brokers/core/address.ts';
import { temporaryFolder } from '../support/folder.ts';

const TEXT = Buffer.from('text');

/** The path of a key that was just made. */
async function made(t: Test): Promise<{ folder: string; file: string; text: string }> {
  const folder = temporaryFolder(t);
  await openIdentity(folder);
  const file = join(folder, 'broker.key');
  return { folder, file, text: readFileSync(file, 'utf8') };
}

t.test('the first start makes a key, and every other one reads it', async (t) => {
  const folder = temporaryFolder(t);
  const first = await openIdentity(folder);
  const file = join(folder, 'broker.key');
  const text = readFileSync(file, 'utf8');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notOk(existsSync(`${file}.new`));
  const second = await openIdentity(folder);
  t.equal(second.id, first.id);
  t.equal(readFileSync(file, 'utf8'), text, 'it is not written again');
  const { x } = createPublicKey(text).export({ format: 'jwk' });
  t.strictSame(Buffer.from(first.publicKey), Buffer.from(x!, 'base64url'), 'other tools can read it');
  t.equal(first.publicKey.length, 32);
  t.equal(first.id, createHash('sha256').update(first.publicKey).digest('hex').slice(0, 32));
  t.not((await openIdentity(temporaryFolder(t))).id, first.id, 'another folder has another one');
});

t.test('what it signs is verified with its public key, and with no other', async (t) => {
  const [one, other] = [await openIdentity(temporaryFolder(t)), await openIdentity(temporaryFolder(t))];
  const signature = one.sign(TEXT);
  t.equal(signature.length, 64);
  t.ok(systemSignatures.verify(one.publicKey, TEXT, signature));
  t.notOk(systemSignatures.verify(other.publicKey, TEXT, signature));
  t.notOk(systemSignatures.verify(one.publicKey, Buffer.from('texts'), signature));
  t.notOk(systemSignatures.verify(one.publicKey, TEXT, Buffer.alloc(64)));
  t.notOk(systemSignatures.verify(Buffer.alloc(32, 255), TEXT, signature), 'which is no point of the curve');
  t.not(String(systemSignatures.nonce()), String(systemSignatures.nonce()));
});

t.test('a key that others may read is refused, and left as it is; the start of a store does not hide it', async (t) => {
  const { folder, file, text } = await made(t);
  for (const mode of [0o640, 0o604, 0o620]) {
    chmodSync(file, mode);
    await (await openStore(folder, parseAddress('h:1'), systemRandom)).close();
    const code = mode.toString(8);
    await t.rejects(openIdentity(folder), {
      code: 'STORE',
      message: `others may read ${file} (mode 0${code}), and who has read it can pass for this broker: ` +
        'if nobody has, run chmod 600 on it; else move it away, and the broker makes a new key',
    });
    t.equal(statSync(file).mode & 0o777, mode);
  }
  chmodSync(file, 0o600);
  t.ok(await openIdentity(folder));
  t.equal(readFileSync(file, 'utf8'), text);
});

t.test('a key that is damaged is refused, and left as it is', async (t) => {
  const { folder, file, text } = await made(t);
  const other = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const cases: [what: string, content: string, why: RegExp][] = [
    ['empty', '', /damaged, there is no private key in it/],
    ['cut off', text.slice(0, 60), /damaged, there is no private key in it/],
    ['without its second half', text.slice(0, text.indexOf('-----BEGIN PUBLIC')), /do not belong together/],
    ['with another private key', other + text.slice(other.length), /its two keys do not belong together/],
    ['with more behind it', `${text}\n`, /its two keys do not belong together/],
    ['of another kind', String(rsa), /a key of type rsa, not ed25519/],
    ['as large as a log', text.padEnd(5000), /damaged/],
  ];
  for (const [what, content, why] of cases) {
    writeFileSync(file, content);
    await t.rejects(openIdentity(folder), { code: 'STORE', message: why }, what);
    await t.rejects(openIdentity(folder), { message: /; put a copy of it back, or move it away: .*$/ });
    t.equal(readFileSync(file, 'utf8'), content, what);
  }
});

t.test('each changed byte of the private key is noticed', async (t) => {
  const { folder, file, text } = await made(t);
  const from = text.indexOf('\n') + 1;
  for (let at = from; at < text.indexOf('\n', from); at += 1) {
    writeFileSync(file, `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`);
    await t.rejects(openIdentity(folder), { code: 'STORE', message: /broker.key/ }, `byte ${at}`);
  }
});

t.test('what a crash has left is made again; a link to a key that is not there is not written over', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'broker.key');
  writeFileSync(`${file}.new`, 'half a k', { mode: 0o644 });
  t.ok((await openIdentity(folder)).id);
  t.equal(statSync(file).mode & 0o777, 0o600);
  rmSync(file);
  symlinkSync(join(folder, 'not mounted'), file);
  await t.rejects(openIdentity(folder), { code: 'STORE', message: /broker.key cannot be read: ENOENT/ });
  t.ok(lstatSync(file).isSymbolicLink());
  await t.rejects(openIdentity(join(folder, 'nowhere')), { code: 'STORE', message: /key cannot be made: ENOENT/ });
});

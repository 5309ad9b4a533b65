/**
 * The key of a broker, in `broker.key` beside broker.db: made at the first start, read at every other one, never
 * written again. Both while the lock of the folder is held (io/folder.ts), so that no other broker makes one too.
 *
 * The file has the private key and the public key, as PEM (PKCS #8 and SPKI), which other tools can read. The second
 * follows from the first, so a damaged file is noticed. It is written beside its place, synced and renamed: a crash
 * leaves no file or a whole one.
 *
 * As with ssh, a key that others may read is refused. Its permissions are not mended, since somebody may have read it.
 */
import {
  createHash, createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, randomBytes, scryptSync,
  sign,
  verify,
} from 'node:crypto';
import { lstatSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { RumormillError } from '../core/error.ts';
import { type BrokerId, type Identity, NONCE_BYTES, type Signatures } from '../core/mesh/identity.ts';
import { FILE_MODE, OTHERS, storePaths } from './folder.ts';
import { fileError } from './sqlite.ts';

const FILE_BYTES_MAX = 4096;
const PUBLIC_KEYS_MAX = 4096;
/** scrypt (RFC 7914) of what owns a store: 1 MiB and about 3 ms. */
const [TAG_SALT, TAG_BYTES, TAG_COST] = ['Rumormill, tag of a store', 6, { N: 1024, r: 8, p: 1 }] as const;
const MEND = 'put a copy of it back, or move it away: then the broker makes a new key, and has a new id';

export const systemSignatures: Signatures = {
  nonce: () => randomBytes(NONCE_BYTES),
  idOf: (publicKey) => createHash('sha256').update(publicKey).digest('hex').slice(0, 32) as BrokerId,
  verify: (publicKey, text, signature) => verify(null, text, publicKeyOf(publicKey), signature),
  digest: (data) => hash('sha256', data, 'base64url'),
  tag: (owner) => scryptSync(owner, TAG_SALT, TAG_BYTES, TAG_COST).toString('hex'),
};

const publicKeys = new Map<string, KeyObject>(); // made before: each commit of a peer is verified with the same

function publicKeyOf(publicKey: Uint8Array): KeyObject {
  const x = Buffer.from(publicKey).toString('base64url');
  let key = publicKeys.get(x);
  if (key !== undefined) return key;
  if (publicKeys.size >= PUBLIC_KEYS_MAX) publicKeys.clear();
  publicKeys.set(x, (key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })));
  return key;
}

/**
 * The identity that is kept in a store's folder; a new one if there is none. Only while that store is open.
 * @throws RumormillError STORE or DISKFULL that says in one line what is wrong and what to do
 */
export async function openIdentity(folder: string): Promise<Identity> {
  const { key: path } = storePaths(resolve(folder));
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) await makeKeyFile(path);
  return identityOf(await readKeyFile(path));
}

/** @param key private, Ed25519 */
export function identityOf(key: KeyObject): Identity {
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  const publicKey = Buffer.from(x!, 'base64url');
  return { id: systemSignatures.idOf(publicKey), publicKey, sign: (text) => sign(null, text, key) };
}

async function makeKeyFile(path: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    await rm(draft, { force: true }); // a crash has left it
    await writeSynced(draft, textOf(generateKeyPairSync('ed25519').privateKey));
    await rename(draft, path);
    const folder = await open(dirname(path), 'r');
    await folder.sync().finally(() => folder.close());
  } catch (cause) {
    throw fileError(cause, `${path} cannot be made`);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readKeyFile(path: string): Promise<KeyObject> {
  const text = await readPrivately(path);
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (cause) {
    throw new RumormillError('STORE', `${path} is damaged, there is no private key in it; ${MEND}`, { cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new RumormillError('STORE', `${path} has a key of type ${key.asymmetricKeyType}, not ed25519; ${MEND}`);
  }
  if (text === textOf(key)) return key;
  throw new RumormillError('STORE', `${path} is damaged, its two keys do not belong together; ${MEND}`);
}

/** The text of a file that nobody else may read. */
async function readPrivately(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      if ((mode & OTHERS) !== 0) throw tooOpen(path, mode);
      return size > FILE_BYTES_MAX ? '' : await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw cause instanceof RumormillError ? cause : fileError(cause, `${path} cannot be read`);
  }
}

function tooOpen(path: string, mode: number): RumormillError {
  const found = `others may read ${path} (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`;
  const remedy = 'if nobody has, run chmod 600 on it; else move it away, and the broker makes a new key';
  return new RumormillError('STORE', `${found}, and who has read it can pass for this broker: ${remedy}`);
}

/** What the file of a key has in it. */
function textOf(key: KeyObject): string {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' });
  return `${String(key.export({ type: 'pkcs8', format: 'pem' }))}${String(publicKey)}`;
}

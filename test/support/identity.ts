/** Keys of brokers that follow from a few bytes, so that a test is the same each time. */
import { createPrivateKey } from 'node:crypto';
import type { Identity, Signatures } from '../../brokers/core/mesh/identity.ts';
import { identityOf, systemSignatures } from '../../brokers/io/identity.ts';

const SEED_BYTES = 32;
/** PKCS #8 of an Ed25519 key, before its seed (RFC 8410, section 7). */
const HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** @param seed up to 32 bytes, or a number */
export function testIdentity(seed: Uint8Array | number = 1): Identity {
  const bytes = Buffer.alloc(SEED_BYTES);
  if (typeof seed === 'number') bytes.writeUInt32BE(seed);
  else bytes.set(seed);
  return identityOf(createPrivateKey({ key: Buffer.concat([HEAD, bytes]), format: 'der', type: 'pkcs8' }));
}

/** Real signatures, with nonces of these dice. */
export function testSignatures(random: () => number): Signatures {
  const nonce = (): Uint8Array => {
    const words = Buffer.alloc(SEED_BYTES);
    for (let at = 0; at < SEED_BYTES; at += 4) words.writeUInt32BE(random(), at);
    return words;
  };
  return { ...systemSignatures, nonce };
}

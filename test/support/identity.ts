/** Keys of brokers that follow from a few bytes, so that a test is the same each time. */
import { createPrivateKey, hash } from 'node:crypto';
import { type Identity, sameBytes, type Signatures } from '../../brokers/core/mesh/identity.ts';
import { identityOf, systemSignatures } from '../../brokers/io/identity.ts';

const SEED_BYTES = 32;
/** PKCS #8 of an Ed25519 key, before its seed (RFC 8410, section 7). */
const HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** @param seed up to 32 bytes, or a number */
export function testIdentity(seed: Uint8Array | number = 1): Identity {
  const key = Buffer.concat([HEAD, seedBytes(seed)]);
  return identityOf(createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
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

/**
 * A key whose signatures are made and checked at once, and that everybody could forge who does not play by the rules:
 * for storms, which would do nothing else than to sign.
 */
export function virtualIdentity(seed: Uint8Array | number = 1): Identity {
  const publicKey = Buffer.from(hash('sha256', seedBytes(seed)), 'hex');
  return { id: systemSignatures.idOf(publicKey), publicKey, sign: (text) => virtualSignature(publicKey, text) };
}

/** What belongs to such keys. */
export function virtualSignatures(random: () => number): Signatures {
  return {
    ...testSignatures(random),
    verify: (publicKey, text, signature) => sameBytes(virtualSignature(publicKey, text), signature),
    tag: (owner) => hash('sha256', owner).slice(0, 12),
  };
}

function virtualSignature(publicKey: Uint8Array, text: Uint8Array): Uint8Array {
  return Buffer.from(hash('sha512', Buffer.concat([publicKey, text])), 'hex');
}

function seedBytes(seed: Uint8Array | number): Uint8Array {
  const bytes = Buffer.alloc(SEED_BYTES);
  if (typeof seed === 'number') bytes.writeUInt32BE(seed);
  else bytes.set(seed);
  return bytes;
}

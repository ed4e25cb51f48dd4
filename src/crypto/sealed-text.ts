// Text at rest: every subject has a key of its own, wrapped by a key that only the master key gives; erasing the subject's key erases the text.
// AES-256-GCM. A sealed value is version ‖ nonce (12) ‖ ciphertext ‖ tag (16), and opens only with the `aad` it was sealed with.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, randomFillSync } from 'node:crypto'
import { isDigest } from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

const cipher = 'aes-256-gcm'
const version = 1
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** A new key for one subject: 32 random bytes. */
export const generateSubjectKey = (): Buffer => takeRandom(keyBytes)

/** 32 random bytes that hide a committed value until it is disclosed. */
export const generateSalt = (): Buffer => takeRandom(keyBytes)

/** Seals a subject's key under the wrapping key; `context` says whose key it is and must be given again. */
export const wrapKey = (wrappingKey: Buffer, key: Buffer, context: string): Buffer => seal(wrappingKey, key, context)

/** Opens a subject's key. Throws `internal` when wrapping key or context are other ones, or the bytes have changed. */
export function unwrapKey(wrappingKey: Buffer, wrapped: Buffer, context: string): Buffer {
  const key = open(wrappingKey, wrapped, context)
  if (key.length !== keyBytes) throw unusable()
  return key
}

/** Seals a text or bytes. The nonce is random, so one key is good for 2^32 values. */
export function seal(key: Buffer, plaintext: Buffer | string, aad: string): Buffer {
  const nonce = takeRandom(nonceBytes)
  const sealing = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(aad))
  const body = typeof plaintext === 'string' ? sealing.update(plaintext, 'utf8') : sealing.update(plaintext)
  sealing.final()
  return Buffer.concat([Buffer.of(version), nonce, body, sealing.getAuthTag()])
}

/** Opens a sealed value. Throws `internal` when key or aad are other ones, or the bytes have changed. */
export function open(key: Buffer, sealed: Buffer, aad: string): Buffer {
  const bodyAt = 1 + nonceBytes
  const tagAt = sealed.length - tagBytes
  if (tagAt < bodyAt || sealed[0] !== version) throw unusable()
  try {
    const opening = createDecipheriv(cipher, key, sealed.subarray(1, bodyAt), { authTagLength: tagBytes })
    opening.setAAD(Buffer.from(aad)).setAuthTag(sealed.subarray(tagAt))
    const plaintext = opening.update(sealed.subarray(bodyAt, tagAt))
    opening.final()
    return plaintext
  } catch {
    throw unusable()
  }
}

/** HMAC-SHA-256 of a text: equal texts give equal values, and without the key nobody can try texts out. */
export const keyedHash = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The keys that the master key gives, one for each use. */
export interface DerivedKeys {
  /** Wraps subjects' keys. */
  wrap: Buffer
  /** Makes the pseudonyms of items in the audit log. */
  itemRef: Buffer
  /** Makes the hashes by which equal URLs are found. */
  urlKey: Buffer
  /** Seals content that has no subject of its own. */
  contentKey: Buffer
  /** Chains the lines of the journal of erasures. */
  erasures: Buffer
  /** Password of the service's database role, as text. */
  servicePassword: string
}

/** Derives a key for each use (HKDF-SHA-256, RFC 5869); one of them tells nothing about another. */
export function deriveKeys(master: Buffer): DerivedKeys {
  if (master.length !== keyBytes) throw unusable()
  const derive = (use: string) => Buffer.from(hkdfSync('sha256', master, '', `crossline v1 ${use}`, keyBytes))
  return {
    wrap: derive('wrap subject keys'),
    itemRef: derive('item pseudonyms'),
    urlKey: derive('url hashes'),
    contentKey: derive('content'),
    erasures: derive('journal of erasures'),
    servicePassword: derive('database service password').toString('base64url'),
  }
}

/**
 * Reads the master key, and makes it where there is none; `created` must be told to the operator, because losing the file is losing the
 * data. Throws `invalid_config` for a file that others may read or that does not hold 32 bytes as base64url: it is never replaced.
 */
export async function readMasterKey(path: string): Promise<{ key: Buffer; created: boolean }> {
  const created = await createSecretFile(path, `${randomBytes(keyBytes).toString('base64url')}\n`)
  const text = (await readSecretFile(path)).trimEnd()
  if (!isDigest(text)) throw new CrosslineError('invalid_config', { detail: `The file ${path} does not hold a master key` })
  return { key: Buffer.from(text, 'base64url'), created }
}

// One system call for many nonces and keys. Each stretch is copied out and wiped, and used once.
const pool = Buffer.alloc(12_288)
let poolAt = pool.length

function takeRandom(length: number): Buffer {
  if (poolAt + length > pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  const taken = Buffer.from(pool.subarray(poolAt, poolAt + length))
  pool.fill(0, poolAt, poolAt + length)
  poolAt += length
  return taken
}

// Which of key, aad or bytes is wrong can't be told apart, and need not be.
const unusable = (): CrosslineError => new CrosslineError('internal', { detail: 'A sealed value does not open with this key' })

// Our own signing keys: P-256 for everything in the federation, Ed25519 for audit checkpoints. Made here, kept in files, never exported.

import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { thumbprintOf } from '#domain/directory-contents.ts'
import { CrosslineError } from '#errors.ts'
import type { EcPublicKey, EdPublicKey } from '#schema/directory.ts'
import { readSecretFile } from './secret-file.ts'

const makeKeyPair = promisify(generateKeyPair)

/** What signs proofs, receipts, errors and answers. */
export interface SigningKey {
  /** RFC 7638 thumbprint of the public key. */
  kid: string
  privateKey: KeyObject
  publicJwk: EcPublicKey
}

/** What signs audit checkpoints. */
export interface AuditKey {
  kid: string
  privateKey: KeyObject
  publicJwk: EdPublicKey
}

/** A new P-256 key as PKCS#8 PEM. The caller keeps it with `createSecretFile`. */
export async function generateSigningKey(): Promise<string> {
  const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** A new Ed25519 key as PKCS#8 PEM. */
export async function generateAuditKey(): Promise<string> {
  const { privateKey } = await makeKeyPair('ed25519')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** Reads a P-256 key from a file that only its owner may read. Throws `invalid_config`. */
export async function readSigningKey(path: string): Promise<SigningKey> {
  return parseSigningKey(await readSecretFile(path))
}

/** Reads an Ed25519 key from a file that only its owner may read. Throws `invalid_config`. */
export async function readAuditKey(path: string): Promise<AuditKey> {
  return parseAuditKey(await readSecretFile(path))
}

/** A P-256 key from its PEM text. Throws `invalid_config` for anything else. */
export function parseSigningKey(pem: string): SigningKey {
  const privateKey = parsePem(pem)
  if (privateKey.asymmetricKeyType !== 'ec' || privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw refusal('A signing key must be on P-256')
  const { x, y } = createPublicKey(privateKey).export({ format: 'jwk' }) as { x: string; y: string }
  const publicJwk: EcPublicKey = { kty: 'EC', crv: 'P-256', x, y }
  return { kid: thumbprintOf(publicJwk), privateKey, publicJwk }
}

/** An Ed25519 key from its PEM text. Throws `invalid_config` for anything else. */
export function parseAuditKey(pem: string): AuditKey {
  const privateKey = parsePem(pem)
  if (privateKey.asymmetricKeyType !== 'ed25519') throw refusal('An audit key must be Ed25519')
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' }) as { x: string }
  const publicJwk: EdPublicKey = { kty: 'OKP', crv: 'Ed25519', x }
  return { kid: thumbprintOf(publicJwk), privateKey, publicJwk }
}

function parsePem(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    throw refusal('A key file does not hold a private key in PEM')
  }
}

const refusal = (detail: string): CrosslineError => new CrosslineError('invalid_config', { detail })

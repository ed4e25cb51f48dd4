// The one way in for every compact JWS: a strict gate first, because jose by itself accepts padding, white space, changed trailing bits,
// duplicate names, unknown claims and an array `aud`; then jose's verification with algorithm, typ, issuer, audience and requiredClaims all set.

import { errors, importJWK, jwtVerify, SignJWT } from 'jose'
import { thumbprintOf } from '#domain/directory-contents.ts'
import { findFormFault, isDigest, type ObjectForm } from '#domain/exact-forms.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError, type ErrorCode } from '#errors.ts'
import type { EcPublicKey } from '#schema/directory.ts'
import type { SigningKey } from './keys.ts'

/** Largest compact form of a token, in bytes: proofs are small, everything else may list a thousand exceptions. */
export const maxProofBytes = 8_192
export const maxTokenBytes = 65_536

/** Header of every token: exactly these members. */
export interface TokenHeader {
  alg: 'ES256'
  typ: string
  kid: string
}

/** A token whose form is right. Nothing in it is believed before its signature is checked. */
export interface OpenedToken {
  compact: string
  header: TokenHeader
  claims: Record<string, unknown>
}

/** What a token must be, and the code under which it is refused otherwise. */
export interface TokenKind {
  typ: string
  maxBytes: number
  claims: ObjectForm
  code: ErrorCode
}

// ES256 signatures have 64 bytes: 86 characters. No class here holds padding or white space.
const compactForm = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})$/

/** Takes a token apart and checks its form: size, encoding, header, exactly the known claims. Throws the kind's code. */
export function openToken(compact: unknown, kind: TokenKind): OpenedToken {
  const parts = splitToken(compact, kind)
  const header = parseTokenHeader(parts.header, kind)
  const claims = parseTokenPart(parts.payload, kind)
  const fault = findFormFault(claims, kind.claims)
  if (fault) throw refusal(kind, fault)
  return { compact: parts.compact, header, claims }
}

/** The encoded parts of a token of exact form: one text, not too large, each part exact base64url. Throws the kind's code. */
export function splitToken(compact: unknown, kind: Pick<TokenKind, 'code' | 'maxBytes'>) {
  if (typeof compact !== 'string' || compact.length > kind.maxBytes)
    throw refusal(kind, 'there is not exactly one, or it is too large')
  const [, header, payload, signature] = compactForm.exec(compact) ?? []
  if (!header || !payload || !signature) throw refusal(kind, 'it is not three parts of base64url with a signature of 64 bytes')
  for (const part of [header, payload, signature]) decodeTokenPart(part, kind)
  return { compact, header, payload }
}

/** Reads a protected header that must be exactly `alg, typ, kid`. Throws the kind's code. */
function parseTokenHeader(encoded: string, kind: Pick<TokenKind, 'typ' | 'code'>): TokenHeader {
  const header = parseTokenPart(encoded, kind)
  const form = { alg: (alg: unknown) => alg === 'ES256', typ: (typ: unknown) => typ === kind.typ, kid: isDigest }
  const fault = findFormFault(header, { required: form })
  if (fault) throw refusal(kind, fault)
  return header as unknown as TokenHeader
}

/** The bytes of one base64url part that encodes back to itself: no padding, no white space, no stray trailing bits. Throws the kind's code. */
export function decodeTokenPart(part: string, kind: Pick<TokenKind, 'code'>): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw refusal(kind, 'a part is not exact base64url')
  return bytes
}

function parseTokenPart(part: string, kind: Pick<TokenKind, 'code'>): Record<string, unknown> {
  const bytes = decodeTokenPart(part, kind)
  try {
    return parseStrictObject(bytes)
  } catch {
    throw refusal(kind, 'a part is not a strict JSON object')
  }
}

/** What the token must say besides being signed. */
export interface TokenExpectation {
  issuer: string
  audience?: string
  /** The moment against which `exp` is read; left out for a token without `exp`. */
  now?: Date
}

/** Finds the issuer's key by its kid. */
export type FindKey = (kid: string) => { jwk: EcPublicKey } | undefined

/** What jose found. The gate's caller decides which code that is. */
export type TokenVerdict = 'valid' | 'bad_signature' | 'expired' | 'bad_claims'

/** Verifies the signature of an opened token, then its claims. Throws the kind's code only for a key that is no P-256 key. */
export async function judgeToken(
  token: OpenedToken,
  kind: TokenKind,
  expected: TokenExpectation & { jwk: EcPublicKey },
): Promise<TokenVerdict> {
  const key = await importPublicKey(token.header.kid, expected.jwk, kind)
  try {
    await jwtVerify(token.compact, key, {
      algorithms: ['ES256'],
      typ: kind.typ,
      issuer: expected.issuer,
      ...(expected.audience === undefined ? {} : { audience: expected.audience }),
      requiredClaims: Object.keys(kind.claims.required),
      ...(expected.now === undefined ? {} : { currentDate: expected.now }),
    })
    return 'valid'
  } catch (error) {
    return readVerdict(error)
  }
}

// jose's claim errors carry the whole payload, so none of them is handed on.
function readVerdict(error: unknown): TokenVerdict {
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'bad_signature'
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JOSEError) return 'bad_claims'
  throw error
}

/** Opens and verifies a token that is refused under one code, whatever is wrong with it. */
export async function verifyToken(
  compact: unknown,
  kind: TokenKind,
  expected: TokenExpectation & { findKey: FindKey },
): Promise<Record<string, unknown>> {
  const token = openToken(compact, kind)
  const key = expected.findKey(token.header.kid)
  if (!key) throw refusal(kind, 'its key is not one of the issuer')
  const verdict = await judgeToken(token, kind, { ...expected, jwk: key.jwk })
  if (verdict !== 'valid') throw refusal(kind, verdictSentences[verdict])
  return token.claims
}

const verdictSentences = {
  bad_signature: 'its signature does not verify',
  expired: 'it has expired',
  bad_claims: 'it is from or for another member',
} as const

/** Signs claims, in the order in which they are given. */
export function signToken(key: SigningKey, typ: string, claims: object): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'ES256', typ, kid: key.kid }).sign(key.privateKey)
}

type ImportedKey = Awaited<ReturnType<typeof importJWK>>

// Importing costs more than verifying. The cache holds public keys of directory members only; the oldest goes first.
const importedKeys = new Map<string, ImportedKey>()
const maxImportedKeys = 4_096

async function importPublicKey(kid: string, { kty, crv, x, y }: EcPublicKey, kind: TokenKind): Promise<ImportedKey> {
  if (kty !== 'EC' || crv !== 'P-256') throw refusal(kind, 'its algorithm is not the one of the key')
  const name = `${kid}.${x}.${y}`
  const held = importedKeys.get(name)
  if (held) return held
  const key = await importChecked(kid, { kty, crv, x, y }, kind)
  if (importedKeys.size >= maxImportedKeys) importedKeys.delete(importedKeys.keys().next().value as string)
  importedKeys.set(name, key)
  return key
}

function importChecked(kid: string, jwk: EcPublicKey, kind: TokenKind): Promise<ImportedKey> {
  if (thumbprintOf(jwk) !== kid) throw refusal(kind, 'the key is not the one that the kid names')
  return importJWK({ ...jwk }, 'ES256').catch(() => {
    throw refusal(kind, 'the key is not a point of its curve')
  })
}

const refusal = ({ code }: Pick<TokenKind, 'code'>, why: string): CrosslineError =>
  new CrosslineError(code, { detail: `The token is refused: ${why}` })

// Keys and odd tokens for the tests of crypto: a signer that signs any bytes, so that only the form under test is wrong.

import { type KeyObject, sign } from 'node:crypto'
import { generateSigningKey, parseSigningKey, type SigningKey } from '#crypto/keys.ts'

export const makeKey = async (): Promise<SigningKey> => parseSigningKey(await generateSigningKey())

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** Signs two encoded parts as they are. */
export function signParts(header: string, payload: string, privateKey: KeyObject): string {
  const signature = sign('sha256', Buffer.from(`${header}.${payload}`), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  return `${header}.${payload}.${signature.toString('base64url')}`
}

/** Signs any claims under any header; a text is taken as it is, so it may hold what no object can. */
export function signOddly(key: SigningKey, claims: unknown, header: unknown): string {
  return signParts(encode(header), encode(claims), key.privateKey)
}

/** The claims of a token, unverified. */
export const claimsOf = (compact: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(compact.split('.')[1] as string, 'base64url').toString())

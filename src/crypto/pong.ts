// The signed echo of `POST /ping`: shows that a peer is there, holds its key, and what time it thinks it is.

import { type FormCheck, isMemberId, isNumericDate } from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import type { SigningKey } from './keys.ts'
import { type FindKey, maxTokenBytes, signToken, type TokenKind, verifyToken } from './token-gate.ts'

export const pongTyp = 'crossline-pong+jwt'

/** What a pong says. */
export interface PongClaims {
  iss: string
  aud: string
  iat: number
  nonce: string
}

/** 16 to 64 base64url characters. */
const isNonce: FormCheck = (value) => typeof value === 'string' && /^[A-Za-z0-9_-]{16,64}$/.test(value)

const pongKind: TokenKind = {
  typ: pongTyp,
  maxBytes: maxTokenBytes,
  code: 'bad_answer',
  claims: { required: { iss: isMemberId, aud: isMemberId, iat: isNumericDate, nonce: isNonce } },
}

/** Signs the echo of a nonce. */
export function signPong(key: SigningKey, { now, iss, aud, nonce }: Omit<PongClaims, 'iat'> & { now: Date }): Promise<string> {
  return signToken(key, pongTyp, { iss, aud, iat: Math.floor(now.getTime() / 1000), nonce })
}

/** Verifies the echo of our nonce; its `iat` against our clock is the caller's to judge. Throws `bad_answer`. */
export async function verifyPong(
  compact: unknown,
  expected: { issuer: string; audience: string; nonce: string; findKey: FindKey },
): Promise<PongClaims> {
  const claims = (await verifyToken(compact, pongKind, expected)) as unknown as PongClaims
  if (claims.nonce !== expected.nonce) throw new CrosslineError('bad_answer', { detail: 'The pong echoes another nonce' })
  return claims
}

// The signed half of an error document, `Crossline-Error`: only this one may make a sender hold a destination or quarantine a message.

import { type FormCheck, isCount, isDigest, isMemberId, isNumericDate } from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import type { SigningKey } from './keys.ts'
import { type FindKey, maxTokenBytes, openToken, signToken, type TokenKind, verifyToken } from './token-gate.ts'

export const errorTyp = 'crossline-error+jwt'

/** What a signed error says. */
export interface ErrorClaims {
  iss: string
  /** Owner of the socket's certificate; absent for a stranger. */
  aud?: string
  iat: number
  /** Digest of the proof that it answers; absent when there was none. */
  proof?: string
  code: string
  status: number
  /** Seconds to wait. */
  retryAfter?: number
}

// A peer of a later version may have codes that we do not know.
const isCode: FormCheck = (value) => typeof value === 'string' && /^[a-z_]{2,40}$/.test(value)
const isStatus: FormCheck = (value) => isCount(value) && (value as number) >= 400 && (value as number) <= 599

const errorKind: TokenKind = {
  typ: errorTyp,
  maxBytes: maxTokenBytes,
  code: 'bad_answer',
  claims: {
    required: { iss: isMemberId, iat: isNumericDate, code: isCode, status: isStatus },
    optional: { aud: isMemberId, proof: isDigest, retryAfter: isCount },
  },
}

/** Signs an error; `iat` is made from `now`. */
export function signError(
  key: SigningKey,
  { now, iss, aud, ...facts }: Omit<ErrorClaims, 'iat'> & { now: Date },
): Promise<string> {
  return signToken(key, errorTyp, { iss, ...(aud === undefined ? {} : { aud }), iat: Math.floor(now.getTime() / 1000), ...facts })
}

/** The answer that an error must belong to. */
export interface ErrorExpectation {
  issuer: string
  /** Us. */
  audience: string
  /** Digest of the proof that we sent with this call, when we sent one. */
  proof?: string
  /** Status of the HTTP answer. */
  status: number
  findKey: FindKey
}

/** Verifies an error that a peer answered to us. One that is addressed to nobody counts; one to another member, or for another call, does not. Throws `bad_answer`. */
export async function verifyError(compact: unknown, { audience, ...expected }: ErrorExpectation): Promise<ErrorClaims> {
  const isAddressed = Object.hasOwn(openToken(compact, errorKind).claims, 'aud')
  const parties = isAddressed ? { ...expected, audience } : expected
  const claims = (await verifyToken(compact, errorKind, parties)) as unknown as ErrorClaims
  if (claims.proof !== undefined && claims.proof !== expected.proof) throw refusal('it answers another call')
  if (claims.status !== expected.status) throw refusal('its status is not that of the answer')
  return claims
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_answer', { detail: `The signed error is refused: ${why}` })

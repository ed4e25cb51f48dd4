// The signed answer of `GET /capabilities`: what a node serves, its limits, and which directory it holds.

import { type FormCheck, findFormFault, isCount, isDigest, isMemberId, isNumericDate } from '#domain/exact-forms.ts'
import type { SigningKey } from './keys.ts'
import { type FindKey, maxTokenBytes, signToken, type TokenKind, verifyToken } from './token-gate.ts'

export const capabilitiesTyp = 'crossline-capabilities+jwt'

/** What a node says about itself. */
export interface CapabilitiesClaims {
  iss: string
  aud: string
  iat: number
  exp: number
  /** Versions of the protocol that it serves. */
  versions: number[]
  /** Most messages of a batch, most bytes as sent, most bytes inflated. */
  limits: { maxMessages: number; maxBytes: number; maxInflated: number }
  directory: { version: number; hash: string }
}

const isPositive: FormCheck = (value) => isCount(value) && value !== 0
const hasForm =
  (required: Record<string, FormCheck>): FormCheck =>
  (value) =>
    findFormFault(value, { required }) === undefined
const isVersionList: FormCheck = (value) =>
  Array.isArray(value) && value.length > 0 && value.length <= 16 && value.every(isPositive)

const capabilitiesKind: TokenKind = {
  typ: capabilitiesTyp,
  maxBytes: maxTokenBytes,
  code: 'bad_answer',
  claims: {
    required: {
      iss: isMemberId,
      aud: isMemberId,
      iat: isNumericDate,
      exp: isNumericDate,
      versions: isVersionList,
      limits: hasForm({ maxMessages: isPositive, maxBytes: isPositive, maxInflated: isPositive }),
      directory: hasForm({ version: isCount, hash: isDigest }),
    },
  },
}

/** Signs what this node serves, good for `lifetimeS` seconds. */
export function signCapabilities(
  key: SigningKey,
  { now, lifetimeS, iss, aud, ...facts }: Omit<CapabilitiesClaims, 'iat' | 'exp'> & { now: Date; lifetimeS: number },
): Promise<string> {
  const iat = Math.floor(now.getTime() / 1000)
  return signToken(key, capabilitiesTyp, { iss, aud, iat, exp: iat + lifetimeS, ...facts })
}

/** Verifies what a peer says about itself. Throws `bad_answer`. */
export async function verifyCapabilities(
  compact: unknown,
  expected: { issuer: string; audience: string; now: Date; findKey: FindKey },
): Promise<CapabilitiesClaims> {
  return (await verifyToken(compact, capabilitiesKind, expected)) as unknown as CapabilitiesClaims
}

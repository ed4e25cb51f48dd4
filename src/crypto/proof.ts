// The proof JWT of one call: who calls, with which bytes, on which certificate; for a batch also the Merkle root of the messages.
// Verification runs in the order of protocol.md and answers with exactly its codes; jti, body digest and root are compared by the caller.

import {
  type FormCheck,
  findFormFault,
  isCount,
  isDigest,
  isDirectoryView,
  isMemberId,
  isNumericDate,
  isTokenId,
  type ObjectForm,
} from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import { randomTokenId } from './digests.ts'
import type { SigningKey } from './keys.ts'
import { type FindKey, judgeToken, maxProofBytes, type OpenedToken, openToken, signToken, type TokenKind } from './token-gate.ts'

export const proofTyp = 'crossline-proof+jwt'

/** Longest life of a proof, and how far `iat` may be from the moment of arrival. */
const proofLifetimeS = 120
const clockToleranceS = 60

/** What a verified proof says. `root` and `size` are there on `/batches` and nowhere else. */
export interface ProofClaims {
  iss: string
  aud: string
  iat: number
  exp: number
  jti: string
  htm: string
  htu: string
  /** Digest of the body as sent; of nothing, where there is no body. */
  dig: string
  cnf: { 'x5t#S256': string }
  /** `<version>:<digest>` of the directory that the caller holds. */
  dir: string
  root?: string
  size?: number
}

const isShortText: FormCheck = (value) => typeof value === 'string' && value.length > 0 && value.length <= 512
const isConfirmation: FormCheck = (value) => findFormFault(value, { required: { 'x5t#S256': isDigest } }) === undefined

const callClaims: ObjectForm['required'] = {
  iss: isMemberId,
  aud: isMemberId,
  iat: isNumericDate,
  exp: isNumericDate,
  jti: isTokenId,
  htm: isShortText,
  htu: isShortText,
  dig: isDigest,
  cnf: isConfirmation,
  dir: isDirectoryView,
}

const callProof: TokenKind = { typ: proofTyp, maxBytes: maxProofBytes, claims: { required: callClaims }, code: 'malformed_proof' }
const batchProof: TokenKind = { ...callProof, claims: { required: { ...callClaims, root: isDigest, size: isCount } } }

/** What a caller puts into a proof. */
export interface ProofFacts {
  iss: string
  aud: string
  method: string
  /** The path as it will stand in the request line. */
  path: string
  /** Digest of the body as it will be sent. */
  bodyDigest: string
  /** Digest of our own certificate on this connection. */
  certificateFingerprint: string
  /** `<version>:<digest>` of the directory that we hold. */
  directory: string
  /** Root and number of the message lines, for a batch. */
  batch?: { root: string; size: number }
  now: Date
}

/** Makes a fresh proof with a jti of its own: one for each call, never used again. */
export function signProof(key: SigningKey, facts: ProofFacts): Promise<string> {
  const iat = Math.floor(facts.now.getTime() / 1000)
  const claims: ProofClaims = {
    iss: facts.iss,
    aud: facts.aud,
    iat,
    exp: iat + proofLifetimeS,
    jti: randomTokenId(),
    htm: facts.method,
    htu: facts.path,
    dig: facts.bodyDigest,
    cnf: { 'x5t#S256': facts.certificateFingerprint },
    dir: facts.directory,
    ...facts.batch,
  }
  return signToken(key, proofTyp, claims)
}

/** The call that a proof must belong to. */
export interface ProofExpectation {
  /** When the request's headers arrived. */
  arrivedAt: Date
  /** Us. */
  self: string
  /** The member that owns the socket's certificate, and that certificate's digest. */
  member: string
  certificateFingerprint: string
  /** The member's signing key, when it is `current` or a listed `next` one. */
  findKey: FindKey
  method: string
  path: string
  /** Whether this call must carry `root` and `size`. */
  withRoot: boolean
}

/** Form, then key, times, signature, audience, binding, method and path. Throws the code of the first that fails. */
export async function verifyProof(compact: unknown, expected: ProofExpectation): Promise<ProofClaims> {
  const token = openProof(compact, expected.withRoot)
  const key = expected.findKey(token.header.kid)
  if (!key) throw new CrosslineError('unknown_key')
  checkTimes(token.claims, expected.arrivedAt)
  const verdict = await judgeToken(token, proofKind(expected.withRoot), {
    issuer: expected.member,
    audience: expected.self,
    now: expected.arrivedAt,
    jwk: key.jwk,
  })
  if (verdict === 'bad_signature') throw new CrosslineError('bad_signature')
  // jose has looked at issuer and audience too, but in an order of its own: ours names the fault.
  checkParties(token.claims, expected)
  if (verdict !== 'valid') throw malformed('its claims are not usable')
  checkCall(token.claims, expected)
  return token.claims
}

/** The gate for a proof: its form, with nothing verified. Throws `malformed_proof`. */
export function openProof(compact: unknown, withRoot: boolean): OpenedToken & { claims: ProofClaims } {
  return openToken(compact, proofKind(withRoot)) as OpenedToken & { claims: ProofClaims }
}

/** How a proof is gated, with or without the claims of a batch. */
export const proofKind = (withRoot: boolean): TokenKind => (withRoot ? batchProof : callProof)

function checkTimes({ iat, exp }: ProofClaims, arrivedAt: Date): void {
  const now = Math.floor(arrivedAt.getTime() / 1000)
  if (exp <= iat || exp - iat > proofLifetimeS) throw malformed('its lifetime is not between 1 and 120 seconds')
  if (exp <= now || iat < now - clockToleranceS) throw new CrosslineError('expired_proof')
  if (iat > now + clockToleranceS) throw new CrosslineError('clock_skew')
}

function checkParties(claims: ProofClaims, { self, member, certificateFingerprint }: ProofExpectation): void {
  if (claims.aud !== self) throw new CrosslineError('wrong_audience')
  if (claims.iss !== member || claims.cnf['x5t#S256'] !== certificateFingerprint) throw new CrosslineError('certificate_mismatch')
}

function checkCall(claims: ProofClaims, { method, path }: ProofExpectation): void {
  if (claims.htm !== method || claims.htu !== path) throw malformed('it is for another method or path')
}

const malformed = (why: string): CrosslineError =>
  new CrosslineError('malformed_proof', { detail: `The proof is refused: ${why}` })

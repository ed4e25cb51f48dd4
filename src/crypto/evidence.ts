// Evidence of one message: its line, its path in the batch's tree, the proof JWT that signed the root, and the receiver's receipt.
// Anybody can check it offline with public keys. Not checked, because it is about the call and not the statement: `exp` and `cnf`.

import { type FormCheck, findFormFault, isCount, isDigest, isMemberId, isObject, isUuidV7, orNull } from '#domain/exact-forms.ts'
import { leafHash, rootFromInclusion } from '#domain/merkle.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import type { EcPublicKey } from '#schema/directory.ts'
import { decodeHash, digest, encodeHash } from './digests.ts'
import { openProof, type ProofClaims, proofKind } from './proof.ts'
import { type ReceiptClaims, verifyReceipt } from './receipt.ts'
import { judgeToken, maxProofBytes, maxTokenBytes } from './token-gate.ts'

/** The one call whose proofs sign messages. */
const batchesCall = { method: 'POST', path: '/federation/v1/batches' } as const

/** Everything that shows who said one message to whom. */
export interface Evidence {
  /** The line as sent, without its newline. */
  message: string
  index: number
  size: number
  /** Sibling hashes from the leaf to the root. */
  path: string[]
  proof: string
  /** The receiver's receipt; null before there is one. */
  receipt: string | null
}

/** A signing key of a member, with the end of its life where it has ended (RFC 3339). */
export interface EvidenceKey {
  jwk: EcPublicKey
  retiredAt?: string
  revokedAt?: string
}

/** What verified evidence shows. */
export interface EvidenceSummary {
  message: { id: string; kind: string; item: string; author: string; to: string; body: unknown }
  /** Digest of the message: its leaf. */
  leaf: string
  index: number
  size: number
  root: string
  /** Digest of the proof JWT, and when it says that it was signed. */
  proof: string
  signedAt: Date
  receipt: { digest: string; at: Date; batch: string; status: 'stored' | 'duplicate' } | null
}

/** Puts evidence together from what sender and receiver keep. */
export function buildEvidence({ path, ...facts }: Omit<Evidence, 'path'> & { path: readonly Uint8Array[] }): Evidence {
  const { message, index, size, proof, receipt } = facts
  return { message, index, size, path: path.map(encodeHash), proof, receipt }
}

const isText =
  (maxLength: number): FormCheck =>
  (value) =>
    typeof value === 'string' && value.length > 0 && value.length <= maxLength
const isPath: FormCheck = (value) => Array.isArray(value) && value.length <= 53 && value.every(isDigest)

const evidenceForm = {
  required: {
    message: isText(196_608),
    index: isCount,
    size: isCount,
    path: isPath,
    proof: isText(maxProofBytes),
    receipt: orNull(isText(maxTokenBytes)),
  },
}

/** Where keys come from; a directory's history of keys included. */
export type FindEvidenceKey = (member: string, kid: string) => EvidenceKey | undefined

/** Checks path, proof, parties, receipt, and the life of the keys. Throws `bad_evidence`, naming the check that failed. */
export async function verifyEvidence(value: unknown, findKey: FindEvidenceKey): Promise<EvidenceSummary> {
  const evidence = parseEvidence(value)
  const message = parseMessage(evidence.message)
  const leaf = leafHash(Buffer.from(evidence.message))
  const root = encodeHash(rootFromInclusion({ ...evidence, leaf, path: evidence.path.map(decodeHash) }))
  const proof = await verifyBatchProof(evidence, { message, root, findKey })
  const receipt =
    evidence.receipt === null ? null : await verifyItsReceipt(evidence.receipt, { evidence, message, root, findKey })
  checkKeyLife(proof.key, receipt?.claims)
  return {
    message,
    leaf: encodeHash(leaf),
    index: evidence.index,
    size: evidence.size,
    root,
    proof: digest(evidence.proof),
    signedAt: fromNumericDate(proof.claims.iat),
    receipt: receipt?.summary ?? null,
  }
}

/** What the handoff that carries the evidence says. */
export interface OriginExpectation {
  item: string
  /** `report.origin` of the handoff. */
  origin: string
  /** `item.via` of the handoff: the origin first. */
  via: readonly string[]
  findKey: FindEvidenceKey
}

/** Checks the `origin` of a handoff: the first hotline's own handoff of the same item, received. Throws `bad_evidence`. */
export async function verifyOrigin(value: unknown, { item, origin, via, findKey }: OriginExpectation): Promise<EvidenceSummary> {
  const summary = await verifyEvidence(value, findKey)
  const { message, receipt } = summary
  if (message.kind !== 'handoff' || message.item !== item) throw refusal('it is not a handoff of this item')
  if (message.author !== origin || message.author !== via[0]) throw refusal('its author is not the origin of the report')
  if (!via.includes(message.to)) throw refusal('its receiver never held the item')
  if (!receipt) throw refusal('it has no receipt')
  checkOriginBody(message.body, origin)
  return summary
}

function checkOriginBody(body: unknown, origin: string): void {
  if (!isObject(body) || !isObject(body.report) || body.report.origin !== origin) throw refusal('its report has another origin')
  if (Object.hasOwn(body, 'origin')) throw refusal('it nests other evidence')
}

function parseEvidence(value: unknown): Evidence {
  const fault = findFormFault(value, evidenceForm)
  if (fault) throw refusal(fault)
  return value as Evidence
}

// The whole message is judged by its schema elsewhere; here only what the signature must agree with.
function parseMessage(line: string): EvidenceSummary['message'] {
  if (/[\r\n]/.test(line)) throw refusal('the message is not one line')
  const message = inEvidence('the message is not strict JSON', () => parseStrictObject(line))
  const { id, kind, item, author, to, body } = message
  if (!isUuidV7(id) || !isUuidV7(item) || !isMemberId(author) || !isMemberId(to) || typeof kind !== 'string') {
    throw refusal('the message does not have its members')
  }
  return { id, kind, item, author, to, body } as EvidenceSummary['message']
}

interface Context {
  message: EvidenceSummary['message']
  root: string
  findKey: FindEvidenceKey
}

async function verifyBatchProof(
  { proof, size }: Evidence,
  { message, root, findKey }: Context,
): Promise<{ claims: ProofClaims; key: EvidenceKey }> {
  const token = inEvidence('the proof does not pass the gate', () => openProof(proof, true))
  const { claims, header } = token
  const key = findKey(message.author, header.kid)
  if (!key) throw refusal('the key of the proof is not one of the author')
  // Against its own `iat`: a proof is long expired when it is evidence.
  const parties = { issuer: message.author, audience: message.to, now: fromNumericDate(claims.iat), jwk: key.jwk }
  const verdict = await judgeToken(token, { ...proofKind(true), code: 'bad_evidence' }, parties)
  if (verdict === 'bad_signature') throw refusal('the signature of the proof does not verify')
  if (verdict !== 'valid') throw refusal('author and receiver are not those of the proof')
  if (claims.htm !== batchesCall.method || claims.htu !== batchesCall.path) throw refusal('the proof is for another call')
  if (claims.root !== root || claims.size !== size) throw refusal('the path does not lead to the signed root')
  return { claims, key }
}

async function verifyItsReceipt(compact: string, { evidence, message, root, findKey }: Context & { evidence: Evidence }) {
  let key: EvidenceKey | undefined
  const claims = await verifyReceipt(compact, {
    issuer: message.to,
    audience: message.author,
    root,
    size: evidence.size,
    proofs: [digest(evidence.proof)],
    findKey: (kid) => (key = findKey(message.to, kid)),
  }).catch((error) => {
    throw error instanceof CrosslineError ? refusal(error.message) : error
  })
  checkKeyLife(key, claims)
  const exception = claims.exceptions.find(({ index }) => index === evidence.index)
  if (exception?.status === 'rejected') throw refusal('the receipt rejects the message')
  if (exception && exception.id !== message.id) throw refusal('the receipt names another message')
  const status: 'stored' | 'duplicate' = exception ? 'duplicate' : 'stored'
  return { claims, summary: { digest: digest(compact), at: fromNumericDate(claims.iat), batch: claims.batch, status } }
}

// Under a key that has ended, only a receipt dated before its end shows that the signature is not of later.
function checkKeyLife(key: EvidenceKey | undefined, receipt: ReceiptClaims | undefined): void {
  if (!key || endsOf(key).length === 0) return
  if (!receipt || !isBeforeEnd(key, receipt.iat)) throw refusal('its key has ended, and no receipt is dated before')
}

type KeyEnds = Pick<EvidenceKey, 'retiredAt' | 'revokedAt'>

function endsOf({ retiredAt, revokedAt }: KeyEnds): number[] {
  return [retiredAt, revokedAt].filter((end) => end !== undefined).map((end) => Date.parse(end))
}

/** Whether a receipt dated `iat` (NumericDate) is of the life of a key. A key that has not ended has no end to be after. */
export function isBeforeEnd(key: KeyEnds, iat: number): boolean {
  return endsOf(key).every((end) => iat * 1000 < end)
}

function inEvidence<T>(why: string, parse: () => T): T {
  try {
    return parse()
  } catch {
    throw refusal(why)
  }
}

const fromNumericDate = (seconds: number): Date => new Date(seconds * 1000)

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_evidence', { detail: `The evidence does not verify: ${why}` })

// The receipt JWT: what a receiver signs after its transaction committed, and the check without which nothing counts as delivered.
// A receipt that fails any rule here is no receipt (`bad_receipt`, naming the rule and no value).

import {
  type FormCheck,
  findFormFault,
  isCount,
  isDigest,
  isMemberId,
  isNumericDate,
  isTokenId,
  isUuidV7,
  orNull,
} from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import { type ExceptionCode, exceptionCodes } from '#schema/receipt.ts'
import { randomTokenId } from './digests.ts'
import type { SigningKey } from './keys.ts'
import { type FindKey, maxTokenBytes, signToken, type TokenKind, verifyToken } from './token-gate.ts'

export const receiptTyp = 'crossline-receipt+jwt'

/** One message of the batch that was not newly stored. */
export interface ReceiptException {
  index: number
  /** Id of the message; null when its line could not be read. */
  id: string | null
  status: 'duplicate' | 'rejected'
  /** Only with `rejected`. */
  code?: ExceptionCode
  /** NumericDate of the first storing, only with `duplicate`. */
  at?: number
  /** Who is responsible, only with `not_responsible`. */
  member?: string
}

/** What a receipt says. Every message of the batch that is no exception is stored. */
export interface ReceiptClaims {
  iss: string
  aud: string
  iat: number
  jti: string
  batch: string
  root: string
  size: number
  /** Digest of the first proof accepted for this batch. */
  proof: string
  exceptions: ReceiptException[]
  /** Digest of the last receipt to this peer; null for the first, or after a restore. */
  previous: string | null
  checkpoint: { origin: string; size: number; root: string } | null
}

const isOrigin: FormCheck = (value) => typeof value === 'string' && value.length > 0 && value.length <= 80
const isCheckpoint: FormCheck = (value) =>
  findFormFault(value, { required: { origin: isOrigin, size: isCount, root: isDigest } }) === undefined

const receiptKind: TokenKind = {
  typ: receiptTyp,
  maxBytes: maxTokenBytes,
  code: 'bad_receipt',
  claims: {
    required: {
      iss: isMemberId,
      aud: isMemberId,
      iat: isNumericDate,
      jti: isTokenId,
      batch: isUuidV7,
      root: isDigest,
      size: isCount,
      proof: isDigest,
      exceptions: Array.isArray,
      previous: orNull(isDigest),
      checkpoint: orNull(isCheckpoint),
    },
  },
}

/**
 * Signs a receipt; `jti` and `iat` are made here. Throws `too_large` when so many exceptions leave a token over 64 KiB, which no
 * peer would read: the batch must be refused with that code, and its sender splits it.
 */
export async function signReceipt(
  key: SigningKey,
  { now, ...claims }: Omit<ReceiptClaims, 'iat' | 'jti'> & { now: Date },
): Promise<string> {
  const { iss, aud, ...rest } = claims
  const receipt: ReceiptClaims = { iss, aud, iat: Math.floor(now.getTime() / 1000), jti: randomTokenId(), ...rest }
  const compact = await signToken(key, receiptTyp, receipt)
  if (compact.length > maxTokenBytes)
    throw new CrosslineError('too_large', { detail: 'The batch has too many exceptions for one receipt' })
  return compact
}

/** What the sender knows of the batch that it sent. */
export interface ReceiptExpectation {
  /** The receiver, who signs, and us. */
  issuer: string
  audience: string
  /** Left out where the envelope isn't at hand (evidence). */
  batch?: string
  root: string
  size: number
  /** Digests of every proof sent for this batch. */
  proofs: readonly string[]
  /** Ids of the messages in their order, where they are at hand. */
  ids?: readonly string[]
  findKey: FindKey
}

/** Checks issuer, typ, audience, signature, batch, root, size, proof, and the form of the exceptions. Throws `bad_receipt`. */
export async function verifyReceipt(compact: unknown, expected: ReceiptExpectation): Promise<ReceiptClaims> {
  const receipt = (await verifyToken(compact, receiptKind, expected)) as unknown as ReceiptClaims
  if (expected.batch !== undefined && receipt.batch !== expected.batch) throw refusal('it is for another batch')
  if (receipt.root !== expected.root || receipt.size !== expected.size) throw refusal('root or size are not those of the batch')
  if (!expected.proofs.includes(receipt.proof)) throw refusal('it names a proof that was not sent')
  checkExceptions(receipt, expected.ids)
  return receipt
}

function checkExceptions({ exceptions, size }: ReceiptClaims, ids?: readonly string[]): void {
  let last = -1
  for (const exception of exceptions) {
    const fault = findExceptionFault(exception)
    if (fault) throw refusal(`an exception is not usable: ${fault}`)
    if (exception.index <= last || exception.index >= size) throw refusal('the exceptions are not ascending within the batch')
    if (ids && exception.id !== null && exception.id !== ids[exception.index]) throw refusal('an exception names another message')
    last = exception.index
  }
}

const isOneOf =
  (values: readonly unknown[]): FormCheck =>
  (value) =>
    values.includes(value)
const isMessageId: FormCheck = (value) => typeof value === 'string' && value.length <= 64

const exceptionForm = {
  required: { index: isCount, id: orNull(isMessageId), status: isOneOf(['duplicate', 'rejected']) },
  optional: { code: isOneOf(exceptionCodes), at: isNumericDate, member: isMemberId },
}

function findExceptionFault(exception: ReceiptException): string | undefined {
  const fault = findFormFault(exception, exceptionForm)
  if (fault) return fault
  const has = (name: string) => Object.hasOwn(exception, name)
  if (has('code') !== (exception.status === 'rejected')) return 'code goes with rejected, and only with it'
  if (has('at') !== (exception.status === 'duplicate')) return 'at goes with duplicate, and only with it'
  if (has('member') && exception.code !== 'not_responsible') return 'member goes only with not_responsible'
  if (exception.id === null && exception.status === 'duplicate') return 'a duplicate has an id'
  return undefined
}

const refusal = (why: string): CrosslineError => new CrosslineError('bad_receipt', { detail: `The receipt is refused: ${why}` })

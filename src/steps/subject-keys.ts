// The key of one subject (a report or an item): it seals the subject's texts at rest, and destroying it erases them.
import { hash } from 'node:crypto'
import { generateSubjectKey, keyedHash, open, seal, unwrapKey, wrapKey } from '#crypto/sealed-text.ts'
import type { StepContext } from './context.ts'

export interface SubjectKey {
  subject: string
  key: Buffer
}

const contextOf = (subject: string) => `subject:${subject}`

/** A new key, and its wrapping for the database. */
export function makeSubjectKey(ctx: Pick<StepContext, 'keys'>, subject: string): SubjectKey & { wrapped: Buffer } {
  const key = generateSubjectKey()
  return { subject, key, wrapped: wrapKey(ctx.keys.wrap, key, contextOf(subject)) }
}

export function openSubjectKey(ctx: Pick<StepContext, 'keys'>, subject: string, wrapped: Buffer): SubjectKey {
  return { subject, key: unwrapKey(ctx.keys.wrap, wrapped, contextOf(subject)) }
}

/** A stable UUID for what has a name but no id of its own, as the subject of its entries. */
export function stableSubject(name: string): string {
  const hex = hash('sha256', `crossline ${name}`)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** What a sealed text is of: bound into the sealing, so that a row can't be swapped for another. */
export type SealedKind = 'report' | 'content' | 'evidence' | 'reference' | 'refusal' | 'audit'

export function sealJson({ subject, key }: SubjectKey, kind: SealedKind, value: unknown): Buffer {
  return seal(key, JSON.stringify(value), `${kind}:${subject}`)
}

export function openJson({ subject, key }: SubjectKey, kind: SealedKind, sealed: Buffer): unknown {
  return JSON.parse(open(key, sealed, `${kind}:${subject}`).toString())
}

/** A message line under its item's key. */
export function sealLine({ key }: SubjectKey, messageId: string, line: Buffer): Buffer {
  return seal(key, line, `message:${messageId}`)
}

export function openLine({ key }: SubjectKey, messageId: string, sealed: Buffer): Buffer {
  return open(key, sealed, `message:${messageId}`)
}

/** An Idempotency-Key as it is remembered: whatever a client puts into it, a file number say, can't be read from the table. */
export function hideIdempotencyKey(ctx: Pick<StepContext, 'keys'>, key: string): string {
  return keyedHash(ctx.keys.contentKey, `idempotency key ${key}`).toString('base64url')
}

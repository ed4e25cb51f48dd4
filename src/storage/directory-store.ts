// Keeps roots and directories exactly as they were served, and the evidence of contradictions. Nothing is ever changed or removed:
// whoever decides what may follow (domain/directory-rules.ts) decided before.
import type { Kysely } from 'kysely'
import type { Tables } from './tables.ts'

export type DocumentKind = 'root' | 'directory'

/** A document as kept. */
export interface StoredDocument {
  number: number
  hash: string
  bytes: Buffer
}

/** The highest root or directory that is held. */
export async function findLatestDocument(db: Kysely<Tables>, kind: DocumentKind): Promise<StoredDocument | undefined> {
  return documents(db, kind).orderBy('number', 'desc').limit(1).executeTakeFirst()
}

/** One root by its number, or one directory by its version. */
export async function findDocument(db: Kysely<Tables>, kind: DocumentKind, number: number): Promise<StoredDocument | undefined> {
  return documents(db, kind).where('number', '=', number).executeTakeFirst()
}

/**
 * Keeps a verified document. False when the number is taken: then another worker was first, and the caller compares with what is held.
 */
export async function insertDocument(
  db: Kysely<Tables>,
  document: StoredDocument & { kind: DocumentKind; receivedFrom: string },
): Promise<boolean> {
  const { kind, number, hash, bytes, receivedFrom } = document
  const result = await db
    .insertInto('directory_document')
    .values({ kind, number, hash, bytes, received_from: receivedFrom })
    .onConflict((conflict) => conflict.columns(['kind', 'number']).doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

/** Keeps a contradicting document as evidence; the same one again changes nothing. True when it is new. */
export async function recordConflict(
  db: Kysely<Tables>,
  conflict: { kind: DocumentKind; number: number; heldHash: string; otherHash: string; otherBytes: Buffer; receivedFrom: string },
): Promise<boolean> {
  const { kind, number, heldHash, otherHash, otherBytes, receivedFrom } = conflict
  const result = await db
    .insertInto('directory_conflict')
    .values({ kind, number, held_hash: heldHash, other_hash: otherHash, other_bytes: otherBytes, received_from: receivedFrom })
    .onConflict((clash) => clash.columns(['kind', 'number', 'other_hash']).doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

function documents(db: Kysely<Tables>, kind: DocumentKind) {
  return db.selectFrom('directory_document').select(['number', 'hash', 'bytes']).where('kind', '=', kind)
}

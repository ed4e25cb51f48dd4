// Keeps roots and directories exactly as they were served, and the evidence of contradictions. No document is ever changed or removed:
// whoever decides what may follow (domain/directory-rules.ts) decided before.
import type { Kysely } from 'kysely'
import { codeOf, withClient } from './admin-client.ts'
import type { Tables } from './tables.ts'

export type DocumentKind = 'root' | 'directory'

/** A document as kept. */
export interface StoredDocument {
  number: number
  hash: string
  bytes: Buffer
  /** The root that a directory was verified under; null for a root. */
  rootNumber: number | null
}

/** Whether a directory was ever kept here. For a database that may not have been migrated yet, seen by a login that may have few rights. */
export async function hasDirectory(url: string): Promise<boolean> {
  const ask = "select from crossline.directory_document where kind = 'directory' limit 1"
  return withClient(url, async (client) => {
    try {
      return (await client.query(ask)).rowCount === 1
    } catch (error) {
      // No such schema or table yet. Without the right to look (42501) it is for a later step to find out.
      if (['3F000', '42P01'].includes(codeOf(error))) return false
      if (codeOf(error) === '42501') return true
      throw error
    }
  })
}

/** The highest root or directory that is held. */
export async function findLatestDocument(db: Kysely<Tables>, kind: DocumentKind): Promise<StoredDocument | undefined> {
  return documents(db, kind).orderBy('number', 'desc').limit(1).executeTakeFirst()
}

/** Every root that is held, from the first. */
export async function findRoots(db: Kysely<Tables>): Promise<StoredDocument[]> {
  return documents(db, 'root').orderBy('number').execute()
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
  const { kind, number, hash, bytes, rootNumber, receivedFrom } = document
  const result = await db
    .insertInto('directory_document')
    .values({ kind, number, hash, bytes, root_number: rootNumber, received_from: receivedFrom })
    .onConflict((conflict) => conflict.columns(['kind', 'number']).doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

/** Remembers how a source wraps a directory that is held, verified with the same payload; its last wrapping counts. */
export async function recordServing(
  db: Kysely<Tables>,
  serving: { version: number; source: string; hash: string },
): Promise<void> {
  await db
    .insertInto('directory_serving')
    .values(serving)
    .onConflict((clash) => clash.columns(['version', 'source']).doUpdateSet({ hash: serving.hash }))
    .execute()
}

/** Hashes of the other servings of a directory. */
export async function findServings(db: Kysely<Tables>, version: number): Promise<string[]> {
  const rows = await db.selectFrom('directory_serving').select('hash').where('version', '=', version).execute()
  return rows.map(({ hash }) => hash)
}

export interface Conflict {
  kind: DocumentKind
  number: number
  heldHash: string
  otherHash: string
  otherPayloadHash: string
  otherBytes: Buffer
  receivedFrom: string
}

/** Keeps a contradicting document as evidence; the same content again, however wrapped, changes nothing. True when it is new. */
export async function recordConflict(db: Kysely<Tables>, conflict: Conflict): Promise<boolean> {
  const { kind, number, heldHash, otherHash, otherPayloadHash, otherBytes, receivedFrom } = conflict
  const result = await db
    .insertInto('directory_conflict')
    .values({
      kind,
      number,
      held_hash: heldHash,
      other_hash: otherHash,
      other_payload_hash: otherPayloadHash,
      other_bytes: otherBytes,
      received_from: receivedFrom,
    })
    .onConflict((clash) => clash.columns(['kind', 'number', 'other_payload_hash']).doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

function documents(db: Kysely<Tables>, kind: DocumentKind) {
  return db
    .selectFrom('directory_document')
    .select(['number', 'hash', 'bytes', 'root_number as rootNumber'])
    .where('kind', '=', kind)
}

// Puts a verified root or directory into the database, and what contradicts one beside it as evidence.
import type { VerifiedDocument } from '#domain/directory-rules.ts'
import type { Logger } from '#log.ts'
import type { Directory, Root } from '#schema/directory.ts'
import { type DocumentKind, findDocument, insertDocument, recordConflict } from '#storage/directory-store.ts'
import { countSecurityEvent } from '#storage/peer-store.ts'
import type { Db } from '#storage/report-store.ts'

/** Where the operator's own files come from: no member's id looks like this. */
export const operatorFile = '(file)'

interface KeepingParts {
  db: Db
  now: () => Date
  log: Logger
}

export interface Keeping<T extends Root | Directory> {
  kind: DocumentKind
  from: string
  /** The root that a directory was verified under; null for a root. */
  rootNumber: number | null
  /** Verifies what is kept already under this number, as the candidate was. */
  verify: (bytes: Buffer) => Promise<VerifiedDocument<T>>
}

/** Keeps a document and gives the one that is held from now on: another process may have kept its own under this number before. */
export async function keepDocument<T extends Root | Directory>(
  parts: KeepingParts,
  candidate: VerifiedDocument<T>,
  { kind, from, rootNumber, verify }: Keeping<T>,
): Promise<VerifiedDocument<T>> {
  const { number, hash, bytes } = candidate
  if (await insertDocument(parts.db, { kind, number, hash, bytes, rootNumber, receivedFrom: from })) return candidate
  const stored = await findDocument(parts.db, kind, number)
  if (!stored || stored.hash === hash) return candidate
  const first = await verify(stored.bytes).catch(() => undefined)
  if (first?.number !== number) {
    parts.log.error({ step: 'directory', kind, number }, 'what the database keeps under this number does not verify')
    return candidate
  }
  if (first.payloadHash !== candidate.payloadHash) await keepConflict(parts, kind, { held: first, candidate, from })
  return first
}

interface Contradiction {
  held: VerifiedDocument<Root | Directory>
  candidate: VerifiedDocument<Root | Directory>
  from: string
}

/** Keeps what the officers signed twice, and tells it once. */
export async function keepConflict(
  { db, log, now }: KeepingParts,
  kind: DocumentKind,
  { held, candidate, from }: Contradiction,
): Promise<void> {
  const { number, hash, payloadHash, bytes } = candidate
  const isNew = await recordConflict(db, {
    kind,
    number,
    heldHash: held.hash,
    otherHash: hash,
    otherPayloadHash: payloadHash,
    otherBytes: bytes,
    receivedFrom: from,
  })
  if (!isNew) return
  const code = 'equivocation'
  log.error(
    { step: 'directory', code, kind, number, peer: from },
    'the office signed two contents under one number: the old one stays, the other is kept as evidence',
  )
  await countSecurityEvent(db, {
    at: now(),
    fingerprint: '',
    member: from === operatorFile ? '' : from,
    code,
    trace: '0'.repeat(32),
  })
}

// Once an hour: one entry that states the root of a tree over all items, with how many entries each has and which is the last. Promise: the
// entry commits with the very snapshot that it describes, one process writes it, and it counts no entry that is sealed after it.
import { randomUUIDv7 } from 'node:crypto'
import { chunkLeaves, indexChunkRoot, splitIndexChunk } from '#domain/index-tree.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { findLastEntryId } from '#storage/audit-store.ts'
import { inTransaction } from '#storage/database.ts'
import {
  countEntries,
  findFirstRecorded,
  findIndexChunk,
  findLastIndex,
  insertIndex,
  lockIndexing,
  snapshotItems,
} from '#storage/index-store.ts'
import { insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { type AuditContext, appendAudit, subjectRef } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey } from './subject-keys.ts'

const gapMs = 3_600_000

export type IndexContext = AuditContext & Pick<StepContext, 'db' | 'log'>

/** Writes the entry when an hour has passed since the last, or since the log began, and something was added; gives the number of items, 0 when it was not time. */
export async function indexItems(ctx: IndexContext, { now = false }: { now?: boolean } = {}): Promise<number> {
  const size = await inTransaction(ctx.db, async (trx) => {
    if (!(await lockIndexing(trx)) || !(await isDue(ctx, trx, now))) return 0
    return writeIndex(ctx, trx)
  })
  if (size > 0) ctx.log.info({ step: 'index-items', items: size }, 'items indexed')
  return size
}

async function isDue(ctx: IndexContext, trx: Trx, now: boolean): Promise<boolean> {
  const last = await findLastIndex(trx)
  const since = last?.madeAt ?? (await findFirstRecorded(trx))
  // A clock that was set back makes nothing wait.
  if (since && !now && Math.abs(ctx.now().getTime() - since.getTime()) < gapMs) return false
  // The entry of the last index is no news.
  return (await countEntries(trx)) > (last ? last.entries + 1 : 0)
}

async function writeIndex(ctx: IndexContext, trx: Trx): Promise<number> {
  const id = randomUUIDv7()
  const chunks = await snapshotItems(trx, id)
  const { roots: chunkRoots, size, entries } = await hashChunks(trx, { id, chunks })
  const root = merkleRoot(chunkRoots)
  const key = makeSubjectKey(ctx, id)
  await insertSubjectKeys(trx, [{ subject: key.subject, wrapped: key.wrapped }])
  await appendAudit(ctx, trx, [
    { event: 'index.root', subject: key, actor: { kind: 'node' }, payload: { root: root.toString('base64url'), size } },
  ])
  // Its id is given after the snapshot: what the snapshot counts was written before it, and is sealed before it.
  const entryId = await findLastEntryId(trx, subjectRef(ctx, key.subject))
  await insertIndex(trx, { id, entryId, size, root, chunkRoots, entries, madeAt: ctx.now() })
  return size
}

/** One chunk in memory at a time; between two of them others get their turn. */
async function hashChunks(trx: Trx, { id, chunks }: { id: string; chunks: number }) {
  const roots: Buffer[] = []
  let size = 0
  let entries = 0
  for (let n = 0; n < chunks; n++) {
    const chunk = (await findIndexChunk(trx, id, n)) as Buffer
    const records = splitIndexChunk(chunk)
    if (n < chunks - 1 && records.length !== chunkLeaves) throw new Error('a chunk of the index is not full')
    roots.push(indexChunkRoot(chunk))
    size += records.length
    for (const record of records) entries += Number(record.readBigUInt64BE(34))
  }
  return { roots, size, entries }
}

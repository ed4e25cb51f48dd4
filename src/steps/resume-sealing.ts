// Ends a halt of the sealing, by an operator's word and never by itself. Promise: first everything that is sealed is looked at again from
// the entries up, under the sealer's lock; what does not hold keeps the halt, and why it was ended stands in the log.

import { CrosslineError } from '#errors.ts'
import { inTransaction } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import {
  awaitSealing,
  clearHalt,
  countBrokenPending,
  type HaltRow,
  readSealed,
  reopenShard,
  type SealedEntry,
} from '#storage/seal-store.ts'
import { readTiles, tileKey } from '#storage/tree-store.ts'
import { type AuditContext, appendAudit } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { appendAsService, loadShards } from './place-entries.ts'
import { findPublished, guardPublished, type PublishContext } from './publish-checkpoint.ts'
import { SealingHalt } from './sealing-halt.ts'
import { emptyShard, growShard, type Shard, yearOfEntry } from './shard.ts'
import { findOrMakeKey } from './stable-keys.ts'
import { stableSubject } from './subject-keys.ts'

export type ResumeContext = AuditContext & PublishContext & Pick<StepContext, 'db'>

const chunk = 8192

/** Why it had halted and how many entries were looked at; undefined when it is not halted. Throws `audit_unavailable` when it must stay so. */
export async function resumeSealing(ctx: ResumeContext, reason: string): Promise<{ why: string; entries: number } | undefined> {
  return inTransaction(ctx.db, async (trx) => {
    const halt = await awaitSealing(trx)
    if (halt.haltedWhy === null) return undefined
    const entries = await verifyAll(ctx, trx).catch((error: unknown) => {
      if (!(error instanceof SealingHalt)) throw error
      throw new CrosslineError('audit_unavailable', {
        detail: `The log does not hold, so it stays halted: ${describe(error)}.`,
        facts: { why: error.why },
      })
    })
    // Its entries are sealed after all, in the tree of their year, which only grows by that and is then closed again.
    const year = halt.haltedFacts?.year
    if (halt.haltedWhy === 'straggler' && typeof year === 'number') await reopenShard(trx, year)
    await clearHalt(trx)
    await appendAsService(trx, () => recordResumption(ctx, trx, { halt, reason }))
    return { why: halt.haltedWhy, entries }
  })
}

const describe = ({ why, facts }: SealingHalt): string =>
  [why, ...Object.entries(facts).map(([name, value]) => `${name} ${value}`)].join(', ')

async function recordResumption(
  ctx: ResumeContext,
  trx: Trx,
  { halt, reason }: { halt: HaltRow; reason: string },
): Promise<void> {
  await appendAudit(ctx, trx, [
    {
      event: 'sealing.resumed',
      subject: await findOrMakeKey(ctx, trx, stableSubject('audit sealing')),
      actor: { kind: 'operator' },
      payload: { why: halt.haltedWhy, since: halt.haltedAt?.toISOString() ?? null, reason },
    },
  ])
}

/** Every entry against its leaf, every leaf against tiles, edge, checkpoint and what stands published. Gives the number of entries. */
async function verifyAll(ctx: ResumeContext, trx: Trx): Promise<number> {
  const shards = await loadShards(trx, new Map())
  await guardPublished(trx, shards, findPublished(ctx))
  let entries = 0
  for (const shard of shards.values()) entries += await verifyShard(ctx, trx, shard)
  const broken = await countBrokenPending(trx)
  if (broken > 0) throw new SealingHalt('broken_entry', { waiting: broken })
  return entries
}

async function verifyShard(ctx: ResumeContext, trx: Trx, claimed: Shard): Promise<number> {
  const { year, edge } = claimed
  let grown = emptyShard(ctx.self, year)
  while (grown.edge.size < edge.size) {
    const rows = await readSealed(trx, { year, from: grown.edge.size, limit: Math.min(chunk, edge.size - grown.edge.size) })
    if (rows.length === 0) throw new SealingHalt('broken_tree', { year, part: 'leaf', leaf: grown.edge.size })
    rows.forEach((row, place) => void requireLeaf(ctx, row, { year, leaf: grown.edge.size + place }))
    const { shard, written } = growShard(
      grown,
      rows.map(({ hash }) => hash),
    )
    const tiles = await readTiles(trx, year, written)
    for (const { level, index, hashes } of written) {
      const isSame = tiles.get(tileKey({ level, index }))?.subarray(0, hashes.length).equals(hashes)
      if (!isSame) throw new SealingHalt('broken_tree', { year, part: 'tile', level, tile: index })
    }
    grown = shard
  }
  if (!grown.root.equals(claimed.root)) throw new SealingHalt('broken_tree', { year, part: 'root', size: edge.size })
  return edge.size
}

function requireLeaf({ self }: ResumeContext, row: SealedEntry, at: { year: number; leaf: number }): void {
  if (row.leaf_index !== at.leaf) throw new SealingHalt('broken_tree', { ...at, part: 'leaf' })
  const year = yearOfEntry(self, { id: row.entry_id, leaf: row.hash, entry: row.entry })
  if (year !== at.year) throw new SealingHalt('foreign_entry', { ...at, entry: row.entry_id })
}

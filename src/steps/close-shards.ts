// The end of a year's log: an hour after the new year began its tree is final, and the new year's log says with which checkpoint.
import type { Trx } from '#storage/report-store.ts'
import { type AuditContext, appendAudit } from './append-audit.ts'
import { appendAsService, type Shards } from './place-entries.ts'
import type { Shard } from './shard.ts'
import { findOrMakeKey } from './stable-keys.ts'
import { stableSubject } from './subject-keys.ts'

/** No transaction that began in the old year can still be open then: each ends within minutes. */
const graceMs = 3_600_000

export function hasShardToClose(shards: Shards, now: Date): boolean {
  return [...shards.values()].some((shard) => isOver(shard, now))
}

const isOver = ({ year, isOpen }: Shard, now: Date): boolean => isOpen && now.getTime() >= Date.UTC(year + 1, 0, 1) + graceMs

/** Closes what is over, and adds `shard.closed` to the log of the year that it is now. Only to be called when nothing waits. */
export async function closeOldShards(ctx: AuditContext, trx: Trx, shards: Shards): Promise<Shards> {
  const over = [...shards.values()].filter((shard) => isOver(shard, ctx.now()))
  if (over.length === 0) return shards
  await appendAsService(trx, async () => {
    for (const { origin, edge, root } of over) {
      const subject = await findOrMakeKey(ctx, trx, stableSubject(`audit shard ${origin}`))
      const shard = { origin, size: edge.size, root: root.toString('base64url') }
      await appendAudit(ctx, trx, [{ event: 'shard.closed', subject, actor: { kind: 'node' }, payload: { shard } }])
    }
  })
  return new Map([...shards].map(([year, shard]) => [year, over.includes(shard) ? { ...shard, isOpen: false } : shard]))
}

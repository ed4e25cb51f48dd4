// Step 8: gives each entry of the audit log its place in the Merkle tree of its year, and signs what the tree then is (audit.md, "Sealing").
// Promise: an entry gets exactly one leaf, n before n + 1 of the same item; nothing is signed that was not just hashed again, that the
// clock, the published checkpoint or this process's memory contradict; and nothing is published before it is committed.
import { inTransaction } from '#storage/database.ts'
import { hasPending, lockSealing } from '#storage/seal-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import type { AuditContext } from './append-audit.ts'
import { closeOldShards, hasShardToClose } from './close-shards.ts'
import type { StepContext } from './context.ts'
import { alarmGapMs, haltSealing, lookAtLog, recordOwnHalt } from './look-at-sealing.ts'
import { loadShards, placePending, type Shards, signGrown } from './place-entries.ts'
import { findPublished, guardPublished, type PublishContext, type Published, publishCheckpoint } from './publish-checkpoint.ts'
import { SealingHalt } from './sealing-halt.ts'
import type { Shard } from './shard.ts'

export type SealContext = AuditContext & PublishContext & Pick<StepContext, 'db' | 'log' | 'sealing'>

export interface Sealer {
  /** Looks, and seals what waits when it is time. True if more may wait. Throws only what may pass by itself. */
  seal(): Promise<boolean>
}

/** How often the state in the database is looked at. */
const lookGapMs = 1000

interface Memory {
  shards: Shards
  /** Whether what is committed is published: false makes the next pass due. */
  isPublished: boolean
  /** By a clock that can't be set. */
  lookedAt: number
  signedAt: number
  toldAt: number
}

export interface SealerOptions {
  /** Signs at most once in this time. */
  gapMs?: number
  /** True: nothing may be signed yet, though nothing is wrong. */
  isWaiting?: () => boolean
}

/** A sealer, of which any number may run: the lock on one row elects who seals each pass. */
export function createSealer(ctx: SealContext, { gapMs = 1000, isWaiting = () => false }: SealerOptions = {}): Sealer {
  const memory: Memory = { shards: new Map(), isPublished: false, lookedAt: -Infinity, signedAt: -Infinity, toldAt: -Infinity }

  async function seal(): Promise<boolean> {
    if (ctx.sealing.halt && !ctx.sealing.isRecorded) await recordOwnHalt(ctx, ctx.sealing.halt.why)
    if (performance.now() - memory.lookedAt >= lookGapMs) {
      await lookAtLog(ctx)
      memory.lookedAt = performance.now()
    }
    if (ctx.sealing.halt || isWaiting() || performance.now() - memory.signedAt < gapMs || !(await isDue())) return false
    return runPass(ctx, memory)
  }

  const isDue = async () => !memory.isPublished || hasShardToClose(memory.shards, ctx.now()) || (await hasPending(ctx.db))

  return {
    seal: () =>
      seal().catch(async (error: unknown) => {
        if (!(error instanceof SealingHalt)) throw error
        await haltSealing(ctx, error.why, error.facts)
        return false
      }),
  }
}

type Pass =
  | { kind: 'standby' | 'halted' }
  | { kind: 'clock_back'; behindMs: number }
  | { kind: 'sealed'; shards: Shards; grown: Shard[]; published: ReadonlyMap<number, Published>; isEmpty: boolean }

/** One pass. The order is the promise: lock, memory, guard, take, place and sign, commit, publish. */
async function runPass(ctx: SealContext, memory: Memory): Promise<boolean> {
  const pass = await inTransaction(ctx.db, async (trx): Promise<Pass> => {
    const state = await lockSealing(trx)
    if (!state) return { kind: 'standby' }
    if (state.haltedWhy !== null) return { kind: 'halted' }
    const before = await loadShards(trx, memory.shards)
    const published = findPublished(ctx)
    await guardPublished(trx, before, published)
    const at = ctx.now()
    const behindMs = Math.max(0, ...[...before.values()].map(({ signedAt }) => (signedAt?.getTime() ?? 0) - at.getTime()))
    if (behindMs > 0) return { kind: 'clock_back', behindMs }
    const { shards: placed, isEmpty } = await placePending(ctx, trx, before)
    const closed = isEmpty ? await closeOldShards(ctx, trx, placed) : placed
    const { shards, grown } = await signGrown(ctx, trx, { before, after: closed, at })
    return { kind: 'sealed', shards, grown, published, isEmpty }
  })
  if (pass.kind === 'sealed') return finish(ctx, memory, pass)
  if (pass.kind === 'clock_back' && performance.now() - memory.toldAt > alarmGapMs) {
    memory.toldAt = performance.now()
    ctx.log.error(
      { step: 'seal-audit', behindMs: pass.behindMs },
      'the clock went back: nothing is signed before it has caught up',
    )
  }
  // Looked at again after the gap, not at once.
  memory.signedAt = performance.now()
  return false
}

/** What may only happen once the pass is committed. */
async function finish(ctx: SealContext, memory: Memory, pass: Extract<Pass, { kind: 'sealed' }>): Promise<boolean> {
  const { shards, grown, published, isEmpty } = pass
  memory.shards = shards
  memory.isPublished = false
  if (grown.length > 0) memory.signedAt = performance.now()
  const newest = [...shards.values()].at(-1)
  ctx.sealing.seal(newest ? { origin: newest.origin, size: newest.edge.size, root: newest.root } : null, isEmpty)
  for (const { origin, edge } of grown) ctx.log.debug({ step: 'seal-audit', origin, size: edge.size }, 'checkpoint signed')
  memory.isPublished = await publishAll(ctx, shards, published)
  return !isEmpty
}

/** Publishes the last checkpoint of each year that is not, also one that an earlier pass could not publish any more. */
async function publishAll(ctx: SealContext, shards: Shards, published: ReadonlyMap<number, Published>): Promise<boolean> {
  let isDone = true
  for (const [year, { edge }] of shards) {
    const before = published.get(year)
    if (before?.size === edge.size) continue
    const next = await findLatestCheckpoint(ctx.db, year)
    if (next) isDone = publishCheckpoint(ctx, next, before) && isDone
  }
  return isDone
}

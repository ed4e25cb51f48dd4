// How the sealing of the log does, as every process sees it in the database about once a second: what waits, for how long, and whether it
// has halted. What waits too long is told loudly.
import { inTransaction } from '#storage/database.ts'
import { awaitSealing, lookAtSealing, recordHalt } from '#storage/seal-store.ts'
import { findLatestCheckpoint, type StoredCheckpoint } from '#storage/tree-store.ts'
import type { StepContext } from './context.ts'
import { alarmMs, type OwnCheckpoint, type SealingFacts } from './sealing.ts'
import { type HaltFacts, SealingHalt } from './sealing-halt.ts'

export type LookContext = Pick<StepContext, 'db' | 'log' | 'sealing'>

/** Takes over what the database says. Throws a halt when the log became shorter under our eyes. */
export async function lookAtLog(ctx: LookContext): Promise<void> {
  const { sealing } = ctx
  const [look, latest] = await Promise.all([lookAtSealing(ctx.db), findLatestCheckpoint(ctx.db)])
  const before = sealing.checkpoint
  sealing.learn(toFacts(look, latest))
  tell(ctx)
  if (isShorter(before, latest)) throw new SealingHalt('rollback', { held: latest?.size ?? 0, known: before?.size ?? 0 })
}

function toFacts(look: Awaited<ReturnType<typeof lookAtSealing>>, latest: StoredCheckpoint | undefined): SealingFacts {
  const { haltedWhy, haltedAt, haltedMs, pending, oldestId, oldestMs } = look
  return {
    checkpoint: latest ? { origin: latest.origin, size: latest.size, root: latest.root } : null,
    pending,
    oldest: oldestId === null ? null : { id: oldestId, ageMs: oldestMs },
    halt: haltedWhy === null || haltedAt === null ? null : { why: haltedWhy, at: haltedAt, ageMs: haltedMs },
  }
}

function isShorter(before: OwnCheckpoint | null, latest: StoredCheckpoint | undefined): boolean {
  if (!before) return false
  // Origins of one member differ in their year only.
  return !latest || latest.origin < before.origin || (latest.origin === before.origin && latest.size < before.size)
}

/** An alarm goes on, but not with every look. */
export const alarmGapMs = 60_000
const toldAt = new WeakMap<StepContext['sealing'], number>()

function tell({ sealing, log }: LookContext): void {
  const oldestMs = Math.round(sealing.oldestMs())
  const isWrong = sealing.halt !== null || oldestMs > alarmMs
  const last = toldAt.get(sealing)
  if (!isWrong) toldAt.delete(sealing)
  if (!isWrong || (last !== undefined && performance.now() - last < alarmGapMs)) return
  toldAt.set(sealing, performance.now())
  if (sealing.halt)
    log.fatal({ step: 'seal-audit', why: sealing.halt.why }, 'the audit log is not sealed any more: it has halted')
  else log.error({ step: 'seal-audit', pending: sealing.pending, oldestMs }, 'audit entries wait too long to be sealed')
}

/**
 * Stops the sealing of the log, in this process at once and in every other with its next look, until an operator resumes. `why` is a
 * stable code, `facts` are ids, years and sizes. Never throws: a halt that could not be recorded is recorded later.
 */
export async function haltSealing(
  ctx: Pick<StepContext, 'db' | 'log' | 'now' | 'sealing'>,
  why: string,
  facts: HaltFacts = {},
): Promise<void> {
  ctx.log.fatal(
    { step: 'seal-audit', why, ...facts },
    'the audit log must not be sealed any further: it halts until an operator resumes',
  )
  ctx.sealing.stop({ why, at: ctx.now() })
  await recordOwnHalt(ctx, why, facts).catch((error: unknown) => {
    ctx.log.error({ step: 'seal-audit', why, err: error }, 'the halt could not be recorded and is tried again')
  })
}

/** What `haltSealing` could not do. */
export async function recordOwnHalt(
  { db, sealing }: Pick<StepContext, 'db' | 'sealing'>,
  why: string,
  facts: HaltFacts = {},
): Promise<void> {
  await inTransaction(db, async (trx) => {
    await awaitSealing(trx)
    await recordHalt(trx, { why, facts })
  })
  sealing.recorded()
}

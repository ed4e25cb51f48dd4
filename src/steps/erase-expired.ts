// Retention: what has been closed for longer than the operator keeps it is erased, a bounded number at a time. What is held stays.
import { findErasedSince, findExpired } from '#storage/erasure-store.ts'
import type { StepContext } from './context.ts'
import { eraseTogether, writeThenCommit } from './erase-subject.ts'
import { replayErasures } from './replay-erasures.ts'

const atMost = 100

/** Erases some of what is due; true if there may be more. First it settles what a failure left open. */
export async function eraseExpired(ctx: StepContext, { days }: { days: number }): Promise<boolean> {
  if (ctx.erasures.isUnsettled) await replayErasures(ctx)
  const due = await findExpired(ctx.db, { days, limit: atMost })
  if (due.length === 0) return false
  const at = ctx.now().toISOString()
  const { subjects } = await writeThenCommit(ctx, async (trx) => {
    const records = due.map(({ subject, of }) => ({
      ...{ kind: 'erased' as const, subject, of, by: 'node' as const, basis: 'retention', outcome: null, at },
    }))
    return (await eraseTogether(ctx, trx, { records, replay: false })).erased
  })
  ctx.log.info({ step: 'erase-expired', subjects, days }, 'texts erased: the period after closing is over')
  return subjects > 0
}

/** Lets go of everything in memory when something was erased since `since`, by whichever process; gives the next `since`. */
export async function forgetErased(ctx: StepContext, since: Date): Promise<Date> {
  const { isAny, now } = await findErasedSince(ctx.db, since)
  if (isAny) for (const recent of Object.values(ctx.recent)) recent.clear()
  return now
}

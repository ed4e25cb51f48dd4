// Housekeeping: forgets proofs that can no longer be replayed, old Idempotency-Keys and old refusals, makes and records partitions of the
// audit log, watches the directory's age.
import { addAuditPartitions } from '#storage/audit-store.ts'
import { forgetIdempotencyKeys } from '#storage/client-store.ts'
import { forgetExpiredProofs, forgetSecurityEvents } from '#storage/peer-store.ts'
import type { StepContext } from './context.ts'
import { recordMigrations } from './record-migrations.ts'

/** A client that repeats a call after that long begins a new one; the API says so. */
const keyMemoryDays = 30
/** Long enough for what shows only in a yearly look. */
const refusalMemoryDays = 400
const dayMs = 86_400_000

export async function tidyUp(ctx: StepContext): Promise<boolean> {
  await forgetExpiredProofs(ctx.db, ctx.now())
  await forgetIdempotencyKeys(ctx.db, keyMemoryDays)
  await forgetSecurityEvents(ctx.db, new Date(ctx.now().getTime() - refusalMemoryDays * dayMs))
  await addAuditPartitions(ctx.db, 3)
  await recordMigrations(ctx)
  const age = ctx.directoryAge()
  if (age !== 'fresh')
    ctx.log.error(
      { step: 'directory', age, version: ctx.directory().version },
      age === 'expired' ? 'the directory has expired: nothing is exchanged' : 'the directory is stale',
    )
  return false
}

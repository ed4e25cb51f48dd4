// Housekeeping: forgets proofs that can no longer be replayed, makes and records partitions of the audit log, watches the directory's age.
import { addAuditPartitions } from '#storage/audit-store.ts'
import { forgetExpiredProofs } from '#storage/peer-store.ts'
import type { StepContext } from './context.ts'
import { recordMigrations } from './record-migrations.ts'

export async function tidyUp(ctx: StepContext): Promise<boolean> {
  await forgetExpiredProofs(ctx.db, ctx.now())
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

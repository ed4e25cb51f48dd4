// Housekeeping: forgets proofs that can't be replayed any more, keeps partitions of the audit log ready, watches the directory's age.
import { addAuditPartitions } from '#storage/audit-store.ts'
import { forgetExpiredProofs } from '#storage/peer-store.ts'
import type { StepContext } from './context.ts'

export async function tidyUp(ctx: StepContext): Promise<boolean> {
  await forgetExpiredProofs(ctx.db, ctx.now())
  await addAuditPartitions(ctx.db, 3)
  const age = ctx.directoryAge()
  if (age !== 'fresh')
    ctx.log.error(
      { step: 'directory', age, version: ctx.directory().version },
      age === 'expired' ? 'the directory has expired: nothing is exchanged' : 'the directory is stale',
    )
  return false
}

// The doctor's look at the sealing of the audit log: whether it has halted, and whether what is written is sealed in time.
import { alarmMs, patienceMs } from '#steps/sealing.ts'
import type { Database } from '#storage/database.ts'
import { lookAtSealing } from '#storage/seal-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { type Finding, failed, ok, warning } from './doctor-findings.ts'

const check = 'sealing'

export async function examineSealing(db: Database): Promise<Finding[]> {
  const { haltedAt, haltedWhy, pending, oldestMs } = await lookAtSealing(db)
  if (haltedAt && haltedWhy) return [judgeHalt(haltedWhy, haltedAt)]
  const latest = await findLatestCheckpoint(db)
  const sealed = latest ? `${latest.size} entries of ${latest.origin} are sealed` : 'Nothing is sealed yet'
  const says = `${sealed}; ${pending} wait${pending > 0 ? `, the oldest for ${Math.round(oldestMs / 1000)} s` : ''}.`
  if (pending === 0 || oldestMs <= alarmMs) return [ok(check, says)]
  const advice = 'Start the node; if it runs, look for `seal-audit` in its log, and at the clock of this machine.'
  return [
    oldestMs > patienceMs ? failed(check, `${says} New reports and batches are refused.`, advice) : warning(check, says, advice),
  ]
}

function judgeHalt(why: string, at: Date): Finding {
  const advice =
    why === 'rollback'
      ? 'This database is behind what was published: put its newest state back. Nothing else ends this halt.'
      : 'Look into crossline.audit_state, find out what was changed and by whom, mend it, then run `crossline audit resume`.'
  return failed(
    check,
    `Halted since ${at.toISOString()}: ${why}. Nothing is sealed, and new reports and batches are refused.`,
    advice,
  )
}

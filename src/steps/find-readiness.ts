// Whether this node can do its work now: each check by name, `ok` or the code of what is wrong.
import { touchAuditLog } from '#storage/audit-store.ts'
import type { StepContext } from './context.ts'
import { patienceMs, type Sealing } from './sealing.ts'

export async function findReadiness(ctx: StepContext): Promise<{ ready: boolean; checks: Record<string, string> }> {
  const age = ctx.directoryAge()
  const checks = {
    database: await checkDatabase(ctx),
    directory: age === 'expired' ? 'directory_expired' : 'ok',
    audit: checkSealing(ctx.sealing),
  }
  return { ready: Object.values(checks).every((check) => check === 'ok'), checks }
}

function checkSealing(sealing: Sealing): string {
  if (sealing.halt) return 'audit_halted'
  return sealing.oldestMs() > patienceMs ? 'audit_behind' : 'ok'
}

async function checkDatabase(ctx: StepContext): Promise<string> {
  try {
    await touchAuditLog(ctx.db)
    return 'ok'
  } catch {
    return 'database_unavailable'
  }
}

// `crossline audit resume`: looks at the whole sealed log again and, if all of it holds, ends a halt. The node need not be stopped.
import { join, resolve } from 'node:path'
import type { Environment } from '#config.ts'
import { readAuditKeys, signerOf } from '#crypto/audit-keys.ts'
import { CrosslineError } from '#errors.ts'
import { resumeSealing } from '#steps/resume-sealing.ts'
import { withRegistry } from './client-registry.ts'

/** Throws `audit_unavailable` when something does not hold; then the halt stays. */
export async function resumeAudit(env: Environment, { reason }: { reason: string }): Promise<string> {
  const path = env.AUDIT_KEY?.trim()
  if (!path)
    throw new CrosslineError('invalid_config', { detail: 'AUDIT_KEY is missing: what was published is checked with it.' })
  if (reason.trim() === '' || reason.length > 500)
    throw new CrosslineError('invalid_config', {
      detail: '--reason must say in 1 to 500 characters what was wrong and what was done.',
    })
  const auditKeys = await readAuditKeys(path)
  const auditFolder = join(resolve(env.DATA_DIR?.trim() || 'data'), 'audit')
  const resumed = await withRegistry(env, (ctx) =>
    resumeSealing({ ...ctx, auditFolder, auditKey: (year) => signerOf(auditKeys, year) }, reason.trim()),
  )
  if (!resumed) return 'the sealing of the log is not halted'
  return `looked at ${resumed.entries} sealed entries, all hold; sealing goes on (it had halted: ${resumed.why})`
}

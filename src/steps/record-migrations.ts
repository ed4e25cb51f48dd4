// Every migration window is itself an audit entry: written by the node before it serves, once for each window.
import { inTransaction } from '#storage/database.ts'
import { findUnrecordedWindows, insertWindowRecords } from '#storage/migration-windows.ts'
import { insertSubjectKeys } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey, stableSubject } from './subject-keys.ts'

export async function recordMigrations(ctx: StepContext): Promise<void> {
  await inTransaction(ctx.db, async (trx) => {
    const windows = await findUnrecordedWindows(trx)
    if (windows.length === 0) return
    const keys = windows.map((window) => makeSubjectKey(ctx, stableSubject(`migration window ${window.id}`)))
    await insertSubjectKeys(trx, keys)
    await appendAudit(
      ctx,
      trx,
      windows.map((window, place) => ({
        event: 'schema.migrated' as const,
        subject: keys[place] as (typeof keys)[number],
        actor: { kind: 'node' as const },
        payload: {
          migration: {
            name: window.name,
            digest: window.digest?.toString('base64url') ?? 'none',
            openedAt: window.opened_at.toISOString(),
          },
        },
      })),
    )
    await insertWindowRecords(
      trx,
      windows.map((window) => window.id),
    )
  })
}

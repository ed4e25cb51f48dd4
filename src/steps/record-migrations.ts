// Every migration window is itself an audit entry: written by the node before it serves, once for each window.
import { createHash } from 'node:crypto'
import { inTransaction } from '#storage/database.ts'
import { findUnrecordedWindows, insertWindowRecords } from '#storage/migration-windows.ts'
import { insertSubjectKeys } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey } from './subject-keys.ts'

export async function recordMigrations(ctx: StepContext): Promise<void> {
  await inTransaction(ctx.db, async (trx) => {
    const windows = await findUnrecordedWindows(trx)
    if (windows.length === 0) return
    const keys = windows.map((window) => makeSubjectKey(ctx, windowSubject(window.id)))
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

/** A stable UUID for a window, as its subject: the number in a namespace of its own. */
function windowSubject(id: number): string {
  const hex = createHash('sha256').update(`crossline migration window ${id}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

// Puts the bundles together that liaisons asked for, one after the other. Promise: a bundle is there whole or not at all; one whose process
// was killed is built again under the same checkpoint; one that can't be built says why.
import { CrosslineError } from '#errors.ts'
import type { ExportFailure } from '#schema/audit-export.ts'
import { inTransaction, isTransient } from '#storage/database.ts'
import { exportFile, listExportFiles, removeExportFiles, removeUnfinished } from '#storage/export-file.ts'
import {
  claimExport,
  type ExportChange,
  type ExportRow,
  findKnownExports,
  forgetExports,
  updateExport,
} from '#storage/export-store.ts'
import { countUse } from '#storage/liaison-store.ts'
import type { StepContext } from './context.ts'
import { readFilter } from './find-entries.ts'
import { dayOf } from './liaison-limits.ts'
import { choosePin, openPin, type PinChoice } from './pin-export.ts'
import { openFilter } from './request-export.ts'
import { writeExport } from './write-export.ts'

/** Short, so that what a killed process began is not waited for. */
const leaseMs = 10_000
const renewalMs = 3000
const progressMs = 500

/** Whose work it is, and whether it is to be left now. */
export interface Builder {
  holder: string
  isStopping(): boolean
}

/** The export is no longer this builder's, or it has to leave: nothing went wrong with it. */
class Left extends Error {}

/** Builds one export that waits; false when none does, or the log has no checkpoint yet. */
export async function buildExport(ctx: StepContext, builder: Builder): Promise<boolean> {
  const { holder } = builder
  const now = ctx.now()
  const row = await claimExport(ctx.db, { holder, now, until: new Date(now.getTime() + leaseMs) })
  if (!row) return false
  const change = (facts: ExportChange) => updateExport(ctx.db, { id: row.id, holder }, facts)
  const renewing = setInterval(
    () => void change({ lease_until: new Date(ctx.now().getTime() + leaseMs) }).catch(() => undefined),
    renewalMs,
  )
  try {
    const pin = await keepPin(ctx, row, change)
    if (!pin) return await letGo(change)
    await build(ctx, { row, pin, builder, change })
    return true
  } catch (error) {
    return await giveUp(ctx, { row, error, change })
  } finally {
    clearInterval(renewing)
  }
}

type Change = (facts: ExportChange) => Promise<boolean>

async function letGo(change: Change): Promise<false> {
  await change({ state: 'waiting', lease_holder: null, lease_until: null })
  return false
}

/** The checkpoint is chosen once; the index too, while it lasts. */
async function keepPin(ctx: StepContext, row: ExportRow, change: Change): Promise<PinChoice | undefined> {
  const held = row.year === null || row.size === null ? undefined : { year: row.year, size: row.size }
  if (held && row.index_id !== null) return { ...held, index_id: row.index_id }
  const pin = await choosePin(ctx, held)
  if (pin && !(await change(pin))) throw new Left()
  return pin
}

interface Building {
  row: ExportRow
  pin: PinChoice
  builder: Builder
  change: Change
}

async function build(ctx: StepContext, { row, pin, builder, change }: Building): Promise<void> {
  const asked = openFilter(ctx, row)
  const { after: _after, limit: _limit, ...filter } = await readFilter(ctx, asked)
  const plan = {
    scope: { networkWide: row.network_wide, countries: row.countries, members: row.members },
    filter,
    format: row.format as 'ndjson' | 'csv',
    client: row.client,
    pin: await openPin(ctx, pin),
    maxRows: ctx.exports.maxRows,
    onProgress: reportProgress(builder, change),
  }
  const path = exportFile(ctx.exports.folder, row.id)
  await removeUnfinished(ctx.exports.folder, row.id)
  const order = { plan, asked, createdAt: row.created_at, mayFinish: () => holdOn(ctx, change) }
  const { rows, bytes, digest, claim } = await writeExport(ctx, path, order)
  const done = { state: 'done', rows, total: rows, bytes, digest, complete: claim, index_id: null, finished_at: ctx.now() }
  if (!(await change({ ...done, lease_holder: null, lease_until: null }))) return
  await inTransaction(ctx.db, (trx) => countUse(trx, { fingerprint: row.client, day: dayOf(ctx.now()), rows }))
  ctx.log.info({ step: 'build-export', export: row.id, rows, bytes, complete: claim }, 'export done')
}

/** Somebody else may build it by now, or have built it: then ours gets no name. Otherwise nobody else takes it for a while. */
async function holdOn(ctx: StepContext, change: Change): Promise<void> {
  if (!(await change({ lease_until: new Date(ctx.now().getTime() + leaseMs) }))) throw new Left()
}

function reportProgress({ isStopping }: Builder, change: Change) {
  let toldAt = 0
  return async (progress: { rows: number; total: number; bytes: number }) => {
    if (isStopping()) throw new Left()
    if (Date.now() - toldAt < progressMs) return
    toldAt = Date.now()
    if (!(await change(progress))) throw new Left()
  }
}

/** Later again, or never: then it says why. */
async function giveUp(
  ctx: StepContext,
  { row, error, change }: { row: ExportRow; error: unknown; change: Change },
): Promise<boolean> {
  if (error instanceof Left || isTransient(error)) return letGo(change)
  const failure = failureOf(error)
  ctx.log.error({ step: 'build-export', export: row.id, failure, err: error }, 'an export failed')
  await change({
    state: 'failed',
    failure,
    index_id: null,
    bytes: 0,
    finished_at: ctx.now(),
    lease_holder: null,
    lease_until: null,
  })
  return true
}

function failureOf(error: unknown): ExportFailure {
  if (error instanceof CrosslineError && error.code === 'too_large') return 'too_many_rows'
  const { code, syscall } = error as { code?: string; syscall?: string }
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'disk_full'
  return syscall === undefined ? 'internal' : 'disk_failed'
}

/** Forgets what has expired, and removes files that belong to no export. */
export async function removeExpired(ctx: StepContext): Promise<void> {
  const { folder } = ctx.exports
  for (const id of await forgetExports(ctx.db, ctx.now())) await removeExportFiles(folder, id)
  const held = await listExportFiles(folder)
  const known = await findKnownExports(ctx.db, held)
  for (const id of held) if (!known.has(id)) await removeExportFiles(folder, id)
}

// A legal hold: while it is in force nothing about the item or report is erased, whatever asks for it. Placing and releasing are entries.
import { randomUUIDv7 } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import type { HeldRecord, HoldBasis } from '#schema/erasure.ts'
import { inTransaction } from '#storage/database.ts'
import { findErased, findHold, findHolds, type HoldRow, insertHold, releaseHeld } from '#storage/erasure-store.ts'
import { findHostingCountries } from '#storage/item-store.ts'
import { findReportRow, insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import type { ErasureContext } from './erase-subject.ts'
import { makeSubjectKey } from './subject-keys.ts'

export interface HoldOrder extends Pick<HeldRecord, 'of' | 'by'> {
  id: string
  basis: HoldBasis
  /** Its end; undefined: until it is released. */
  until: Date | undefined
}

/** Places a hold and gives its id. Throws `not_found`, or `erased` for what is gone. */
export async function placeHold(ctx: ErasureContext, { of, id, by, basis, until }: HoldOrder): Promise<string> {
  const at = ctx.now().toISOString()
  const record: HeldRecord = {
    kind: 'held',
    hold: randomUUIDv7(),
    subject: id,
    of,
    by,
    basis,
    until: until?.toISOString() ?? null,
    at,
  }
  await inTransaction(ctx.db, async (trx) => {
    // The insert waits for whoever erases just now.
    await insertHold(trx, record)
    if ((await findErased(trx, [id])).has(id)) throw new CrosslineError('erased')
    if (!(await isHere(trx, record))) throw new CrosslineError('not_found')
    await recordHold(ctx, trx, { record, replay: false })
    await ctx.erasures.append([record])
  })
  return record.hold
}

async function isHere(trx: Trx, { subject, of }: HeldRecord): Promise<boolean> {
  if (of === 'report') return (await findReportRow(trx, subject)) !== undefined
  return (await findHostingCountries(trx, [subject])).has(subject)
}

/** Releases a hold. Throws `not_found` for one that is not in force. */
export async function releaseHold(ctx: ErasureContext, hold: string): Promise<void> {
  const at = ctx.now()
  await inTransaction(ctx.db, async (trx) => {
    if (!(await releaseHeld(trx, { hold, at }))) throw new CrosslineError('not_found')
    await recordRelease(ctx, trx, { hold, replay: false })
    await ctx.erasures.append([{ kind: 'released', hold, at: at.toISOString() }])
  })
}

/** Every hold, the released ones too. */
export function listHolds(ctx: Pick<ErasureContext, 'db'>): Promise<HoldRow[]> {
  return findHolds(ctx.db)
}

/** The entry `hold.placed` of a hold. */
export async function recordHold(
  ctx: ErasureContext,
  trx: Trx,
  { record, replay }: { record: HeldRecord; replay: boolean },
): Promise<void> {
  const { hold, basis, until } = record
  const facts = { id: hold, blocks: 'erasing', basis, until: until ?? 'release', ...(replay ? { replay } : {}) }
  await appendHoldEntry(ctx, trx, { event: 'hold.placed', ...record, hold: facts })
}

/** The entry `hold.released` of a hold that is here. */
export async function recordRelease(
  ctx: ErasureContext,
  trx: Trx,
  { hold, replay }: { hold: string; replay: boolean },
): Promise<void> {
  const row = await findHold(trx, hold)
  if (!row) throw new CrosslineError('not_found')
  const facts = { id: hold, blocks: 'erasing', basis: row.basis, ...(replay ? { replay } : {}) }
  const about = { subject: row.subject, of: row.kind as HeldRecord['of'], by: 'operator' as const }
  await appendHoldEntry(ctx, trx, { event: 'hold.released', ...about, hold: facts })
}

interface HoldEntry extends Pick<HeldRecord, 'subject' | 'of' | 'by'> {
  event: 'hold.placed' | 'hold.released'
  hold: Record<string, unknown>
}

/** Under a key of its own: why something was kept stays open after it is erased. */
async function appendHoldEntry(ctx: ErasureContext, trx: Trx, { event, subject, of, by, hold }: HoldEntry): Promise<void> {
  const key = makeSubjectKey(ctx, randomUUIDv7())
  await insertSubjectKeys(trx, [key])
  const country = (await findHostingCountries(trx, [subject])).get(subject)
  const payload = { [of]: { id: subject }, hold }
  await appendAudit(ctx, trx, [{ event, subject: key, about: subject, from: ctx.self, country, actor: { kind: by }, payload }])
}

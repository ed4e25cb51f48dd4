// Erases an item or a report: key, texts and what opens its entries are destroyed in the one transaction that adds `entry.erased` to its
// chain. The entries and their leaves stay, so every proof holds. The order is on the disk, outside the database, before it commits.
import { randomUUIDv7 } from 'node:crypto'
import { CrosslineError } from '#errors.ts'
import type { ErasedRecord, ErasureBasis } from '#schema/erasure.ts'
import { inTransaction } from '#storage/database.ts'
import { countPayloads, destroySubjects, type Erasable, endExports, lockErasable } from '#storage/erasure-store.ts'
import { findItemIdsOfReport, type ItemRow, lockItemRows } from '#storage/item-store.ts'
import { insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { type AuditContext, appendAudit, type NewEntry, subjectRef } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey } from './subject-keys.ts'

export type ErasureContext = AuditContext & Pick<StepContext, 'db' | 'erasures'>

export interface ErasureOrder extends Pick<ErasedRecord, 'of' | 'by'> {
  id: string
  basis: ErasureBasis
  /** Digest of the paper that orders it; the paper itself stays outside. */
  reason?: string | undefined
}

/** What was erased now, items and reports together; 0 when all of it was erased before. */
export interface Erased {
  subjects: number
}

/**
 * Erases an item, or a report with all its items. Throws `not_found`, `legal_hold`, or `item_live` for what is not closed or still has
 * something to send. Twice is as once.
 */
export async function eraseSubject(ctx: ErasureContext, order: ErasureOrder): Promise<Erased> {
  return writeThenCommit(ctx, async (trx) => {
    const items = order.of === 'report' ? await findItemIdsOfReport(trx, order.id) : []
    const common = { replay: false, reason: order.reason }
    const ofItems = await eraseTogether(ctx, trx, { ...common, records: toRecords(ctx, items, { ...order, of: 'item' }) })
    refuse(ofItems.states.values())
    const own = await eraseTogether(ctx, trx, { ...common, records: toRecords(ctx, [order.id], order) })
    refuse(own.states.values())
    return [...ofItems.erased, ...own.erased]
  })
}

function toRecords(
  ctx: Pick<ErasureContext, 'now'>,
  ids: readonly string[],
  { of, by, basis }: Pick<ErasureOrder, 'of' | 'by' | 'basis'>,
): ErasedRecord[] {
  const at = ctx.now().toISOString()
  return ids.map((subject) => ({ kind: 'erased', subject, of, by, basis, outcome: null, at }))
}

function refuse(states: Iterable<Erasable>): void {
  for (const state of states) {
    if (state === 'absent') throw new CrosslineError('not_found')
    if (state === 'held') throw new CrosslineError('legal_hold')
    if (state === 'live') throw new CrosslineError('item_live')
  }
}

/**
 * One transaction whose last act, before COMMIT, is the line in the journal: what is erased is never unknown to it. When COMMIT fails the
 * line stands alone, and the next replay carries the order out or finds that it was.
 */
export async function writeThenCommit(
  ctx: ErasureContext,
  erase: (trx: Trx) => Promise<readonly ErasedRecord[]>,
): Promise<Erased> {
  let isWritten = false
  try {
    return await inTransaction(ctx.db, async (trx) => {
      const erased = await erase(trx)
      if (erased.length === 0) return { subjects: 0 }
      await ctx.erasures.append(erased)
      isWritten = true
      return { subjects: erased.length }
    })
  } catch (error) {
    if (isWritten) ctx.erasures.isUnsettled = true
    throw error
  }
}

export interface Erasing {
  records: readonly ErasedRecord[]
  /** Done again in a restored database: what it holds as live goes too, and what it doesn't hold may not come back. */
  replay: boolean
  reason?: string | undefined
}

interface Together {
  /** What the database said of each, before. */
  states: Map<string, Erasable>
  /** What went, as the journal must know it. */
  erased: ErasedRecord[]
}

/** Erases what may be erased of these and leaves the rest. The caller writes the journal. */
export async function eraseTogether(ctx: ErasureContext, trx: Trx, { records, replay, reason }: Erasing): Promise<Together> {
  const states = await lockErasable(trx, records, replay)
  const fit = records.filter(({ subject }) => {
    const state = states.get(subject)
    return state === 'erasable' || (replay && state === 'absent')
  })
  if (fit.length === 0) return { states, erased: [] }
  const subjects = await describeSubjects(ctx, trx, fit)
  const key = makeSubjectKey(ctx, randomUUIDv7())
  await insertSubjectKeys(trx, [key])
  await appendAudit(
    ctx,
    trx,
    subjects.flatMap((subject) => writeEntries(ctx, subject, { key, replay, reason })),
  )
  const rows = subjects.map(({ record, ref }) => ({ ...record, ref }))
  const destroyed = await destroySubjects(trx, rows, replay)
  if (subjects.some(({ record, entries }) => destroyed.get(record.subject) !== entries))
    throw new CrosslineError('internal', { detail: 'Something was added to what is being erased: try again.' })
  // Not for retention, which goes on all the time: there a bundle lives out its week.
  if (fit.some(({ by }) => by === 'operator')) await endExports(trx, ctx.now())
  return { states, erased: subjects.map(({ record }) => record) }
}

interface Described {
  record: ErasedRecord
  ref: Buffer
  item: ItemRow | undefined
  /** How many entries it has whose payloads go. */
  entries: number
}

async function describeSubjects(ctx: ErasureContext, trx: Trx, records: readonly ErasedRecord[]): Promise<Described[]> {
  const ids = records.filter(({ of }) => of === 'item').map(({ subject }) => subject)
  const items = await lockItemRows(trx, ids)
  const chains = records.map(({ subject }) => ({ subject, ref: subjectRef(ctx, subject) }))
  const counted = await countPayloads(trx, chains)
  return records.map((record, place) => {
    const item = items.get(record.subject)
    const { ref } = chains[place] as (typeof chains)[number]
    return {
      record: { ...record, outcome: item?.outcome ?? record.outcome },
      ref,
      item,
      entries: counted.get(ref.toString('base64url')) ?? 0,
    }
  })
}

/** The key is of this act: what says why stays open when the subject's own key is gone. */
type Act = Pick<Erasing, 'replay' | 'reason'> & { key: NewEntry['subject'] }

/** The entry that says it; before it `item.closed` when a restored database held the item as live. */
function writeEntries(ctx: ErasureContext, { record, item, entries }: Described, { key, replay, reason }: Act): NewEntry[] {
  const { subject, of, by, basis, outcome, at } = record
  const named = { [of]: { id: subject, ...(item ? { report: item.report_id } : {}) } }
  const country = item?.hosting_country ?? undefined
  const common = { subject: key, about: subject, from: ctx.self, country, actor: { kind: by } }
  const erasure: NewEntry = {
    ...common,
    event: 'entry.erased',
    payload: {
      ...named,
      erased: { entries, at, ...(replay ? { replay } : {}) },
      basis,
      ...(reason === undefined ? {} : { reason }),
    },
  }
  if (!item || item.state === 'closed') return [erasure]
  return [{ ...common, event: 'item.closed', payload: { ...named, facts: { outcome: outcome ?? 'expired', replay } } }, erasure]
}

// After a restore of an older database: what was erased or held since, and is known in the journal outside it, is done again before the
// node opens. The other way round the journal gets back what only the database knows. Twice is as once.

import type { ErasedRecord, ErasureRecord, HeldRecord, ReleasedRecord } from '#schema/erasure.ts'
import { inTransaction } from '#storage/database.ts'
import { findErased, findErasures, findHolds, type HoldRow, insertHold, releaseHeld } from '#storage/erasure-store.ts'
import { type ErasureContext, eraseTogether } from './erase-subject.ts'
import { recordHold, recordRelease } from './legal-hold.ts'

export interface Replay {
  /** Erased again. */
  erased: number
  /** Holds placed or released again. */
  holds: number
  /** Not erased again, because a hold is in force. */
  held: number
  /** Lines that the journal had lost. */
  added: number
}

const chunk = 100

/** Brings the database and the journal to the same knowledge; with `dryRun` only says what would be done. Throws `broken_file`. */
export async function replayErasures(ctx: ErasureContext, { dryRun = false }: { dryRun?: boolean } = {}): Promise<Replay> {
  ctx.erasures.isUnsettled = false
  // Holds first, all of them: an erasing whose commit failed must not overtake a hold that was placed after it.
  const holds = await replayHolds(ctx, dryRun)
  const erased = await replayErased(ctx, dryRun)
  const added = await completeJournal(ctx, dryRun)
  return { holds, ...erased, added }
}

async function replayHolds(ctx: ErasureContext, dryRun: boolean): Promise<number> {
  const known = new Map((await findHolds(ctx.db)).map((row) => [row.id, row.released_at !== null]))
  let done = 0
  for (const record of ctx.erasures.read()) {
    if (record.kind === 'erased' || isKnown(record, known)) continue
    if (!dryRun) await redoHold(ctx, record)
    known.set(record.hold, record.kind === 'released')
    done += 1
  }
  return done
}

type HoldRecord = HeldRecord | ReleasedRecord

function isKnown(record: HoldRecord, known: ReadonlyMap<string, boolean>): boolean {
  return record.kind === 'held' ? known.has(record.hold) : known.get(record.hold) !== false
}

async function redoHold(ctx: ErasureContext, record: HoldRecord): Promise<void> {
  await inTransaction(ctx.db, async (trx) => {
    if (record.kind === 'held') {
      if (await insertHold(trx, record)) await recordHold(ctx, trx, { record, replay: true })
    } else if (await releaseHeld(trx, { hold: record.hold, at: new Date(record.at) })) {
      await recordRelease(ctx, trx, { hold: record.hold, replay: true })
    }
  })
}

async function replayErased(ctx: ErasureContext, dryRun: boolean): Promise<Pick<Replay, 'erased' | 'held'>> {
  const result = { erased: 0, held: 0 }
  let waiting: ErasedRecord[] = []
  const flush = async () => {
    const known = await findErased(
      ctx.db,
      waiting.map(({ subject }) => subject),
    )
    const missing = new Map(waiting.filter(({ subject }) => !known.has(subject)).map((record) => [record.subject, record]))
    waiting = []
    if (missing.size === 0) return
    if (dryRun) result.erased += missing.size
    else await redo(ctx, [...missing.values()], result)
  }
  for (const record of ctx.erasures.read()) {
    if (record.kind !== 'erased') continue
    if (waiting.push(record) === chunk) await flush()
  }
  await flush()
  return result
}

async function redo(
  ctx: ErasureContext,
  records: readonly ErasedRecord[],
  result: Pick<Replay, 'erased' | 'held'>,
): Promise<void> {
  const { states, erased } = await inTransaction(ctx.db, (trx) => eraseTogether(ctx, trx, { records, replay: true }))
  result.erased += erased.length
  result.held += [...states.values()].filter((state) => state === 'held').length
}

/** A journal that was lost, cut or restored itself gets its lines back while the database still has them. */
async function completeJournal(ctx: ErasureContext, dryRun: boolean): Promise<number> {
  const written = new Set<string>()
  for (const record of ctx.erasures.read()) written.add(nameOf(record))
  const lost: ErasureRecord[] = (await findHolds(ctx.db)).flatMap(holdRecords).filter((record) => !written.has(nameOf(record)))
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    const page = await findErasures(ctx.db, { after, limit: 1000 })
    lost.push(...page.filter(({ subject }) => !written.has(subject)))
    const last = page.at(-1)
    if (!last) break
    after = last.subject
  }
  // Also with nothing to add: it makes the file, without which no command erases.
  if (!dryRun) await ctx.erasures.append(lost)
  return lost.length
}

const nameOf = (record: ErasureRecord) => (record.kind === 'erased' ? record.subject : `${record.kind} ${record.hold}`)

function holdRecords(row: HoldRow): ErasureRecord[] {
  const { id: hold, subject, kind, who, basis, until, placed_at, released_at } = row
  const held: ErasureRecord = {
    ...{ kind: 'held', hold, subject, of: kind as 'item', by: who as 'operator', basis },
    ...{ until: until?.toISOString() ?? null, at: placed_at.toISOString() },
  }
  return released_at ? [held, { kind: 'released', hold, at: released_at.toISOString() }] : [held]
}

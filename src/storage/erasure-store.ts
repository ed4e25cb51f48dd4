// What is erased and held, and the way to the database's own function that destroys. The service has no right to delete any of it itself.
import { sql } from 'kysely'
import type { ErasedRecord, HeldRecord } from '#schema/erasure.ts'
import { byteaArray, textArray, uuidArray } from './binary-array.ts'
import type { Db, Trx } from './report-store.ts'

/** What the database says of a subject; see `lock_erasable` in 010-erasure.sql. */
export type Erasable = 'erasable' | 'absent' | 'erased' | 'held' | 'live'

type Subject = Pick<ErasedRecord, 'subject' | 'of'>

/** Locks subjects in the order of their ids until the transaction ends, and says of each whether it may be erased. */
export async function lockErasable(trx: Trx, subjects: readonly Subject[], replay: boolean): Promise<Map<string, Erasable>> {
  const ids = uuidArray(subjects.map(({ subject }) => subject))
  const kinds = textArray(subjects.map(({ of }) => of))
  const found = await asEraser(trx, () =>
    sql<{ subject: string; may: Erasable }>`
      select subject, lock_erasable(subject, kind, ${replay}) as may from (
        select subject, kind from unnest(${ids}::uuid[], ${kinds}::text[]) as t (subject, kind) order by subject
      ) ordered`.execute(trx),
  )
  return new Map(found.rows.map(({ subject, may }) => [subject, may]))
}

export interface Destroying extends ErasedRecord {
  ref: Buffer
}

/** Destroys keys and texts; each subject needs its entry in this transaction. Gives how many payloads of each subject went. */
export async function destroySubjects(trx: Trx, rows: readonly Destroying[], replay: boolean): Promise<Map<string, number>> {
  const texts = (pick: (row: Destroying) => string | null) => textArray(rows.map(pick))
  const found = await asEraser(trx, () =>
    sql<{ subject: string; destroyed: number }>`
      select subject, erase_subject(subject, kind, ref, who, basis, outcome, ${replay}) as destroyed
      from unnest(${uuidArray(rows.map(({ subject }) => subject))}::uuid[], ${texts(({ of }) => of)}::text[],
        ${byteaArray(rows.map(({ ref }) => ref))}::bytea[], ${texts(({ by }) => by)}::text[], ${texts(({ basis }) => basis)}::text[],
        ${texts(({ outcome }) => outcome)}::text[]) as t (subject, kind, ref, who, basis, outcome)`.execute(trx),
  )
  return new Map(found.rows.map(({ subject, destroyed }) => [subject, destroyed]))
}

/** Ends every export asked for so far: its bundle may hold what opened the entries of what is erased. */
export async function endExports(trx: Trx, now: Date): Promise<void> {
  await sql`update audit_export set expires_at = ${now} where expires_at > ${now}`.execute(trx)
}

async function asEraser<T>(trx: Trx, work: () => Promise<T>): Promise<T> {
  await sql`set local role crossline_eraser`.execute(trx)
  const result = await work()
  await sql`reset role`.execute(trx)
  return result
}

/** How many entries of each ref have a payload of its subject. By ref as base64url; a ref without entries is absent. */
export async function countPayloads(trx: Trx, wanted: readonly { subject: string; ref: Buffer }[]): Promise<Map<string, number>> {
  const found = await sql<{ item_ref: Buffer; entries: number }>`
    select e.item_ref, count(p.entry_id)::int as entries
    from unnest(${uuidArray(wanted.map(({ subject }) => subject))}::uuid[], ${byteaArray(wanted.map(({ ref }) => ref))}::bytea[]) as t (subject, ref)
    join audit_entry e on e.item_ref = t.ref left join audit_payload p on p.entry_id = e.id and p.subject = t.subject
    group by e.item_ref`.execute(trx)
  return new Map(found.rows.map(({ item_ref, entries }) => [item_ref.toString('base64url'), entries]))
}

/** What the database knows as erased of these. */
export async function findErased(db: Db, subjects: readonly string[]): Promise<Set<string>> {
  const found = await sql<{ subject: string }>`
    select subject from erased_subject where subject = any(${uuidArray(subjects)}::uuid[])`.execute(db)
  return new Set(found.rows.map(({ subject }) => subject))
}

/** What the database knows as erased, by subject after `after`, as records of the journal. */
export async function findErasures(db: Db, { after, limit }: { after: string; limit: number }): Promise<ErasedRecord[]> {
  const rows = await db
    .selectFrom('erased_subject')
    .selectAll()
    .where('subject', '>', after)
    .orderBy('subject')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    kind: 'erased',
    subject: row.subject,
    of: row.kind as 'item',
    by: row.who as 'operator',
    basis: row.basis,
    outcome: row.outcome,
    at: row.erased_at.toISOString(),
  }))
}

/** Whether anything was erased since a time, by the database's clock; and that clock's time now. */
export async function findErasedSince(db: Db, since: Date): Promise<{ isAny: boolean; now: Date }> {
  const found = await sql<{ is_any: boolean; now: Date }>`
    select exists (select from erased_subject where erased_at >= ${since}) as is_any, now()`.execute(db)
  const row = found.rows[0]
  return { isAny: row?.is_any ?? false, now: row?.now ?? since }
}

/**
 * Items closed for `days` by the database's clock, and reports of which nothing else is left. What is held, or has something unsent, is
 * not among them.
 */
export async function findExpired(db: Db, { days, limit }: { days: number; limit: number }): Promise<Subject[]> {
  const found = await sql<Subject>`
    (select i.id as subject, 'item' as of from item i
      where i.state = 'closed' and i.erased_at is null and i.changed_at < now() - make_interval(days => ${days})
        and not exists (select from legal_hold h where h.subject in (i.id, i.report_id) and h.released_at is null and (h.until is null or h.until > now()))
        and not exists (
          select from message m join outbox o on o.message_id = m.id left join outbound_batch b on b.id = o.batch_id
          where m.item_id = i.id and (b.id is null or (b.receipt is null and b.withdrawn_at is null)))
      order by i.changed_at limit ${limit})
    union all
    (select r.id, 'report' from report r
      where r.erased_at is null and r.created_at < now() - make_interval(days => ${days})
        and not exists (select from item i where i.report_id = r.id and i.erased_at is null)
        and not exists (
          select from legal_hold h where (h.subject = r.id or h.subject in (select id from item where report_id = r.id))
            and h.released_at is null and (h.until is null or h.until > now()))
      order by r.created_at limit ${limit})`.execute(db)
  return found.rows
}

/** Adds a hold; false if its id is there. */
export async function insertHold(trx: Trx, hold: HeldRecord): Promise<boolean> {
  const done = await trx
    .insertInto('legal_hold')
    .values({
      id: hold.hold,
      subject: hold.subject,
      kind: hold.of,
      who: hold.by,
      basis: hold.basis,
      until: hold.until === null ? null : new Date(hold.until),
      placed_at: new Date(hold.at),
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst()
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Releases a hold; false if it is not there, or was released before. */
export async function releaseHeld(trx: Trx, { hold, at }: { hold: string; at: Date }): Promise<boolean> {
  const done = await trx
    .updateTable('legal_hold')
    .set({ released_at: at })
    .where('id', '=', hold)
    .where('released_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows > 0n
}

export async function findHolds(db: Db) {
  return db.selectFrom('legal_hold').selectAll().orderBy('placed_at').orderBy('id').execute()
}

export async function findHold(db: Db, id: string): Promise<HoldRow | undefined> {
  return db.selectFrom('legal_hold').selectAll().where('id', '=', id).executeTakeFirst()
}

export type HoldRow = Awaited<ReturnType<typeof findHolds>>[number]

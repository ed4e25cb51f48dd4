// Reports, and the keys that seal the texts of reports, items and all else that has entries. Bulk in, one statement per table; texts come in sealed.
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import { byteaArray, textArray, uuidArray } from './binary-array.ts'
import type { ReportTable, Tables } from './tables.ts'

export type ReportRow = Selectable<ReportTable>
export type Db = Kysely<Tables>
export type Trx = Transaction<Tables>

export type NewReport = Omit<ReportRow, 'created_at' | 'erased_at'>

/** The wrapped key of a report, an item or a query. */
export interface NewSubjectKey {
  subject: string
  wrapped: Buffer
}

/** Adds reports with their keys. Throws a unique violation when an id is taken. */
export async function insertReports(trx: Trx, reports: readonly NewReport[], keys: readonly NewSubjectKey[]): Promise<Date> {
  const texts = (pick: (report: NewReport) => string | null) => textArray(reports.map(pick))
  const stored = await sql<{ created_at: Date }>`
    with keys as (
      insert into subject_key (subject, wrapped)
      select * from unnest(${uuidArray(keys.map((each) => each.subject))}::uuid[], ${byteaArray(keys.map((each) => each.wrapped))}::bytea[])
    )
    insert into report (id, origin, received_at, source, source_item, site_type, commerciality, payment_methods, handling, sealed, content_digest)
    select id, origin, received_at::timestamptz, source, source_item, site_type, commerciality,
      case when payment_methods = '' then '{}' else string_to_array(payment_methods, ',') end, handling, sealed, content_digest
    from unnest(${uuidArray(reports.map((report) => report.id))}::uuid[], ${texts((report) => report.origin)}::text[],
        ${texts((report) => report.received_at.toISOString())}::text[], ${texts((report) => report.source)}::text[],
        ${uuidArray(reports.map((report) => report.source_item))}::uuid[], ${texts((report) => report.site_type)}::text[],
        ${texts((report) => report.commerciality)}::text[], ${texts((report) => report.payment_methods.join(','))}::text[],
        ${texts((report) => report.handling)}::text[], ${byteaArray(reports.map((report) => report.sealed))}::bytea[],
        ${byteaArray(reports.map((report) => report.content_digest))}::bytea[])
      as t (id, origin, received_at, source, source_item, site_type, commerciality, payment_methods, handling, sealed, content_digest)
    returning created_at`.execute(trx)
  return stored.rows[0]?.created_at as Date
}

/** Adds keys of their own. Throws a unique violation when a subject has one: a text under a key that is not kept would be lost. */
export async function insertSubjectKeys(trx: Trx, keys: readonly NewSubjectKey[]): Promise<void> {
  await sql`insert into subject_key (subject, wrapped) select * from unnest(${uuidArray(keys.map((each) => each.subject))}::uuid[],
    ${byteaArray(keys.map((each) => each.wrapped))}::bytea[])`.execute(trx)
}

export async function findReportRow(db: Db, id: string): Promise<ReportRow | undefined> {
  return db.selectFrom('report').selectAll().where('id', '=', id).executeTakeFirst()
}

export async function findReportRows(db: Db, ids: readonly string[]): Promise<Map<string, ReportRow>> {
  const found = await sql<ReportRow>`select * from report where id = any(${uuidArray(ids)}::uuid[])`.execute(db)
  return new Map(found.rows.map((row) => [row.id, row]))
}

export type TakenBy = 'report' | 'item' | 'other'

/** What these ids name at this node already; `other` is a subject of the log that is neither report nor item, or one erased before a restore. */
export async function findTakenIds(db: Db, ids: readonly string[]): Promise<Map<string, TakenBy>> {
  const wanted = uuidArray(ids)
  const found = await sql<{ id: string; kind: TakenBy }>`
    select id, kind from (
      select subject as id, 'other' as kind, 1 as place from subject_key where subject = any(${wanted}::uuid[])
      union all select id, 'report', 2 from report where id = any(${wanted}::uuid[])
      union all select id, 'item', 3 from item where id = any(${wanted}::uuid[])
      union all select subject, 'other', 0 from erased_subject where subject = any(${wanted}::uuid[])
    ) taken order by place`.execute(db)
  return new Map(found.rows.map((row) => [row.id, row.kind]))
}

export async function findWrappedKeys(db: Db, subjects: readonly string[]): Promise<Map<string, Buffer>> {
  const found = await sql<{
    subject: string
    wrapped: Buffer
  }>`select subject, wrapped from subject_key where subject = any(${uuidArray(subjects)}::uuid[])`.execute(db)
  return new Map(found.rows.map((row) => [row.subject, row.wrapped]))
}

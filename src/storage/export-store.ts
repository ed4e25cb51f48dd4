// Exports that liaisons asked for: claimed by one worker at a time, pinned once, gone when they expire.
import { type Selectable, sql } from 'kysely'
import { byteaArray, intArray } from './binary-array.ts'
import type { FoundEntry, LeafPlace } from './liaison-store.ts'
import type { Db, Trx } from './report-store.ts'
import type { AuditExportTable } from './tables.ts'

export type ExportRow = Selectable<AuditExportTable>

export type NewExport = Pick<
  ExportRow,
  'id' | 'client' | 'network_wide' | 'countries' | 'members' | 'filter' | 'format' | 'created_at' | 'expires_at'
>

export async function insertExport(trx: Trx, asked: NewExport): Promise<void> {
  await trx
    .insertInto('audit_export')
    .values({
      ...asked,
      failure: null,
      year: null,
      size: null,
      index_id: null,
      total: null,
      digest: null,
      complete: null,
      finished_at: null,
      lease_holder: null,
      lease_until: null,
    })
    .execute()
}

/** The export of this client; another's is as none. */
export async function findExport(db: Db, id: string, client: string): Promise<ExportRow | undefined> {
  return db.selectFrom('audit_export').selectAll().where('id', '=', id).where('client', '=', client).executeTakeFirst()
}

/** How many of a client's exports wait or run; until the transaction ends no other of this client is counted or begun. */
export async function countOpenExports(trx: Trx, client: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`crossline.audit_export ${client}`}, 0))`.execute(trx)
  const open = trx
    .selectFrom('audit_export')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('client', '=', client)
    .where('state', 'in', ['waiting', 'running'])
  return (await open.executeTakeFirstOrThrow()).count
}

export interface Lease {
  holder: string
  now: Date
  until: Date
}

/** Takes the oldest export that nobody builds, or that somebody began who is gone. */
export async function claimExport(db: Db, { holder, now, until }: Lease): Promise<ExportRow | undefined> {
  const { rows } = await sql<ExportRow>`
    update audit_export set state = 'running', lease_holder = ${holder}, lease_until = ${until}, rows = 0, bytes = 0
    where id = (
      select id from audit_export where state in ('waiting', 'running') and expires_at > ${now}
        and (lease_until is null or lease_until < ${now} or lease_holder = ${holder})
      order by created_at limit 1 for update skip locked
    ) returning *`.execute(db)
  return rows[0]
}

/** What changes while it is built. */
export type ExportChange = Partial<
  Pick<
    ExportRow,
    | 'state'
    | 'failure'
    | 'year'
    | 'size'
    | 'index_id'
    | 'rows'
    | 'total'
    | 'bytes'
    | 'digest'
    | 'complete'
    | 'finished_at'
    | 'lease_until'
    | 'lease_holder'
  >
>

/** Changes an export that this holder still has; false when it has lost it. */
export async function updateExport(
  db: Db,
  { id, holder }: { id: string; holder: string },
  change: ExportChange,
): Promise<boolean> {
  const done = await db
    .updateTable('audit_export')
    .set(change)
    .where('id', '=', id)
    .where('lease_holder', '=', holder)
    .executeTakeFirst()
  return done.numUpdatedRows > 0n
}

/** Puts one whose file is gone back to where it waits. */
export async function restartExport(db: Db, id: string): Promise<void> {
  await db
    .updateTable('audit_export')
    .set({ state: 'waiting', rows: 0, bytes: 0, digest: null, complete: null, finished_at: null })
    .where('id', '=', id)
    .where('state', '=', 'done')
    .execute()
}

/** Forgets what has expired; gives the ids, whose files are to be removed. */
export async function forgetExports(db: Db, now: Date): Promise<string[]> {
  const rows = await db.deleteFrom('audit_export').where('expires_at', '<=', now).returning('id').execute()
  return rows.map(({ id }) => id)
}

/** Which of these are known. */
export async function findKnownExports(db: Db, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await db.selectFrom('audit_export').select('id').where('id', 'in', ids).execute()
  return new Set(rows.map(({ id }) => id))
}

/** The entry at one place of the log, whoever may see it. */
export async function findEntryAt(db: Db, { year, index }: LeafPlace): Promise<FoundEntry | undefined> {
  const { rows } = await sql<FoundEntry>`
    select l.year, l.leaf_index as index, e.id, e.event, e.recorded_at, e.country, e.entry, e.leaf, p.subject, p.sealed, k.wrapped
    from audit_leaf l join audit_entry e on e.id = l.entry_id left join audit_payload p on p.entry_id = e.id
    left join subject_key k on k.subject = p.subject where l.year = ${year} and l.leaf_index = ${index}`.execute(db)
  return rows[0]
}

/** The years of the log up to one. */
export async function findYears(db: Db, last: number): Promise<number[]> {
  const rows = await db.selectFrom('audit_shard').select('year').where('year', '<=', last).orderBy('year').execute()
  return rows.map(({ year }) => year)
}

/** How many sealed entries a ref has before this place. */
export async function countSealed(db: Db, ref: Buffer, before: LeafPlace): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from audit_entry e join audit_leaf l on l.entry_id = e.id
    where e.item_ref = ${ref} and (l.year, l.leaf_index) < (${before.year}::int, ${before.index}::bigint)`.execute(db)
  return rows[0]?.count ?? 0
}

/** Every country that an entry about this ref states. */
export async function findCountriesOf(db: Db, ref: Buffer): Promise<string[]> {
  const rows = await db.selectFrom('audit_entry').select('country').distinct().where('item_ref', '=', ref).execute()
  return rows.flatMap(({ country }) => country ?? [])
}

/** Whether each of these entries that has one before it (of the same item) has it in the same country. */
export async function areLedUpIn(db: Db, country: string, entries: readonly FoundEntry[]): Promise<boolean> {
  const { rows } = await sql<{ is: boolean }>`
    select not exists (
      select from audit_entry e where e.id = any(${entries.map(({ id }) => String(id))}::bigint[]) and e.item_seq > 1 and not exists (
        select from audit_entry p where p.item_ref = e.item_ref and p.item_seq = e.item_seq - 1 and p.country = ${country})
    ) as is`.execute(db)
  return rows[0]?.is === true
}

/** Whether the entry number n of each of these refs is in this country. */
export async function endIn(db: Db, country: string, heads: readonly { ref: Buffer; n: number }[]): Promise<boolean> {
  const { rows } = await sql<{ is: boolean }>`
    select not exists (
      select from unnest(${byteaArray(heads.map(({ ref }) => ref))}::bytea[], ${intArray(heads.map(({ n }) => n))}::int[]) as h (ref, n)
      where not exists (select from audit_entry e where e.item_ref = h.ref and e.item_seq = h.n and e.country = ${country})
    ) as is`.execute(db)
  return rows[0]?.is === true
}

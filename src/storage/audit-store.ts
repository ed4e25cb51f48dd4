// Adds entries to the audit log and reads them for a liaison. The database gives id, time and leaf; the service can't choose them.
import { type Kysely, sql, type Transaction } from 'kysely'
import { byteaArray, intArray, textArray, uuidArray } from './binary-array.ts'
import { findSettledEnd } from './settled-end.ts'
import type { Tables } from './tables.ts'

export interface AuditRow {
  event: string
  ref: Buffer
  n: number
  from: string | undefined
  to: string | undefined
  country: string | undefined
  entry: Buffer
  leaf: Buffer
  subject: string
  sealed: Buffer
}

export interface AuditHead {
  n: number
  leaf: Buffer
}

/** The last entry of each ref, locked in one order so that two writers never wait for each other in a circle. Keys are base64url. */
export async function lockAuditHeads(trx: Transaction<Tables>, refs: readonly Buffer[]): Promise<Map<string, AuditHead>> {
  const found = await sql<{ item_ref: Buffer; n: number; leaf: Buffer }>`
    select item_ref, n, leaf from audit_head where item_ref = any(${byteaArray(refs)}::bytea[]) order by item_ref for update`.execute(
    trx,
  )
  return new Map(found.rows.map((row) => [row.item_ref.toString('base64url'), { n: row.n, leaf: row.leaf }]))
}

/** What becomes of the heads, by ref as base64url. Two writers that both begin the same ref: one gets a unique violation. */
export interface ChangedHeads {
  /** Of refs that had none. */
  begun: ReadonlyMap<string, AuditHead>
  /** Of refs that `lockAuditHeads` locked. */
  moved: ReadonlyMap<string, AuditHead>
}

/** Writes entries and their sealed payloads in the order given, and the heads that they leave behind: one statement. */
export async function insertAuditRows(trx: Transaction<Tables>, rows: readonly AuditRow[], heads: ChangedHeads): Promise<void> {
  const begun = headColumns(heads.begun)
  const moved = headColumns(heads.moved)
  await sql`
    with input as (
      select * from unnest(${textArray(rows.map((row) => row.event))}::text[], ${byteaArray(rows.map((row) => row.ref))}::bytea[],
        ${intArray(rows.map((row) => row.n))}::int[], ${textArray(rows.map((row) => row.from ?? null))}::text[],
        ${textArray(rows.map((row) => row.to ?? null))}::text[], ${textArray(rows.map((row) => row.country ?? null))}::text[],
        ${byteaArray(rows.map((row) => row.entry))}::bytea[], ${byteaArray(rows.map((row) => row.leaf))}::bytea[],
        ${uuidArray(rows.map((row) => row.subject))}::uuid[], ${byteaArray(rows.map((row) => row.sealed))}::bytea[])
        with ordinality as t (event, item_ref, n, from_member, to_member, country, entry, leaf, subject, sealed, place)
    ), added as (
      insert into audit_entry (event, item_ref, item_seq, from_member, to_member, country, entry)
      select event, item_ref, n, from_member, to_member, country, entry from input order by place
      returning id, leaf
    ), begun as (
      insert into audit_head (item_ref, n, leaf) select * from unnest(${begun.refs}::bytea[], ${begun.ns}::int[], ${begun.leaves}::bytea[])
    ), moved as (
      update audit_head set n = changed.n, leaf = changed.leaf
      from unnest(${moved.refs}::bytea[], ${moved.ns}::int[], ${moved.leaves}::bytea[]) as changed (item_ref, n, leaf)
      where audit_head.item_ref = changed.item_ref
    )
    insert into audit_payload (entry_id, subject, sealed) select added.id, input.subject, input.sealed from added join input using (leaf)`.execute(
    trx,
  )
}

function headColumns(heads: ReadonlyMap<string, AuditHead>) {
  return {
    refs: byteaArray([...heads.keys()].map((ref) => Buffer.from(ref, 'base64url'))),
    ns: intArray([...heads.values()].map((head) => head.n)),
    leaves: byteaArray([...heads.values()].map((head) => head.leaf)),
  }
}

/** Whose entries a liaison may see: its countries, and what their hotlines handed over or took. */
export interface AuditScope {
  networkWide: boolean
  countries: readonly string[]
  members: readonly string[]
}

export interface AuditFilter {
  since?: Date
  until?: Date
  event?: string
  member?: string
  country?: string
  ref?: Buffer
  afterId: number
  /** From `findSettledEntry`. */
  untilId: number
  limit: number
}

export interface FoundEntry {
  id: number
  event: string
  recorded_at: Date
  country: string | null
  entry: Buffer
  leaf: Buffer
  subject: string | null
  sealed: Buffer | null
  wrapped: Buffer | null
}

/** The last id up to which no entry can still appear; undefined when a writer at work takes longer than `patienceMs`. */
export async function findSettledEntry(db: Kysely<Tables>, patienceMs: number): Promise<number | undefined> {
  const findLast = async () =>
    (await db.selectFrom('audit_entry').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst())?.id ?? 0
  return findSettledEnd(db, { table: 'audit_entry', findLast }, patienceMs)
}

/** Reads entries as the database's reader role, so that row-level security decides what is in scope, not a WHERE that may be forgotten. */
export async function findAuditEntries(trx: Transaction<Tables>, scope: AuditScope, filter: AuditFilter): Promise<FoundEntry[]> {
  await sql`select set_config('crossline.network_wide', ${scope.networkWide ? 'on' : 'off'}, true),
    set_config('crossline.countries', ${scope.countries.join(',')}, true), set_config('crossline.members', ${scope.members.join(',')}, true)`.execute(
    trx,
  )
  await sql`set local role crossline_reader`.execute(trx)
  const ids = await entriesInScope(trx, filter).execute()
  await sql`reset role`.execute(trx)
  return openable(trx, ids)
}

function entriesInScope(trx: Transaction<Tables>, filter: AuditFilter) {
  let query = trx
    .selectFrom('audit_entry')
    .select(['id', 'event', 'recorded_at', 'country', 'entry', 'leaf'])
    .where('id', '>', filter.afterId)
    .where('id', '<=', filter.untilId)
    .orderBy('id')
    .limit(filter.limit)
  if (filter.since) query = query.where('recorded_at', '>=', filter.since)
  if (filter.until) query = query.where('recorded_at', '<', filter.until)
  if (filter.event) query = query.where('event', '=', filter.event)
  if (filter.country) query = query.where('country', '=', filter.country)
  if (filter.ref) query = query.where('item_ref', '=', filter.ref)
  const { member } = filter
  if (member) query = query.where((where) => where.or([where('from_member', '=', member), where('to_member', '=', member)]))
  return query
}

type EntryRow = Pick<FoundEntry, 'id' | 'event' | 'recorded_at' | 'country' | 'entry' | 'leaf'>

async function openable(db: Kysely<Tables>, entries: EntryRow[]): Promise<FoundEntry[]> {
  const payloads = await db
    .selectFrom('audit_payload')
    .leftJoin('subject_key', 'subject_key.subject', 'audit_payload.subject')
    .select(['entry_id', 'audit_payload.subject', 'sealed', 'wrapped'])
    .where('entry_id', 'in', entries.length > 0 ? entries.map((each) => each.id) : [0])
    .execute()
  const byEntry = new Map(payloads.map((each) => [each.entry_id, each]))
  return entries.map((entry) => {
    const payload = byEntry.get(entry.id)
    return { ...entry, subject: payload?.subject ?? null, sealed: payload?.sealed ?? null, wrapped: payload?.wrapped ?? null }
  })
}

/** Makes the monthly partitions from last month's to `months` ahead; harmless when they are there. */
export async function addAuditPartitions(db: Kysely<Tables>, months: number): Promise<void> {
  await sql`select audit_add_partitions(${months})`.execute(db)
}

/** Fails when the log can't be read. */
export async function touchAuditLog(db: Kysely<Tables>): Promise<void> {
  await sql`select 1 from audit_entry limit 1`.execute(db)
}

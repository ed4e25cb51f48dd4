// Adds entries to the audit log (liaison-store.ts reads them). The database gives id, time and leaf; the service can't choose them.
import { type Kysely, sql, type Transaction } from 'kysely'
import { byteaArray, intArray, textArray, uuidArray } from './binary-array.ts'
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
  /** The last country that an entry stated; undefined leaves the head's as it is. */
  country?: string | undefined
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
      insert into audit_head (item_ref, n, leaf, country)
      select * from unnest(${begun.refs}::bytea[], ${begun.ns}::int[], ${begun.leaves}::bytea[], ${begun.countries}::text[])
    ), moved as (
      update audit_head set n = changed.n, leaf = changed.leaf, country = coalesce(changed.country, audit_head.country)
      from unnest(${moved.refs}::bytea[], ${moved.ns}::int[], ${moved.leaves}::bytea[], ${moved.countries}::text[])
        as changed (item_ref, n, leaf, country)
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
    countries: textArray([...heads.values()].map((head) => head.country ?? null)),
  }
}

/** The database's id of the last entry about a ref. */
export async function findLastEntryId(trx: Transaction<Tables>, ref: Buffer): Promise<number> {
  const found = trx.selectFrom('audit_entry').select('id').where('item_ref', '=', ref).orderBy('item_seq', 'desc').limit(1)
  return (await found.executeTakeFirstOrThrow()).id
}

/** Makes the monthly partitions from last month's to `months` ahead; harmless when they are there. */
export async function addAuditPartitions(db: Kysely<Tables>, months: number): Promise<void> {
  await sql`select audit_add_partitions(${months})`.execute(db)
}

/** Fails when the log can't be read. */
export async function touchAuditLog(db: Kysely<Tables>): Promise<void> {
  await sql`select 1 from audit_entry limit 1`.execute(db)
}

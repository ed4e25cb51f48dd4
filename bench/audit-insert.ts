// What an audit entry costs beside a plain insert of the same bytes: 16 connections, once with other work in each transaction and single
// entries, once without and ten at a time. The ways take turns within one run, because machines are noisy.
import { hash, randomBytes, randomUUIDv7 } from 'node:crypto'
import { sql } from 'kysely'
import { appendAudit } from '#steps/append-audit.ts'
import type { StepContext } from '#steps/context.ts'
import { makeSubjectKey, type SubjectKey } from '#steps/subject-keys.ts'
import { withClient } from '#storage/admin-client.ts'
import { type AuditRow, insertAuditRows, lockAuditHeads } from '#storage/audit-store.ts'
import { byteaArray, intArray, textArray, uuidArray } from '#storage/binary-array.ts'
import { inTransaction } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import type { BenchLog } from './audit-log.ts'
import { median, rounded } from './figures.ts'

const connections = 16
const entriesPerItem = 5
/** As those of a filled log: 4 commitments, 3 fields sealed. */
const entryBytes = 620
const sealedBytes = 420

/** plain: one table, one row for all bytes, a primary key. indexed: the same with audit_entry's indexes. audit: the rows of an entry, made
 * before. whole: `appendAudit`, which builds, hashes and seals them too. */
const ways = ['plain', 'indexed', 'audit', 'whole'] as const
type Way = (typeof ways)[number]

interface Setting {
  batch: number
  workMs: number
}

const settings: Record<string, Setting> = { withWork: { batch: 1, workMs: 5 }, batchesOf10: { batch: 10, workMs: 0 } }

export async function measureInserts(log: BenchLog, { seconds, rounds }: { seconds: number; rounds: number }): Promise<object> {
  await withClient(log.adminUrl, (client) => client.query(plainTables))
  const found: Record<string, object> = {}
  for (const [name, setting] of Object.entries(settings)) {
    const rates: Record<Way, number[]> = { plain: [], indexed: [], audit: [], whole: [] }
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) rates[way].push(await run(log.ctx, { way, seconds, ...setting }))
    }
    const ratio = (way: Way, beside: Way) => rounded(median(rates[way].map((rate, n) => rate / (rates[beside][n] ?? 0))), 3)
    found[name] = {
      connections,
      ...setting,
      entriesPerSecond: rates,
      ratio: { audit: ratio('audit', 'plain'), auditBesideIndexed: ratio('audit', 'indexed'), whole: ratio('whole', 'plain') },
    }
  }
  return found
}

const columns = `id bigint generated always as identity, recorded_at timestamptz not null default clock_timestamp(), event text not null,
  item_ref bytea not null, item_seq integer not null, from_member text, to_member text, country text, entry bytea not null, leaf bytea not null,
  subject uuid not null, sealed bytea not null, primary key (id)`
const plainTables = `create schema plain; grant usage on schema plain to crossline_service;
  create table plain.plain (${columns}); create table plain.indexed (${columns});
  create index on plain.indexed (item_ref, item_seq); create index on plain.indexed (recorded_at);
  grant insert on all tables in schema plain to crossline_service`

/** Entries in a second, over all connections. */
async function run(ctx: StepContext, { way, seconds, batch, workMs }: Setting & { way: Way; seconds: number }): Promise<number> {
  const from = performance.now()
  const end = from + seconds * 1000
  let done = 0
  const work = async () => {
    let items: Item[] = []
    for (let n = 0; performance.now() < end; n++) {
      if (n % entriesPerItem === 0) items = Array.from({ length: batch }, () => newItem(ctx))
      await inTransaction(ctx.db, async (trx) => {
        if (workMs > 0) await sql`select pg_sleep(${workMs / 1000})`.execute(trx)
        await insert(ctx, trx, { way, items, n: (n % entriesPerItem) + 1 })
      })
      done += batch
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  return Math.round(done / ((performance.now() - from) / 1000))
}

interface Item {
  key: SubjectKey
  ref: Buffer
}

const newItem = (ctx: StepContext): Item => ({ key: makeSubjectKey(ctx, randomUUIDv7()), ref: randomBytes(32) })

interface Batch {
  way: Way
  items: readonly Item[]
  n: number
}

function insert(ctx: StepContext, trx: Trx, { way, items, n }: Batch): Promise<unknown> {
  if (way === 'whole') return appendWhole(ctx, trx, items)
  const rows = items.map(({ key, ref }) => makeRow({ subject: key.subject, ref, n }))
  return way === 'audit' ? insertAudit(trx, rows) : insertPlain(trx, way, rows)
}

function appendWhole(ctx: StepContext, trx: Trx, items: readonly Item[]): Promise<unknown> {
  const facts = { from: 'hotline-gb', to: 'hotline-se', country: 'SE', actor: { kind: 'node' } } as const
  const payload = { status: 'stored', evidence: { rule: 'agreed', countries: ['SE'] } }
  return appendAudit(
    ctx,
    trx,
    items.map(({ key }) => ({ event: 'item.routed', subject: key, payload, ...facts })),
  )
}

const filler = 'x'.repeat(entryBytes - 60)
const sealed = randomBytes(sealedBytes)

function makeRow({ subject, ref, n }: { subject: string; ref: Buffer; n: number }): AuditRow {
  const entry = Buffer.from(`{"id":"${randomUUIDv7()}","payload":"${filler}"}`)
  const leaf = hash('sha256', Buffer.concat([Buffer.of(0), entry]), 'buffer')
  return { event: 'item.routed', ref, n, from: 'hotline-gb', to: 'hotline-se', country: 'SE', entry, leaf, subject, sealed }
}

async function insertAudit(trx: Trx, rows: readonly AuditRow[]): Promise<void> {
  const held = await lockAuditHeads(
    trx,
    rows.map(({ ref }) => ref),
  )
  const heads = new Map(rows.map(({ ref, n, leaf, country }) => [ref.toString('base64url'), { n, leaf, country }]))
  const isHeld = held.size > 0
  await insertAuditRows(trx, rows, { begun: isHeld ? new Map() : heads, moved: isHeld ? heads : new Map() })
}

async function insertPlain(trx: Trx, table: string, rows: readonly AuditRow[]): Promise<void> {
  await sql`insert into ${sql.table(`plain.${table}`)}
    (event, item_ref, item_seq, from_member, to_member, country, entry, leaf, subject, sealed)
    select * from unnest(${textArray(rows.map((row) => row.event))}::text[], ${byteaArray(rows.map((row) => row.ref))}::bytea[],
      ${intArray(rows.map((row) => row.n))}::int[], ${textArray(rows.map((row) => row.from ?? null))}::text[],
      ${textArray(rows.map((row) => row.to ?? null))}::text[], ${textArray(rows.map((row) => row.country ?? null))}::text[],
      ${byteaArray(rows.map((row) => row.entry))}::bytea[], ${byteaArray(rows.map((row) => row.leaf))}::bytea[],
      ${uuidArray(rows.map((row) => row.subject))}::uuid[], ${byteaArray(rows.map((row) => row.sealed))}::bytea[])`.execute(trx)
}

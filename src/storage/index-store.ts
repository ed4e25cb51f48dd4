// The snapshots behind index.root entries. Promise: one snapshot is all items at the moment of one statement, in the order of the tree,
// so what is proven from it later is exactly what was signed.
import { sql } from 'kysely'
import { chunkLeaves } from '#domain/index-tree.ts'
import type { Db, Trx } from './report-store.ts'

/** One index.root entry and the tree that it stands for. */
export interface AuditIndex {
  id: string
  entryId: number
  size: number
  root: Buffer
  chunkRoots: Buffer[]
}

/** What was counted when the last index was made. */
export interface LastIndex {
  entries: number
  madeAt: Date
}

// Nothing waits for it and it has no end of its own: sorting a million items takes seconds.
const snapshotTimeout = '15min'

/** Whether this transaction alone may make an index; false while another process does. */
export async function lockIndexing(trx: Trx): Promise<boolean> {
  const { rows } = await sql<{
    mine: boolean
  }>`select pg_try_advisory_xact_lock(hashtext('crossline.audit_index')) as mine`.execute(trx)
  return rows[0]?.mine === true
}

export async function findLastIndex(db: Db): Promise<LastIndex | undefined> {
  const row = await db
    .selectFrom('audit_index')
    .select(['entries', 'made_at'])
    .orderBy('entry_id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row && { entries: row.entries, madeAt: row.made_at }
}

/** When the log began; undefined while it is empty. */
export async function findFirstRecorded(db: Db): Promise<Date | undefined> {
  return (await db.selectFrom('audit_entry').select('recorded_at').orderBy('recorded_at').limit(1).executeTakeFirst())
    ?.recorded_at
}

/** The newest index, sealed or not. */
export async function findLastIndexId(db: Db): Promise<string | undefined> {
  return (await db.selectFrom('audit_index').select('id').orderBy('entry_id', 'desc').limit(1).executeTakeFirst())?.id
}

/** All entries that are counted in heads now. */
export async function countEntries(db: Db): Promise<number> {
  const { rows } = await sql<{ entries: number }>`select coalesce(sum(n), 0)::bigint as entries from audit_head`.execute(db)
  return rows[0]?.entries ?? 0
}

/** Writes every item as it is at the moment of this one statement, in chunks; gives how many chunks there are. */
export async function snapshotItems(trx: Trx, id: string): Promise<number> {
  await sql`select set_config('statement_timeout', ${snapshotTimeout}, true), set_config('work_mem', '64MB', true)`.execute(trx)
  const done = await sql`
    insert into audit_index_chunk (index_id, n, leaves)
    select ${id}::uuid, place / ${sql.lit(chunkLeaves)}, string_agg(record, ''::bytea order by place)
    from (
      select row_number() over (order by key) - 1 as place, key || int8send(n::bigint) || leaf as record
      from (select coalesce(convert_to(country, 'UTF8'), '\\x0000'::bytea) || item_ref as key, n, leaf from audit_head) item
    ) sorted
    group by place / ${sql.lit(chunkLeaves)}`.execute(trx)
  return Number(done.numAffectedRows ?? 0)
}

/** The leaves of one chunk, 74 bytes each; undefined when there is no such chunk. */
export async function findIndexChunk(db: Db, id: string, n: number): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom('audit_index_chunk')
    .select('leaves')
    .where('index_id', '=', id)
    .where('n', '=', n)
    .executeTakeFirst()
  return row?.leaves
}

/** The last chunk that begins at this key or before it: where a leaf of this key stands, if there is one. */
export async function findChunkOfKey(db: Db, id: string, key: Buffer): Promise<number | undefined> {
  const { rows } = await sql<{ n: number }>`
    select n from audit_index_chunk where index_id = ${id} and substring(leaves from 1 for 34) <= ${key} order by n desc limit 1`.execute(
    db,
  )
  return rows[0]?.n
}

export interface NewIndex extends AuditIndex {
  entries: number
  madeAt: Date
}

/** Keeps the index with its snapshot; of the older ones only the last, and those that an export under way was pinned to. */
export async function insertIndex(trx: Trx, index: NewIndex): Promise<void> {
  await trx
    .insertInto('audit_index')
    .values({
      id: index.id,
      entry_id: index.entryId,
      size: index.size,
      entries: index.entries,
      root: index.root,
      chunk_roots: Buffer.concat(index.chunkRoots),
      made_at: index.madeAt,
    })
    .execute()
  await sql`delete from audit_index where id not in (select id from audit_index order by entry_id desc limit 2)
    and id not in (select index_id from audit_export where index_id is not null)`.execute(trx)
}

/** An index, and where its entry stands in the log. */
export type SealedIndex = AuditIndex & { place: { year: number; index: number } }

/** The newest index whose entry is sealed before this place; with an id that one. */
export async function findSealedIndex(
  db: Db,
  before: { year: number; index: number },
  id?: string,
): Promise<SealedIndex | undefined> {
  const { rows } = await sql<Omit<SealedIndex, 'chunkRoots' | 'place'> & { roots: Buffer; year: number; index: number }>`
    select i.id, i.entry_id as "entryId", i.size, i.root, i.chunk_roots as roots, l.year, l.leaf_index as index
    from audit_index i join audit_leaf l on l.entry_id = i.entry_id
    where (l.year, l.leaf_index) < (${before.year}::int, ${before.index}::bigint) ${id === undefined ? sql`` : sql`and i.id = ${id}`}
    order by i.entry_id desc limit 1`.execute(db)
  const row = rows[0]
  if (!row) return undefined
  const { roots, year, index, ...rest } = row
  return { ...rest, chunkRoots: splitHashes(roots), place: { year, index } }
}

function splitHashes(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / 32 }, (_, n) => bytes.subarray(n * 32, (n + 1) * 32))
}

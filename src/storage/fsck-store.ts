// Reads the whole log as it stands in the tables, page by page, to be looked at again. Promise: nothing is written, and no statement holds
// more than a page.
import { sql } from 'kysely'
import type { Db } from './report-store.ts'

export interface StoredShard {
  year: number
  origin: string
  size: number
  root: Buffer
  /** What the sealer goes on from. */
  edge: Buffer
}

/** All shards, the oldest first. */
export async function findShards(db: Db): Promise<StoredShard[]> {
  return db.selectFrom('audit_shard').select(['year', 'origin', 'size', 'root', 'edge']).orderBy('year').execute()
}

/** An entry with everything that the tables say of it. Of one that is gone only its leaf is there. */
export interface StoredEntry {
  entryId: number
  /** Where it is sealed; null while it waits. */
  index: number | null
  /** What the sealer noted as its leaf, or the queue. */
  noted: Buffer
  event: string
  ref: Buffer
  n: number
  from: string | null
  to: string | null
  country: string | null
  entry: Buffer | null
  leaf: Buffer | null
  subject: string | null
  sealed: Buffer | null
  wrapped: Buffer | null
  /** Of one whose opening is gone: whether a later `entry.erased` stands in its chain. */
  isErased: boolean | null
  /** Whether what liaisons' questions find it by says the same as the entry; null while it waits. */
  isPlaced: boolean | null
}

const columns = sql`e.event, e.item_ref as ref, e.item_seq as n, e.from_member as "from", e.to_member as "to", e.country, e.entry, e.leaf,
  p.subject, p.sealed, k.wrapped,
  case when p.sealed is null or k.wrapped is null then exists (
    select from audit_entry x where x.item_ref = e.item_ref and x.item_seq > e.item_seq and x.event = 'entry.erased') end as "isErased"`
const openable = sql`left join audit_payload p on p.entry_id = e.id left join subject_key k on k.subject = p.subject`

/** Sealed entries of a year from a leaf on, in order. */
export async function readSealedPage(
  db: Db,
  { year, from, limit }: { year: number; from: number; limit: number },
): Promise<StoredEntry[]> {
  const found = await sql<StoredEntry>`
    select l.leaf_index as index, l.entry_id as "entryId", l.hash as noted, ${columns},
      coalesce((f.entry_id, f.recorded_at, f.event, f.from_member, f.to_member, f.country)
        is not distinct from (e.id, e.recorded_at, e.event, e.from_member, e.to_member, e.country)
        and e.recorded_at between s.earliest and s.latest, false) as "isPlaced"
    from audit_leaf l left join audit_entry e on e.id = l.entry_id ${openable}
      left join audit_place f on f.year = l.year and f.leaf_index = l.leaf_index and f.leaf_index >= ${from} and f.leaf_index < ${from + limit}
      left join audit_stretch s on s.year = l.year and s.n = l.leaf_index / 1024
    where l.year = ${year} and l.leaf_index >= ${from} and l.leaf_index < ${from + limit} order by l.leaf_index`.execute(db)
  return found.rows
}

/** Entries after this one that are in no tree, or in one only since this size of this year: as of one moment, in the order of their ids. */
export async function readRecentPage(
  db: Db,
  { year, size, afterId, limit }: { year: number; size: number; afterId: number; limit: number },
): Promise<StoredEntry[]> {
  const found = await sql<StoredEntry>`
    with recent as (
      select id as entry_id, leaf as noted from audit_pending
      union all select entry_id, hash from audit_leaf where year > ${year} or (year = ${year} and leaf_index >= ${size})
    )
    select null as index, r.entry_id as "entryId", r.noted, ${columns}, null as "isPlaced"
    from recent r left join audit_entry e on e.id = r.entry_id ${openable}
    where r.entry_id > ${afterId} order by r.entry_id limit ${limit}`.execute(db)
  return found.rows
}

/**
 * Looks where the entries after this one stand: how many of a page are in no tree and not in the queue, as of one moment, and the last id of
 * the page, where the next one begins; undefined after the last page.
 */
export async function countStrayEntries(
  db: Db,
  { afterId, limit }: { afterId: number; limit: number },
): Promise<{ lastId: number; strays: number } | undefined> {
  // Bounds on each side and no loop: what the planner believes of the size of the queue must not make it compare all with all.
  const found = await sql<{ lastId: number | null; strays: number }>`
    with page as materialized (select id from audit_entry where id > ${afterId} order by id limit ${limit}),
      placed as materialized (
        select entry_id as id from audit_leaf join audit_shard on audit_shard.year = audit_leaf.year and leaf_index < size
          where entry_id > ${afterId} and entry_id <= (select max(id) from page)
        union all select id from audit_pending where id > ${afterId} and id <= (select max(id) from page)
      )
    select (select max(id) from page) as "lastId", (select count(*) from (select id from page except select id from placed) stray)::int as strays`.execute(
    db,
  )
  const { lastId = null, strays = 0 } = found.rows[0] ?? {}
  return lastId === null ? undefined : { lastId, strays }
}

/** How many years have leaves, or places that questions find, outside of their tree: past its size, or of a year that has none. */
export async function countOutsideTree(db: Db): Promise<number> {
  const outside = (table: 'audit_leaf' | 'audit_place') => sql`
    with recursive years (year) as (
      select min(year) from ${sql.table(table)}
      union all select (select min(year) from ${sql.table(table)} t where t.year > years.year) from years where years.year is not null
    )
    select y.year from years y left join audit_shard s on s.year = y.year
    where exists (select from ${sql.table(table)} t where t.year = y.year and t.leaf_index >= coalesce(s.size, 0))`
  const found = await sql<{ count: number }>`
    select count(*)::int as count from ((${outside('audit_leaf')}) union all (${outside('audit_place')})) found`.execute(db)
  return found.rows[0]?.count ?? 0
}

/** The last entry of each item as the writer keeps it, by ref. */
export async function readHeadsPage(db: Db, after: Buffer, limit: number): Promise<{ ref: Buffer; n: number; last: Buffer }[]> {
  const rows = await db
    .selectFrom('audit_head')
    .select(['item_ref as ref', 'n', 'leaf as last'])
    .where('item_ref', '>', after)
    .orderBy('item_ref')
    .limit(limit)
    .execute()
  return rows
}

/** Signed checkpoints of a year in order, from one larger than this size on. */
export async function readCheckpointsPage(
  db: Db,
  { year, after, limit }: { year: number; after: number; limit: number },
): Promise<{ size: number; root: Buffer; note: string }[]> {
  return db
    .selectFrom('audit_checkpoint')
    .select(['size', 'root', 'note'])
    .where('year', '=', year)
    .where('size', '>', after)
    .orderBy('size')
    .limit(limit)
    .execute()
}

/** Tiles of one level of a year in order. */
export async function readTilesPage(
  db: Db,
  { year, level, from, limit }: { year: number; level: number; from: number; limit: number },
): Promise<{ index: number; hashes: Buffer }[]> {
  return db
    .selectFrom('audit_tile')
    .select(['n as index', 'hashes'])
    .where('year', '=', year)
    .where('level', '=', level)
    .where('n', '>=', from)
    .where('n', '<', from + limit)
    .orderBy('n')
    .execute()
}

/** Every pair of notes that contradict each other. */
export async function readEvidence(db: Db): Promise<{ origin: string; first: string; second: string }[]> {
  const found = await sql<{ origin: string; first: string; second: string }>`
    select origin, first_note as first, second_note as second from audit_evidence order by id`.execute(db)
  return found.rows
}

/** What is held of peers' logs as their witness. */
export async function readPeerLogs(db: Db): Promise<{ origin: string; size: number; root: Buffer; note: string }[]> {
  const found = await sql<{ origin: string; size: number; root: Buffer; note: string }>`
    select origin, size, root, note from peer_log where note <> '' order by origin`.execute(db)
  return found.rows
}

/** The indexes of items that are kept. */
export async function readIndexes(db: Db): Promise<{ id: string; entryId: number; size: number; root: Buffer }[]> {
  return db.selectFrom('audit_index').select(['id', 'entry_id as entryId', 'size', 'root']).orderBy('entry_id').execute()
}

// What the sealer reads and writes, as the database's sealer role: the queue, the trees of the years, their tiles and checkpoints.
import { type Kysely, sql } from 'kysely'
import { bigintArray, byteaArray, intArray } from './binary-array.ts'
import type { Trx } from './report-store.ts'
import type { Tables } from './tables.ts'

export interface SealingLook {
  haltedAt: Date | null
  haltedWhy: string | null
  haltedMs: number
  /** At most `mostCounted`. */
  pending: number
  oldestId: number | null
  oldestMs: number
}

/** A longer queue is not counted to its end. */
const mostCounted = 100_000

/** How sealing does, by the database's clock. */
export async function lookAtSealing(db: Kysely<Tables>): Promise<SealingLook> {
  const found = await sql<SealingLook>`
    select halted_at as "haltedAt", halted_why as "haltedWhy", ${ageMs(sql`halted_at`)} as "haltedMs", pending,
      oldest.id as "oldestId", ${ageMs(sql`oldest.recorded_at`)} as "oldestMs"
    from audit_state
      cross join (select count(*)::int as pending from (select from audit_pending limit ${mostCounted}) q) counted
      left join (select id, recorded_at from audit_pending order by id limit 1) oldest on true`.execute(db)
  const look = found.rows[0]
  if (!look) throw new Error('audit_state has lost its row')
  return look
}

const ageMs = (since: ReturnType<typeof sql>) =>
  sql`coalesce(greatest(0, extract(epoch from clock_timestamp() - ${since}) * 1000), 0)::float8`

/** The oldest entry that a tree lacks: how long it has been there by the database's clock, and when it was written by its own word. */
export interface Lacked {
  ageMs: number
  at: Date | null
}

/** The oldest entry that a tree of this size lacks, waiting or sealed since; no age and no time if there is none. */
export async function findLacked(db: Kysely<Tables>, { year, size }: { year: number; size: number }): Promise<Lacked> {
  // Read as bytes: what a superuser has bent must not stop the one who asks.
  const at = sql`substring(encode(e.entry, 'escape') from '"at":"([0-9TZ:.-]+)"')`
  const found = await sql<{ ageMs: number; at: string | null }>`
    select ${ageMs(sql`min(lacked.recorded_at)`)} as "ageMs", min(${at}) as at from (
      (select id, recorded_at from audit_pending order by id limit 1)
      union all select e.id, e.recorded_at from audit_leaf l join audit_entry e on e.id = l.entry_id
        where l.year = ${year} and l.leaf_index = ${size}
    ) lacked left join audit_entry e on e.id = lacked.id`.execute(db)
  const { ageMs: age = 0, at: written = null } = found.rows[0] ?? {}
  return { ageMs: age, at: written === null ? null : new Date(written) }
}

/** Whether anything waits to be sealed. */
export async function hasPending(db: Kysely<Tables>): Promise<boolean> {
  const found = await sql<{ is: boolean }>`select exists (select from audit_pending) as is`.execute(db)
  return found.rows[0]?.is === true
}

/**
 * Becomes the one sealer until the transaction ends; undefined when another is. What follows runs as the sealer role, and the commit
 * waits for the disk.
 */
export async function lockSealing(trx: Trx): Promise<{ haltedWhy: string | null } | undefined> {
  await actAsSealer(trx)
  await sql`set local synchronous_commit = on`.execute(trx)
  const found = await sql<{ haltedWhy: string | null }>`
    select halted_why as "haltedWhy" from audit_state where id = 1 for update skip locked`.execute(trx)
  return found.rows[0]
}

export interface HaltRow {
  haltedWhy: string | null
  haltedAt: Date | null
  haltedFacts: Record<string, string | number> | null
}

/** The same, but waits for its turn: for an operator, and for a halt. */
export async function awaitSealing(trx: Trx): Promise<HaltRow> {
  await actAsSealer(trx)
  await sql`set local synchronous_commit = on`.execute(trx)
  const found = await sql<HaltRow>`
    select halted_why as "haltedWhy", halted_at as "haltedAt", halted_facts as "haltedFacts" from audit_state where id = 1 for update`.execute(
    trx,
  )
  const state = found.rows[0]
  if (!state) throw new Error('audit_state has lost its row')
  return state
}

export async function actAsSealer(trx: Trx): Promise<void> {
  await sql`set local role crossline_sealer`.execute(trx)
}

/** Back to the service's own rights, which alone can add entries. */
export async function actAsService(trx: Trx): Promise<void> {
  await sql`set local role none`.execute(trx)
}

/** The first halt stays: what went wrong later may only follow from it. */
export async function recordHalt(trx: Trx, { why, facts }: { why: string; facts: object }): Promise<void> {
  await sql`update audit_state set halted_at = clock_timestamp(), halted_why = ${why}, halted_facts = ${JSON.stringify(facts)}::jsonb
    where id = 1 and halted_why is null`.execute(trx)
}

export async function clearHalt(trx: Trx): Promise<void> {
  await sql`update audit_state set halted_at = null, halted_why = null, halted_facts = null where id = 1`.execute(trx)
}

export interface ShardRow {
  year: number
  origin: string
  size: number
  root: Buffer
  edge: Buffer
  last_at: Date
  state: string
}

/** Every shard, the oldest first. */
export async function findShards(db: Kysely<Tables>): Promise<ShardRow[]> {
  return db.selectFrom('audit_shard').selectAll().orderBy('year').execute()
}

export async function saveShard(trx: Trx, shard: ShardRow): Promise<void> {
  const { year, origin, ...changing } = shard
  await trx
    .insertInto('audit_shard')
    .values({ year, origin, ...changing })
    .onConflict((on) => on.column('year').doUpdateSet(changing))
    .execute()
}

/** An entry of the queue. */
export interface PendingEntry {
  id: number
  /** As the queue has it. */
  leaf: Buffer
  /** As the log has it now; null when it is gone. */
  entry: Buffer | null
}

/** The oldest entries of the queue, in the order of their ids. Only the sealer takes, so what is seen here stays until it does. */
export async function readPending(trx: Trx, limit: number): Promise<PendingEntry[]> {
  const found = await sql<PendingRow>`select id, leaf, recorded_at from audit_pending order by id limit ${limit}`.execute(trx)
  return withEntries(trx, found.rows)
}

/** The entry with this leaf, wherever it stands in the queue: it was added in this transaction. */
export async function readPendingLeaf(trx: Trx, leaf: Buffer): Promise<PendingEntry[]> {
  const found = await sql<PendingRow>`select id, leaf, recorded_at from audit_pending where leaf = ${leaf}`.execute(trx)
  return withEntries(trx, found.rows)
}

/** Takes entries out of the queue. The database refuses it for one that has no leaf in the tree of its year as that is stored. */
export async function removePending(trx: Trx, ids: readonly number[]): Promise<void> {
  // One array and no join: the planner mostly knows this table as empty, and would compare each row of a long queue with each that is taken.
  await sql`delete from audit_pending where id = any(${bigintArray(ids)}::bigint[])`.execute(trx)
}

interface PendingRow {
  id: number
  leaf: Buffer
  recorded_at: Date
}

async function withEntries(trx: Trx, rows: PendingRow[]): Promise<PendingEntry[]> {
  if (rows.length === 0) return []
  const times = rows.map((row) => row.recorded_at.getTime())
  // The times choose the partitions; a Date has lost the microseconds.
  const found = await sql<{ id: number; entry: Buffer }>`
    select id, entry from audit_entry where id = any(${bigintArray(rows.map((row) => row.id))}::bigint[])
      and recorded_at between ${new Date(times.reduce(least) - 1)} and ${new Date(times.reduce(most) + 1)}`.execute(trx)
  const entries = new Map(found.rows.map((row) => [row.id, row.entry]))
  return rows.map(({ id, leaf }) => ({ id, leaf, entry: entries.get(id) ?? null }))
}

const least = (one: number, other: number) => Math.min(one, other)
const most = (one: number, other: number) => Math.max(one, other)

export interface NewLeaves {
  year: number
  /** Index of the first; the others follow without a gap. */
  first: number
  leaves: readonly { id: number; leaf: Buffer }[]
}

/** Throws a unique violation when an entry or an index is sealed already. */
export async function insertLeaves(trx: Trx, { year, first, leaves }: NewLeaves): Promise<void> {
  await sql`
    insert into audit_leaf (year, leaf_index, entry_id, hash)
    select ${year}::int, ${first}::bigint + place - 1, id, leaf
    from unnest(${bigintArray(leaves.map((each) => each.id))}::bigint[], ${byteaArray(leaves.map((each) => each.leaf))}::bytea[])
      with ordinality as t (id, leaf, place)`.execute(trx)
}

export interface WrittenTile {
  level: number
  index: number
  /** All of its hashes, those that it had before too. */
  hashes: Buffer
}

/** Writes whole tiles. The database refuses one that does not begin with what it held. */
export async function writeTiles(trx: Trx, year: number, tiles: readonly WrittenTile[]): Promise<void> {
  await sql`
    insert into audit_tile (year, level, n, hashes)
    select ${year}::int, * from unnest(${intArray(tiles.map((tile) => tile.level))}::int[], ${bigintArray(tiles.map((tile) => tile.index))}::bigint[],
      ${byteaArray(tiles.map((tile) => tile.hashes))}::bytea[])
    on conflict (year, level, n) do update set hashes = excluded.hashes`.execute(trx)
}

export interface NewCheckpoint {
  year: number
  size: number
  root: Buffer
  note: string
  signed_at: Date
}

export async function insertCheckpoint(trx: Trx, checkpoint: NewCheckpoint): Promise<void> {
  await trx.insertInto('audit_checkpoint').values(checkpoint).execute()
}

/** A sealed leaf beside the bytes of its entry as they are now; null when they are gone. */
export interface SealedEntry {
  leaf_index: number
  entry_id: number
  hash: Buffer
  entry: Buffer | null
}

/** Leaves of a year from an index on, in order. For looking at the whole log again. */
export async function readSealed(
  db: Kysely<Tables>,
  { year, from, limit }: { year: number; from: number; limit: number },
): Promise<SealedEntry[]> {
  const found = await sql<SealedEntry>`
    select l.leaf_index, l.entry_id, l.hash, e.entry from audit_leaf l left join audit_entry e on e.id = l.entry_id
    where l.year = ${year} and l.leaf_index >= ${from} and l.leaf_index < ${from + limit} order by l.leaf_index`.execute(db)
  return found.rows
}

/** How many entries in the queue are gone from the log, or have other bytes there than when they were added. */
export async function countBrokenPending(db: Kysely<Tables>): Promise<number> {
  const found = await sql<{ count: number }>`
    select count(*)::int as count from audit_pending p left join audit_entry e on e.id = p.id and e.recorded_at = p.recorded_at
    where e.entry is null or sha256('\\x00'::bytea || e.entry) <> p.leaf`.execute(db)
  return found.rows[0]?.count ?? 0
}

/** An entry of its year was found after it was closed: the tree may grow again. */
export async function reopenShard(trx: Trx, year: number): Promise<void> {
  await trx.updateTable('audit_shard').set({ state: 'open' }).where('year', '=', year).execute()
}

// Reads the sealed log: checkpoints, tiles, places of entries. Whoever may read, reads what is committed and can't change.
import { type Kysely, sql } from 'kysely'
import { bigintArray, intArray } from './binary-array.ts'
import type { Tables } from './tables.ts'

export interface StoredCheckpoint {
  year: number
  origin: string
  size: number
  root: Buffer
  /** C2SP signed-note with our own signature, without cosignatures. */
  note: string
  /** By this node's clock. */
  signedAt: Date
}

/** The newest checkpoint of a year, or of the newest year that has one. */
export async function findLatestCheckpoint(db: Kysely<Tables>, year?: number): Promise<StoredCheckpoint | undefined> {
  let query = checkpoints(db).orderBy('year', 'desc').orderBy('size', 'desc').limit(1)
  if (year !== undefined) query = query.where('audit_checkpoint.year', '=', year)
  return query.executeTakeFirst()
}

/** The checkpoint that was signed at exactly this size. */
export async function findCheckpointAt(db: Kysely<Tables>, year: number, size: number): Promise<StoredCheckpoint | undefined> {
  return checkpoints(db).where('audit_checkpoint.year', '=', year).where('audit_checkpoint.size', '=', size).executeTakeFirst()
}

/** The first checkpoint that was signed after this one, of any shard; of the whole log without one. */
export async function findCheckpointAfter(
  db: Kysely<Tables>,
  { year, size }: { year: number; size: number } = { year: 0, size: 0 },
): Promise<StoredCheckpoint | undefined> {
  return checkpoints(db)
    .where(sql<boolean>`(audit_checkpoint.year, audit_checkpoint.size) > (${year}, ${size})`)
    .orderBy('audit_checkpoint.year')
    .orderBy('audit_checkpoint.size')
    .limit(1)
    .executeTakeFirst()
}

function checkpoints(db: Kysely<Tables>) {
  return db
    .selectFrom('audit_checkpoint')
    .innerJoin('audit_shard', 'audit_shard.year', 'audit_checkpoint.year')
    .select([
      'audit_checkpoint.year',
      'audit_shard.origin',
      'audit_checkpoint.size',
      'audit_checkpoint.root',
      'audit_checkpoint.note',
      'audit_checkpoint.signed_at as signedAt',
    ])
}

/** A tile by its place; `width`, where given, cuts what has grown since. */
export interface WantedTile {
  level: number
  index: number
  width?: number
}

/** Names a tile in what `readTiles` gives. */
export const tileKey = ({ level, index }: { level: number; index: number }): string => `${level}/${index}`

/** The concatenated hashes of each tile that exists, by `tileKey`, in one query. */
export async function readTiles(db: Kysely<Tables>, year: number, tiles: readonly WantedTile[]): Promise<Map<string, Buffer>> {
  if (tiles.length === 0) return new Map()
  const found = await sql<{ level: number; index: number; hashes: Buffer }>`
    select level, n as index, hashes from audit_tile join unnest(${intArray(tiles.map((tile) => tile.level))}::int[],
      ${bigintArray(tiles.map((tile) => tile.index))}::bigint[]) as wanted (tile_level, tile_n)
    on level = tile_level and n = tile_n where year = ${year}`.execute(db)
  const widths = new Map(tiles.map((tile) => [tileKey(tile), tile.width ?? 256]))
  return new Map(found.rows.map((row) => [tileKey(row), row.hashes.subarray(0, (widths.get(tileKey(row)) ?? 256) * 32)]))
}

/** Where an entry (by the database's id) stands; undefined while it waits to be sealed. */
export async function findLeafIndex(db: Kysely<Tables>, entryId: number): Promise<{ year: number; index: number } | undefined> {
  return db.selectFrom('audit_leaf').select(['year', 'leaf_index as index']).where('entry_id', '=', entryId).executeTakeFirst()
}

// What a proof needs to know beside the tree itself: which trees were signed, and how far each witness has cosigned.
import { type Kysely, sql } from 'kysely'
import type { Tile } from '#domain/tiles.ts'
import { textArray } from './binary-array.ts'
import type { Tables } from './tables.ts'

/** The newest checkpoint of a year, at most this large, that each of these witnesses has cosigned; 0 for none. */
export async function findWitnessedSizes(
  db: Kysely<Tables>,
  { year, size }: { year: number; size: number },
  witnesses: readonly string[],
): Promise<number[]> {
  const found = await sql<{ size: number }>`
    select coalesce((select c.size from cosignature c where c.year = ${year} and c.witness = w.name and c.size <= ${size}
      order by c.size desc limit 1), 0) as size
    from unnest(${textArray(witnesses)}::text[]) with ordinality as w (name, place) order by place`.execute(db)
  return found.rows.map((row) => row.size)
}

/** Whether a tree that was signed has this tile at exactly this width. */
export async function isTileSigned(db: Kysely<Tables>, year: number, { level, index, width }: Tile): Promise<boolean> {
  const leaves = 256 ** level
  const least = (index * 256 + width) * leaves
  if (!Number.isSafeInteger(least)) return false
  let query = db.selectFrom('audit_checkpoint').select('size').where('year', '=', year).where('size', '>=', least)
  if (width < 256) query = query.where('size', '<', Math.min(least + leaves, Number.MAX_SAFE_INTEGER))
  return (await query.limit(1).executeTakeFirst()) !== undefined
}

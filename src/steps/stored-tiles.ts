// The tiles of one year out of the database, for checks that ask for them one at a time. Promise: memory holds what stands above the
// leaves, 32 bytes for 256 entries, and of the leaves what was brought last.
import { edgeTiles, type Tile } from '#domain/tiles.ts'
import { readTilesPage } from '#storage/fsck-store.ts'
import type { Db } from '#storage/report-store.ts'
import { readTiles, tileKey } from '#storage/tree-store.ts'

const heldLeafTiles = 2048

export interface StoredTiles {
  read(tile: Tile): Buffer | undefined
  /** Brings the leaves from one place to another. */
  bring(from: number, to: number): Promise<void>
}

/** Reads all tiles above the leaves, and the right edge down to them. */
export async function openStoredTiles(db: Db, year: number, size: number): Promise<StoredTiles> {
  const upper = new Map<string, Buffer>()
  for (let level = 1; level <= 6; level++) {
    const tiles = Math.ceil(Math.floor(size / 256 ** level) / 256)
    for (let from = 0; from < tiles; from += 256)
      for (const { index, hashes } of await readTilesPage(db, { year, level, from, limit: 256 }))
        upper.set(tileKey({ level, index }), hashes)
  }
  const edge = await readTiles(db, year, edgeTiles(size))
  const leaves = new Map<number, Buffer>()
  return {
    read: ({ level, index, width }) => {
      const hashes =
        level === 0 ? (leaves.get(index) ?? edge.get(tileKey({ level, index }))) : upper.get(tileKey({ level, index }))
      return hashes?.subarray(0, width * 32)
    },
    bring: async (from, to) => {
      const begin = Math.floor(from / 256)
      for (const { index, hashes } of await readTilesPage(db, {
        year,
        level: 0,
        from: begin,
        limit: Math.ceil(to / 256) - begin,
      }))
        leaves.set(index, hashes)
      for (const index of leaves.keys()) if (leaves.size > heldLeafTiles) leaves.delete(index)
    },
  }
}

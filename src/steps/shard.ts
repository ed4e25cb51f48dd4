// The tree of one year while it grows, as the sealer holds it: its right edge and the tiles that are not full. Promise: what was read from
// the database is only used when edge, tiles and root say the same; what comes out was never changed in place.
import { leafHash } from '#domain/merkle.ts'
import { growEdge, type RightEdge, rootOfEdge } from '#domain/right-edge.ts'
import { edgeNodes, edgeTiles, newTiles, nodeFromTiles, type TilePlace } from '#domain/tiles.ts'
import { CrosslineError } from '#errors.ts'
import type { PendingEntry, ShardRow, WrittenTile } from '#storage/seal-store.ts'
import { tileKey } from '#storage/tree-store.ts'
import { SealingHalt } from './sealing-halt.ts'

export interface Shard {
  year: number
  /** <member id>/audit/<year> */
  origin: string
  isOpen: boolean
  edge: RightEdge
  root: Buffer
  /** Hashes of the tiles that are not full, by `tileKey`. */
  tiles: ReadonlyMap<string, Buffer>
  /** The last checkpoint, by the node's clock; null before the first. */
  signedAt: Date | null
}

const hashBytes = 32
const fullTile = 256 * hashBytes

export const originOf = (self: string, year: number): string => `${self}/audit/${year}`

export function emptyShard(self: string, year: number): Shard {
  const edge = { size: 0, hashes: [] }
  return { year, origin: originOf(self, year), isOpen: true, edge, root: rootOfEdge(edge), tiles: new Map(), signedAt: null }
}

/** Takes over a row of the database with its unfinished tiles. Throws a halt unless they all lead to the root that was signed. */
export function readShard(row: ShardRow, tiles: ReadonlyMap<string, Buffer>): Shard {
  const { year, origin, size, root } = row
  const edge = { size, hashes: splitHashes(row.edge) }
  const facts = { year, size }
  const isRooted = refusedAsBroken(facts, () => rootOfEdge(edge).equals(root))
  if (!isRooted) throw new SealingHalt('broken_tree', { ...facts, part: 'edge' })
  const unfinished = new Map<string, Buffer>()
  for (const tile of edgeTiles(size)) {
    const hashes = tiles.get(tileKey(tile))
    if (hashes?.length !== tile.width * hashBytes)
      throw new SealingHalt('broken_tree', { ...facts, part: 'tile', level: tile.level })
    unfinished.set(tileKey(tile), hashes)
  }
  // What fills its tile stands in the tile above, so the edge is all in tiles that are not full.
  const hashesOf = (tile: TilePlace) => unfinished.get(tileKey(tile)) ?? Buffer.alloc(0)
  const isTiled = edgeNodes(size).every((node, place) =>
    refusedAsBroken(facts, () => nodeFromTiles(node, hashesOf).equals(edge.hashes[place] as Buffer)),
  )
  if (!isTiled) throw new SealingHalt('broken_tree', { ...facts, part: 'tile' })
  return { year, origin, isOpen: row.state === 'open', edge, root, tiles: unfinished, signedAt: row.last_at }
}

// The formats refuse what no tree has; here that is a tree of ours which is no more what it was.
function refusedAsBroken<T>(facts: Record<string, number>, look: () => T): T {
  try {
    return look()
  } catch (error) {
    if (error instanceof CrosslineError && error.code === 'bad_evidence') throw new SealingHalt('broken_tree', facts)
    throw error
  }
}

/** The shard with more leaves, and the tiles to write. */
export function growShard(shard: Shard, leaves: readonly Buffer[]): { shard: Shard; written: WrittenTile[] } {
  const held = (tile: TilePlace) => shard.tiles.get(tileKey(tile)) ?? Buffer.alloc(0)
  const written = newTiles(shard.edge.size, leaves, held).map(({ level, index, from, hashes }) => ({
    level,
    index,
    hashes: from === 0 ? hashes : Buffer.concat([held({ level, index }), hashes]),
  }))
  const edge = growEdge(shard.edge, leaves)
  const tiles = new Map(shard.tiles)
  for (const tile of written) {
    if (tile.hashes.length === fullTile) tiles.delete(tileKey(tile))
    else tiles.set(tileKey(tile), tile.hashes)
  }
  return { shard: { ...shard, edge, root: rootOfEdge(edge), tiles }, written }
}

/** The shard as a row, signed at this time. */
export function toRow(shard: Shard, signedAt: Date): ShardRow {
  const { year, origin, edge, root, isOpen } = shard
  return {
    year,
    origin,
    size: edge.size,
    root,
    edge: Buffer.concat(edge.hashes),
    last_at: signedAt,
    state: isOpen ? 'open' : 'closed',
  }
}

/** Which year an entry belongs to, by its own `log`. Throws a halt when its bytes are not those of its leaf, or of another log. */
export function yearOfEntry(self: string, { id, leaf, entry }: PendingEntry): number {
  // A bit that flips between leaf and entry retires a log (Yeti, 2022): nothing is signed that was not hashed again just now.
  if (entry === null || !leafHash(entry).equals(leaf)) throw new SealingHalt('broken_entry', { entry: id })
  // In canonical form the member stands before any other that could be named alike; inside a string its quotes would be escaped.
  const at = entry.indexOf('"log":"')
  const from = at + 7
  const log = at < 0 ? '' : entry.toString('latin1', from, from + originOf(self, 2000).length)
  const year = Number(log.slice(-4))
  if (log !== originOf(self, year) || entry[from + log.length] !== 0x22) throw new SealingHalt('foreign_entry', { entry: id })
  return year
}

/** The hashes of an edge as it is stored. */
export function splitHashes(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / hashBytes }, (_, n) => bytes.subarray(n * hashBytes, (n + 1) * hashBytes))
}

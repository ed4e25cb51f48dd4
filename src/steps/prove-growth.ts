// Roots and consistency proofs of our own log, read from its tiles: what a witness asks before it cosigns.
import { rootOfEdge } from '#domain/right-edge.ts'
import { consistencyNodes, consistencyProof, edgeNodes, nodeFromTiles, type TreeNode, tilesFor } from '#domain/tiles.ts'
import type { Db } from '#storage/report-store.ts'
import { readTiles, tileKey } from '#storage/tree-store.ts'

interface Tree {
  year: number
  size: number
}

/** The hashes that lead from the tree of `old` leaves to this one. From 0, and to itself, there is nothing to prove. */
export async function proveGrowth(db: Db, { year, size }: Tree, old: number): Promise<Buffer[]> {
  if (old === 0 || old === size) return []
  const read = await readNodes(db, { year, size }, consistencyNodes(old, size))
  return consistencyProof(old, size, read)
}

/** The root that our log had, or would have had, with its first `size` leaves. Throws `bad_evidence` when the tiles don't hold them. */
export async function rootAt(db: Db, { year, size }: Tree): Promise<Buffer> {
  const nodes = edgeNodes(size)
  const read = await readNodes(db, { year, size }, nodes)
  return rootOfEdge({ size, hashes: nodes.map(read) })
}

async function readNodes(db: Db, { year, size }: Tree, nodes: readonly TreeNode[]): Promise<(node: TreeNode) => Buffer> {
  const tiles = await readTiles(db, year, tilesFor(nodes, size))
  return (node) => nodeFromTiles(node, (tile) => tiles.get(tileKey(tile)) ?? Buffer.alloc(0))
}

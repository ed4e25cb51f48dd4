// A Merkle tree that is known by its checkpoint alone: its tiles come from whoever has them, and each is used only after it was
// followed up to the checkpoint's root. What no tile leads to is told apart from what a tile contradicts.

import type { Checkpoint } from './checkpoint.ts'
import { merkleRoot, nodeHash } from './merkle.ts'
import { edgeNodes, edgeTiles, nodeFromTiles, type Tile, type TilePlace } from './tiles.ts'

/** Why a tree does not give what was asked: a tile is not there, or it is another than the checkpoint's. */
export type TileFault = { kind: 'missing' | 'foreign'; tile: Tile }

/** Thrown inside; never leaves this file. */
class TileError extends Error {
  readonly fault: TileFault
  constructor(fault: TileFault) {
    super(fault.kind)
    this.fault = fault
  }
}

export interface VerifiedTree {
  readonly size: number
  /** Nothing when the right edge leads to the root of the checkpoint, else what is wrong with it. */
  checkRoot(): TileFault | undefined
  /** The leaf hashes, concatenated, of level-0 tile `index`; or why they are not to be had. */
  leaves(index: number): Buffer | TileFault
  /** Whether a tile, at its width, is one of the tree. */
  hasTile(tile: Tile): boolean
  /** Follows a tile up to the root; gives what is wrong. */
  checkTile(tile: TilePlace): TileFault | undefined
  /** The root that the tree had at an earlier size (1 to its size), or why that can't be told. */
  rootAt(size: number): Buffer | TileFault
}

// 2,048 tiles are 16 MB.
const maxHeld = 2048
const width = 256

/** `read` gives the bytes of a tile, or nothing where there is none. Never throws for what it reads. */
export function openTree(
  { size, root }: Pick<Checkpoint, 'size' | 'root'>,
  read: (tile: Tile) => Buffer | undefined,
): VerifiedTree {
  const held = new Map<number, Buffer>()
  // Read once: what led to the root is what is used afterwards.
  const edge = new Map<number, { index: number; hashes: Buffer }>()
  let rootFault: TileFault | undefined | null = null

  const hashesOf = (place: TilePlace): Buffer => {
    // Levels are 0 to 6: one number names a tile, also at 2^53 leaves.
    const name = place.index * 8 + place.level
    const known = held.get(name)
    if (known) return known
    const hashes = readVerified(place)
    if (held.size >= maxHeld) held.delete(held.keys().next().value as number)
    held.set(name, hashes)
    return hashes
  }
  const readVerified = (place: TilePlace): Buffer => {
    const tile = sized(place, size)
    const hashes = readTile(tile)
    if (tile.width === width && !rootOf(hashes).equals(parentHash(tile))) throw new TileError({ kind: 'foreign', tile })
    return hashes
  }
  const parentHash = ({ level, index }: Tile): Buffer => {
    const at = (index % width) * 32
    return hashesOf({ level: level + 1, index: Math.floor(index / width) }).subarray(at, at + 32)
  }
  const readTile = (tile: Tile): Buffer => {
    const hashes = edge.get(tile.level)?.index === tile.index ? edge.get(tile.level)?.hashes : read(tile)
    if (!hashes) throw new TileError({ kind: 'missing', tile })
    if (hashes.length !== tile.width * 32) throw new TileError({ kind: 'foreign', tile })
    return hashes
  }
  // Before anything else: only the partial tiles along the right edge have no tile above that vouches for them.
  const checkRoot = (): TileFault | undefined => {
    if (rootFault === null) rootFault = attempt(() => verifyRoot()) ?? undefined
    return rootFault
  }
  const verifyRoot = (): undefined => {
    for (const tile of edgeTiles(size)) edge.set(tile.level, { index: tile.index, hashes: readTile(tile) })
    const hashes = edgeNodes(size).map((node) => nodeFromTiles(node, ({ level }) => edge.get(level)?.hashes as Buffer))
    if (!joined(hashes).equals(root))
      throw new TileError({ kind: 'foreign', tile: edgeTiles(size).at(-1) ?? { level: 0, index: 0, width: 0 } })
  }
  const attempt = <T>(look: () => T): T | TileFault => {
    try {
      return look()
    } catch (error) {
      if (error instanceof TileError) return error.fault
      throw error
    }
  }
  return {
    size,
    checkRoot,
    leaves: (index) => checkRoot() ?? attempt(() => hashesOf({ level: 0, index })),
    hasTile: ({ level, index, width: claimed }) => widthIn({ level, index }, size) === claimed,
    checkTile: (tile) => checkRoot() ?? (attempt(() => void hashesOf(tile)) as TileFault | undefined),
    rootAt: (past) =>
      checkRoot() ?? (past === size ? root : attempt(() => joined(edgeNodes(past).map((node) => nodeFromTiles(node, hashesOf))))),
  }
}

/** Whether a tree gave a fault instead of hashes. */
export const isFault = (answer: Buffer | TileFault | undefined): answer is TileFault => answer !== undefined && 'kind' in answer

const rootOf = (hashes: Buffer): Buffer =>
  merkleRoot(Array.from({ length: hashes.length / 32 }, (_, n) => hashes.subarray(n * 32, n * 32 + 32)))

const joined = (hashes: readonly Buffer[]): Buffer =>
  hashes.length === 0 ? merkleRoot([]) : hashes.reduceRight((right, left) => nodeHash(left, right))

const sized = ({ level, index }: TilePlace, size: number): Tile => ({ level, index, width: widthIn({ level, index }, size) })

/** Hashes of a tile in a tree of this size; 0 or less when the tree has no such tile. */
const widthIn = ({ level, index }: TilePlace, size: number): number =>
  Math.min(width, Math.floor(size / width ** level) - index * width)

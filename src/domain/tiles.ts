// C2SP tlog-tiles, height 8: the tree as strings of up to 256 hashes, and which of them a proof is read from.
// Only hashes of full subtrees are ever stored; what the right edge lacks is hashed together when it is asked for.
// Sizes go up to 2^53 - 1, so nothing here shifts bits.

import { CrosslineError } from '#errors.ts'
import { merkleRoot, nodeHash } from './merkle.ts'

/** Which tile: at level 0 its hashes are leaves, at level n each is the hash of 256^n leaves. */
export interface TilePlace {
  level: number
  index: number
}

export interface Tile extends TilePlace {
  /** Hashes in it, 1 to 256. */
  width: number
}

/** The hash of the full subtree of 2^level leaves number `index`. */
export interface TreeNode {
  level: number
  index: number
}

/** Leaves from `begin` up to, but not with, `end`. */
interface Range {
  begin: number
  end: number
}

const tileWidth = 256
const hashBytes = 32
// 256^7 is more than 2^53: no tree has a hash above level 6.
const maxTileLevel = 6
const tilePathForm = /^tile\/([0-6])\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** `tile/<level>/<index in groups of three digits>`, with `.p/<width>` when it isn't full. */
export function tilePath({ level, index, width }: Tile): string {
  const digits = `${index}`.padStart(Math.ceil(`${index}`.length / 3) * 3, '0')
  const groups = digits.replace(/[0-9]{3}(?=[0-9])/g, 'x$&/')
  return `tile/${level}/${groups}${width < tileWidth ? `.p/${width}` : ''}`
}

/** Reads what `tilePath` writes. Throws `not_found` for any other path. */
export function parseTilePath(path: string): Tile {
  const [, level, groups, width] = tilePathForm.exec(path) ?? []
  const tile = { level: Number(level), index: Number(groups?.replaceAll(/[x/]/g, '')), width: Number(width ?? tileWidth) }
  // A tile has one path: no groups of leading zeros, no full tile with a width. And some tree must have it.
  const isReal = groups !== undefined && tilePath(tile) === path && leavesUpTo(tile) <= Number.MAX_SAFE_INTEGER
  if (!isReal) throw new CrosslineError('not_found')
  return tile
}

const leavesUpTo = ({ level, index, width }: Tile): number => (index * tileWidth + width) * tileWidth ** level

/** What must be read to prove that leaf `index` is in the tree of `size`. Throws `bad_evidence` when there is no such leaf. */
export function inclusionNodes(index: number, size: number): TreeNode[] {
  return inclusionRanges(index, size).flatMap(fullSubtrees)
}

/** The inclusion path, from the leaf's sibling up to the root's child. Throws `bad_evidence` when there is no such leaf. */
export function inclusionProof(index: number, size: number, read: (node: TreeNode) => Buffer): Buffer[] {
  return inclusionRanges(index, size).map((range) => hashOfRange(range, read))
}

/** What must be read to prove that a tree grew from `first` to `second`. Throws `bad_evidence` unless 1 ≤ first ≤ second. */
export function consistencyNodes(first: number, second: number): TreeNode[] {
  return consistencyRanges(first, second).flatMap(fullSubtrees)
}

/** The consistency path in the order of RFC 6962 §2.1.2. Throws `bad_evidence` unless 1 ≤ first ≤ second. */
export function consistencyProof(first: number, second: number, read: (node: TreeNode) => Buffer): Buffer[] {
  return consistencyRanges(first, second).map((range) => hashOfRange(range, read))
}

/** The nodes along the right edge, largest subtree first: what a RightEdge of this size holds. */
export function edgeNodes(size: number): TreeNode[] {
  return fullSubtrees({ begin: 0, end: size })
}

// RFC 6962 §2.1.1: go down to the leaf and keep the half that is not entered; the path lists them from the leaf up.
function inclusionRanges(index: number, size: number): Range[] {
  if (!isCount(index) || !isCount(size) || index >= size) throw refusal('there is no leaf with this index')
  const ranges: Range[] = []
  let at = { begin: 0, end: size }
  while (at.end - at.begin > 1) {
    const [left, right] = halves(at)
    const isLeft = index < left.end
    ranges.unshift(isLeft ? right : left)
    at = isLeft ? left : right
  }
  return ranges
}

// RFC 6962 §2.1.2: go down to the subtree where the first tree ends. If that is the whole first tree, the verifier has its hash.
function consistencyRanges(first: number, second: number): Range[] {
  if (!isCount(first) || !isCount(second) || first < 1 || first > second) throw refusal('no tree grows like that')
  const ranges: Range[] = []
  let at = { begin: 0, end: second }
  while (at.end !== first) {
    const [left, right] = halves(at)
    const isLeft = first <= left.end
    ranges.unshift(isLeft ? right : left)
    at = isLeft ? left : right
  }
  return at.begin === 0 ? ranges : [at, ...ranges]
}

function halves({ begin, end }: Range): [Range, Range] {
  const split = begin + largestPower(end - begin - 1)
  return [
    { begin, end: split },
    { begin: split, end },
  ]
}

/** The largest power of two that is not above a number from 1. */
function largestPower(number: number): number {
  let power = 1
  while (power * 2 <= number) power *= 2
  return power
}

// Each range begins at a multiple of a power of two that is not below its length, so each part stands at a multiple of its own.
function fullSubtrees({ begin, end }: Range): TreeNode[] {
  const nodes: TreeNode[] = []
  for (let at = begin; at < end; ) {
    const power = largestPower(end - at)
    nodes.push({ level: Math.round(Math.log2(power)), index: at / power })
    at += power
  }
  return nodes
}

const hashOfRange = (range: Range, read: (node: TreeNode) => Buffer): Buffer =>
  fullSubtrees(range)
    .map(read)
    .reduceRight((right, left) => nodeHash(left, right))

/** The distinct tiles that these nodes are read from, each as wide as it is in the tree of `size`. Throws `bad_evidence`. */
export function tilesFor(nodes: readonly TreeNode[], size: number): Tile[] {
  const tiles = new Map<string, Tile>()
  for (const node of nodes) {
    if ((node.index + 1) * 2 ** node.level > size) throw refusal('a node is not a full subtree of the tree')
    const tile = sizedTile(spanOf(node).tile, size)
    tiles.set(tilePath(tile), tile)
  }
  return [...tiles.values()]
}

/** The tiles at the right edge that are not full: what grows first. At most one of each level. */
export function edgeTiles(size: number): Tile[] {
  const tiles: Tile[] = []
  for (let level = 0; level <= maxTileLevel; level++) {
    const hashes = hashesAt(level, size)
    const width = hashes % tileWidth
    if (width > 0) tiles.push({ level, index: Math.floor(hashes / tileWidth), width })
  }
  return tiles
}

const hashesAt = (level: number, size: number): number => Math.floor(size / tileWidth ** level)

function sizedTile({ level, index }: TilePlace, size: number): Tile {
  return { level, index, width: Math.min(tileWidth, hashesAt(level, size) - index * tileWidth) }
}

// A node is held by, or hashed from, one aligned run of hashes in one tile: eight levels of the tree share a tile level.
function spanOf(node: TreeNode): { tile: TilePlace; from: number; count: number } {
  const level = Math.floor(node.level / 8)
  const count = 2 ** (node.level % 8)
  const at = node.index * count
  return { tile: { level, index: Math.floor(at / tileWidth) }, from: at % tileWidth, count }
}

/** Reads a node from the concatenated hashes of its tile. Throws `bad_evidence` when the tile is too short. */
export function nodeFromTiles(node: TreeNode, hashesOf: (tile: TilePlace) => Buffer): Buffer {
  const { tile, from, count } = spanOf(node)
  const run = hashesOf(tile).subarray(from * hashBytes, (from + count) * hashBytes)
  if (run.length !== count * hashBytes) throw refusal('a tile lacks hashes')
  return merkleRoot(splitHashes(run))
}

/** Hashes to put behind those that a tile holds already. */
export interface TileGrowth extends TilePlace {
  /** Hashes that the tile holds before. */
  from: number
  /** Concatenated, in order. */
  hashes: Buffer
}

/**
 * What to append to which tile when a tree of `before` leaves gets more, lowest level first. `hashesOf` gives the hashes so far
 * of the tiles that `edgeTiles(before)` names. Throws `bad_evidence` when it gives another width.
 */
export function newTiles(before: number, leaves: readonly Buffer[], hashesOf: (tile: TilePlace) => Buffer): TileGrowth[] {
  const grown: TileGrowth[] = []
  let added = leaves
  for (let level = 0; level <= maxTileLevel && added.length > 0; level++) {
    const held = hashesAt(level, before)
    const tiles = growLevel(level, held, added)
    grown.push(...tiles)
    added = tiles.flatMap((tile) => rootWhenFull(tile, hashesOf))
  }
  return grown
}

function growLevel(level: number, held: number, added: readonly Buffer[]): TileGrowth[] {
  const tiles: TileGrowth[] = []
  for (let taken = 0; taken < added.length; ) {
    const from = (held + taken) % tileWidth
    const run = added.slice(taken, taken + tileWidth - from)
    if (run.some((hash) => hash.length !== hashBytes)) throw refusal('a hash has not 32 bytes')
    tiles.push({ level, index: Math.floor((held + taken) / tileWidth), from, hashes: Buffer.concat(run) })
    taken += run.length
  }
  return tiles
}

// Only a full tile has a hash in the tile above.
function rootWhenFull({ level, index, from, hashes }: TileGrowth, hashesOf: (tile: TilePlace) => Buffer): Buffer[] {
  if (from + hashes.length / hashBytes < tileWidth) return []
  const held = from === 0 ? Buffer.alloc(0) : hashesOf({ level, index })
  if (held.length !== from * hashBytes) throw refusal('a tile does not hold what it should')
  return [merkleRoot(splitHashes(Buffer.concat([held, hashes])))]
}

function splitHashes(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / hashBytes }, (_, n) => bytes.subarray(n * hashBytes, (n + 1) * hashBytes))
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const refusal = (why: string): CrosslineError => new CrosslineError('bad_evidence', { detail: `No proof: ${why}` })

// Proofs of the log in C2SP's forms: its checkpoint with all cosignatures, its tiles, and what leads from a leaf or an older tree to the root.
// Hashes only, so whoever may ask at all may ask for all of them; nothing here is an entry of the log.
import { nodeHash, rootFromInclusion } from '#domain/merkle.ts'
import {
  consistencyNodes,
  consistencyProof,
  edgeNodes,
  inclusionNodes,
  inclusionProof,
  nodeFromTiles,
  parseTilePath,
  type TreeNode,
  tilesFor,
} from '#domain/tiles.ts'
import { formatTlogProof } from '#domain/tlog-proof.ts'
import { CrosslineError } from '#errors.ts'
import type { ConsistencyProof, ConsistencyQuery, InclusionProof, InclusionQuery } from '#schema/audit-proofs.ts'
import { isTileSigned } from '#storage/proof-store.ts'
import { findCheckpointAt, findLatestCheckpoint, readTiles, type StoredCheckpoint, tileKey } from '#storage/tree-store.ts'
import { findCosignatures } from '#storage/witness-store.ts'
import type { Caller, StepContext } from './context.ts'
import { takeToken } from './liaison-limits.ts'
import { withCosignatures } from './witness-checkpoint.ts'

/** A shard of the log; without a year the one that grows. */
export interface Shard {
  year?: number | undefined
}

/** The newest checkpoint of a shard, with every cosignature that it has by now. Throws `not_found` before the first. */
export async function findNote(ctx: StepContext, { year }: Shard, caller: Caller): Promise<string> {
  takeToken(ctx.liaison.hashes, caller.client.fingerprint)
  return readNote(ctx, await getNewest(ctx, year))
}

async function getNewest(ctx: StepContext, year: number | undefined): Promise<StoredCheckpoint> {
  const found = await findLatestCheckpoint(ctx.db, year)
  if (!found) throw new CrosslineError('not_found', { detail: 'This log has no checkpoint.' })
  return found
}

async function readNote(ctx: StepContext, { year, size, note }: StoredCheckpoint): Promise<string> {
  const cosignatures = await findCosignatures(ctx.db, year, size)
  return withCosignatures(
    note,
    cosignatures.map(({ line }) => line),
  )
}

/** A tile's bytes. Throws `not_found` for a path that is none, or a width that no signed tree has. */
export async function findTile(
  ctx: StepContext,
  { year, path }: Shard & { path: string },
  caller: Caller,
): Promise<{ bytes: Buffer; isFull: boolean }> {
  takeToken(ctx.liaison.hashes, caller.client.fingerprint)
  const tile = parseTilePath(path)
  const shard = year ?? (await getNewest(ctx, undefined)).year
  const bytes = (await isTileSigned(ctx.db, shard, tile))
    ? (await readTiles(ctx.db, shard, [tile])).get(tileKey(tile))
    : undefined
  if (bytes?.length !== tile.width * 32) throw new CrosslineError('not_found')
  return { bytes, isFull: tile.width === 256 }
}

/** Proves that a leaf is in the tree of a size. Throws `schema_invalid` for an index or a size that is none, `not_found` for a later tree. */
export async function proveInclusion(
  ctx: StepContext,
  { year, query }: Shard & { query: InclusionQuery },
  caller: Caller,
): Promise<InclusionProof> {
  takeToken(ctx.liaison.hashes, caller.client.fingerprint)
  const index = readNumber(query.index, 'index')
  const tree = await getTree(ctx, { year, size: query.size })
  if (index >= tree.size) throw noSuch('index', 'No tree of that size has a leaf with this index.')
  const read = await readNodes(ctx, tree, [{ level: 0, index }, ...inclusionNodes(index, tree.size)])
  const leaf = read({ level: 0, index })
  const path = inclusionProof(index, tree.size, read)
  const root = rootFromInclusion({ leaf, index, size: tree.size, path })
  return { ...tree.facts, index, size: tree.size, leaf: base64(leaf), root: base64(root), path: path.map(base64) }
}

/** The same as the text of C2SP's tlog-proof. Throws `not_found` where no checkpoint has that size. */
export async function proveInclusionAsText(
  ctx: StepContext,
  asked: Shard & { query: InclusionQuery },
  caller: Caller,
): Promise<string> {
  const { index, path, checkpoint } = await proveInclusion(ctx, asked, caller)
  return formatTlogProof({ index, path: path.map(fromBase64), note: requireNote(checkpoint) })
}

/** Proves that one tree only grew into another. Throws `schema_invalid` for sizes that none has, `not_found` for a later tree. */
export async function proveConsistency(
  ctx: StepContext,
  { year, query }: Shard & { query: ConsistencyQuery },
  caller: Caller,
): Promise<ConsistencyProof> {
  takeToken(ctx.liaison.hashes, caller.client.fingerprint)
  const first = readNumber(query.first, 'first')
  if (first === 0) throw noSuch('first', 'Every tree follows the empty one: that proves nothing.')
  const tree = await getTree(ctx, { year, size: query.second, name: 'second' })
  if (first > tree.size) throw noSuch('first', 'The first tree is larger than the second.')
  const read = await readNodes(ctx, tree, [...edgeNodes(first), ...edgeNodes(tree.size), ...consistencyNodes(first, tree.size)])
  const path = consistencyProof(first, tree.size, read)
  const rootOf = (size: number) =>
    base64(
      edgeNodes(size)
        .map(read)
        .reduceRight((right, left) => nodeHash(left, right)),
    )
  return {
    ...tree.facts,
    first,
    firstRoot: rootOf(first),
    second: tree.size,
    secondRoot: rootOf(tree.size),
    path: path.map(base64),
  }
}

/** The same in the form that C2SP's tlog-witness takes: old size, path, empty line, the newer checkpoint. */
export async function proveConsistencyAsText(
  ctx: StepContext,
  asked: Shard & { query: ConsistencyQuery },
  caller: Caller,
): Promise<string> {
  const { first, path, checkpoint } = await proveConsistency(ctx, asked, caller)
  return [`old ${first}`, ...path, '', requireNote(checkpoint)].join('\n')
}

function requireNote(note: string | null): string {
  if (note === null)
    throw new CrosslineError('not_found', {
      detail: 'No checkpoint has that size: leave it away for the newest, or ask for JSON.',
    })
  return note
}

interface Tree {
  year: number
  size: number
  facts: { log: string; checkpoint: string | null }
}

/** A tree that a signed checkpoint covers; without a size the newest one's. */
async function getTree(
  ctx: StepContext,
  { year, size: asked, name = 'size' }: Shard & { size: string | undefined; name?: string },
): Promise<Tree> {
  const size = asked === undefined ? undefined : readNumber(asked, name)
  if (size === 0) throw noSuch(name, 'The empty tree proves nothing.')
  const newest = await getNewest(ctx, year)
  if (size !== undefined && size > newest.size) throw new CrosslineError('not_found', { detail: 'No signed tree is that large.' })
  const exact = size === undefined || size === newest.size ? newest : await findCheckpointAt(ctx.db, newest.year, size)
  const note = exact ? await readNote(ctx, exact) : null
  return { year: newest.year, size: size ?? newest.size, facts: { log: newest.origin, checkpoint: note } }
}

/** What the tiles of a tree say about these nodes. */
async function readNodes(
  ctx: StepContext,
  { year, size }: Tree,
  nodes: readonly TreeNode[],
): Promise<(node: TreeNode) => Buffer> {
  const hashes = await readTiles(ctx.db, year, tilesFor(nodes, size))
  return (node) => nodeFromTiles(node, (place) => hashes.get(tileKey(place)) ?? Buffer.alloc(0))
}

/** Sizes and indexes are whole numbers up to 2^53 − 1. Throws `schema_invalid`. */
function readNumber(text: string, name: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw noSuch(name, 'It is larger than 2^53 - 1.')
  return value
}

const noSuch = (name: string, detail: string) => new CrosslineError('schema_invalid', { pointer: `/query/${name}`, detail })
const base64 = (hash: Buffer): string => hash.toString('base64')
const fromBase64 = (text: string): Buffer => Buffer.from(text, 'base64')

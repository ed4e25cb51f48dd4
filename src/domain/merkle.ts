// The Merkle tree of RFC 9162 (the same as RFC 6962's) over SHA-256: roots, inclusion paths, and their strict check.
// A leaf here is always a leaf hash of 32 bytes; `leafHash` makes one from the bytes.

import { hash } from 'node:crypto'
import { CrosslineError } from '#errors.ts'

const hashBytes = 32
// One scratch buffer each, so that hashing allocates nothing but its result. Nothing here awaits while it is in use.
const leafScratch = Buffer.alloc(1 + 65_536)
const nodeScratch = Buffer.alloc(1 + 2 * hashBytes, 1)

/** SHA-256(0x00 ‖ bytes), RFC 9162 §2.1.1. */
export function leafHash(bytes: Uint8Array): Buffer {
  if (bytes.length >= leafScratch.length) return hash('sha256', Buffer.concat([Buffer.of(0), bytes]), 'buffer')
  leafScratch.set(bytes, 1)
  return hash('sha256', leafScratch.subarray(0, bytes.length + 1), 'buffer')
}

/** SHA-256(0x01 ‖ left ‖ right), RFC 9162 §2.1.1. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  nodeScratch.set(left, 1)
  nodeScratch.set(right, 1 + hashBytes)
  return hash('sha256', nodeScratch, 'buffer')
}

/** The root over leaf hashes; of no leaf it is the hash of nothing. */
export function merkleRoot(leaves: readonly Buffer[]): Buffer {
  let level = leaves
  while (level.length > 1) level = levelAbove(level)
  return level[0] ?? hash('sha256', '', 'buffer')
}

/** The sibling hashes from leaf `index` up to the root. Throws `bad_evidence` when there is no such leaf. */
export function inclusionPath(leaves: readonly Buffer[], index: number): Buffer[] {
  return inclusionPaths(leaves)(index)
}

/** The same for many leaves of one tree: its nodes are hashed once. */
export function inclusionPaths(leaves: readonly Buffer[]): (index: number) => Buffer[] {
  const levels = [leaves]
  for (let level = leaves; level.length > 1; levels.push(level)) level = levelAbove(level)
  return (index) => {
    if (!Number.isSafeInteger(index) || index < 0 || index >= leaves.length) throw refusal('there is no leaf with this index')
    return levels.flatMap((level, height) => {
      const at = Math.floor(index / 2 ** height)
      return level[at % 2 === 0 ? at + 1 : at - 1] ?? []
    })
  }
}

// The odd node at the end of a level moves up as it is: that is the same tree as the split at the largest power of two.
function levelAbove(level: readonly Buffer[]): Buffer[] {
  const above: Buffer[] = []
  for (let at = 0; at < level.length; at += 2) {
    const left = level[at] as Buffer
    const right = level[at + 1]
    above.push(right ? nodeHash(left, right) : left)
  }
  return above
}

/** Where a leaf claims to stand in a tree, and the hashes that lead to the root. */
export interface Inclusion {
  leaf: Uint8Array
  index: number
  size: number
  path: readonly Uint8Array[]
}

/** The root that an inclusion path leads to, RFC 9162 §2.1.3.2. Throws `bad_evidence` for any path that no tree of this size has. */
export function rootFromInclusion({ leaf, index, size, path }: Inclusion): Buffer {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size)
    throw refusal('the index is not in the tree')
  if (leaf.length !== hashBytes || path.some((node) => node.length !== hashBytes)) throw refusal('a hash has not 32 bytes')
  let node: Buffer = Buffer.from(leaf)
  let at = index
  let last = size - 1
  // Division, not shifts: sizes go up to 2^53.
  const up = () => {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  for (const sibling of path) {
    if (last === 0) throw refusal('the path is too long')
    while (at === last && at % 2 === 0) up()
    node = at % 2 === 1 ? nodeHash(sibling, node) : nodeHash(node, sibling)
    up()
  }
  if (last !== 0) throw refusal('the path is too short')
  return node
}

/** Checks that a leaf stands at its index in the tree with this root. Throws `bad_evidence`. */
export function verifyInclusion(inclusion: Inclusion & { root: Uint8Array }): void {
  if (!rootFromInclusion(inclusion).equals(inclusion.root)) throw refusal('the path does not lead to the root')
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_evidence', { detail: `Inclusion does not verify: ${why}` })

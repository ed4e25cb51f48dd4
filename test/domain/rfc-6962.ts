// RFC 6962 §2.1 word for word: MTH, PATH and PROOF as the recursive definitions over a list of entries. Slow, and shares no line
// with src/: what the tree, the tiles and the proofs of src/ are compared with.

import { createHash } from 'node:crypto'

const sha256 = (...parts: Uint8Array[]) => parts.reduce((sum, part) => sum.update(part), createHash('sha256')).digest()

export const leafOf = (entry: Uint8Array): Buffer => sha256(Buffer.of(0), entry)
export const nodeOf = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right)

/** k: the largest power of two smaller than n. */
function splitOf(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** MTH(D[n]) */
export function treeHash(entries: readonly Buffer[]): Buffer {
  if (entries.length === 0) return sha256()
  if (entries.length === 1) return leafOf(entries[0]!)
  const k = splitOf(entries.length)
  return nodeOf(treeHash(entries.slice(0, k)), treeHash(entries.slice(k)))
}

/** PATH(m, D[n]) */
export function auditPath(m: number, entries: readonly Buffer[]): Buffer[] {
  if (entries.length === 1) return []
  const k = splitOf(entries.length)
  if (m < k) return [...auditPath(m, entries.slice(0, k)), treeHash(entries.slice(k))]
  return [...auditPath(m - k, entries.slice(k)), treeHash(entries.slice(0, k))]
}

/** PROOF(m, D[n]) */
export const consistencyPath = (m: number, entries: readonly Buffer[]): Buffer[] => subProof(m, entries, true)

function subProof(m: number, entries: readonly Buffer[], isWhole: boolean): Buffer[] {
  if (m === entries.length) return isWhole ? [] : [treeHash(entries)]
  const k = splitOf(entries.length)
  if (m <= k) return [...subProof(m, entries.slice(0, k), isWhole), treeHash(entries.slice(k))]
  return [...subProof(m - k, entries.slice(k), false), treeHash(entries.slice(0, k))]
}

/** Entries that differ from each other and have no hash in common with anything else. */
export const entriesOf = (count: number): Buffer[] => Array.from({ length: count }, (_, n) => Buffer.from(`entry ${n}`))

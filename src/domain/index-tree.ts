// The tree of an index.root entry: for every item how many entries it has and which is the last, so that nobody can leave out the tail.
// Sorted by country and ref, so that the items of one country are one range: that none of them is missing can be proven too.
import { CrosslineError } from '#errors.ts'
import { inclusionPath, inclusionPaths, leafHash, merkleRoot } from './merkle.ts'

/** What the index says of one item. */
export interface IndexLeaf {
  /** Country of the item's last entry that stated one. */
  country: string | null
  /** Pseudonym, 32 bytes. */
  ref: Buffer
  /** How many entries it has. */
  n: number
  /** Leaf hash of the last of them. */
  last: Buffer
}

/** Leaves of one chunk: a power of two, so that each chunk but the last is a full subtree. */
export const chunkLeaves = 1024

const keyBytes = 34
const recordBytes = 74

/** The bytes that a leaf hashes: country (two ASCII letters, or zeros), ref, n (big-endian), hash of the last entry. */
export function encodeIndexLeaf({ country, ref, n, last }: IndexLeaf): Buffer {
  if (!Number.isSafeInteger(n) || n < 1 || last.length !== 32) throw refusal('a leaf is not one of an index')
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(BigInt(n))
  return Buffer.concat([indexKey(country, ref), count, last])
}

/** What the leaves are sorted by, byte by byte. */
export function indexKey(country: string | null, ref: Buffer): Buffer {
  if ((country !== null && !/^[A-Z]{2}$/.test(country)) || ref.length !== 32) throw refusal('a key is not one of an index')
  return Buffer.concat([country === null ? Buffer.alloc(2) : Buffer.from(country), ref])
}

/** SHA-256(0x00 ‖ bytes): what stands in the tree. */
export const indexLeafHash = (leaf: IndexLeaf): Buffer => leafHash(encodeIndexLeaf(leaf))

/** Reads a leaf from its bytes. */
export function decodeIndexLeaf(record: Buffer): IndexLeaf {
  if (record.length !== recordBytes) throw refusal('a leaf has not its length')
  const country = record.subarray(0, 2)
  return {
    country: country.equals(Buffer.alloc(2)) ? null : country.toString('latin1'),
    ref: record.subarray(2, keyBytes),
    n: Number(record.readBigUInt64BE(keyBytes)),
    last: record.subarray(keyBytes + 8),
  }
}

/** The leaves of a chunk, as bytes of one leaf each. */
export function splitIndexChunk(chunk: Buffer): Buffer[] {
  if (chunk.length % recordBytes !== 0) throw refusal('a chunk is not a number of leaves')
  return Array.from({ length: chunk.length / recordBytes }, (_, n) => chunk.subarray(n * recordBytes, (n + 1) * recordBytes))
}

/** The root of one chunk. */
export const indexChunkRoot = (chunk: Buffer): Buffer => merkleRoot(splitIndexChunk(chunk).map(leafHash))

/** Paths of a chunk's leaves to the root of the index: up through the chunk, then through the chunks' roots. */
export function indexPaths(chunk: Buffer, { n, roots }: { n: number; roots: readonly Buffer[] }): (place: number) => Buffer[] {
  const pathOf = inclusionPaths(splitIndexChunk(chunk).map(leafHash))
  const above = inclusionPath(roots, n)
  return (place) => [...pathOf(place), ...above]
}

const refusal = (why: string): CrosslineError => new CrosslineError('bad_evidence', { detail: `No index: ${why}` })

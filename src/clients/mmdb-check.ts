// Whether an MMDB file can be trusted with a look-up: the reader itself finds damage only when a look-up happens to meet it.
// Promise: the whole search tree is walked once and each record decoded (up to a bound), so damage shows before the file is used.
import { setImmediate as yieldToOthers } from 'node:timers/promises'
import ipaddr from 'ipaddr.js'
import { Reader, type Response } from 'maxmind'
import { brokenFile } from './reloaded-file.ts'

const metadataMarker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1')
const separatorBytes = 16
const maxRecordsDecoded = 50_000
const nodesPerTurn = 100_000

/**
 * Opens the bytes of an MMDB file. Throws `broken_file` with `facts.trouble`: not_mmdb, metadata, search_tree, data_section or
 * wrong_kind (no record satisfies `isUseful`). Yields now and then: a large file takes a second.
 */
export async function openMmdb<T extends Response>(bytes: Buffer, isUseful: (record: T) => boolean): Promise<Reader<T>> {
  const metadataStart = bytes.lastIndexOf(metadataMarker)
  if (metadataStart < 0) throw brokenFile('not_mmdb', 'The file is not a MaxMind DB (.mmdb), or it is cut off or compressed.')
  const reader = readMetadata<T>(bytes, metadataStart)
  const addresses = await walkTree(bytes, reader, metadataStart)
  if (!decodeRecords(reader, addresses).some(isUseful))
    throw brokenFile('wrong_kind', 'The database holds no field of the kind that it is used for.')
  return reader
}

function readMetadata<T extends Response>(bytes: Buffer, metadataStart: number): Reader<T> {
  const reader = tryTo(
    () => new Reader<T>(bytes, { cache: createRecordCache() }),
    'metadata',
    'The metadata of the database cannot be read.',
  )
  const { binaryFormatMajorVersion, nodeCount, searchTreeSize, ipVersion, buildEpoch } = reader.metadata
  const sound =
    binaryFormatMajorVersion === 2 && Number.isInteger(nodeCount) && nodeCount > 0 && (ipVersion === 4 || ipVersion === 6)
  const fits = searchTreeSize + separatorBytes <= metadataStart
  if (!sound || !fits || Number.isNaN(buildEpoch.getTime()))
    throw brokenFile('metadata', 'The metadata of the database does not fit the file.')
  return reader
}

/** Visits every node once, breadth first, and gives one address that leads to each record. */
async function walkTree<T extends Response>(bytes: Buffer, reader: Reader<T>, metadataStart: number): Promise<string[]> {
  const { nodeCount, searchTreeSize, treeDepth } = reader.metadata
  const depths = new Uint8Array(nodeCount)
  const cameFrom = new Uint32Array(nodeCount)
  const visited = new Uint32Array(nodeCount)
  const records = new Map<number, number>()
  const readRecord = recordReader(bytes, reader.metadata.recordSize)
  for (let at = 0, reached = 1; at < reached; at += 1) {
    if (at % nodesPerTurn === nodesPerTurn - 1) await yieldToOthers()
    const node = visited[at] ?? 0
    for (const branch of [node * 2, node * 2 + 1]) {
      const target = readRecord(branch)
      const depth = (depths[node] ?? 0) + 1
      if (target > nodeCount) {
        const offset = target - nodeCount + searchTreeSize
        if (offset < searchTreeSize + separatorBytes || offset >= metadataStart)
          throw brokenFile('search_tree', 'The search tree of the database points outside its data.')
        if (!records.has(target)) records.set(target, branch)
      } else if (target < nodeCount && target !== 0 && depths[target] === 0) {
        if (depth >= treeDepth) throw brokenFile('search_tree', 'The search tree of the database is deeper than an address.')
        depths[target] = depth
        cameFrom[target] = branch
        visited[reached] = target
        reached += 1
      } else if (target === 0) {
        throw brokenFile('search_tree', 'The search tree of the database runs in a circle.')
      }
    }
  }
  return [...records.values()].slice(0, maxRecordsDecoded).map((branch) => addressOf(branch, cameFrom, treeDepth))
}

/** A branch is a node's left (2n) or right (2n + 1) record, of 24, 28 or 32 bits (MaxMind DB specification, "Node Layout"). */
function recordReader(bytes: Buffer, recordSize: number): (branch: number) => number {
  if (recordSize === 24) return (branch) => bytes.readUIntBE(branch * 3, 3)
  if (recordSize === 32) return (branch) => bytes.readUInt32BE(branch * 4)
  return (branch) => {
    const start = (branch >> 1) * 7
    const middle = bytes[start + 3] ?? 0
    return branch % 2 === 0
      ? (middle >> 4) * 0x1000000 + bytes.readUIntBE(start, 3)
      : (middle & 15) * 0x1000000 + bytes.readUIntBE(start + 4, 3)
  }
}

/** Climbs back to the root; each step is one bit of the address. */
function addressOf(branch: number, cameFrom: Uint32Array, treeDepth: number): string {
  const bits: number[] = []
  for (let up = branch; ; up = cameFrom[up >> 1] ?? 0) {
    bits.unshift(up & 1)
    if (up >> 1 === 0) break
  }
  const octets = Array.from({ length: treeDepth / 8 }, (_, octet) =>
    bits.slice(octet * 8, octet * 8 + 8).reduce((sum, bit, place) => sum + bit * 2 ** (7 - place), 0),
  )
  return ipaddr.fromByteArray(octets).toString()
}

function decodeRecords<T extends Response>(reader: Reader<T>, addresses: string[]): T[] {
  return tryTo(
    () => addresses.map((address) => reader.get(address)),
    'data_section',
    'A record of the database cannot be read.',
  ).filter((record) => record !== null)
}

function tryTo<V>(work: () => V, trouble: string, detail: string): V {
  try {
    return work()
  } catch (cause) {
    throw brokenFile(trouble, detail, cause)
  }
}

/** The reader's cache of decoded records, bounded by starting afresh. */
function createRecordCache(maxEntries = 10_000) {
  const entries = new Map<string | number, unknown>()
  const set = (key: string | number, value: unknown) => {
    if (entries.size >= maxEntries) entries.clear()
    entries.set(key, value)
  }
  return { get: (key: string | number) => entries.get(key), set }
}

// What an export may say it is complete for, and the lines of the index that prove it. Promise: nothing is claimed that the entries in the
// bundle do not bear out: one that is not in the asker's scope makes the claim fall, and no list of another country's items goes out.
import { toJcs } from '#domain/audit-entry.ts'
import { chunkLeaves, decodeIndexLeaf, type IndexLeaf, indexKey, indexPaths, splitIndexChunk } from '#domain/index-tree.ts'
import type { AuditExport } from '#schema/audit-export.ts'
import { areLedUpIn, countSealed, endIn, findCountriesOf } from '#storage/export-store.ts'
import { findChunkOfKey, findIndexChunk, type SealedIndex } from '#storage/index-store.ts'
import type { FoundEntry } from '#storage/liaison-store.ts'
import type { ExportContext, ExportPlan } from './pin-export.ts'

export type Claim = NonNullable<AuditExport['complete']>

/** What the question would be complete for, if nothing is missing. */
function claimOf({ filter, scope }: Pick<ExportPlan, 'filter' | 'scope'>): Claim {
  const asked = Object.keys(filter)
  if (asked.length === 0) return scope.networkWide ? 'log' : 'none'
  if (asked.length > 1) return 'none'
  if (filter.refs) return filter.refs.length === 1 ? 'item' : 'none'
  return filter.country !== undefined && coversCountry(scope, filter.country) ? 'country' : 'none'
}

const coversCountry = ({ networkWide, countries }: ExportPlan['scope'], country: string): boolean =>
  networkWide || countries.includes(country)

/** Keeps an eye on what is written, chunk by chunk. */
export interface Witness {
  see(chunk: readonly FoundEntry[]): Promise<void>
  /** The lines of `index.ndjson`, none when there is nothing to prove; and what holds in the end. */
  conclude(): Promise<{ claim: Claim; lines: (() => AsyncIterable<Buffer>) | undefined }>
}

export function watchCompleteness(ctx: ExportContext, plan: ExportPlan): Witness {
  const claim = claimOf(plan)
  const { index } = plan.pin
  if (claim === 'country' && index) return watchCountry(ctx, { country: plan.filter.country as string, index })
  if (plan.filter.refs && index) return watchRefs(ctx, { plan, claim, index })
  const none = { claim: claim === 'log' ? claim : ('none' as const), lines: undefined }
  return { see: async () => undefined, conclude: async () => none }
}

function watchRefs(ctx: ExportContext, { plan, claim, index }: { plan: ExportPlan; claim: Claim; index: SealedIndex }): Witness {
  const seen = new Map<string, number>()
  return {
    see: async (chunk) => {
      for (const { entry } of chunk) {
        const { ref } = JSON.parse(entry.toString()) as { ref: string }
        seen.set(ref, (seen.get(ref) ?? 0) + 1)
      }
    },
    conclude: async () => {
      const refs = (plan.filter.refs ?? []).filter((ref) => seen.has(ref.toString('base64url')))
      const leaves = await Promise.all(refs.map((ref) => findLeaf(ctx, index, ref)))
      const [only] = refs
      const isWhole =
        claim === 'item' &&
        only !== undefined &&
        leaves[0] !== undefined &&
        (await countSealed(ctx.db, only, plan.pin.end)) === seen.get(only.toString('base64url'))
      const proven = leaves.filter((leaf) => leaf !== undefined).sort((one, other) => one.place - other.place)
      return {
        claim: isWhole ? claim : 'none',
        lines: proven.length > 0 ? () => toLines(index, proven) : undefined,
      }
    },
  }
}

function watchCountry(ctx: ExportContext, { country, index }: { country: string; index: SealedIndex }): Witness {
  let isWhole = true
  return {
    see: async (chunk) => {
      const entries = chunk.filter((entry) => entry.country === country)
      if (isWhole && entries.length > 0) isWhole = await areLedUpIn(ctx.db, country, entries)
    },
    conclude: async () => {
      for await (const leaves of inGroups(rangeOf(ctx, index, country), 1000)) {
        const own = leaves.map(({ leaf }) => leaf).filter((leaf) => leaf.country === country)
        if (isWhole && own.length > 0) isWhole = await endIn(ctx.db, country, own)
      }
      return { claim: isWhole ? 'country' : 'none', lines: () => toLines(index, rangeOf(ctx, index, country)) }
    },
  }
}

interface PlacedLeaf {
  leaf: IndexLeaf
  place: number
  path: Buffer[]
}

/** The leaf of a ref: under any country that it ever had, or none. */
async function findLeaf(ctx: ExportContext, index: SealedIndex, ref: Buffer): Promise<PlacedLeaf | undefined> {
  for (const country of [...(await findCountriesOf(ctx.db, ref)), null]) {
    const key = indexKey(country, ref)
    const n = await findChunkOfKey(ctx.db, index.id, key)
    const chunk = n === undefined ? undefined : await findIndexChunk(ctx.db, index.id, n)
    if (n === undefined || !chunk) continue
    const records = splitIndexChunk(chunk)
    const at = records.findIndex((record) => record.subarray(0, key.length).equals(key))
    if (at < 0) continue
    const path = indexPaths(chunk, { n, roots: index.chunkRoots })(at)
    return { leaf: decodeIndexLeaf(records[at] as Buffer), place: n * chunkLeaves + at, path }
  }
  return undefined
}

/** All leaves of a country, with the one before and the one behind: none can be missing between them. */
async function* rangeOf(ctx: ExportContext, index: SealedIndex, country: string): AsyncGenerator<PlacedLeaf> {
  const first = (await findChunkOfKey(ctx.db, index.id, indexKey(country, Buffer.alloc(32)))) ?? 0
  for (let n = first; n < index.chunkRoots.length; n++) {
    const chunk = (await findIndexChunk(ctx.db, index.id, n)) as Buffer
    const leaves = splitIndexChunk(chunk).map(decodeIndexLeaf)
    const begin = leaves.findIndex((leaf) => (leaf.country ?? '') >= country)
    const pathOf = indexPaths(chunk, { n, roots: index.chunkRoots })
    // Only in the first chunk does anything stand before the country; in the others it goes on.
    for (let at = begin < 0 ? leaves.length - 1 : Math.max(0, begin - 1); at < leaves.length; at++) {
      const leaf = leaves[at] as IndexLeaf
      yield { leaf, place: n * chunkLeaves + at, path: pathOf(at) }
      if ((leaf.country ?? '') > country) return
    }
  }
}

async function* toLines(index: SealedIndex, leaves: Iterable<PlacedLeaf> | AsyncIterable<PlacedLeaf>): AsyncGenerator<Buffer> {
  yield toLine({ index: index.place.index, size: index.size })
  for await (const { leaf, place, path } of leaves) {
    const { country, ref, n, last } = leaf
    yield toLine({ country, ref: encode(ref), n, last: encode(last), place, path: path.map(encode) })
  }
}

const toLine = (value: unknown): Buffer => Buffer.from(`${toJcs(value)}\n`)
const encode = (hash: Buffer): string => hash.toString('base64url')

async function* inGroups<T>(source: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = []
  for await (const value of source) {
    group.push(value)
    if (group.length < size) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

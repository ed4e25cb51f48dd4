// Writes one audit bundle: the entries in a scope, with all that proves them offline under one checkpoint (docs/audit.md, "Bundle").
// Promise: the same scope, filter and checkpoint give the same entries; memory does not grow with their number.
import { toJcs } from '#domain/audit-entry.ts'
import { edgeTiles, type Tile, tilePath } from '#domain/tiles.ts'
import { CrosslineError } from '#errors.ts'
import { inTransaction } from '#storage/database.ts'
import { findEntryAt } from '#storage/export-store.ts'
import { type AuditFilter, type FoundEntry, findAuditEntries, type LeafPlace } from '#storage/liaison-store.ts'
import { readTiles, tileKey } from '#storage/tree-store.ts'
import { policyOf } from './audit-policy.ts'
import { type Claim, watchCompleteness } from './claim-completeness.ts'
import { makeTable } from './entry-table.ts'
import { findBracketLines } from './find-brackets.ts'
import type { ExportContext, ExportPlan } from './pin-export.ts'
import { disclose } from './show-entry.ts'
import type { BundleWriter } from './write-bundle.ts'

const chunkLines = 1000
const tilesAtOnce = 64
const tileWidth = 256

/** Gives how many entries it wrote, and what they are complete for. Throws `too_large` for more than `maxRows`, before anything is written. */
export async function exportEntries(
  ctx: ExportContext,
  plan: ExportPlan,
  bundle: BundleWriter,
): Promise<{ rows: number; claim: Claim }> {
  const { years, total } = await surveyEntries(ctx, plan)
  if (total > plan.maxRows) throw new CrosslineError('too_large')
  const checkpoints = plan.pin.checkpoints.filter(({ year }) => year === plan.pin.end.year || years.has(year))
  const completeness = watchCompleteness(ctx, plan)
  const entries = lookAhead(entriesInOrder(ctx, plan))
  let rows = 0
  await bundle.add(
    'policy.txt',
    policyOf(
      ctx,
      checkpoints.map(({ year }) => year),
    ),
  )
  for (const { year, size, note } of checkpoints) {
    await bundle.add(`${year}/checkpoint`, note)
    const written = await writeUpperTiles(ctx, bundle, { year, size, leafTiles: years.get(year) ?? new Set() })
    for (let n = 0; (await entries.peek())?.year === year; n++) {
      const chunk = await entries.take(chunkLines, (entry) => entry.year === year)
      await writeLeafTiles(ctx, bundle, { year, size, chunk, written })
      await writeBrackets(ctx, bundle, { year, size, chunk, n })
      await writeChunk(ctx, bundle, { plan, chunk, name: `${year}/entries/${sixDigits(n)}` })
      await completeness.see(chunk)
      rows += chunk.length
      await plan.onProgress({ rows, total, bytes: bundle.bytes })
    }
  }
  if (await entries.peek()) throw new CrosslineError('internal', { detail: 'An entry stands behind the last checkpoint.' })
  const { claim, lines } = await completeness.conclude()
  if (lines) await bundle.addParts(`${plan.pin.index?.place.year}/index.ndjson`, lines)
  return { rows, claim }
}

/** Everything to export, in the order of the log: what is in scope, and the entry of the index. */
async function* entriesInOrder(ctx: ExportContext, { scope, filter, pin }: ExportPlan): AsyncGenerator<FoundEntry> {
  let wanted = pin.index ? await findEntryAt(ctx.db, pin.index.place) : undefined
  for await (const page of pagesInScope(ctx, { scope, filter, pin })) {
    for (const entry of page) {
      // It tells of no item, and without it no liaison could check that nothing was left out: it is everybody's.
      if (wanted && isBefore(wanted, entry)) yield wanted
      if (wanted && !isBefore(entry, wanted)) wanted = undefined
      yield entry
    }
  }
  if (wanted) yield wanted
}

async function* pagesInScope(ctx: ExportContext, { scope, filter, pin }: Pick<ExportPlan, 'scope' | 'filter' | 'pin'>) {
  let after: LeafPlace | undefined
  for (;;) {
    const question: AuditFilter = { ...filter, after, before: pin.end, limit: chunkLines }
    const page = await inTransaction(ctx.db, (trx) => findAuditEntries(trx, scope, question))
    if (page.length > 0) yield page
    if (page.length < chunkLines) return
    after = page.at(-1)
  }
}

const isBefore = (one: LeafPlace, other: LeafPlace): boolean =>
  one.year < other.year || (one.year === other.year && one.index < other.index)

/** How many entries there will be, and which tiles hold their leaves. The tiles above these go first, so they must be known first. */
async function surveyEntries(ctx: ExportContext, plan: ExportPlan) {
  const years = new Map<number, Set<number>>()
  let total = 0
  for await (const { year, index } of entriesInOrder(ctx, plan)) {
    const tiles = years.get(year) ?? new Set<number>()
    tiles.add(Math.floor(index / tileWidth))
    years.set(year, tiles)
    total++
    if (total > plan.maxRows) break
  }
  return { years, total }
}

interface Upper {
  year: number
  size: number
  leafTiles: ReadonlySet<number>
}

/** The tiles that lead from these leaves to the root, highest level first; the right edge always, down to its leaves. Gives the leaf tiles written. */
async function writeUpperTiles(ctx: ExportContext, bundle: BundleWriter, { year, size, leafTiles }: Upper): Promise<Set<number>> {
  const levels = tilesAbove(size, leafTiles)
  for (const tiles of levels.reverse()) await writeTiles(ctx, bundle, { year, tiles })
  return new Set(levels.at(-1)?.map((tile) => tile.index))
}

/** For each level from 0 the tiles needed there; of level 0 only the one at the edge. */
function tilesAbove(size: number, leafTiles: ReadonlySet<number>): Tile[][] {
  const edge = edgeTiles(size)
  const levels: Tile[][] = [edge.filter((tile) => tile.level === 0)]
  let below = [...leafTiles]
  for (let level = 1; level <= (edge.at(-1)?.level ?? 0); level++) {
    const hashes = Math.floor(size / tileWidth ** level)
    // A tile that is not full has no hash above it: it is at the edge.
    const places = new Set(below.filter((index) => index < hashes).map((index) => Math.floor(index / tileWidth)))
    for (const tile of edge) if (tile.level === level) places.add(tile.index)
    below = [...places].sort((one, other) => one - other)
    levels.push(below.map((index) => ({ level, index, width: Math.min(tileWidth, hashes - index * tileWidth) })))
  }
  return levels
}

interface Chunk {
  year: number
  size: number
  chunk: readonly LeafPlace[]
  written: Set<number>
}

async function writeLeafTiles(ctx: ExportContext, bundle: BundleWriter, { year, size, chunk, written }: Chunk): Promise<void> {
  const indexes = new Set(chunk.map(({ index }) => Math.floor(index / tileWidth)))
  const missing = [...indexes].filter((index) => !written.has(index))
  for (const index of missing) written.add(index)
  const tiles = missing.map((index) => ({ level: 0, index, width: Math.min(tileWidth, size - index * tileWidth) }))
  await writeTiles(ctx, bundle, { year, tiles })
}

async function writeBrackets(
  ctx: ExportContext,
  bundle: BundleWriter,
  { year, size, chunk, n }: Omit<Chunk, 'written'> & { n: number },
): Promise<void> {
  const lines = await findBracketLines(ctx, { year, size, indexes: chunk.map(({ index }) => index) })
  if (lines !== '') await bundle.add(`${year}/brackets/${sixDigits(n)}.ndjson`, lines)
}

const sixDigits = (n: number): string => String(n).padStart(6, '0')

/** In groups, so that a year of tiles is never in memory at once. */
async function writeTiles(ctx: ExportContext, bundle: BundleWriter, { year, tiles }: { year: number; tiles: readonly Tile[] }) {
  for (let at = 0; at < tiles.length; at += tilesAtOnce) {
    const group = tiles.slice(at, at + tilesAtOnce)
    const hashes = await readTiles(ctx.db, year, group)
    for (const tile of group) await bundle.add(`${year}/${tilePath(tile)}`, wholeTile(tile, hashes.get(tileKey(tile))))
  }
}

function wholeTile({ width }: Tile, hashes: Buffer | undefined): Buffer {
  if (hashes?.length !== width * 32) throw new CrosslineError('internal', { detail: 'A tile of the log is not there.' })
  return hashes
}

interface Lines {
  plan: ExportPlan
  chunk: readonly FoundEntry[]
  name: string
}

async function writeChunk(ctx: ExportContext, bundle: BundleWriter, { plan, chunk, name }: Lines): Promise<void> {
  const lines = chunk.map((entry) => ({
    index: entry.index,
    entry: entry.entry.toString(),
    recordedAt: entry.recorded_at.toISOString(),
    disclosed: disclose(ctx, entry, { client: { fingerprint: plan.client } }),
  }))
  await bundle.add(`${name}.ndjson`, lines.map((line) => `${toJcs(line)}\n`).join(''))
  if (plan.format === 'csv') await bundle.add(`${name}.csv`, makeTable(lines))
}

/** Reads on from a source by its next value. */
function lookAhead<T>(source: AsyncIterator<T>) {
  let held: IteratorResult<T> | undefined
  const peek = async (): Promise<T | undefined> => {
    held ??= await source.next()
    return held.done ? undefined : held.value
  }
  return {
    peek,
    take: async (most: number, fits: (value: T) => boolean): Promise<T[]> => {
      const taken: T[] = []
      for (let next = await peek(); next !== undefined && taken.length < most && fits(next); next = await peek()) {
        taken.push(next)
        held = undefined
      }
      return taken
    },
  }
}

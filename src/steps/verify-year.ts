// The entries of one year's log, out of a bundle: each against the tree, then what the index promised, then the tiles that nobody needed.
import type { BundleManifest } from '#domain/bundle-manifest.ts'
import type { ItemHeads } from '#domain/item-heads.ts'
import type { IndexRoot } from '#domain/item-index.ts'
import { type CheckCounts, type Completeness, createLogCheck, type LogCheck, tileFault } from '#domain/log-check.ts'
import { parseTilePath, type Tile } from '#domain/tiles.ts'
import { type Brackets, createBrackets, type WitnessedSize } from '#domain/time-bracket.ts'
import type { Policy } from '#domain/tlog-policy.ts'
import type { Faults } from '#domain/verdict.ts'
import type { VerifiedTree } from '#domain/verified-tiles.ts'
import { readBrackets } from './check-brackets.ts'
import { checkDigest, isEntries } from './check-members.ts'
import { countStrayTables, hasTables, openTable, type TableCheck } from './check-table.ts'
import type { OpenYear } from './open-years.ts'
import type { MemberPlace, OpenBundle } from './read-bundle.ts'
import { verifyEntries } from './verify-entries.ts'
import { checkIndexRoot, type ReadIndex } from './verify-index.ts'

export interface YearReading {
  bundle: OpenBundle
  policy: Policy
  manifest: BundleManifest | undefined
  /** Digests that the manifest gives, by the names of members. */
  digests: ReadonlyMap<string, string>
  heads: ItemHeads
  faults: Faults
  counts: CheckCounts
  onBytes: (count: number) => void
}

const completeness: Record<BundleManifest['complete'], Completeness> = {
  item: 'items',
  country: 'items',
  log: 'log',
  none: 'none',
}

/** Gives how many entries there were. Throws `broken_file` for a line that is none. */
export function verifyYear(year: OpenYear, index: ReadIndex | undefined, reading: YearReading): number {
  const { faults, manifest } = reading
  const { origin, tree } = year
  const rootFault = tree.checkRoot()
  if (rootFault) faults.add({ ...tileFault(rootFault.kind), log: origin })
  const complete = manifest ? completeness[manifest.complete] : 'none'
  const brackets = createBrackets(year.last)
  const check = createLogCheck({ ...reading, log: origin, tree, complete, around: brackets.around })
  const indexRoot = readAll(year, { ...reading, check, brackets, indexAt: index?.claim.index })
  if (complete === 'log' && check.next < year.size)
    faults.add({
      stage: 'inclusion',
      kind: 'incomplete',
      log: origin,
      index: check.next,
      says: 'The entries from this place to the end of the log are missing.',
    })
  if (index) checkIndexRoot(index, indexRoot, { log: origin, faults })
  if (!rootFault) checkTiles(year, reading)
  return check.entries
}

interface EntriesReading extends YearReading {
  check: LogCheck
  brackets: Brackets
  indexAt: number | undefined
}

function readAll(open: OpenYear, reading: EntriesReading): IndexRoot | undefined {
  const { year, origin } = open
  const { bundle, brackets, faults, digests } = reading
  const isTabled = hasTables(bundle)
  let found: IndexRoot | undefined
  for (const [n, place] of entryMembers(bundle, year).entries()) {
    if (!place.name.endsWith(`/${String(n).padStart(6, '0')}.ndjson`))
      faults.add({ stage: 'read', kind: 'incomplete', log: origin, says: 'A part of the entries is missing.' })
    brackets.bring(bracketsBeside(place, open, reading))
    const table = isTabled ? openTable(bundle, place.name) : undefined
    const { sha256, first, indexRoot } = verifyEntries(place, { ...reading, table })
    if (table) checkTable(table, first, { ...reading, origin })
    const claimed = digests.get(place.name)
    if (claimed !== undefined) checkDigest(sha256, claimed, faults)
    found ??= indexRoot
  }
  brackets.end()
  checkStrayBrackets(open, reading)
  if (countStrayTables(bundle, year) > 0)
    faults.add({ ...tableFault, log: origin, says: 'A table (.csv) stands beside no entries.' })
  return found
}

/** What stands beside a chunk to say when its entries were written; nothing where there is none. */
function bracketsBeside(
  { name }: MemberPlace,
  { origin, tree }: OpenYear,
  { bundle, ...reading }: YearReading,
): Iterable<WitnessedSize> {
  const place = bundle.members.get(name.replace('/entries/', '/brackets/'))
  return place ? readBrackets(bundle, place, { ...reading, log: origin, tree }) : []
}

// A bundle that is cut off may end between brackets and their entries.
function checkStrayBrackets({ year, origin }: OpenYear, { bundle, manifest, faults }: YearReading): void {
  for (const { name } of bundle.members.values())
    if (name.startsWith(`${year}/brackets/`) && !bundle.members.has(name.replace('/brackets/', '/entries/')))
      faults.add({
        stage: 'time',
        kind: manifest ? 'tampered' : 'incomplete',
        log: origin,
        says: 'Checkpoints stand in the bundle beside no entries.',
      })
}

// What people are shown is told after what the entries themselves are.
const tableFault = { stage: 'disclosure', kind: 'tampered' } as const

function checkTable(
  table: TableCheck,
  first: number | undefined,
  { origin, faults, manifest }: Pick<YearReading, 'faults' | 'manifest'> & { origin: string },
): void {
  const found = table.conclude()
  const place = first === undefined ? { log: origin } : { log: origin, index: first }
  if (found === 'other')
    faults.add({
      ...tableFault,
      ...place,
      says: 'The table (.csv) beside the entries from this place on does not say what they say.',
    })
  // A bundle that is cut off may end between entries and their table.
  if (found === 'missing')
    faults.add({
      ...tableFault,
      ...place,
      kind: manifest ? 'tampered' : 'incomplete',
      says: 'The table (.csv) beside the entries from this place on is missing, and others are there.',
    })
}

const entryMembers = ({ members }: OpenBundle, year: string): MemberPlace[] =>
  [...members.values()]
    .filter((place) => isEntries(place) && place.name.startsWith(year))
    .sort((a, b) => (a.name < b.name ? -1 : 1))

/** Every tile that is in the bundle belongs to the tree, also one that no entry needed. */
function checkTiles({ year, tree, origin }: OpenYear, { bundle, faults }: YearReading): void {
  for (const { name } of bundle.members.values()) {
    if (!name.startsWith(`${year}/tile/`)) continue
    const fault = findTileFault(tree, name.slice(5))
    if (fault) faults.add({ ...tileFault(fault), log: origin })
  }
}

function findTileFault(tree: VerifiedTree, path: string): 'missing' | 'foreign' | undefined {
  const tile = readTilePath(path)
  return tile && tree.hasTile(tile) ? tree.checkTile(tile)?.kind : 'foreign'
}

function readTilePath(path: string): Tile | undefined {
  try {
    return parseTilePath(path)
  } catch {
    return undefined
  }
}

// Looks at the whole log again as it stands in the database, with the same checks as an offline bundle and some that only the tables allow.
// Promise: nothing is written; a node may go on meanwhile; memory does not grow with the number of entries.

import type { IndexRoot } from '#domain/item-index.ts'
import { createLogCheck, type LogCheck, newCounts, tileFault } from '#domain/log-check.ts'
import { createBrackets } from '#domain/time-bracket.ts'
import { collectFaults, type Faults } from '#domain/verdict.ts'
import type { Verification } from '#domain/verification.ts'
import {
  findShards,
  readHeadsPage,
  readRecentPage,
  readSealedPage,
  type StoredEntry,
  type StoredShard,
} from '#storage/fsck-store.ts'
import { findCheckpointAt, findLatestCheckpoint } from '#storage/tree-store.ts'
import { ownLogKeys, type PolicyContext, pastLogKeys } from './audit-policy.ts'
import { checkOpening, readStored } from './check-stored-entry.ts'
import { checkIndexes, checkPeers, walkCheckpoints } from './check-stored-notes.ts'
import { checkEdge, checkOutside, checkStrays } from './check-stored-tree.ts'
import type { StepContext } from './context.ts'
import { findBrackets, findWitnessed, pickWitness, policyFor, readStoredNote } from './judge-shard.ts'
import { describeYear, type OpenYear } from './open-years.ts'
import { openStoredTiles, type StoredTiles } from './stored-tiles.ts'
import { conclude, createHeads, describeLog, type Run } from './verify-bundle.ts'

export type CheckContext = PolicyContext & Pick<StepContext, 'db' | 'keys' | 'auditKey'>

/** Beside the verification: what only a database has. */
export interface LogVerification extends Verification {
  checkpoints: number
  /** Entries that wait to be sealed, or were sealed while it ran. */
  recent: number
  /** Entries under no checkpoint with a quorum yet. */
  unwitnessed: number
  peers: number
  /** Pairs of notes of peers' logs, or ours, that contradict each other. */
  evidence: number
}

const pageLeaves = 4096

/** Checks every shard, then what waits, then what is kept of peers. `onProgress` gets entries done of all. */
export async function checkLog(ctx: CheckContext, onProgress: (done: number, total: number) => void): Promise<LogVerification> {
  const result: Verification = {
    verdict: 'unreadable',
    faults: [],
    faultCount: 0,
    logs: [],
    counts: { ...newCounts(), items: 0 },
    manifest: undefined,
    complete: 'log',
    bundlePolicy: 'absent',
    since: 'not asked',
  }
  const run: Run = { faults: collectFaults(), heads: createHeads(), counts: newCounts(), result }
  const shards = await findShards(ctx.db)
  await expectHeads(ctx, run)
  const found = { checkpoints: 0, unwitnessed: 0 }
  const progress = countEntries(shards, onProgress)
  const roots = new Map<number, IndexRoot>()
  for (const shard of shards) {
    const checked = await checkShard(ctx, shard, { run, progress, roots })
    found.checkpoints += checked.checkpoints
    found.unwitnessed += checked.unwitnessed
    if (checked.year) result.logs.push(describeLog(checked.year))
  }
  await checkIndexes(ctx.db, { faults: run.faults, roots })
  const recent = await checkRecent(ctx, shards.at(-1), run)
  await checkStrays(ctx.db, run.faults, pageLeaves)
  await checkOutside(ctx.db, run.faults)
  checkHeads(run)
  const origins = new Set(shards.map(({ origin }) => origin))
  const peers = await checkPeers(ctx.db, { faults: run.faults, origins, keysOf: (origin) => pastLogKeys(ctx, origin) })
  return { ...conclude(run), ...found, recent, ...peers }
}

function countEntries(
  shards: readonly StoredShard[],
  onProgress: (done: number, total: number) => void,
): (count: number) => void {
  const total = shards.reduce((sum, { size }) => sum + size, 0)
  let done = 0
  return (count) => {
    done += count
    onProgress(done, total)
  }
}

/** What the writer keeps of each item, before any entry is read: what comes meanwhile only adds to it. */
async function expectHeads({ db }: CheckContext, { heads }: Run): Promise<void> {
  let after = Buffer.alloc(0)
  for (;;) {
    const rows = await readHeadsPage(db, after, pageLeaves)
    for (const row of rows) heads.expect({ country: null, ...row })
    const last = rows.at(-1)
    if (!last) return
    after = Buffer.from(last.ref)
  }
}

function checkHeads({ heads, faults }: Run): void {
  const { missing, other } = heads.unmet()
  if (missing + other > 0)
    faults.add({
      stage: 'chain',
      kind: 'tampered',
      says: `Of ${missing + other} items the last entry is not the one that the head names.`,
    })
}

interface ShardRun {
  run: Run
  /** What index.root entries disclose, by the database's id of the entry. */
  roots: Map<number, IndexRoot>
  progress: (count: number) => void
}

async function checkShard(
  ctx: CheckContext,
  shard: StoredShard,
  { run, progress, roots }: ShardRun,
): Promise<{ year: OpenYear | undefined; checkpoints: number; unwitnessed: number }> {
  const { faults } = run
  const { db } = ctx
  const policy = policyFor(ctx, shard.origin)
  const newest = await findCheckpointAt(db, shard.year, shard.size)
  if (!newest?.root.equals(shard.root))
    faults.add({ stage: 'root', kind: 'tampered', log: shard.origin, says: 'There is no checkpoint of the tree as it stands.' })
  checkEdge(shard, faults)
  if (!newest) return { year: undefined, checkpoints: 0, unwitnessed: shard.size }
  const tip = await readStoredNote(ctx, { year: shard.year, size: newest.size, note: newest.note }, { policy, faults })
  if (!tip) return { year: undefined, checkpoints: 0, unwitnessed: shard.size }
  const witnessed = await findWitnessed(ctx, shard, { policy, faults })
  for (const fault of tip.faults) if (fault.stage !== 'quorum' || !witnessed) faults.add(fault)
  const tiles = await openStoredTiles(db, shard.year, newest.size)
  const year = describeYear(String(shard.year), tip, tiles.read)
  const trusted = witnessed ? { ...year, ...pickWitness(witnessed) } : year
  const checkpoints = walkCheckpoints(db, {
    year: shard.year,
    origin: shard.origin,
    tree: year.tree,
    keys: ownLogKeys(ctx, shard.origin),
    faults,
  })
  await refuseLonger(ctx, shard, faults)
  trusted.entries = await checkEntries(ctx, {
    shard,
    year: trusted,
    run,
    tiles,
    progress,
    roots,
    upTo: checkpoints.upTo,
  })
  return { year: trusted, checkpoints: checkpoints.count, unwitnessed: year.size - (witnessed?.checkpoint.size ?? 0) }
}

// The sealer signs what it has grown in one transaction: a checkpoint of more than the tree, read before the tree, tells of a rollback.
async function refuseLonger({ db }: CheckContext, { year, origin }: StoredShard, faults: Faults): Promise<void> {
  const latest = await findLatestCheckpoint(db, year)
  const now = (await findShards(db)).find((shard) => shard.year === year)
  if (latest && (!now || latest.size > now.size))
    faults.add({
      stage: 'consistency',
      kind: 'tampered',
      log: origin,
      says: 'A checkpoint of a larger tree is stored: the tree was rolled back.',
    })
}

interface EntriesRun extends ShardRun {
  shard: StoredShard
  year: OpenYear
  tiles: StoredTiles
  upTo: (size: number) => Promise<void>
}

async function checkEntries(ctx: CheckContext, { shard, year, run, tiles, progress, roots, upTo }: EntriesRun): Promise<number> {
  const { faults, heads, counts } = run
  const { origin, tree, size } = year
  const rootFault = tree.checkRoot()
  if (rootFault) faults.add({ ...tileFault(rootFault.kind), log: origin })
  const brackets = createBrackets(year.last)
  const check = createLogCheck({ log: origin, tree, heads, faults, counts, complete: 'log', around: brackets.around })
  for (let from = 0; from < size; from += pageLeaves) {
    const rows = await readSealedPage(ctx.db, { year: shard.year, from, limit: Math.min(pageLeaves, size - from) })
    await tiles.bring(from, Math.min(from + pageLeaves, size))
    const indexes = rows.map(({ index }) => index as number)
    brackets.bring(await findBrackets(ctx, indexes, { year, faults, counts }))
    for (const row of rows) checkRow(ctx, row, { origin, check, faults, roots })
    await upTo(Math.min(from + pageLeaves, size))
    progress(rows.length)
  }
  brackets.end()
  if (check.next < size)
    faults.add({
      stage: 'inclusion',
      kind: 'tampered',
      log: origin,
      index: check.next,
      says: 'The entries from this place to the end of the tree are gone.',
    })
  return check.entries
}

function checkRow(
  ctx: CheckContext,
  row: StoredEntry,
  { origin, check, faults, roots }: { origin: string; check: LogCheck; faults: Faults; roots: Map<number, IndexRoot> },
): void {
  const index = row.index as number
  const add = (fault: Parameters<Parameters<typeof readStored>[1]>[0]) => faults.add({ ...fault, log: origin, index })
  const read = readStored(row, add)
  if (!read) return
  check.entry(index, read.entry, read.leaf)
  const { root, size } = checkOpening(ctx, row, { entry: read.entry, index, check, add })
  if (row.event === 'index.root') roots.set(row.entryId, { root: root?.value, size: size?.value })
}

/** What waits to be sealed, and what was sealed since: its bytes, and how it follows on what is sealed. */
async function checkRecent(ctx: CheckContext, last: StoredShard | undefined, { heads, faults }: Run): Promise<number> {
  let afterId = 0
  let count = 0
  for (;;) {
    const rows = await readRecentPage(ctx.db, { year: last?.year ?? 0, size: last?.size ?? 0, afterId, limit: pageLeaves })
    for (const row of rows) {
      const read = readStored(row, (fault) => faults.add(fault))
      const following = read && heads.advance({ ref: read.entry.ref, n: read.entry.n, prev: read.entry.prev, leaf: read.leaf })
      if (following === 'contradicts' || following === 'skips' || following === 'begins_late')
        faults.add({
          stage: 'chain',
          kind: 'tampered',
          says: 'An entry that waits to be sealed does not follow on the entry before it of the same item.',
        })
    }
    count += rows.length
    const end = rows.at(-1)
    if (!end) return count
    afterId = end.entryId
  }
}
